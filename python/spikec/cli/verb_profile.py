# SPDX-License-Identifier: Apache-2.0
"""``spikec profile``: what each layer does and costs on recordings."""

from __future__ import annotations

import argparse
import dataclasses
import json

from spikec.cli.model_argument import add_model
from spikec.cli.options import (
    add_events,
    add_examples,
    add_json,
    add_numbers,
    add_target,
    add_time_steps,
)
from spikec.cli.recordings import load_recorded, read_frames
from spikec.measure.profile import profile
from spikec.model import Model


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_model(parser)
    group = parser.add_argument_group("recordings")
    add_events(group)
    add_time_steps(group, "--bins", "--steps")
    group = parser.add_argument_group("what is measured")
    add_target(group)
    add_numbers(group)
    add_json(group)
    add_examples(
        parser,
        "spikec profile nmnist.spikec --events recordings/3/*.bin",
        "spikec profile nmnist.spikec --events recordings/3/*.bin --target cortex-m7 --json",
    )


def run(options: argparse.Namespace) -> int:
    """Profiles the network and prints its operations.

    Raises:
        SpikecError: the network or a recording cannot be loaded, or a tool is missing.
    """
    network, paths, steps = load_recorded(options)
    frames = [read_frames(options, network, path, steps)[0] for path in paths]
    model = Model.of(network, "network", options.numbers, input_max=options.input_max)
    found = profile(model, frames, options.target)
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else found)
    return 0
