# SPDX-License-Identifier: Apache-2.0
"""What a network takes on a Cortex-M7: flash and RAM to the byte, by layer, and its work a step.

Tables and state are known from the plan. Code is known when the compiler for the Cortex-M7 has
linked a program: then the tables are those of the image too, and every figure is one of its own.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spikec.backend.c.form import Form
from spikec.backend.c.target import Target
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.ir.operations import Plan
from spikec.measure.evaluate import Activity
from spikec.model import Model
from spikec.targets.budget import Budget
from spikec.targets.cortex_m7 import drive_build, elf_size


@dataclasses.dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer's share; bytes, and synaptic operations in one time step.

    ``scratch`` are the arrays that the layer needs in the step under way. Layers that are not at
    work at the same time share them: ``ram`` is the membranes and the shared places of which the
    layer needs most, so that these add up to the state but for its padding. ``operations`` is a
    mean over recordings, ``worst_operations`` of a step in which every input is active.
    """

    layer: str
    torch: str
    neurons: int
    tables: int
    membranes: int
    scratch: int
    ram: int
    operations: float | None
    worst_operations: int


@dataclasses.dataclass(frozen=True, slots=True)
class Costs:
    """What a network takes; ``str()`` of it is a page for people.

    ``code`` are its functions and ``other`` the constants that belong to no layer, None where the
    code could not be measured, for the reason in ``unmeasured``. ``flash`` is the sum of what is
    known. ``state`` is the RAM, ``padding`` the part of it that no layer needs.
    """

    network: str
    numbers: str
    flash: int
    code: int | None
    tables: int
    other: int | None
    unmeasured: str
    state: int
    padding: int
    recordings: int
    steps: int | None
    layers: tuple[LayerCost, ...]

    def __str__(self) -> str:
        flash = f"flash {self.flash:,} B: tables {self.tables:,} B"
        if self.code is not None:
            flash = (
                f"flash {self.flash:,} B: code {self.code:,} B, tables {self.tables:,} B, other "
                f"constants {self.other:,} B; as linked for the Cortex-M7"
            )
        lines = [f"{self.network}, {self.numbers}", flash]
        if self.unmeasured:
            lines.append(f"code not measured: {self.unmeasured}")
        shared = sum(layer.ram - layer.membranes for layer in self.layers)
        membranes = sum(layer.membranes for layer in self.layers)
        lines.append(
            f"RAM {self.state:,} B: membranes {membranes:,} B, scratch that layers share "
            f"{shared:,} B, padding {self.padding:,} B; a program's stack comes on top"
        )
        columns = ["layer", "torch", "neurons", "tables", "membranes", "scratch", "RAM"]
        measured = self.steps is not None
        columns += ["operations"] if measured else []
        columns.append("worst case")
        total = LayerCost(
            "all", "",
            sum(layer.neurons for layer in self.layers),
            self.tables, membranes, 0, membranes + shared,
            sum(layer.operations or 0.0 for layer in self.layers) if measured else None,
            sum(layer.worst_operations for layer in self.layers),
        )  # fmt: skip
        rows = [columns, *(_cells(layer, measured) for layer in (*self.layers, total))]
        rows[-1][5] = "shared"
        widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
        lines += ["", *(_line(row, widths) for row in rows), ""]
        if measured:
            lines.append(
                f"operations: synaptic, in a step; means over {self.recordings} recording(s) of "
                f"{self.steps} steps, and the worst case, in which every input is active"
            )
        else:
            lines.append("worst case: synaptic operations in a step in which every input is active")
        return "\n".join(lines)


