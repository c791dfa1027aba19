#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# relock.sh: writes packages.lock anew: qemu-system-arm, and of its dependencies the packages that
# own a library it loads.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=third_party/debian/private_apt.sh
. "$here/../debian/private_apt.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
private_apt "$work/apt"
mkdir "$work/debs" "$work/lib" "$work/root"
cd "$work/debs"
# Data, guides and firmware of other machines; no library of the emulator is in them.
packages=$(closure qemu-system-arm |
    grep -v -E '^(qemu-system-(data|common|gui)|qemu-efi.*|ipxe-.*|seabios|perl.*|systemd.*)$')
# shellcheck disable=SC2086 # a list of words
apt-get -q download $packages >/dev/null

for file in *.deb; do
    dpkg-deb -x "$file" "$work/root/${file%%_*}"
done
find "$work/root" \( -type f -o -type l \) -name '*.so*' ! -path '*/qemu/*' ! -path '*/lib64/*' -exec cp -P {} "$work/lib/" \;
"$work/lib/ld-linux-x86-64.so.2" --library-path "$work/lib" --list \
    "$work/root/qemu-system-arm/usr/bin/qemu-system-arm" |
    sed -n "s#^\t\([^ ]*\) => $work/lib/.*#\1#p" >"$work/names"
if grep -q 'not found' "$work/names"; then
    cat "$work/names" >&2
    exit 1
fi

{
    echo "# SPDX-License-Identifier: Apache-2.0"
    echo "# Written by relock.sh: package version sha256 kind."
    while read -r name; do
        find "$work/root" -name "$name" ! -path '*/qemu/*'
    done <"$work/names" | sed "s#^$work/root/\([^/]*\)/.*#\1#" |
        { cat; echo qemu-system-arm; echo libc6; } | LC_ALL=C sort -u |
        while read -r name; do lock_line "$name" "${name}"_*.deb archive; done
} >"$work/packages.lock"
mv "$work/packages.lock" "$here/packages.lock"
