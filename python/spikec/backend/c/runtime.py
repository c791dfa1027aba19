# SPDX-License-Identifier: Apache-2.0
"""Finds the C headers that generated code needs, and copies them beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from spikec.errors import SpikecError

DRIVER = ("spk_drive.c", "spk_frame.c", "spk_frame_v3.c", "spk_frame_v4.c")
"""What drives a network over a whole recording."""
FRONT_END = ("spk_window.h",)
"""What bins a sensor's events on the device."""

FIRMWARE = (
    "board.h",
    "board_mps2_an500.c",
    "drive_main.c",
    "mem.c",
    "mps2_an500.ld",
    "say.h",
    "sections.ld",
    "spk_target.h",
    "startup.c",
)
"""What makes a network a program of the emulated Cortex-M7."""
CLOCK = ("spk_clock.c", "spk_clock.h")
"""What times a network's operations on the host."""


def with_includes(files: Mapping[str, str]) -> dict[str, str]:
    """``files``, texts by name, and all of the project's headers that they include.

    Raises:
        SpikecError: this installation lacks one.
    """
    found = dict(files)
    todo = list(files.values())
    while todo:
        for name in re.findall(r'^#include "([^"]+)"$', todo.pop(), re.MULTILINE):
            if name not in found:
                found[name] = read(name)
                todo.append(found[name])
    return found


def read(name: str) -> str:
    """The text of one of the project's C files, by name.

    Raises:
        SpikecError: this installation lacks it.
    """
    for root in _roots():
        for room in ("runtime", "kernels", "arch", "host", "firmware"):
            path = root / room / name
            if path.is_file():
                return path.read_text(encoding="utf-8")
    raise SpikecError(
        f"the C file {name} is missing from this installation of spikec; install it again."
    )


def list_room(room: str) -> tuple[str, ...]:
    """The names of the files in a folder of the project's C, sorted.

    Raises:
        SpikecError: this installation lacks the folder.
    """
    for root in _roots():
        folder = root / room
        if folder.is_dir():
            return tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))
    raise SpikecError(
        f"the C files of {room} are missing from this installation of spikec; install it again."
    )


def _roots() -> tuple[Path, Path]:
    """Where the C is: beside the package after ``pip install``, else at the repository's top."""
    package = Path(__file__).parents[2]
    return package / "cc", package.parents[1] / "cc"