def costs(model: Model, activities: Sequence[Activity] = (), steps: int | None = None) -> Costs:
    """What a network takes, with its measured work where it was observed on recordings.

    ``activities`` are of recordings of ``steps`` time steps each.

    Raises:
        SpikecError: the compiler for the Cortex-M7 is there and fails.
    """
    reported = model.report("cortex-m7")
    plan = Form("cortex-m7").lay_out(model.plan)
    linked, unmeasured = _linked(model)
    tables = {layer.name: layer.table_bytes for layer in reported.layers}
    if linked is not None:
        tables = dict.fromkeys(tables, 0) | {layer.name: layer.size for layer in linked.layers}
    ram = ram_by_layer(plan)
    operations = _operations(model.network, activities, steps)
    layers = []
    for layer in reported.layers:
        membranes, scratch = _buffers(model.plan, layer.name)
        layers.append(
            LayerCost(
                layer.name, layer.source, layer.neurons, tables[layer.name], membranes, scratch,
                ram.get(layer.name, 0), operations.get(layer.name), layer.worst_case_adds,
            )
        )  # fmt: skip
    if ir.INPUT in ram:
        needs = _buffers(model.plan, ir.INPUT)[1]
        layers.insert(0, LayerCost(ir.INPUT, "", 0, 0, 0, needs, ram[ir.INPUT], None, 0))
    flash = sum(tables.values())
    if linked is not None:
        flash += linked.code + linked.other
    state = reported.state_bytes if linked is None else linked.state
    return Costs(
        network=reported.network,
        numbers=model.network.numbers,
        flash=flash,
        code=None if linked is None else linked.code,
        tables=sum(tables.values()),
        other=None if linked is None else linked.other,
        unmeasured=unmeasured,
        state=state,
        padding=state - sum(ram.values()),
        recordings=len(activities),
        steps=steps if activities else None,
        layers=tuple(layers),
    )


def check_budget(model: Model, budget: Budget, target: Target = "generic") -> None:
    """Holds what is known before anything is linked, tables and state, to a budget.

    Raises:
        SpikecError: it is exceeded; the sentence names the layer that takes most.
    """
    reported = model.report(target)
    plan = Form(target).lay_out(model.plan)
    tables = {layer.name: layer.table_bytes for layer in reported.layers}
    sentences = (
        budget.flash_excess(model.name, {"tables, without code": reported.table_bytes}, tables),
        budget.ram_excess(model.name, {"state": reported.state_bytes}, ram_by_layer(plan)),
    )
    if any(sentences):
        raise SpikecError("\n".join(filter(None, sentences)))


def ram_by_layer(plan: Plan) -> dict[str, int]:
    """Bytes of the state by layer: membranes, and each shared place with who needs most of it."""
    found: dict[str, int] = {}
    for place in (*((buffer,) for buffer in plan.persistent), *plan.slots):
        largest = max(place, key=lambda buffer: buffer.bytes)
        layer = _layer_of(largest.name)
        found[layer] = found.get(layer, 0) + largest.bytes
    return found


def _buffers(plan: Plan, layer: str) -> tuple[int, int]:
    """Bytes of a layer's membranes, and of the scratch that it needs."""
    scratch = [buffer for slot in plan.slots for buffer in slot]
    membranes, needs = (
        sum(buffer.bytes for buffer in buffers if _layer_of(buffer.name) == layer)
        for buffers in (plan.persistent, scratch)
    )
    return membranes, needs


def _layer_of(buffer: str) -> str:
    """Buffers are named after what they are and their layer, as in current_conv1."""
    return buffer.rpartition("_")[2]


def _linked(model: Model) -> tuple[elf_size.NetworkSize | None, str]:
    """Sizes in the program of the emulated Cortex-M7, or why there are none."""
    try:
        gcc = drive_build.compiler()
    except SpikecError as error:
        return None, str(error)
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        elf = drive_build.build(model.name, model.driven_files("cortex-m7"), Path(folder), gcc)
        return elf_size.network_size(elf, model.name), ""


def _operations(
    network: ir.Network, activities: Sequence[Activity], steps: int | None
) -> dict[str, float]:
    """Mean synaptic operations of one step, by layer."""
    if not activities or not steps:
        return {}
    weighted = [layer for layer in network.layers if isinstance(layer, ir.Conv2d | ir.Linear)]
    return {
        layer.name: sum(one.synaptic_operations[i] for one in activities) / len(activities) / steps
        for i, layer in enumerate(weighted)
    }


def _cells(layer: LayerCost, measured: bool) -> list[str]:
    cells = [layer.layer, layer.torch]
    cells += [
        f"{number:,}"
        for number in (layer.neurons, layer.tables, layer.membranes, layer.scratch, layer.ram)
    ]
    if measured:
        cells.append("-" if layer.operations is None else f"{layer.operations:,.0f}")
    return [*cells, f"{layer.worst_operations:,}"]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
