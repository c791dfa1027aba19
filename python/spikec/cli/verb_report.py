# SPDX-License-Identifier: Apache-2.0
"""``spikec report``: what a network takes on a Cortex-M7, layer by layer."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os

from spikec.cli.model_argument import add_model, load_model
from spikec.cli.options import (
    add_data,
    add_events,
    add_examples,
    add_json,
    add_limit,
    add_numbers,
    add_time_steps,
)
from spikec.cli.progress import show_progress
from spikec.cli.recordings import choose_steps, list_recordings, read_labelled
from spikec.measure.evaluate import observe
from spikec.measure.report import costs
from spikec.model import Model
from spikec.recordings import dataset


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_model(parser)
    group = parser.add_argument_group("recordings, by which work is counted")
    either = group.add_mutually_exclusive_group()
    add_data(either, required=False)
    add_events(either, required=False)
    add_limit(group)
    add_time_steps(group, "--bins", "--steps")
    group = parser.add_argument_group("what is reported")
    add_numbers(group)
    add_json(group)
    add_examples(
        parser,
        "spikec report nmnist.spikec",
        "spikec report nmnist.spikec --data recordings --numbers int8 --json",
    )


def run(options: argparse.Namespace) -> int:
    """Prints the network's bytes, and its work on recordings, if any.

    Raises:
        SpikecError: the network or a recording cannot be loaded or compiled.
    """
    loaded = load_model(options)
    network = loaded.network
    named = [*options.events, *([options.data] if options.data else [])]
    steps = choose_steps(loaded, named, options.time_steps)
    paths = list_recordings(options.events, network)
    if options.data is not None:
        paths = [one.path for one in read_labelled(options, network)]
    if options.limit:
        paths = list(dataset.spaced(paths, options.limit))
    model = Model.of(network, "network", options.numbers, input_max=options.input_max)
    activities = []
    if paths:
        threads = os.cpu_count() or 1
        with show_progress("recordings") as progress:
            activities = observe(model, model.build(), paths, steps, threads, progress)
    found = costs(model, activities, steps)
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else found)
    return 0
