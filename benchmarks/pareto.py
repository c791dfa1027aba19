# SPDX-License-Identifier: Apache-2.0
"""Accuracy on held-out recordings against instructions a recording, of every N-MNIST network.

Each is there in float and in int8: ours, the pruned one, the tiny one, and the seed network of the
shared data; what that one was trained on is not known. Instructions are the Cortex-M7's, exact,
by QEMU, and a mean of some of the recordings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.seed_networks import seed_network
from models.nmnist.net import INPUT_SHAPE, STEPS, net
from spikec.errors import SpikecError
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.measure import profile
from spikec.measure.evaluate import evaluate
from spikec.model import Model
from spikec.recordings import dataset
from spikec.recordings.shared import shared_folder
from spikec.targets.cortex_m7 import drive_build

NUMBERS = ("f32", "int8")
SEED_STEPS = (50, 300)
"""Into how many steps a recording is binned for the seed network."""


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """One network in one kind of numbers; ``low`` to ``high`` is the 95 % interval.

    ``instructions`` are a recording's, ``counted`` the recordings that they are a mean of; the rest
    is bytes.
    """

    network: str
    numbers: str
    steps: int
    right: int
    total: int
    accuracy: float
    low: float
    high: float
    instructions: float
    counted: int
    code: int
    tables: int
    state: int


def best(points: Sequence[Point]) -> tuple[Point, ...]:
    """Those that no other beats in accuracy without more instructions, the cheapest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.instructions, -one.accuracy)):
        if not found or point.accuracy > found[-1].accuracy:
            found.append(point)
    return tuple(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when the benchmark cannot run."""
    parser = argparse.ArgumentParser(description="Accuracy against the Cortex-M7's instructions.")
    parser.add_argument("--data", type=Path, help="recordings, 0/*.bin to 9/*.bin; the shared ones")
    parser.add_argument("--limit", type=int, default=10, help="recordings to count instructions on")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--figure", type=Path, metavar="FILE.svg", help="draw it here")
    parser.add_argument("--checkpoint", type=Path, required=True, help=argparse.SUPPRESS)
    for name in ("pruned", "tiny"):
        parser.add_argument(f"--{name}", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--gcc", type=Path, help="the cross compiler; arm-none-eabi-gcc")
    parser.add_argument("--qemu", type=Path, help="the emulator; qemu-system-arm")
    options = parser.parse_args(arguments)
    for variable, program in (
        (drive_build.COMPILER_VARIABLE, options.gcc),
        (drive_build.EMULATOR_VARIABLE, options.qemu),
    ):
        if program is not None:
            os.environ[variable] = str(program.absolute())
    here = Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))  # where bazel run was typed
    points = []
    try:
        judged = _recordings(here / options.data if options.data else None)
        for name, network, steps in _networks(options):
            for numbers in NUMBERS:
                points.append(measure(name, network, numbers, steps, judged, options.limit))
                if not options.json:
                    print(_line(points[-1]), flush=True)
    except SpikecError as error:
        print(f"pareto: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([dataclasses.asdict(point) for point in points], indent=2))
    if options.figure is not None:
        from benchmarks.pareto_figure import draw  # needs matplotlib

        draw(points, here / options.figure)
    return 0


def measure(
    name: str,
    network: ir.Network,
    numbers: str,
    steps: int,
    judged: Sequence[dataset.Labelled],
    limit: int,
) -> Point:
    """How a network does on the judged recordings, and what it costs on ``limit`` of them."""
    model = Model.of(network, "network", numbers)
    found = evaluate(model, judged, steps)
    frames = [one.frames(network.input.axes, steps) for one in dataset.spaced(judged, limit)]
    cost = profile.profile(model, frames, "cortex-m7")
    assert cost.size is not None, "known of the Cortex-M7"
    return Point(
        name, numbers, steps, found.right, found.total, found.accuracy, found.low, found.high,
        cost.step_cost * steps, len(frames), cost.size.code, cost.size.tables, cost.size.state,
    )  # fmt: skip


def _recordings(data: Path | None) -> tuple[dataset.Labelled, ...]:
    """The held-out recordings that judge."""
    folder = data or shared_folder("data", "nmnist", "Train")
    if folder is None:
        raise SpikecError(
            "there are no real recordings: no shared folder data/nmnist/Train; give --data DIR, "
            "N-MNIST's Train, which holds 0/*.bin to 9/*.bin."
        )
    judged = dataset.split(dataset.find(folder, 10))[1]
    if not judged:
        raise SpikecError(f"{folder}: none of its recordings is held out; give all of Train.")
    return judged


def _networks(options: argparse.Namespace) -> Iterator[tuple[str, ir.Network, int]]:
    """Name, network, and the time steps that a recording is binned into."""
    own = net()
    load_checkpoint(own, options.checkpoint)
    yield "nmnist", import_network(own.eval(), INPUT_SHAPE, "nmnist"), STEPS
    for name in ("pruned", "tiny"):
        saved = network_file.read(getattr(options, name))
        yield f"nmnist_{name}", saved.network, saved.steps or STEPS
    seed = shared_folder("data", "seed")
    if seed is None:
        print("no seed network: there is no shared folder data/seed", file=sys.stderr)
        return
    network = import_network(seed_network(seed, "nmnist"), INPUT_SHAPE, "seed")
    for steps in SEED_STEPS:
        yield f"seed, {steps} steps", network, steps


def _line(point: Point) -> str:
    return (
        f"{point.network:16}{point.numbers:6}{point.steps:4} steps  {point.right} of {point.total} "
        f"right, {100 * point.accuracy:.2f} % ({100 * point.low:.1f} to {100 * point.high:.1f}), "
        f"{point.instructions:,.0f} instructions a recording, code {point.code:,} B, tables "
        f"{point.tables:,} B, state {point.state:,} B"
    )


if __name__ == "__main__":
    sys.exit(main())
