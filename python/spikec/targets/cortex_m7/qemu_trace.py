# SPDX-License-Identifier: Apache-2.0
"""Which instructions the emulated board executed, one by one: QEMU's log of translated blocks.

QEMU translates code block by block. Its log (``-d in_asm,exec,nochain``) lists the instructions of
each block once and then names every block that runs, so counts follow for every address. The drive
program's measurements cut the log: from each entry into ``spk_board_counter_start`` to the next
entries into ``spk_board_counter_stop``.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.targets.cortex_m7.drive_run import DriveOutput, qemu_command, run_qemu, write_input
from spikec.targets.host import Active

_START, _STOP = "spk_board_counter_start", "spk_board_counter_stop"
_INSTRUCTION = re.compile(r"0x([0-9a-f]{8}):  ([0-9a-f ]{4,9})  (\S.*)")
_BLOCK = re.compile(r"Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/[^]]*\] ?(\S*)")


@dataclass(frozen=True, slots=True)
class Segment:
    """What ran between two readings of the counter.

    executed: how often each address's instruction ran.
    taken: how often each address's branch was taken; other branches fell through.
    """

    executed: Counter[int] = field(default_factory=Counter)
    taken: Counter[int] = field(default_factory=Counter)

    def __add__(self, other: Segment) -> Segment:
        return Segment(self.executed + other.executed, self.taken + other.taken)

    @property
    def instructions(self) -> int:
        """How many ran."""
        return self.executed.total()

    def only(self, addresses: Set[int]) -> Segment:
        """What ran at ``addresses``."""
        return Segment(
            Counter({a: n for a, n in self.executed.items() if a in addresses}),
            Counter({a: n for a, n in self.taken.items() if a in addresses}),
        )

    def without(self, addresses: Set[int]) -> Segment:
        """What ran elsewhere."""
        return self.only(self.executed.keys() - addresses)


@dataclass(frozen=True, slots=True)
class Trace:
    """A traced run of the drive program with --marks.

    text: each executed address's instruction, as QEMU disassembles it.
    plain: each step without an observer, one segment.
    observed: the same steps under observation, cut at every mark.
    """

    text: dict[int, str]
    plain: tuple[Segment, ...]
    observed: tuple[tuple[Segment, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Overhead:
    """What has to be taken off each step's marks to leave the operations alone.

    cost: [marks] int64, instructions between one mark and the next that the plain step does not
        execute; of the first, less those that only the plain step executes (the call's own).
    addresses: where those instructions are.
    """

    cost: npt.NDArray[np.int64]
    addresses: set[int]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the emulated board did over T steps of a recording.

    outputs: [T, outputs] uint8, the last layer's spikes, 0 or 1.
    instructions: [T] int64, of the step without an observer.
    operations: [T, operations + 2] int64, the same by operation: the call and the check of the
        input, each operation, and handing out the outputs. Each row's sum is its step's count.
    """

    outputs: npt.NDArray[np.uint8]
    instructions: npt.NDArray[np.int64]
    operations: npt.NDArray[np.int64]


def trace(
    qemu: Sequence[str], elf: str | os.PathLike[str], given: str | os.PathLike[str], timeout: float
) -> Trace:
    """Runs the drive program over a recording with --marks and reads which instructions ran.

    qemu: the command that starts qemu-system-arm. timeout: seconds.

    Raises:
        SpikecError: QEMU does not start or ends badly, takes too long, or its log is not readable.
    """
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        # Without -icount, which cuts blocks where its budget ends and logs them twice.
        command = qemu_command(
            qemu, elf, ["drive", os.fspath(given), f"{folder}/output", "--marks"], exact=False
        )
        command += ["-d", "in_asm,exec,nochain", "-D", "/dev/stdout"]
        with (Path(folder) / "said").open("w+") as said:
            try:
                with subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                ) as program:
                    assert program.stdout is not None
                    clock = threading.Timer(timeout, program.kill)
                    clock.start()
                    found = _read(program.stdout)
                    clock.cancel()
            except OSError as error:
                raise SpikecError(
                    f"{command[0]}: the program cannot be started ({error.strerror or error}); "
                    "install it or give its path."
                ) from error
            said.seek(0)
            message = said.read().strip() or "nothing"
    if program.returncode != 0:
        raise SpikecError(
            f"{command[0]}: the traced run ended with status {program.returncode} and said: "
            f"{message}"
        )
    return found


def overhead(traced: Trace, step: int = 0) -> Overhead:
    """What observing costs at each mark, from one traced step with and without an observer.

    Raises:
        SpikecError: the two do not execute the same instructions apart from the observer's.
    """
    plain, observed = traced.plain[step], traced.observed[step]
    watched = sum(observed, Segment())
    ours = watched.executed.keys() - plain.executed.keys()
    calls = plain.executed.keys() - watched.executed.keys()
    if watched.without(ours).executed != plain.without(calls).executed:
        raise SpikecError(
            "the network's step executes other instructions when it is observed, so operations "
            "cannot be counted one by one; build it with another version of the compiler."
        )
    cost = np.array([segment.only(ours).instructions for segment in observed], np.int64)
    cost[0] -= plain.only(calls).instructions
    return Overhead(cost, set(ours))


