#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh ARGUMENTS: runs `bazel ARGUMENTS` with Bazel 7 from Debian testing, in a private folder
# and without root. A cross-check, no way of working: testing moves.
#
# SPIKEC_BAZEL7: the private folder (default: ~/.cache/spikec-bazel7). Not below /tmp, which
# Bazel's sandbox replaces.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=third_party/debian/private_apt.sh
. "$here/../debian/private_apt.sh"
home=${SPIKEC_BAZEL7:-${XDG_CACHE_HOME:-$HOME/.cache}/spikec-bazel7}

# fetch: downloads and unpacks Bazel, its libraries and a Java, and makes them find each other.
fetch() {
    echo "Fetching Bazel 7 from Debian testing into $home" >&2
    work=$home.new
    rm -rf "$work"
    mkdir -p "$work/debs" "$work/unpacked"
    # shellcheck disable=SC2016 # apt's own placeholder
    archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' |
        head -n 1)
    if [ -z "$archive" ]; then
        echo "apt knows no archive of Debian's here: run apt-get update (as root) first." >&2
        exit 1
    fi
    private_apt "$work/apt" \
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive testing main"
    libraries=$(apt-cache show --no-all-versions bazel-bootstrap | sed -n 's/^Depends: //p' |
        tr ',' '\n' | sed 's/^ *//; s/ .*//' |
        grep -E '^(lib|velocity|async-profiler|bazel-)')
    (
        cd "$work/debs"
        # shellcheck disable=SC2046,SC2086 # lists of words
        apt-get -q download bazel-bootstrap bazel-bootstrap-data \
            $(closure default-jre-headless patchelf zlib1g $libraries) >/dev/null
        for file in *.deb; do
            # A data file of one package is in a folder that another has as a link.
            dpkg-deb --fsys-tarfile "$file" | tar -x -C "$work/unpacked" --keep-directory-symlink
        done
    )
    rm -rf "$work/debs" "$work/apt"
    mv "$work/unpacked/usr/share/bazel" "$work/install"
    mkdir "$work/lib"
    find "$work/unpacked/usr/lib" "$work/unpacked/lib" -name '*.so*' ! -path '*/jvm/*' \
        ! -path '*/gconv/*' -exec cp -P {} "$work/lib/" \; 2>/dev/null || true
    mv "$(find "$work/unpacked/usr/lib/jvm" -maxdepth 1 -type d -name 'java-*')" "$work/java"
    # Java's settings are links into /etc, which is not ours to write.
    find "$work/java" -type l -lname '/etc/java*' | while read -r link; do
        target=$work/unpacked$(readlink "$link")
        rm "$link"
        cp -rL "$target" "$link"
    done
    # The file says where Debian has the jars of Bazel's own class path, some of which exist in no
    # package; perfmark is what others of them name as theirs.
    mv "$work/unpacked/usr/share/java" "$work/jars"
    jars=$work/install/bazel_classpath_debian_depends.txt
    {
        sed 's#.*/##' "$jars"
        echo perfmark-api.jar
        echo perfmark-impl.jar
    } | while read -r jar; do
        [ ! -e "$work/jars/$jar" ] || echo "$home/jars/$jar"
    done >"$work/jars.list"
    mv "$work/jars.list" "$jars"
    # The private C library's loader and folder, for these few programs only: the compilers and
    # tests that Bazel starts are the host's.
    for name in build-runfiles daemonize linux-sandbox process-wrapper; do
        mv "$work/unpacked/usr/libexec/"*/bazel/"$name" "$work/$name"
        rm -f "$work/install/$name"
        mv "$work/$name" "$work/install/$name"
    done
    mv "$work/unpacked/usr/libexec/"*/bazel/zipper "$work/zipper"
    rm -f "$work/install/libcpu_profiler.so" "$work/install/embedded_tools/tools/zip/zipper/zipper"
    mv "$work/unpacked/usr/lib/"*/bazel/libcpu_profiler.so "$work/install/"
    mv "$work/zipper" "$work/install/embedded_tools/tools/zip/zipper/zipper"
    mv "$work/unpacked/usr/bin/bazel" "$work/bazel"
    for program in "$work/bazel" "$work/install/build-runfiles" "$work/install/daemonize" \
        "$work/install/linux-sandbox" "$work/install/process-wrapper" \
        "$work/install/embedded_tools/tools/zip/zipper/zipper" "$work/java/bin/"* \
        "$work/java/lib/jspawnhelper"; do
        "$work/lib/ld-linux-x86-64.so.2" --library-path "$work/lib" "$work/unpacked/usr/bin/patchelf" \
            --set-interpreter "$home/lib/ld-linux-x86-64.so.2" \
            --force-rpath --set-rpath "$home/lib:$home/java/lib" "$program"
    done
    rm -rf "$work/unpacked"
    rm -rf "$home"
    mv "$work" "$home"
}

[ -x "$home/bazel" ] || (fetch)
# No links bazel-bin and so on: the other Bazel's //... would follow one that is not its own.
echo 'build --experimental_convenience_symlinks=ignore' >"$home/bazelrc"
# An output root of its own: two Bazels on one would throw away each other's repositories.
exec "$home/bazel" --nosystem_rc --bazelrc="$home/bazelrc" --install_base="$home/install" --trust_install_base \
    --server_javabase="$home/java" --output_user_root="$home/output" "$@"
