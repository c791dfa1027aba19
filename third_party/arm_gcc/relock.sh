#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# relock.sh: writes packages.lock anew from the versions the package archive has today.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=third_party/debian/private_apt.sh
. "$here/../debian/private_apt.sh"

compiler="gcc-arm-none-eabi binutils-arm-none-eabi libnewlib-arm-none-eabi libnewlib-dev"
libraries="libgmp10 libisl23 libmpc3 libmpfr6 libzstd1 zlib1g"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
private_apt "$work/apt"
mkdir "$work/debs"
cd "$work/debs"
# shellcheck disable=SC2086 # lists of words
apt-get -q download $compiler $libraries >/dev/null

{
    echo "# SPDX-License-Identifier: Apache-2.0"
    echo "# Written by relock.sh: package version sha256 kind. The compiler is exact; the libraries it"
    echo "# runs on may move on."
    for name in $compiler; do lock_line "$name" "${name}"_*.deb exact; done
    for name in $libraries; do lock_line "$name" "${name}"_*.deb archive; done
} >"$work/packages.lock"
mv "$work/packages.lock" "$here/packages.lock"
