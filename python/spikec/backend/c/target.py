# SPDX-License-Identifier: Apache-2.0
"""The CPUs that C is written for."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Literal, TypeAlias

Target: TypeAlias = Literal["generic", "cortex-m7", "x86-64", "x86-64-v3", "x86-64-v4", "aarch64"]
"""A CPU, or any: "generic" is plain C11."""

CACHE_LINES: dict[Target, int] = {
    "generic": 4, "cortex-m7": 32, "x86-64": 64, "x86-64-v3": 64, "x86-64-v4": 64, "aarch64": 64,
}  # fmt: skip
"""Bytes of a cache line, to which large buffers of the state are filled up; generic: a word."""

_LEVELS: dict[Target, frozenset[str]] = {
    "x86-64-v4": frozenset("avx512f avx512bw avx512cd avx512dq avx512vl".split()),
    "x86-64-v3": frozenset("avx avx2 bmi1 bmi2 f16c fma abm movbe".split()),
}


def this_machine() -> Target:
    """The target that fits the CPU at hand best.

    Levels of x86-64 are told from Linux's list of the CPU's features; elsewhere it is x86-64.
    """
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        return "aarch64"
    if machine not in ("x86_64", "amd64"):
        return "generic"
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "x86-64"
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    found = set(flags.partition(":")[2].split())
    if not _LEVELS["x86-64-v3"] <= found:
        return "x86-64"
    return "x86-64-v4" if _LEVELS["x86-64-v4"] <= found else "x86-64-v3"
