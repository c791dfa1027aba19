# SPDX-License-Identifier: Apache-2.0
"""How a step's cost grows: with spikes, channels, steps and image size; fitted by straight lines.

Time on this machine and exact instructions on the emulated Cortex-M7, of one family of networks:
conv 5x5 -> leaky -> conv 5x5 -> leaky -> linear -> leaky, both convolutions with stride 2. Every
neuron repeats one of its inputs (see ``network``), so the share of neurons that fire is the share
of inputs that are active, in every layer and at every step, and one number says how much is going
on. Times are the least of interleaved rounds, since everything else on a machine only adds to them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

import spikec
from spikec.errors import SpikecError
from spikec.measure import profile
from spikec.model import KERNELS, Model
from spikec.passes.lower import crossovers
from spikec.targets import host
from spikec.targets.cortex_m7 import drive_build
from spikec.targets.cortex_m7.drive_run import run_qemu, write_input

Frames = npt.NDArray[np.float32]

SIDE = 32
CHANNELS = 32
DENSITY = 0.1
CLASSES = 10
DENSITIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
CHANNEL_COUNTS = (8, 16, 32, 48, 64)
STEP_COUNTS = (20, 40, 80, 120, 160)
SIDES = (16, 24, 32, 48, 64)

_HOST_STEPS = 60  # a recording on the host: what calling it from Python costs is spread over them
_M7_STEPS = 5
_TIMEOUT_S = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """The straight line ``intercept + slope * x`` with the least squared relative residuals.

    ``largest_residual`` is the largest distance of a point from it, relative to the line.
    """

    intercept: float
    slope: float
    r_squared: float
    largest_residual: float

    @classmethod
    def through(cls, x: Sequence[float], y: Sequence[float]) -> Line:
        """The line through points; at least three of them, ``y`` above 0."""
        xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
        rows = np.stack([1 / ys, xs / ys], axis=1)
        (intercept, slope), *_ = np.linalg.lstsq(rows, np.ones_like(ys), rcond=None)
        line = intercept + slope * xs
        spread = float(((ys - ys.mean()) ** 2).sum())
        left = float(((ys - line) ** 2).sum()) / spread if spread else 0.0
        residual = float(np.abs(ys / line - 1).max())
        return cls(float(intercept), float(slope), 1.0 - left, residual)

    @property
    def text(self) -> str:
        """The line, for people."""
        whole = abs(self.intercept) >= 1000
        return f"{self.intercept:,.{0 if whole else 2}f} + {self.slope:.4g} x"

    def at(self, x: float) -> float:
        """The line's value."""
        return self.intercept + self.slope * x

    def crosses(self, other: Line) -> float | None:
        """Where this line, below the other at 0, comes to it; None where it never does."""
        if self.slope <= other.slope:
            return None
        return max(other.intercept - self.intercept, 0.0) / (self.slope - other.slope)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """One setting of what is varied: ``x`` is what the cost should be linear in.

    us: microseconds on this machine. instructions: on the Cortex-M7. Of a step; where steps are
    varied, of the whole recording. The ``dense_`` ones are of the dense kernels, where measured.
    """

    setting: float
    x: float
    us: float | None
    instructions: float | None
    dense_us: float | None = None
    dense_instructions: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Sweep:
    """One thing varied, with the lines through its points by target and kernels.

    ``crossover`` is the share of active inputs from which on the dense kernels are cheaper, by the
    measured lines; ``layers`` the same by layer, as the compiler estimates it for the Cortex-M7;
    None where they never are.
    """

    name: str
    setting: str
    x: str
    per: str
    points: tuple[Point, ...]
    lines: dict[str, Line]
    crossover: dict[str, float | None]
    layers: dict[str, float | None]

    def __str__(self) -> str:
        columns = {"us": "host us", "dense_us": "dense us"}
        columns |= {"instructions": "M7 instructions", "dense_instructions": "dense instructions"}
        shown = [c for c in columns if getattr(self.points[0], c) is not None]
        lines = [f"{self.name}: cost of a {self.per} against {self.x}"]
        lines.append(
            f"  {self.setting:>16}{self.x:>40}" + "".join(f"{columns[c]:>20}" for c in shown)
        )
        for point in self.points:
            costs = [float(getattr(point, c)) for c in shown]
            lines.append(
                f"  {point.setting:>16g}{point.x:>40,.1f}"
                + "".join(
                    f"{n:>20,.{2 if 'us' in c else 0}f}" for c, n in zip(shown, costs, strict=True)
                )
            )
        for name, line in self.lines.items():
            lines.append(
                f"  {columns[name]}: {line.text}, R^2 {line.r_squared:.5f}, "
                f"largest residual {100 * line.largest_residual:.1f} %"
            )
        for name, share in self.crossover.items():
            lines.append(f"  dense is cheaper, {columns[name]}: {_from(share)}")
        for name, share in self.layers.items():
            lines.append(f"  dense is cheaper, estimated for the Cortex-M7, {name}: {_from(share)}")
        return "\n".join(lines)


