# SPDX-License-Identifier: Apache-2.0
"""The files of the firmware's drive program, and running it on the host or in QEMU."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.files import write_whole

# The formats are described in cc/firmware/drive_main.c.
_INPUT_HEADER = struct.Struct("<4sIII")
_OUTPUT_HEADER = struct.Struct("<4s8I")
_INPUT_VERSION, _OUTPUT_VERSION = 1, 2
_UNFINISHED = 0xFFFFFFFF
_QEMU_SHIFT = 7  # the board's counter is exact at this shift only
# Exit statuses after which there are results to read; any other is a failure.
_RAN, _REFUSED_STEP = 0, 1

_StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, eq=False)
class DriveOutput:
    """What a network did over T steps. Neurons of all layers follow one another, memory order.

    outputs: [T, outputs] uint8, the last layer's spikes, 0 or 1.
    instructions: [T] uint64, instructions of the network's step; 0 where the board cannot count
        and in recorded runs.
    marks: [T, marks] uint64, what the counter showed in the observed step after its input's check,
        after each operation and after the step; without columns when not asked for.
    spikes: [T, neurons] uint8, 0 or 1, or None when not recorded.
    membranes: [T, neurons] float32, after each step, or None when not recorded.
    layers: number of spiking layers.
    status: 0, or the spk_status with which the network refused the step after the last.
    """

    outputs: npt.NDArray[np.uint8]
    instructions: npt.NDArray[np.uint64]
    marks: npt.NDArray[np.uint64]
    spikes: npt.NDArray[np.uint8] | None
    membranes: npt.NDArray[np.float32] | None
    layers: int
    status: int


def write_input(
    path: _StrPath,
    offsets: npt.ArrayLike,
    indices: npt.ArrayLike,
    values: npt.ArrayLike,
    inputs: int,
) -> None:
    """Write a recording for the drive program; the file appears whole or not at all.

    offsets: [T + 1], step t's entries are offsets[t] .. offsets[t + 1] - 1.
    indices: [entries], positions in the network's memory order, rising within a step.
    values: [entries], what the input counts.
    inputs: values in one input frame.
    Raises SpikecError when these do not fit together or the file cannot be written. What only the
    network can judge, such as an index out of range, is left to it.
    """
    path = Path(path)
    offset, index = np.asarray(offsets, dtype=np.int64), np.asarray(indices, dtype=np.int64)
    value = np.asarray(values, dtype=np.float32)
    if offset.ndim != 1 or not offset.size or offset[0] != 0 or np.any(np.diff(offset) < 0):
        raise SpikecError(
            f"{path}: the offsets of a recording are one list that starts at 0 and never falls; "
            f"these are {_brief(offset)}."
        )
    if index.ndim != 1 or index.shape != value.shape or index.size != offset[-1]:
        raise SpikecError(
            f"{path}: the last offset says {offset[-1]} entries, but there are indices of shape "
            f"{index.shape} and values of shape {value.shape}; give one of each for each entry."
        )
    if index.size and (index.min() < 0 or index.max() > np.iinfo(np.uint32).max):
        raise SpikecError(
            f"{path}: input indices go from {index.min()} to {index.max()}; they must fit 32 bits."
        )
    if not 0 < inputs <= np.iinfo(np.uint32).max:
        raise SpikecError(f"{path}: a network has 1 to 2^32 - 1 inputs, not {inputs}.")
    entries = np.empty(index.size, dtype=[("index", "<u4"), ("value", "<f4")])
    entries["index"], entries["value"] = index, value
    header = _INPUT_HEADER.pack(b"SPKI", _INPUT_VERSION, inputs, offset.size - 1)
    data = header + offset.astype("<u8").tobytes() + entries.tobytes()
    write_whole(path, data, "recording")


def read_output(path: _StrPath) -> DriveOutput:
    """Read what the drive program wrote, up to the step that the network refused, if it did.

    Raises SpikecError for a file that cannot be read, is not such a file, was left unfinished, or
    is longer or shorter than it says.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpikecError(
            f"{path}: the drive program's results cannot be read ({error.strerror or error}); "
            "run the program first."
        ) from error
    again = "run the program again, and see what it printed."
    if len(data) < _OUTPUT_HEADER.size:
        raise SpikecError(
            f"{path}: {len(data)} bytes are too few for the header of {_OUTPUT_HEADER.size} bytes "
            f"of the drive program's results; {again}"
        )
    header = _OUTPUT_HEADER.unpack_from(data)
    magic, version, outputs, layers, neurons, steps, recorded, status, marks = header
    if magic != b"SPKO":
        raise SpikecError(
            f"{path}: not the drive program's results: it starts with {magic!r}, not b'SPKO'; "
            "give the file that the program wrote."
        )
    if version != _OUTPUT_VERSION or recorded not in (0, 1):
        raise SpikecError(
            f"{path}: results of version {version} (recorded: {recorded}); this spikec reads "
            f"version {_OUTPUT_VERSION}. Build the program and spikec from the same sources."
        )
    if status == _UNFINISHED:
        raise SpikecError(f"{path}: the program was cut off before its last step; {again}")
    neurons_kept = neurons if recorded else 0
    row_bytes = outputs + 8 + 8 * marks + 5 * neurons_kept
    wanted = _OUTPUT_HEADER.size + steps * row_bytes
    if len(data) != wanted:
        raise SpikecError(
            f"{path}: {len(data)} bytes, but {steps} steps of {row_bytes} bytes and the header "
            f"make {wanted}; {again}"
        )
    row = np.dtype(
        [
            ("outputs", "u1", (outputs,)),
            ("instructions", "<u8"),
            ("marks", "<u8", (marks,)),
            ("spikes", "u1", (neurons_kept,)),
            ("membranes", "<f4", (neurons_kept,)),
        ]
    )
    rows = np.frombuffer(data, dtype=row, offset=_OUTPUT_HEADER.size)
    return DriveOutput(
        outputs=np.ascontiguousarray(rows["outputs"]),
        instructions=rows["instructions"].astype(np.uint64),
        marks=rows["marks"].astype(np.uint64),
        spikes=np.ascontiguousarray(rows["spikes"]) if recorded else None,
        membranes=rows["membranes"].astype(np.float32) if recorded else None,
        layers=layers,
        status=status,
    )


