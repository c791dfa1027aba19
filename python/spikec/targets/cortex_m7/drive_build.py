# SPDX-License-Identifier: Apache-2.0
"""Builds the drive program of any network for the emulated Cortex-M7, as Bazel does."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from spikec.backend.c import runtime
from spikec.errors import SpikecError

COMPILER_VARIABLE = "SPIKEC_CORTEX_M7_CC"
EMULATOR_VARIABLE = "SPIKEC_CORTEX_M7_QEMU"

FLAGS = (
    "-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard",
    "-std=c11", "-O2", "-DNDEBUG", "-ffunction-sections", "-fdata-sections",
)  # fmt: skip
"""What decides the code; tests/profile_test.py holds them to cc/copts.bzl and toolchains/."""
LINK_FLAGS = (
    "-nostdlib", "-Wl,--gc-sections", "-Wl,--build-id=none",
    "-T", "mps2_an500.ld", "-T", "sections.ld",
)  # fmt: skip


def compiler() -> list[str]:
    """The cross compiler, as the start of a command line.

    Raises:
        SpikecError: there is none.
    """
    return _program(
        COMPILER_VARIABLE, "arm-none-eabi-gcc",
        "a cross compiler for the Cortex-M7", "gcc-arm-none-eabi and libnewlib-arm-none-eabi",
    )  # fmt: skip


def emulator() -> list[str]:
    """The emulator, as the start of a command line.

    Raises:
        SpikecError: there is none.
    """
    return _program(EMULATOR_VARIABLE, "qemu-system-arm", "the emulator QEMU", "qemu-system-arm")


def _program(variable: str, name: str, what: str, packages: str) -> list[str]:
    named = os.environ.get(variable)
    try:
        command = shlex.split(named or name)
    except ValueError:
        command = []
    program = shutil.which(command[0]) if command else None
    if program is not None:
        return [os.path.abspath(program), *command[1:]]
    found = f"{variable} names {named!r}, which is not" if named else f"{name} is not"
    raise SpikecError(
        f"{found} on the PATH, and cortex-m7 needs {what}; on Debian: apt-get install {packages}, "
        f"or set {variable} to its command."
    )


def build(
    name: str, files: Mapping[str, str], folder: Path, gcc: Sequence[str] | None = None
) -> Path:
    """Compiles the drive program of a network and returns its ELF, ``folder/NAME.elf``.

    ``files`` are the network's C, as ``Model.driven_files("cortex-m7")`` gives it: they define
    ``NAME_model`` and ``NAME_state``. ``gcc`` is the compiler's command.

    Raises:
        SpikecError: there is no compiler, it fails, or the network is too large for the board.
    """
    command = list(gcc) if gcc is not None else compiler()
    own = (*runtime.FIRMWARE, *runtime.DRIVER)
    firmware = {file: runtime.read(file) for file in own if file not in files}
    for file in sorted(set(runtime.FIRMWARE) & files.keys()):
        raise SpikecError(
            f"the network {name!r} has a file {file}, as the program that runs it has; give the "
            "network another name."
        )
    written = runtime.with_includes({**firmware, **files})
    written["spk_the_target.c"] = _TARGET.format(name=name)
    for file, text in written.items():
        (folder / file).write_text(text, encoding="utf-8")
    units = sorted(file for file in written if file.endswith(".c"))
    elf = folder / f"{name}.elf"
    command += [*FLAGS, "-I.", *units, *LINK_FLAGS, "-lgcc", "-o", elf.name]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SpikecError(
            f"{command[0]}: the cross compiler cannot be started ({error.strerror or error}); "
            f"set {COMPILER_VARIABLE} to its command."
        ) from error
    if done.returncode != 0:
        said = done.stderr.strip() or "nothing"
        hint = ""
        if "string.h" in said:
            hint = " Its C library's headers are missing: apt-get install libnewlib-arm-none-eabi."
        raise SpikecError(
            f"the cross compiler failed: {shlex.join(command)}\n{said}\n"
            f"Use GCC 12 or later for arm-none-eabi.{hint}"
        )
    return elf


_TARGET = """\
// SPDX-License-Identifier: Apache-2.0
// The network of this program.
#include "{name}.h"
#include "{name}_model.h"
#include "spk_target.h"

SPK_TARGET({name}_model, {name}_state)
"""