def _from(share: float | None) -> str:
    return "never" if share is None or share > 1 else f"from {share:.1%} of inputs active on"


def network(channels: int = CHANNELS, side: int = SIDE) -> nn.Sequential:
    """A network of the family, for frames ``[2, side, side]``; ``side`` is a multiple of 4.

    Every neuron repeats one input: its weight is 1.9 times the threshold, which with a decay of 0.5
    makes the neuron fire if and only if that input is active, whatever it did before. The other
    weights are random and together too small to change that.
    """
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(2, 12, 5, stride=2, padding=2, bias=False),
        snntorch.Leaky(beta=0.5, init_hidden=True),
        nn.Conv2d(12, channels, 5, stride=2, padding=2, bias=False),
        snntorch.Leaky(beta=0.5, init_hidden=True),
        nn.Flatten(),
        nn.Linear(channels * (side // 4) ** 2, CLASSES, bias=False),
        snntorch.Leaky(beta=0.5, init_hidden=True, output=True),
    )
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                inputs = layer.weight[0].numel()
                layer.weight.uniform_(-0.1 / inputs, 0.1 / inputs)
                for at in range(len(layer.weight)):
                    row = layer.weight[at]
                    # Of a convolution the middle of the window, which is never in the padding.
                    (row[at % len(row), 2, 2] if row.ndim == 3 else row[at]).fill_(1.9)
    return net.eval()


def frames(density: float, steps: int, side: int = SIDE) -> Frames:
    """Frames ``[steps, 2, side, side]``; in each the same number of inputs is 1, anywhere."""
    random = np.random.default_rng(side)
    size = 2 * side * side
    found = np.zeros((steps, size), np.float32)
    for frame in found:
        frame[random.choice(size, max(1, round(density * size)), replace=False)] = 1.0
    return found.reshape(steps, 2, side, side)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network of the family, compiled with one kind of kernel and built for this machine."""

    model: Model
    host: host.Host

    @classmethod
    def of(cls, kernels: KERNELS = "event", channels: int = CHANNELS, side: int = SIDE) -> Subject:
        """``kernels`` are ``spikec.compile``'s."""
        model = spikec.compile(
            network(channels, side), (2, side, side), name="growth", kernels=kernels
        )
        return cls(model, model.build())


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """The cross compiler's and the emulator's commands, and the number of rounds on the host."""

    gcc: Sequence[str]
    qemu: Sequence[str]
    rounds: int


def spikes_in(model: Model, recording: Frames, layer: str | None = None) -> float:
    """The values that arrive at a layer, or at all that have weights, in a step, in the mean."""
    return float(
        sum(
            item.spikes_in.mean()
            for item in profile.work(model.plan, recording)
            if item.spikes_in is not None and layer in (None, *item.layer.split("+"))
        )
    )


def instructions(
    subject: Subject, recordings: Sequence[Frames], tools: Tools
) -> tuple[npt.NDArray[np.int64], ...]:
    """Instructions of the Cortex-M7 for every step of some recordings, ``[T]`` each.

    Raises:
        SpikecError: the compiler or the emulator fails, or the spikes are not the host's.
    """
    model = subject.model
    found = []
    with tempfile.TemporaryDirectory(prefix="spikec_") as name:
        given, output = Path(name) / "input", Path(name) / "output"
        elf = drive_build.build(model.name, model.driven_files("cortex-m7"), Path(name), tools.gcc)
        for recording in recordings:
            active = host.active_inputs(model.network, recording)
            write_input(
                given, active.offsets, active.entries["index"], active.entries["value"],
                model.network.input.size,
            )  # fmt: skip
            ran = run_qemu(tools.qemu, elf, given, output, False, _TIMEOUT_S)
            if not np.array_equal(ran.outputs, subject.host.run(recording)):
                raise SpikecError("the Cortex-M7's spikes are not the host's.")
            found.append(ran.instructions.astype(np.int64))
    return tuple(found)


def microseconds(runs: Sequence[tuple[Subject, Frames]], rounds: int) -> list[float]:
    """Time of each recording on its network: the least of the rounds, which go over all of them."""
    least = [float("inf")] * len(runs)
    for _ in range(rounds):
        for i, (subject, recording) in enumerate(runs):
            subject.host.run(recording)  # fills the caches, which the others have emptied
            start = time.perf_counter()
            subject.host.run(recording)
            least[i] = min(least[i], 1e6 * (time.perf_counter() - start))
    return least


def measure(tools: Tools) -> list[Sweep]:
    """All sweeps, on this machine and on the Cortex-M7."""
    event, dense = Subject.of(), Subject.of("dense")
    by_channels = [Subject.of(channels=channels) for channels in CHANNEL_COUNTS]
    by_side = [Subject.of(side=side) for side in SIDES]

    # Every point's network and recording, for the host and (steps are alike) shorter for the M7.
    def runs(steps: int) -> list[tuple[Subject, Frames]]:
        found = [(one, frames(share, steps)) for one in (event, dense) for share in DENSITIES]
        found += [(one, frames(DENSITY, steps)) for one in by_channels]
        found += [(event, frames(DENSITY, count)) for count in STEP_COUNTS]
        return found + [
            (one, frames(DENSITY, steps, side)) for one, side in zip(by_side, SIDES, strict=True)
        ]

    on_host, on_m7 = runs(_HOST_STEPS), runs(_M7_STEPS)
    counts = [0.0] * len(on_m7)
    for subject in dict.fromkeys(subject for subject, _ in on_m7):
        mine = [i for i, (one, _) in enumerate(on_m7) if one is subject]
        ran = instructions(subject, [on_m7[i][1] for i in mine], tools)
        for i, spent in zip(mine, ran, strict=True):
            counts[i] = float(spent.sum())
    times = microseconds(on_host, tools.rounds)

    at = 0

    def take(settings: Sequence[float]) -> list[tuple[float, float, float, float]]:
        """The next points: setting, spikes in, microseconds and instructions, all of a step."""
        nonlocal at
        found = []
        for setting in settings:
            (subject, long), (_, short) = on_host[at], on_m7[at]
            spikes = spikes_in(subject.model, long)
            found.append((setting, spikes, times[at] / len(long), counts[at] / len(short)))
            at += 1
        return found

    event_points, dense_points = take(DENSITIES), take(DENSITIES)
    densities = [
        Point(share, spikes, us, count, dense_us, dense_count)
        for (share, spikes, us, count), (_, _, dense_us, dense_count) in zip(
            event_points, dense_points, strict=True
        )
    ]
    # What is multiplied with the channels is what arrives at the layer whose channels they are.
    into = spikes_in(event.model, frames(DENSITY, _HOST_STEPS), "conv2")
    channels = [Point(c, c * into, us, count) for c, _, us, count in take(CHANNEL_COUNTS)]
    lengths = [Point(n, n, n * us, n * count) for n, _, us, count in take(STEP_COUNTS)]
    sides = [Point(s, 2 * s * s, us, count) for s, _, us, count in take(SIDES)]
    return [
        _sweep(
            "density", "share active", "spikes into layers a step", "step", densities, event.model
        ),
        _sweep("channels", "of conv2", "conv2's channels x spikes into it", "step", channels),
        _sweep("steps", "steps", "steps of the recording", "recording", lengths),
        _sweep("image size", "side", "inputs (2 x side x side)", "step", sides),
    ]


def _sweep(
    name: str, setting: str, x: str, per: str, points: Sequence[Point], model: Model | None = None
) -> Sweep:
    """Fits lines; of ``model``, in which the share of active inputs is varied, the crossovers."""
    at = [point.x for point in points]
    lines = {
        cost: Line.through(at, [getattr(point, cost) for point in points])
        for cost in ("us", "instructions", "dense_us", "dense_instructions")
        if getattr(points[0], cost) is not None
    }
    if model is None:
        return Sweep(name, setting, x, per, tuple(points), lines, {}, {})
    crossing = {}
    for cost in ("us", "instructions"):
        spikes = lines[cost].crosses(lines[f"dense_{cost}"])
        # Spikes are proportional to the share that is active; the last point's is the most exact.
        share = None if spikes is None else spikes / at[-1] * points[-1].setting
        crossing[cost] = None if share is None or share > 1 else share
    return Sweep(name, setting, x, per, tuple(points), lines, crossing, crossovers(model.network))


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when something cannot be measured."""
    parser = argparse.ArgumentParser(description="How cost grows, on this machine and the M7.")
    parser.add_argument("--rounds", type=int, default=25, help="on the host, of which the least")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--figure", type=Path, metavar="FILE.svg", help="draw one")
    parser.add_argument("--gcc", type=Path, help="the cross compiler; arm-none-eabi-gcc")
    parser.add_argument("--qemu", type=Path, help="the emulator; qemu-system-arm")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        if options.rounds < 1:
            raise SpikecError(f"--rounds {options.rounds}: give at least 1.")
        gcc = [str(options.gcc.absolute())] if options.gcc else drive_build.compiler()
        qemu = [str(options.qemu.absolute())] if options.qemu else drive_build.emulator()
        sweeps = measure(Tools(gcc, qemu, options.rounds))
    except SpikecError as error:
        print(f"growth: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([dataclasses.asdict(sweep) for sweep in sweeps], indent=2))
    else:
        print(f"host: least of {options.rounds} interleaved rounds; Cortex-M7: exact\n")
        print("\n\n".join(map(str, sweeps)))
    if options.figure is not None:
        from benchmarks.growth_figure import draw  # needs matplotlib, which only this needs

        # Bazel's run starts elsewhere than the person who typed it.
        draw(sweeps, Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."), options.figure))
    return 0


if __name__ == "__main__":
    sys.exit(main())
