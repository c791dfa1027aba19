#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# arrange.sh packages|system: makes bin/ (the tools' short names), files/ and
# builtin_include_directories.bzl in the current folder.
set -eu
tools="ar as cpp gcc gcov ld nm objcopy objdump size strip"
mkdir -p bin files

# flags TOOL: what its wrapper adds, in the wrapper's words: no folder of the build in debug
# information.
flags() {
    # shellcheck disable=SC2016
    [ "$1" != gcc ] || printf ' "-ffile-prefix-map=$PWD=."'
}

if [ "$1" = system ]; then
    for tool in $tools; do
        path=$(command -v "arm-none-eabi-$tool") || {
            echo "SPIKEC_ARM_GCC=system, but there is no arm-none-eabi-$tool on the PATH." >&2
            exit 1
        }
        printf '#!/bin/sh\nexec "%s"%s "$@"\n' "$path" "$(flags "$tool")" >"bin/$tool"
        chmod +x "bin/$tool"
    done
    # With and without the links that Debian's newlib is reached by.
    directories=$(arm-none-eabi-gcc -mcpu=cortex-m7 -xc -E -v /dev/null -o /dev/null 2>&1 |
        sed -n '/^#include </,/^End of search/s/^ //p' |
        while read -r folder; do
            realpath -s "$folder"
            realpath "$folder"
        done | sort -u)
else
    usr=root/usr
    target=$usr/lib/arm-none-eabi
    version=$(cd "$usr/lib/gcc/arm-none-eabi" && echo *)
    gcc=$usr/lib/gcc/arm-none-eabi/$version
    variant=thumb/v7e-m+dp/hard

    # The links that Debian's postinst would make.
    mkdir -p files/bin files/lib "files/lib/gcc/arm-none-eabi/$version" files/lib/arm-none-eabi/lib
    mv "$target/bin" "$target/ldscripts" files/lib/arm-none-eabi/
    mv "$usr/include/newlib" files/lib/arm-none-eabi/include

    # One core, one language: the rest of the packages is 600 MB of other cores and C++.
    to=files/lib/gcc/arm-none-eabi/$version
    for file in cc1 collect2 lto-wrapper liblto_plugin.so include include-fixed; do
        mv "$gcc/$file" "$to/"
    done
    mkdir -p "$to/thumb/v7e-m+dp" files/lib/arm-none-eabi/lib/thumb/v7e-m+dp
    mv "$gcc/$variant" "$to/$variant"
    mv "$target/newlib/$variant" "files/lib/arm-none-eabi/lib/$variant"
    rm -f "files/lib/arm-none-eabi/lib/$variant"/*++*
    rm -rf files/lib/arm-none-eabi/include/c++

    mkdir -p files/host
    find root \( -type f -o -type l \) -name '*.so*' -path '*x86_64-linux-gnu*' -exec cp -P {} files/host/ \;
    for tool in $tools; do
        mv "$usr/bin/arm-none-eabi-$tool" files/bin/
        # As an action's tool the folder is beside bin/; under `bazel run` it is in the runfiles.
        cat >"bin/$tool" <<WRAPPER
#!/bin/sh
bin=\${0%/*}
root=\${bin%/*}/files
for run in "\$0.runfiles"/*spikec_arm_gcc/files; do [ -d "\$run" ] && root=\$run; done
LD_LIBRARY_PATH=\$root/host exec "\$root/bin/arm-none-eabi-$tool"$(flags "$tool") "\$@"
WRAPPER
        chmod +x "bin/$tool"
    done
    rm -rf root
    # %ROOT%: where the repository is in an action, which the build file knows.
    directories="%ROOT%/$to/include
%ROOT%/$to/include-fixed
%ROOT%/files/lib/arm-none-eabi/include"
fi

{
    echo '"""Written by arrange.sh."""'
    echo
    echo 'BUILTIN_INCLUDE_DIRECTORIES = ['
    echo "$directories" | sed 's/.*/    "&",/'
    echo ']'
} >builtin_include_directories.bzl
