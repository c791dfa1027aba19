# SPDX-License-Identifier: Apache-2.0
"""What each operation of a compiled network costs on recordings: spikes, additions, time.

On the Cortex-M7 the cost is instructions, counted exactly by QEMU. On the host it is time: a C
observer reads the monotonic clock after each operation, the recordings are repeated, and the median
of the repetitions counts, less what reading the clock takes. A step's own time comes from runs
without the observer, in the same repetitions.
"""

from __future__ import annotations

import ctypes
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from spikec.backend.c import runtime
from spikec.backend.c.names import describe_network
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.ir.operations import ActiveInputs, Expand, Plan, SpikeList
from spikec.ir.taps import spans
from spikec.model import Model
from spikec.semantics import reference
from spikec.targets import host
from spikec.targets.cortex_m7 import drive_build, elf_size, qemu_trace

Target: TypeAlias = Literal["host", "cortex-m7"]

_ROUNDS = 15
_WORST_STEPS = 8  # of the all-ones input: by then layers behind the first fire too


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One operation, or the check of the input before all, or handing out the outputs after all.

    Numbers are means over all steps. ``spikes_in`` counts the values that are not zero in a list or
    array that is read as events, ``spikes_out`` the spikes written; None where it is neither.
    ``synaptic_operations`` are the weights that active inputs add, borders included;
    ``worst_synaptic_operations`` those of a step in which every input is active. ``cost`` is
    instructions on the Cortex-M7 and microseconds on the host, ``share`` its part of all rows'.
    ``worst_instructions``: in the costliest step of an input of ones, on the Cortex-M7.
    """

    layer: str
    torch: str
    spikes_in: float | None
    spikes_out: float | None
    synaptic_operations: float
    cost: float
    share: float
    cost_per_synaptic_operation: float | None
    worst_synaptic_operations: int
    worst_instructions: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """Bytes on the Cortex-M7: of the network's functions, of its tables, of its state."""

    code: int
    tables: int
    state: int


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """What a network costs, operation by operation; ``str()`` of it is a table for people.

    ``step_cost`` is a step's mean cost, ``step_most`` the largest, of steps without an observer: in
    instructions, of which the rows' are exactly the parts, or in microseconds. ``clock_ns`` is what
    was taken off each operation's time on the host. ``size`` is known for the Cortex-M7.
    """

    network: str
    target: Target
    unit: Literal["instructions", "us"]
    recordings: int
    steps: int
    step_cost: float
    step_most: float
    synaptic_operations: float
    worst_synaptic_operations: int
    worst_instructions: int | None
    clock_ns: int | None
    size: Size | None
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        m7 = self.target == "cortex-m7"
        columns = ["layer", "torch", "spikes in", "spikes out", "syn. ops", self.unit, "share"]
        columns += [f"{'instr.' if m7 else 'ns'}/op", "worst ops"]
        columns += ["all-ones instr."] if m7 else []
        lines = [columns]
        lines += [[row.layer, row.torch, *self._numbers(row, m7)] for row in self.rows]
        each = self.step_cost / self.synaptic_operations if self.synaptic_operations else None
        total = Row(
            "step", "", None, None, self.synaptic_operations, self.step_cost, 1.0, each,
            self.worst_synaptic_operations, self.worst_instructions,
        )  # fmt: skip
        lines.append([total.layer, total.torch, *self._numbers(total, m7)])
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        text = [
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        what = (
            "instructions on the Cortex-M7, exact, by QEMU; they are not cycles"
            if m7
            else f"time on this machine, median of {_ROUNDS} rounds, clock's {self.clock_ns} ns "
            "taken off each operation; the step's without an observer"
        )
        head = [
            self.network,
            f"{self.recordings} recording(s), {self.steps} steps; means a step; {what}",
            "",
        ]
        most = f"{self.step_most:,.0f}" if m7 else f"{self.step_most:.2f}"
        tail = [f"the costliest step took {most} {self.unit}"]
        if self.size is not None:
            tail.append(
                f"code {self.size.code:,} B, tables {self.size.tables:,} B, state "
                f"{self.size.state:,} B"
            )
        return "\n".join([*head, *text, "", *tail])

    def _numbers(self, row: Row, m7: bool) -> list[str]:
        cells = ["-" if n is None else f"{n:,.1f}" for n in (row.spikes_in, row.spikes_out)]
        each = row.cost_per_synaptic_operation
        cells += [
            f"{row.synaptic_operations:,.0f}",
            f"{row.cost:,.0f}" if m7 else f"{row.cost:.2f}",
            f"{100 * row.share:.1f} %",
            "-" if each is None else f"{each if m7 else 1000 * each:.2f}",
            f"{row.worst_synaptic_operations:,}",
        ]
        worst = row.worst_instructions
        return cells if worst is None else [*cells, f"{worst:,}"]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What one operation has to do: arrays ``[T]`` by step, None where there is no such thing."""

    layer: str
    torch: str
    spikes_in: npt.NDArray[np.int64] | None
    spikes_out: npt.NDArray[np.int64] | None
    synaptic_operations: npt.NDArray[np.int64]
    worst_synaptic_operations: int


def fan_out(layer: ir.Conv2d | ir.Linear, before: ir.Shape) -> npt.NDArray[np.int64]:
    """How many weights an input adds, ``[y, x]``: the same for all channels of a position."""
    if isinstance(layer, ir.Linear):
        return np.full((before.height, before.width), layer.weight.shape[1], np.int64)
    rows, cols = (
        np.array([span.taps for span in spans(layer, axis, size)], np.int64)
        for axis, size in enumerate((before.height, before.width))
    )
    return np.multiply.outer(rows, cols) * (layer.shape.channels // layer.groups)


def work(planned: Plan, frames: ir.Floats) -> tuple[Work, ...]:
    """What every operation of a plan has to do with ``frames [T, *axes]``, in snnTorch's order."""
    network = planned.network
    values = reference.run(network, network.input.to_memory(frames)).values
    found = []
    for operation in planned.operations:
        layers = operation.layers
        if isinstance(operation, Expand):
            source = operation.writes.name.removeprefix("dense_")
        else:
            source = layers[0].inputs[0]
        active = (values[source] != 0).sum(axis=-1, dtype=np.int64)  # [T, y, x]
        reads = getattr(operation, "reads", None)
        spiked = isinstance(getattr(operation, "writes", None), SpikeList)
        last = layers[-1] if layers else None
        synaptic, worst = np.zeros(len(frames), np.int64), 0
        counted = isinstance(reads, ActiveInputs | SpikeList)
        if layers and isinstance(layers[0], ir.Conv2d | ir.Linear):
            before = network.shape_of(source)
            fan = fan_out(layers[0], before)
            synaptic = (active.reshape(len(frames), *fan.shape) * fan).sum(axis=(1, 2))
            worst = int(fan.sum()) * before.channels
            counted = True
        found.append(
            Work(
                "+".join(layer.name for layer in layers) or f"dense {source}",
                ",".join(layer.source for layer in layers),
                active.sum(axis=(1, 2)) if counted else None,
                np.count_nonzero(values[last.name], axis=(1, 2, 3)) if last and spiked else None,
                synaptic,
                worst,
            )
        )  # fmt: skip
    return tuple(found)


def profile(model: Model, recordings: Sequence[npt.NDArray[np.float32]], target: Target) -> Profile:
    """Profiles a network on recordings, each frames ``[T, *axes]`` in snnTorch's order.

    Raises:
        SpikecError: frames do not fit the network, or the target's compiler or emulator is missing
            or fails.
    """
    network = model.network
    checked = [host.checked_frames(network, frames) for frames in recordings]
    checked = [frames for frames in checked if len(frames)]
    if not checked:
        raise SpikecError("there are no steps to profile; give a recording with events.")
    items = work(model.plan, checked[0])
    for frames in checked[1:]:
        items = tuple(map(_joined, items, work(model.plan, frames)))
    active = [host.active_inputs(network, frames) for frames in checked]
    clock: int | None = None
    size: Size | None = None
    worst: npt.NDArray[np.int64] | None = None
    steps: npt.NDArray[np.generic]
    parts: npt.NDArray[np.generic]
    if target == "host":
        steps, parts, clock = _on_host(model, active)
    else:
        ones = np.ones((_WORST_STEPS, *network.input.axes), np.float32)
        active.append(host.active_inputs(network, ones))
        steps, parts, worst, size = _on_cortex_m7(model, active)
    costs = parts.mean(axis=0)
    total = float(costs.sum()) or 1.0
    nothing = np.zeros(len(steps), np.int64)
    before = Work("input check", "", None, None, nothing, 0)
    after = Work("outputs", "", None, None, nothing, 0)
    rows = []
    for i, item in enumerate((before, *items, after)):
        synaptic = float(item.synaptic_operations.mean())
        rows.append(
            Row(
                item.layer,
                item.torch,
                None if item.spikes_in is None else float(item.spikes_in.mean()),
                None if item.spikes_out is None else float(item.spikes_out.mean()),
                synaptic,
                float(costs[i]),
                float(costs[i]) / total,
                float(costs[i]) / synaptic if synaptic else None,
                item.worst_synaptic_operations,
                None if worst is None else int(worst[i]),
            )
        )
    return Profile(
        network=describe_network(network),
        target=target,
        unit="us" if target == "host" else "instructions",
        recordings=len(checked),
        steps=len(steps),
        step_cost=float(steps.mean()),
        step_most=float(steps.max()),
        synaptic_operations=sum(row.synaptic_operations for row in rows),
        worst_synaptic_operations=sum(row.worst_synaptic_operations for row in rows),
        worst_instructions=None if worst is None else int(worst.sum()),
        clock_ns=clock,
        size=size,
        rows=tuple(rows),
    )


def _joined(first: Work, second: Work) -> Work:
    """The same operation over the steps of two recordings."""

    def join(
        a: npt.NDArray[np.int64] | None, b: npt.NDArray[np.int64] | None
    ) -> npt.NDArray[np.int64] | None:
        return None if a is None or b is None else np.concatenate((a, b))

    return dataclasses.replace(
        first,
        spikes_in=join(first.spikes_in, second.spikes_in),
        spikes_out=join(first.spikes_out, second.spikes_out),
        synaptic_operations=np.concatenate((first.synaptic_operations, second.synaptic_operations)),
    )


def _on_host(
    model: Model, recordings: Sequence[host.Active]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
    """Microseconds of steps ``[T]`` and of their operations ``[T, marks]``; the clock's own ns."""
    files = {**model.host_files(), **{name: runtime.read(name) for name in runtime.CLOCK}}
    loaded = model.build_files(files)
    library, network = loaded._library, loaded._model
    assert network is not None, "built with its handle"
    library.spk_clock_cost.restype = ctypes.c_uint64
    cost = int(library.spk_clock_cost())
    marks = len(model.plan.operations) + 2
    state = np.empty(model.plan.state_bytes // 8 + 32, np.uint64)
    start = -state.ctypes.data % 64
    outputs = np.empty(model.network.output.shape.size, np.uint8)
    steps, parts = [], []
    for recording in recordings:
        count = len(recording.offsets) - 1
        plain = np.empty((_ROUNDS, count), np.uint64)
        laps = np.empty((_ROUNDS, count, marks), np.uint64)
        for row, lap in zip(plain, laps, strict=True):
            status = library.spk_clock_drive(
                ctypes.byref(network),
                ctypes.c_void_p(state.ctypes.data + start),
                recording.entries.ctypes.data_as(ctypes.c_void_p),
                recording.offsets.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_size_t(count),
                ctypes.c_uint32(marks),
                outputs.ctypes.data_as(ctypes.c_void_p),
                row.ctypes.data_as(ctypes.c_void_p),
                lap.ctypes.data_as(ctypes.c_void_p),
            )
            if status:
                raise SpikecError("the compiled network refused its input.")
        steps.append(np.maximum(np.median(plain, axis=0) - cost, 0) / 1000)
        parts.append(np.maximum(np.median(laps, axis=0) - cost, 0) / 1000)
    return np.concatenate(steps), np.concatenate(parts), cost


def _on_cortex_m7(
    model: Model, recordings: Sequence[host.Active]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], Size]:
    """Instructions of steps ``[T]`` and of their operations ``[T, marks]``, and sizes.

    The last recording is the one of ones: the third value is its costliest step's operations.
    """
    qemu = drive_build.emulator()
    gcc = drive_build.compiler()
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        elf = drive_build.build(model.name, model.driven_files("cortex-m7"), Path(folder), gcc)
        size = sizes(elf, model.name)
        *measured, ones = qemu_trace.measure(qemu, elf, recordings, model.network.input.size)
    return (
        np.concatenate([one.instructions for one in measured]),
        np.concatenate([one.operations for one in measured]),
        ones.operations[ones.instructions.argmax()],
        size,
    )


def sizes(elf: Path, name: str) -> Size:
    """Bytes of a network's code, tables and state in a linked drive program.

    Raises:
        SpikecError: the file is no such program.
    """
    report = elf_size.size_report(elf)
    return Size(
        elf_size.code_bytes(elf, name),
        sum(layer.size for layer in report.layers),
        sum(section.size for section in report.sections if section.name == ".spk_state"),
    )
