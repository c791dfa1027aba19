#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch.sh LOCK OUT: downloads the Debian packages of LOCK, checks them, unpacks them into OUT.
#
# A line of LOCK is: package version sha256 kind. `exact` is that file or a failure. For `archive`,
# a library the program runs on, the archive's present version stands in when the locked one has
# left the archive: apt has then checked its signature, and a line on stderr says so.
set -eu
lock=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
here=$(dirname "$0")
# shellcheck source=third_party/debian/private_apt.sh
. "$here/private_apt.sh"

for tool in apt-get dpkg-deb sha256sum; do
    command -v "$tool" >/dev/null || {
        echo "There is no $tool here, so Debian's packages cannot be fetched." >&2
        exit 1
    }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
private_apt "$work/apt"
mkdir -p "$work/debs"
grep -v '^#' "$lock" >"$work/lock"

cd "$work/debs"
# shellcheck disable=SC2046 # one word a package
if ! apt-get -q download $(awk '{ print $1 "=" $2 }' "$work/lock") >"$work/log" 2>&1; then
    while read -r name version _ kind; do
        apt-get -q download "$name=$version" >>"$work/log" 2>&1 && continue
        if [ "$kind" = exact ]; then
            cat "$work/log" >&2
            echo "$name $version is no longer in the package archive." >&2
            exit 1
        fi
        apt-get -q download "$name" >>"$work/log" 2>&1 || {
            cat "$work/log" >&2
            echo "$name cannot be had from the package archive, in any version." >&2
            exit 1
        }
    done <"$work/lock"
fi

while read -r name version sha256 kind; do
    file=
    for candidate in "${name}"_*.deb; do file=$candidate; done
    if [ "$(sha256sum "$file" | cut -d ' ' -f 1)" != "$sha256" ]; then
        if [ "$kind" = exact ] || [ "$(dpkg-deb -f "$file" Version)" = "$version" ]; then
            echo "$file does not have the sha256 of its lock, $sha256." >&2
            exit 1
        fi
        echo "$name $version has left the archive; using $(dpkg-deb -f "$file" Version)." >&2
    fi
    dpkg-deb -x "$file" "$out"
done <"$work/lock"
