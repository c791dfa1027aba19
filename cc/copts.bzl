# SPDX-License-Identifier: Apache-2.0
"""How generated C and what drives it are compiled, on every platform."""

COPTS = [
    "-std=c11",
    # A fused multiply-add would round differently from the reference.
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wpedantic",
    "-Werror",
] + select({
    # Unrolling pays in cycles on a desktop, in bytes on a microcontroller.
    str(Label("//platforms:is_cortex_m7")): ["-O2"],
    # Three times as fast to compile; the kernel table has hundreds of files.
    str(Label("//platforms:is_sanitized")): [
        "-O1",
        "-DSPK_USE_LEVELS",
    ],
    "//conditions:default": [
        "-O3",
        # Code for several levels of x86-64 in one build; see cc/runtime/spk_level.h.
        "-DSPK_USE_LEVELS",
    ],
})
