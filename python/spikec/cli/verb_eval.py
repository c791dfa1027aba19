# SPDX-License-Identifier: Apache-2.0
"""``spikec eval``: how often a network is right on labelled recordings."""

from __future__ import annotations

import argparse
import dataclasses
import json

from spikec.cli.model_argument import add_model, load_model
from spikec.cli.options import (
    add_data,
    add_examples,
    add_json,
    add_limit,
    add_numbers,
    add_readout,
    add_time_steps,
    choose_readout,
    positive,
)
from spikec.cli.progress import show_progress
from spikec.cli.recordings import choose_steps, read_labelled
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.measure.evaluate import Evaluation, evaluate
from spikec.model import Model
from spikec.recordings import dataset
from spikec.recordings.dataset import Labelled
from spikec.semantics.agreement import LayerAgreement, agreement

_COMPARED = 4  # recordings on which integers are compared with float


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_model(parser)
    group = parser.add_argument_group("recordings")
    add_data(group, required=True)
    group.add_argument(
        "--held-out", action="store_true",
        help="only what training and calibration leave out: a quarter, by file name",
    )  # fmt: skip
    add_limit(group)
    add_time_steps(group, "--bins", "--steps")
    add_numbers(parser.add_argument_group("numbers"))
    add_readout(parser.add_argument_group("what decides the class"))
    group = parser.add_argument_group("how it is run and printed")
    group.add_argument(
        "--threads", type=positive, metavar="N", help="default: one for each processor"
    )
    add_json(group)
    add_examples(
        parser,
        "spikec eval nmnist.spikec --data recordings",
        "spikec eval nmnist.spikec --data recordings --numbers int8 --readout count --json",
    )


def run(options: argparse.Namespace) -> int:
    """Judges the network and prints what was found.

    Raises:
        SpikecError: the network or a recording cannot be loaded or compiled.
    """
    loaded = load_model(options)
    network = loaded.network
    steps = choose_steps(loaded, [options.data], options.time_steps)
    recordings = read_labelled(options, network)
    if options.held_out:
        recordings = dataset.split(recordings)[1]
        if not recordings:
            raise SpikecError(f"{options.data}: none of its recordings is held out.")
    if options.limit:
        recordings = dataset.spaced(recordings, options.limit)
    model = Model.of(
        network, "network", options.numbers, input_max=options.input_max,
        **choose_readout(options, network, steps),
    )  # fmt: skip
    with show_progress("recordings") as progress:
        found = evaluate(model, recordings, steps, options.threads, progress)
    compared = _compare(network, model, recordings, steps)
    if options.json:
        print(json.dumps(_to_json(found, compared), indent=2))
        return 0
    print(found)
    if compared:
        count = min(_COMPARED, len(recordings))
        print(f"\nagainst float on {count} recording(s), each running by itself:")
        print("\n".join(f"  {layer}" for layer in compared))
    return 0


def _compare(
    network: ir.Network, model: Model, recordings: tuple[Labelled, ...], steps: int
) -> tuple[LayerAgreement, ...]:
    """How an integer network compares with float on a few recordings."""
    if model.network.numbers == "f32":
        return ()
    few = dataset.spaced(recordings, _COMPARED)
    frames = [one.frames(network.input.axes, steps) for one in few]
    return agreement(Model.of(network, "network", "f32").network, model.network, frames)


def _to_json(found: Evaluation, compared: tuple[LayerAgreement, ...]) -> dict[str, object]:
    rate = found.total / found.seconds if found.seconds else 0.0
    return {
        **dataclasses.asdict(found),
        "recordings_per_second": rate,
        "agreement_with_float": [dataclasses.asdict(layer) for layer in compared],
    }
