# SPDX-License-Identifier: Apache-2.0
"""Layers to choose kernels for, and what each kernel takes of the emulated Cortex-M7, exactly.

Of a network of one convolution or linear layer between two layers of neurons, a program is built
whose counted step is that layer alone: its kernel, and what makes its input dense where it must be.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.backend.c.operations import lower_call
from spikec.ir import network as ir
from spikec.ir.operations import DenseSum, Expand, Gather, Operation, Scatter
from spikec.model import Model
from spikec.passes import choose
from spikec.passes import lower as planning
from spikec.targets.cortex_m7 import drive_build, drive_run
from spikec.targets.host import active_inputs
from tests.kernels import cases

TIMEOUT_S = 100.0
DENSITIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 1.0)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network around one layer, and one frame ``[H, W, C]`` a density in memory order."""

    name: str
    network: ir.Network
    frames: ir.Floats

    @property
    def layer(self) -> ir.Conv2d | ir.Linear:
        """The layer in question."""
        found = self.network.layers[-2]
        assert isinstance(found, ir.Conv2d | ir.Linear)
        return found

    @property
    def before(self) -> ir.Shape:
        """What the layer reads."""
        return self.network.shape_of(self.layer.inputs[0])

    @property
    def reads(self) -> choose.Reads:
        """How the layer reads it."""
        operation = self.model("event").plan.operations[-2]
        assert isinstance(operation, Scatter | Gather)
        return planning.reads_of(operation)

    @property
    def active(self) -> ir.Floats:
        """The layer's inputs that are not zero, ``[T, H, W]``."""
        shape = self.before
        frames = self.frames.reshape(-1, shape.height, shape.width, shape.channels)
        count: ir.Floats = np.count_nonzero(frames, axis=3).astype(np.float32)
        return count

    def model(self, kernels: str) -> Model:
        """The network compiled with one kind of kernel."""
        return Model.of(self.network, "subject", "f32", kernels)


def subject(
    name: str,
    axes: cases.Axes,
    layer: cases.Grow,
    reads: str = "spikes",
    densities: Sequence[float] = DENSITIES,
) -> Subject:
    """A network around ``layer``, which reads "spikes", the "events" of the input, or an "array".

    Every frame's active inputs lie anywhere, as many as its density says, at least one.
    """
    rng = np.random.default_rng(len(name))
    channels, height, width = axes if len(axes) == 3 else (axes[0], 1, 1)
    shape = ir.Shape(height, width, channels, len(axes) == 1)
    first = {"spikes": (cases.leaky("none", beta=0.0, threshold=0.5),), "events": (),
             "array": (cases.avgpool(1),)}[reads]  # fmt: skip
    draft = cases.Draft((), shape, rng)
    for grow in (*first, layer, cases.leaky(threshold=3.0)):
        draft = draft.then(grow)
    frames = np.zeros((len(densities), shape.size), np.float32)
    for frame, density in zip(frames, densities, strict=True):
        count = max(1, round(density * shape.size))
        frame[rng.choice(shape.size, count, replace=False)] = 1.0
    network = ir.Network(shape, draft.layers, f"layer {name!r}", "")
    return Subject(name, network, frames.reshape(-1, height, width, channels))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What one kernel took and gave.

    instructions: [T], of the layer alone.
    spikes, membranes: [T, neurons] of the whole network, memory order.
    """

    instructions: npt.NDArray[np.int64]
    spikes: npt.NDArray[np.uint8]
    membranes: npt.NDArray[np.float32]


def measure(one: Subject, kernels: str) -> Measured:
    """Builds the network with one kind of kernel and runs it, counted and recorded.

    The compiler and the emulator are those of ``spikec.targets.cortex_m7.drive_build``.
    """
    model = one.model(kernels)
    with tempfile.TemporaryDirectory(prefix="spikec_") as name:
        folder = Path(name)
        elf = drive_build.build(model.name, measured_files(model), folder)
        entries = active_inputs(one.network, one.network.input.to_axes(one.frames))
        drive_run.write_input(
            folder / "input", entries.offsets, entries.entries["index"], entries.entries["value"],
            one.network.input.size,
        )  # fmt: skip
        runs = [
            drive_run.run_qemu(
                drive_build.emulator(), elf, folder / "input", folder / "output", record,
                TIMEOUT_S,
            )
            for record in (False, True)
        ]  # fmt: skip
        spikes, membranes = runs[1].spikes, runs[1].membranes
        assert spikes is not None and membranes is not None
        return Measured(runs[0].instructions.astype(np.int64), spikes, membranes)


def measured_files(model: Model) -> dict[str, str]:
    """The network's files, in which the step that is counted is its one layer alone."""
    name = model.name
    files = dict(model.driven_files("cortex-m7"))
    operations = model.plan.parts
    assert operations == model.plan.operations, "a layer in bands is not measured alone"
    at = next(i for i in range(len(operations)) if made_for_the_layer(operations, i))
    before, layer = (
        "\n".join(f"  {lower_call(operation, 'cortex-m7').call}" for operation in some)
        for some in (operations[:at], operations[at:-1])
    )
    head = f"""\
spk_status {name}_counted(void *state, const spk_active *active, size_t count, uint8_t *spikes)"""
    files[f"{name}.c"] += f"""
#include "board.h"

{head};
{head} {{
  {name}_state *s = state;
  memset(spikes, 0, {name.upper()}_OUTPUTS);
{before}
  spk_board_counter_start();  // what came before does not count
{layer}
  return SPK_OK;
}}
"""
    own = f".step = {name}_model_step,"
    handle = files[f"{name}_model.c"]
    assert own in handle
    files[f"{name}_model.c"] = handle.replace(own, f".step = {name}_counted,").replace(
        f"const spk_model {name}_model", f"{head};\nconst spk_model {name}_model"
    )
    return files


def made_for_the_layer(operations: Sequence[Operation], at: int) -> bool:
    """Whether an operation is the layer's own, or the one before it that its dense kernel needs."""
    last = len(operations) - 2  # behind it there are only neurons
    if at == last:
        return True
    gathers = isinstance(operations[last], DenseSum)
    return gathers and at == last - 1 and isinstance(operations[at], Expand)
