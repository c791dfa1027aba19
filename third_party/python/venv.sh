#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# venv.sh DIR LOCK...: a virtual environment outside Bazel with hash-locked packages: core, lint,
# tonic, onnx, plot, nir, spikingjelly. For linters and editors: venv.sh .venv core lint
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || {
    echo "usage: venv.sh DIR LOCK...   (locks: core, lint, tonic, onnx, plot, nir, spikingjelly)" >&2
    exit 1
}
dir=$1
shift
python=/usr/bin/python3
[ -x "$python" ] || python=python3
"$python" -m venv "$dir"

# install LOCK: its errors go where the caller's do.
install() {
    "$dir/bin/pip" --disable-pip-version-check install --quiet --no-deps --require-hashes \
        --only-binary=:all: --requirement "$here/$1.lock"
}

for lock in "$@"; do
    if [ "$lock" != core ]; then
        install "$lock"
    elif ! install core.cpu 2>"$dir/core.log"; then
        # torch without CUDA is not known to pip here; any other failure is one.
        grep -q 'No matching distribution' "$dir/core.log" || {
            cat "$dir/core.log" >&2
            exit 1
        }
        install core.pypi
    fi
done
