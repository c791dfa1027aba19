# SPDX-License-Identifier: Apache-2.0
"""``spikec run``: recordings through the compiled network, on this machine."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

import numpy as np

from spikec.cli.model_argument import add_model
from spikec.cli.options import (
    add_events,
    add_examples,
    add_json,
    add_numbers,
    add_readout,
    add_time_steps,
    choose_readout,
    positive,
)
from spikec.cli.recordings import load_recorded, read_frames
from spikec.model import Model


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_model(parser)
    group = parser.add_argument_group("recordings")
    add_events(group)
    add_time_steps(group, "--steps", "--bins")
    group.add_argument(
        "--window-us", type=positive, metavar="US",
        help="microseconds a step, as a device bins; without it a recording is divided evenly",
    )  # fmt: skip
    add_numbers(parser.add_argument_group("numbers"))
    add_readout(parser.add_argument_group("what decides the class"))
    add_json(parser.add_argument_group("what is printed"))
    add_examples(
        parser,
        "spikec run nmnist.spikec --events recordings/3/*.bin",
        "spikec run nmnist.spikec --events frames.npz --readout count --early-exit 3 --json",
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Result:
    """What one recording gave: spikes per class, the class, microseconds a step."""

    file: str
    events: int
    steps: int
    winner: int | None  # by most spikes or by the readout; None when no output spiked
    decided_after: int | None  # time steps; None without a readout
    counts: tuple[float, ...]  # integers unless spikes are graded
    us_per_step: float


def run(options: argparse.Namespace) -> int:
    """Classifies recordings and prints what each gave.

    Raises:
        SpikecError: the network or a recording cannot be loaded or compiled.
    """
    network, paths, steps = load_recorded(options)
    model = Model.of(
        network, "network", options.numbers, input_max=options.input_max,
        **choose_readout(options, network, steps),
    )  # fmt: skip
    recordings = [(path, *read_frames(options, network, path, steps)) for path in paths]
    host = model.build()
    results = []
    for path, frames, events in recordings:
        start = time.perf_counter()
        counts = host.run(frames).sum(axis=0)
        elapsed = time.perf_counter() - start
        decision = None
        winner = int(np.argmax(counts)) if counts.any() else None
        if model.readout is not None:
            decision = host.classify(frames)
            winner = decision.winner
        results.append(
            _Result(
                str(path), events, steps, winner, decision.steps if decision else None,
                tuple(counts.tolist()), elapsed / steps * 1e6,
            )
        )  # fmt: skip
    if options.json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
        return 0
    for result in results:
        print(
            f"{result.file}: {_class(result.winner)}{_after(result.decided_after)}, spikes "
            f"{' '.join(map(str, result.counts))}, {result.events:,} events in {result.steps} "
            f"steps, {result.us_per_step:.0f} us a step"
        )
    return 0


def _class(winner: int | None) -> str:
    return "no class: no output spiked" if winner is None else f"class {winner}"


def _after(steps: int | None) -> str:
    return "" if steps is None else f" after {steps} steps"
