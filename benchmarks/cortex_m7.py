# SPDX-License-Identifier: Apache-2.0
"""spikec's C against plain dense loops on the Cortex-M7: instructions exact, cycles estimated.

Both are compiled with the same flags and run in QEMU over the same recordings, and every output
spike must be the same; ours is there in int8 too, whose spikes differ. The plain loops are
``benchmarks/plain_dense.py``'s: what an engineer would write first. Instructions are counted, by
step and by operation; cycles are estimated for one step, by ``benchmarks/cycle_model.py``, from the
instructions that really ran in it. That step is the first whose instruction count is close to the
mean.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from benchmarks.cycle_model import HotLoop, Kinds, hot_loop, kinds
from benchmarks.plain_dense import NAME, plain_dense
from benchmarks.seed_networks import SEED_NETWORKS, seed_network
from benchmarks.stmnist import taxel_frames
from models.nmnist.net import INPUT_SHAPE, net
from spikec.errors import SpikecError
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.frontends.pytorch.module import import_network
from spikec.measure import profile
from spikec.model import Model
from spikec.recordings.events import bin_events, read_nmnist
from spikec.recordings.shared import shared_folder
from spikec.targets import host
from spikec.targets.cortex_m7 import drive_build, qemu_trace
from spikec.targets.cortex_m7.qemu_trace import Measured

_TIMEOUT_S = 600.0
_CLOSE = 0.03  # how near the mean the traced step's count is


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network, its recordings ``[T, C, H, W]``, and what they are."""

    network: str
    module: nn.Module
    recordings: tuple[npt.NDArray[np.float32], ...]
    what: str


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """One program: instructions of a step, bytes, and an estimate of cycles for the step traced."""

    instructions: float
    most: int
    size: profile.Size
    traced_step: int
    traced: Kinds
    hot_loop: HotLoop | None


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One operation of ours, and of the plain loops the layers that it is: instructions a step."""

    layer: str
    synaptic_operations: float
    instructions: float
    cycles: int
    plain_instructions: float


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """One network: means over all steps of all recordings; ``cycles`` are of the traced step."""

    network: str
    recordings: int
    what: str
    steps: int
    spikec: Program
    int8: Program
    plain: Program
    layers: tuple[Layer, ...]

    def __str__(self) -> str:
        ours, plain = self.spikec, self.plain
        lines = [
            f"{self.network}: {self.recordings} {self.what}, {self.steps} steps",
            f"{'':<22}{'instructions':>14}{'most':>12}{'est. cycles':>13}{'of step':>9}"
            f"{'code B':>9}{'tables B':>10}{'state B':>9}",
        ]
        lines += [
            f"  {name:<20}{p.instructions:>14,.0f}{p.most:>12,}{p.traced.cycles:>13,}"
            f"{p.traced_step:>9}{p.size.code:>9,}{p.size.tables:>10,}{p.size.state:>9,}"
            for name, p in (
                ("spikec", ours), ("spikec, int8", self.int8), ("plain dense loops", plain),
            )
        ]  # fmt: skip
        lines.append(f"  plain / spikec      {plain.instructions / ours.instructions:>13.1f}x")
        lines.append(
            f"{'':<22}{'instructions':>14}{'syn. ops':>12}{'est. cycles':>13}{'plain loops':>14}"
        )
        lines += [
            f"  {layer.layer:<20}{layer.instructions:>14,.0f}{layer.synaptic_operations:>12,.0f}"
            f"{layer.cycles:>13,}{layer.plain_instructions:>14,.0f}"
            for layer in self.layers
        ]
        for name, p in (("spikec", ours), ("int8", self.int8), ("plain", plain)):
            k = p.traced
            lines.append(
                f"  {name}, step {p.traced_step}: {k.instructions:,} instructions, {k.loads:,} "
                f"loads in {k.load_beats:,} beats, {k.stores:,} stores in {k.store_beats:,}, "
                f"{k.floating:,} floating, {k.taken_branches:,} branches taken"
            )
            if p.hot_loop is not None:
                loop = p.hot_loop
                mca = "" if loop.mca_cycles is None else f"{loop.mca_cycles:.1f} by "
                lines.append(
                    f"    hottest loop: {100 * loop.share:.0f} % of them, {len(loop.assembly)} "
                    f"instructions a round, {loop.cycles:.1f} cycles by the model, {mca}{loop.note}"
                )
        return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when a spike differs or the benchmark cannot run."""
    parser = argparse.ArgumentParser(description="spikec against plain loops on the Cortex-M7.")
    parser.add_argument("--bins", type=int, default=50, help="steps an N-MNIST recording")
    parser.add_argument("--limit", type=int, default=1, help="recordings, the first by path")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--checkpoint", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--recordings", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--gcc", type=Path, help="the cross compiler; arm-none-eabi-gcc")
    parser.add_argument("--qemu", type=Path, help="the emulator; qemu-system-arm")
    options = parser.parse_args(arguments)
    results = []
    try:
        gcc = [str(options.gcc.absolute())] if options.gcc else drive_build.compiler()
        qemu = [str(options.qemu.absolute())] if options.qemu else drive_build.emulator()
        for case in _cases(options):
            results.append(_measure(case, gcc, qemu))
            if not options.json:
                print(f"{results[-1]}\n", flush=True)
    except SpikecError as error:
        print(f"cortex_m7: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
    return 0


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    real = shared_folder("data", "nmnist", "Train")
    if min(options.bins, options.limit) < 1:
        raise SpikecError(
            f"--bins {options.bins} --limit {options.limit}: give at least 1 of each."
        )
    files = sorted((real or options.recordings).rglob("*.bin"))[: options.limit]
    if not files:
        raise SpikecError(f"{real or options.recordings}: holds no recordings (.bin).")
    frames = tuple(bin_events(read_nmnist(file), steps=options.bins) for file in files)
    what = f"{'real' if real else 'simulated'} recording(s) at {options.bins} bins"
    own = net()
    load_checkpoint(own, options.checkpoint)
    yield Case("models/nmnist", own.eval(), frames, what)
    seed = shared_folder("data", "seed")
    if seed is None:
        if not options.json:
            print("no seed networks: there is no shared folder data/seed", flush=True)
        return
    assert SEED_NETWORKS["nmnist"][2] == INPUT_SHAPE
    yield Case("seed N-MNIST", seed_network(seed, "nmnist"), frames, what)
    taxels = shared_folder("data", "stmnist")
    if taxels is None:
        if not options.json:
            print("no ST-MNIST recordings: there is no shared folder data/stmnist", flush=True)
        return
    touched = tuple(taxel_frames(file) for file in sorted(taxels.glob("*.mat"))[: options.limit])
    yield Case(
        "seed ST-MNIST", seed_network(seed, "stmnist"), touched,
        "real recording(s) in windows of 10 ms",
    )  # fmt: skip


def _measure(case: Case, gcc: Sequence[str], qemu: Sequence[str]) -> Result:
    shape = tuple(int(size) for size in case.recordings[0].shape[1:])
    network = import_network(case.module, shape, case.network)
    model = Model.of(network, "network", "f32")
    inputs = network.input.size
    active = [host.active_inputs(model.network, frames) for frames in case.recordings]
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        elf = drive_build.build(model.name, model.driven_files("cortex-m7"), Path(folder), gcc)
        size = profile.sizes(elf, model.name)
        measured = qemu_trace.measure(qemu, elf, active, inputs, _TIMEOUT_S)
        ours, cycles = _program(qemu, elf, size, active[0], measured, inputs)
    small = Model.of(network, "network", "int8")
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        elf = drive_build.build(small.name, small.driven_files("cortex-m7"), Path(folder), gcc)
        size = profile.sizes(elf, small.name)
        ran = qemu_trace.measure(qemu, elf, active, inputs, _TIMEOUT_S)
        int8, _ = _program(qemu, elf, size, active[0], ran, inputs)
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        files, names = plain_dense(network)
        elf = drive_build.build(NAME, files, Path(folder), gcc)
        size = profile.sizes(elf, NAME)
        plain = qemu_trace.measure(qemu, elf, active, inputs, _TIMEOUT_S)
        theirs, _ = _program(qemu, elf, size, active[0], plain, inputs)
    for found, expected in zip(measured, plain, strict=True):
        if not np.array_equal(found.outputs, expected.outputs):
            raise SpikecError(f"{case.network}: a spike differs from the plain loops'.")
    works = [profile.work(model.plan, frames) for frames in case.recordings]
    mean = np.concatenate([one.operations for one in measured]).mean(axis=0)
    dense = np.concatenate([one.operations for one in plain]).mean(axis=0)
    by_layer = dict(zip(("", *names), dense[:-1], strict=True))
    layers = [Layer("input check", 0.0, float(mean[0]), cycles[0], float(dense[0]))]
    for at, item in enumerate(works[0], 1):
        synaptic = np.concatenate([work[at - 1].synaptic_operations for work in works])
        layers.append(
            Layer(
                item.layer, float(synaptic.mean()), float(mean[at]), cycles[at],
                float(sum(by_layer.get(name, 0.0) for name in item.layer.split("+"))),
            )
        )  # fmt: skip
    layers.append(Layer("outputs", 0.0, float(mean[-1]), cycles[-1], float(dense[-1])))
    return Result(
        case.network, len(case.recordings), case.what, sum(map(len, case.recordings)), ours, int8,
        theirs, tuple(layers),
    )  # fmt: skip


def _program(
    qemu: Sequence[str], elf: Path, size: profile.Size, recording: host.Active,
    measured: Sequence[Measured], inputs: int,
) -> tuple[Program, tuple[int, ...]]:  # fmt: skip
    """What a program took, and the estimated cycles of its operations in the traced step."""
    counts = np.concatenate([one.instructions for one in measured])
    mean = counts.mean()
    off = np.abs(measured[0].instructions - mean) / mean
    close = np.flatnonzero(off <= _CLOSE)
    step = int(close[0] if close.size else off.argmin())
    traced = qemu_trace.trace_step(qemu, elf, recording, step, inputs, _TIMEOUT_S)
    cost = qemu_trace.overhead(traced)
    parts = [kinds(part.without(cost.addresses), traced.text).cycles for part in traced.observed[0]]
    whole = kinds(traced.plain[0], traced.text)
    program = Program(
        float(mean), int(counts.max()), size, step, whole, hot_loop(traced.plain[0], traced.text)
    )
    return program, tuple(parts)


if __name__ == "__main__":
    sys.exit(main())