def per_operation(output: DriveOutput, cost: Overhead) -> npt.NDArray[np.int64]:
    """Instructions ``[T, marks]``: the input's check and the call, each operation, the outputs.

    They add up to the step's, exactly.

    Raises:
        SpikecError: they do not, or the run has no marks.
    """
    marks = output.marks.astype(np.int64)
    if marks.shape[1] != len(cost.cost):
        raise SpikecError(
            f"a step has {marks.shape[1]} marks where {len(cost.cost)} were traced; run the same "
            "program with --marks."
        )
    counts = np.diff(marks, axis=1, prepend=0) - cost.cost
    wrong = np.flatnonzero(counts.sum(axis=1) != output.instructions.astype(np.int64))
    if wrong.size:
        raise SpikecError(
            f"step {wrong[0]}: the operations take {counts[wrong[0]].sum():,} instructions and the "
            f"step {output.instructions[wrong[0]]:,}; the observer does not cost the same in every "
            "step. Build it with another version of the compiler."
        )
    return counts


class _Reader:
    """Counts blocks, and which one followed which, from one reading of the counter to the next."""

    def __init__(self) -> None:
        self.blocks: dict[str, list[tuple[int, int]]] = {}  # (address, bytes) of instructions, by
        self.text: dict[int, str] = {}  # the line that names a block when it runs
        self.windows: list[list[Segment]] = []
        self._marks: dict[str, str] = {}  # the lines of entries into _START and _STOP
        self._entries: dict[str, str] = {}

    def read(self, lines: Iterable[str]) -> None:
        listed: list[tuple[int, int]] = []
        edges: Counter[tuple[str, str]] = Counter()
        previous = running = ""
        for line in lines:
            if line.startswith("Trace"):
                if line not in self.blocks:
                    self._add(line, listed)
                if running:
                    if running in self._marks:
                        self._cut(self._marks[running], edges)
                        edges = Counter()
                    edges[previous, running] += 1
                    previous = running
                running = line
            elif line.startswith("0x"):
                found = _INSTRUCTION.match(line)
                if found is not None:
                    address = int(found[1], 16)
                    self.text[address] = " ".join(found[3].split())
                    listed.append((address, len(found[2].replace(" ", "")) // 2))
            elif line.startswith("IN:"):
                listed = []
            elif line.startswith("Stopped"):
                running = ""  # the block named last was left before it began

    def _add(self, line: str, listed: list[tuple[int, int]]) -> None:
        found = _BLOCK.match(line)
        if found is None or not listed or listed[0][0] != int(found[1], 16):
            raise SpikecError(
                f"QEMU's log cannot be read: {line.strip()!r} follows no list of its instructions; "
                "use QEMU 7.2."
            )
        self.blocks[line] = listed
        name = found[2]
        if name in (_START, _STOP) and self._entries.setdefault(name, found[1]) == found[1]:
            self._marks[line] = name

    def _cut(self, name: str, edges: Counter[tuple[str, str]]) -> None:
        if name == _START:
            self.windows.append([])
        elif self.windows:
            self.windows[-1].append(self._segment(edges))

    def _segment(self, edges: Counter[tuple[str, str]]) -> Segment:
        executed: Counter[int] = Counter()
        taken: Counter[int] = Counter()
        for (before, line), times in edges.items():
            block = self.blocks[line]
            for address, _ in block:
                executed[address] += times
            if before:
                last, size = self.blocks[before][-1]
                if last + size != block[0][0]:
                    taken[last] += times
        return Segment(executed, taken)


def _read(lines: Iterable[str]) -> Trace:
    reader = _Reader()
    reader.read(lines)
    # A measurement that was asked once is of a plain step; the observed one follows.
    pairs = [
        (plain[0], tuple(observed))
        for plain, observed in zip(reader.windows, reader.windows[1:], strict=False)
        if len(plain) == 1 and len(observed) > 1
    ]
    return Trace(
        reader.text, tuple(plain for plain, _ in pairs), tuple(observed for _, observed in pairs)
    )


def trace_step(
    qemu: Sequence[str],
    elf: str | os.PathLike[str],
    recording: Active,
    step: int,
    inputs: int,
    timeout: float,
) -> Trace:
    """Traces one step of a recording, after the steps before it; see ``trace``."""
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        given = Path(folder) / "input"
        _write(given, recording, step + 1, inputs)
        found = trace(qemu, elf, given, timeout)
    return Trace(found.text, found.plain[-1:], found.observed[-1:])


def measure(
    qemu: Sequence[str],
    elf: str | os.PathLike[str],
    recordings: Sequence[Active],
    inputs: int,
    timeout: float = 600.0,
) -> tuple[Measured, ...]:
    """Counts the instructions of every operation in every step of some recordings.

    qemu: the command that starts qemu-system-arm. elf: the drive program.
    inputs: values in one input frame. timeout: seconds a run.

    Raises:
        SpikecError: a run fails or a count is not exact.
    """
    cost: Overhead | None = None
    measured = []
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        given, output = Path(folder) / "input", Path(folder) / "output"
        for recording in recordings:
            if cost is None:
                cost = overhead(trace_step(qemu, elf, recording, 0, inputs, timeout))
            _write(given, recording, len(recording.offsets) - 1, inputs)
            ran = run_qemu(qemu, elf, given, output, False, timeout, marks=True)
            if ran.status != 0:
                raise SpikecError(f"the network refused step {len(ran.outputs)} of its input.")
            measured.append(
                Measured(ran.outputs, ran.instructions.astype(np.int64), per_operation(ran, cost))
            )
    return tuple(measured)


def _write(path: Path, recording: Active, steps: int, inputs: int) -> None:
    offsets = recording.offsets[: steps + 1]
    entries = recording.entries[: int(offsets[-1])]
    write_input(path, offsets, entries["index"], entries["value"], inputs)
