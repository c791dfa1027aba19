# SPDX-License-Identifier: Apache-2.0
"""How arm-none-eabi-gcc is called for a Cortex-M7."""

load("@rules_cc//cc:action_names.bzl", "ACTION_NAMES")
load(
    "@rules_cc//cc:cc_toolchain_config_lib.bzl",
    "feature",
    "flag_group",
    "flag_set",
    "tool_path",
    "with_feature_set",
)
load("@rules_cc//cc/common:cc_common.bzl", "cc_common")
load("@rules_cc//cc/toolchains:cc_toolchain_config_info.bzl", "CcToolchainConfigInfo")

_COMPILE = [
    ACTION_NAMES.assemble,
    ACTION_NAMES.preprocess_assemble,
    ACTION_NAMES.c_compile,
]

_CPU_FLAGS = [
    "-mcpu=cortex-m7",
    "-mthumb",
    "-mfpu=fpv5-d16",
    "-mfloat-abi=hard",
]

_DETERMINISM_FLAGS = [
    # Header paths as they were asked for, not as the disk has them.
    "-no-canonical-prefixes",
    "-fno-canonical-system-headers",
    "-Wno-builtin-macro-redefined",
    "-D__DATE__=\"redacted\"",
    "-D__TIME__=\"redacted\"",
    "-D__TIMESTAMP__=\"redacted\"",
]

_CODE_FLAGS = [
    "-ffunction-sections",
    "-fdata-sections",
    "-Wall",
]

_LINK_FLAGS = [
    "-no-canonical-prefixes",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
]

def _flags(actions, flags, with_features = []):
    return flag_set(
        actions = actions,
        flag_groups = [flag_group(flags = flags)],
        with_features = with_features,
    )

def _mode(name):
    return [with_feature_set(features = [name])]

def _cortex_m7_toolchain_config_impl(ctx):
    features = [
        # No archive is linked whole, and there are no shared objects: the platform has no loader.
        feature(name = "static_linking_mode", enabled = True),
        feature(name = "opt"),
        feature(name = "dbg"),
        feature(name = "fastbuild"),
        feature(
            name = "cortex_m7",
            enabled = True,
            flag_sets = [
                _flags(_COMPILE, _CPU_FLAGS + _DETERMINISM_FLAGS + _CODE_FLAGS),
                _flags(_COMPILE, ["-O2", "-DNDEBUG"], _mode("opt")),
                _flags(_COMPILE, ["-Og", "-g"], _mode("dbg")),
                _flags(_COMPILE, ["-O1"], _mode("fastbuild")),
                _flags([ACTION_NAMES.cpp_link_executable], _CPU_FLAGS + _LINK_FLAGS),
            ],
        ),
    ]
    return cc_common.create_cc_toolchain_config_info(
        ctx = ctx,
        toolchain_identifier = "cortex_m7_gcc",
        host_system_name = "local",
        target_system_name = "arm-none-eabi",
        target_cpu = "cortex_m7",
        target_libc = "newlib",
        compiler = "gcc",
        abi_version = "eabi",
        abi_libc_version = "unknown",
        features = features,
        cxx_builtin_include_directories = ctx.attr.builtin_include_directories,
        tool_paths = [
            tool_path(name = name, path = "bin/" + name)
            for name in ["ar", "cpp", "gcc", "gcov", "ld", "nm", "objcopy", "objdump", "strip"]
        ],
    )

cortex_m7_toolchain_config = rule(
    implementation = _cortex_m7_toolchain_config_impl,
    doc = "Tools and flags for a hard-float Cortex-M7; the tools are in bin/ of the same package.",
    attrs = {
        "builtin_include_directories": attr.string_list(
            doc = "Folders with the compiler's own headers: relative for a packaged compiler, " +
                  "absolute for the system's.",
            mandatory = True,
        ),
    },
    provides = [CcToolchainConfigInfo],
)
