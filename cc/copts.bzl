# SPDX-License-Identifier: Apache-2.0
"""How generated C and what drives it are compiled, on every platform."""

COPTS = [
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wpedantic",
    "-Werror",
] + select({
    # Unrolling pays in cycles on a desktop, in bytes on a microcontroller.
    str(Label("//platforms:is_cortex_m7")): ["-O2"],
    # Three times as fast to compile.
    str(Label("//platforms:is_sanitized")): [
        "-O1",
        "-DSPK_USE_LEVELS",
    ],
    "//conditions:default": [
        "-O3",
        # Code for several levels of x86-64 in one build; see cc/host/spk_level.h.
        "-DSPK_USE_LEVELS",
    ],
})
