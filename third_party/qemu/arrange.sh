#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# arrange.sh packages|system: makes qemu-system-arm.sh and, for packages, files/ in the current
# folder.
set -eu
if [ "$1" = system ]; then
    path=$(command -v qemu-system-arm) || {
        echo "SPIKEC_QEMU=system, but there is no qemu-system-arm on the PATH." >&2
        exit 1
    }
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$path" >qemu-system-arm.sh
else
    mkdir files
    find root \( -type f -o -type l \) -name '*.so*' ! -path '*/qemu/*' ! -path '*/gconv/*' \
        ! -path '*/lib64/*' -exec cp -P {} files/ \;
    mv root/usr/bin/qemu-system-arm files/
    rm -rf root
    # The packages' own loader, so that the host's C library does not matter. In an action the
    # folder is beside the script; as a tool of its own it is in the runfiles.
    cat >qemu-system-arm.sh <<'WRAPPER'
#!/bin/sh
for files in "$0.runfiles"/*spikec_qemu/files "${0%/*}/files" "$(dirname "$(readlink -f "$0")")/files"; do
    if [ -x "$files/qemu-system-arm" ]; then
        exec "$files/ld-linux-x86-64.so.2" --library-path "$files" "$files/qemu-system-arm" "$@"
    fi
done
echo "qemu-system-arm is not beside $0." >&2
exit 127
WRAPPER
    sh ./qemu-system-arm.sh --version
fi
chmod +x qemu-system-arm.sh