def run_host(
    program: _StrPath, input: _StrPath, output: _StrPath, record: bool, timeout: float
) -> DriveOutput:
    """Run the host's drive program and read its results; timeout in seconds.

    Raises SpikecError when the program does not start, refuses its input, or takes too long.
    """
    return _run([os.fspath(program), *_arguments(input, output, record)], output, timeout)


def run_qemu(
    qemu: Sequence[str],
    elf: _StrPath,
    input: _StrPath,
    output: _StrPath,
    record: bool,
    timeout: float,
    marks: bool = False,
) -> DriveOutput:
    """Run the emulated board's drive program in QEMU and read its results.

    qemu: the command that starts qemu-system-arm, without the board's options.
    marks: whether to count after each operation too; not together with record.
    timeout: seconds, after which the emulator is ended.
    Raises SpikecError when QEMU does not start, the program refuses its input or faults, or it
    takes too long; also for a path with a space or a comma, which cannot be passed on.
    """
    words = ["drive", *_arguments(input, output, record), *(["--marks"] if marks else [])]
    return _run(qemu_command(qemu, elf, words), output, timeout)


def qemu_command(
    qemu: Sequence[str], elf: _StrPath, words: Sequence[str], exact: bool = True
) -> list[str]:
    """The command that runs an ELF on the emulated board; `words` are its command line.

    exact: whether its counter counts instructions; without that it shows 0.
    Raises SpikecError for a word with a space or a comma, which cannot be passed on.
    """
    for word in words:
        if set(word) & {" ", ","}:
            raise SpikecError(
                f"{word}: QEMU cannot pass a space or a comma to the program; use another path."
            )
    arguments = "".join(f",arg={word}" for word in words)
    return [
        *qemu,
        *("-M", "mps2-an500", "-display", "none", "-monitor", "none", "-serial", "stdio"),
        *(("-icount", f"shift={_QEMU_SHIFT}") if exact else ()),
        *("-semihosting-config", f"enable=on,target=native{arguments}"),
        *("-kernel", os.fspath(elf)),
    ]


def _arguments(input: _StrPath, output: _StrPath, record: bool) -> list[str]:
    return [os.fspath(input), os.fspath(output), *(["--record"] if record else [])]


def _run(command: list[str], output: _StrPath, timeout: float) -> DriveOutput:
    """Runs the drive program and reads what it wrote."""
    Path(output).unlink(missing_ok=True)  # an old run's results must not pass for this one's
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SpikecError(
            f"{command[0]}: not done after {timeout:g} s, so it was ended; "
            "give it more time or fewer steps."
        ) from error
    except OSError as error:
        raise SpikecError(
            f"{command[0]}: the program cannot be started ({error.strerror or error}); "
            "install it or give its path."
        ) from error
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode not in (_RAN, _REFUSED_STEP) or not Path(output).exists():
        raise SpikecError(
            f"{command[0]}: ended with status {done.returncode} and said: {said or 'nothing'}"
        )
    result = read_output(output)
    if done.returncode == _REFUSED_STEP and result.status == 0:
        raise SpikecError(f"{command[0]}: ended with status 1 and said: {said or 'nothing'}")
    return result


def _brief(values: npt.NDArray[np.int64]) -> str:
    return np.array2string(values, threshold=8, edgeitems=3)
