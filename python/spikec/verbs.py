# SPDX-License-Identifier: Apache-2.0
"""The verbs ``eval`` and ``report`` of the command: their options, and what they print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from spikec import dataset, ir
from spikec.agreement import LayerAgreement, agreement
from spikec.dataset import Labelled
from spikec.errors import SpikecError
from spikec.evaluate import Evaluation, Progress, evaluate, observe
from spikec.model import Model
from spikec.report import costs

_COMPARED = 4  # recordings on which whole numbers are compared with float
_BAR = 30  # characters
_DATA = "recordings in N-MNIST's layout: DIR/0/*.bin for class 0, and so on"


def add_eval(parser: argparse.ArgumentParser) -> None:
    """The options of ``eval``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=_DATA)
    parser.add_argument(
        "--held-out", action="store_true",
        help="only what training and calibration leave out: a quarter, by file name",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="default: one for each processor"
    )
    _add_common(parser)


def add_report(parser: argparse.ArgumentParser) -> None:
    """The options of ``report``."""
    recordings = parser.add_mutually_exclusive_group()
    recordings.add_argument("--data", type=Path, metavar="DIR", help=_DATA)
    recordings.add_argument(
        "--events", nargs="+", type=Path, metavar="FILE", default=[],
        help="recordings in N-MNIST's format (.bin)",
    )  # fmt: skip
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=positive, metavar="N",
        help="only N of the recordings, evenly spaced",
    )  # fmt: skip
    parser.add_argument(
        "--bins", type=positive,
        help="time steps to bin a recording into; the network's own STEPS by default",
    )  # fmt: skip
    parser.add_argument(
        "--numbers", default="f32", help="weights and membranes: f32, or int8 for whole numbers"
    )
    add_input_max(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_input_max(parser: argparse.ArgumentParser) -> None:
    """The option that declares the range of inputs."""
    parser.add_argument(
        "--input-max", type=positive, metavar="N",
        help="the most events that one input counts in one time step: inputs are 0 to N",
    )  # fmt: skip


def positive(text: str) -> int:
    """A whole number of at least 1 on the command line."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def run_eval(options: argparse.Namespace, network: ir.Network, steps: int) -> int:
    """Judges ``network`` on recordings of ``steps`` time steps and prints what it found."""
    recordings = _labelled(options, network)
    if options.held_out:
        recordings = dataset.split(recordings)[1]
        if not recordings:
            raise SpikecError(f"{options.data}: none of its recordings is held out.")
    if options.limit:
        recordings = dataset.spaced(recordings, options.limit)
    model = Model.of(network, "network", options.numbers, input_max=options.input_max)
    found = evaluate(model, recordings, steps, options.threads, _progress())
    compared = _compared(network, model, recordings, steps)
    if options.json:
        print(json.dumps(_eval_json(found, compared), indent=2))
        return 0
    print(found)
    if compared:
        count = min(_COMPARED, len(recordings))
        print(f"\nagainst float on {count} recording(s), each running by itself:")
        print("\n".join(f"  {layer}" for layer in compared))
    return 0


def run_report(options: argparse.Namespace, network: ir.Network, steps: int) -> int:
    """Prints what ``network`` takes, and its work on recordings of ``steps`` time steps, if any."""
    paths: list[Path] = list(options.events)
    if options.data is not None:
        paths = [one.path for one in _labelled(options, network)]
    if options.limit:
        paths = list(dataset.spaced(paths, options.limit))
    model = Model.of(network, "network", options.numbers, input_max=options.input_max)
    activities = []
    if paths:
        threads = os.cpu_count() or 1
        activities = observe(model, model.build(), paths, steps, threads, _progress())
    found = costs(model, activities, steps)
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else found)
    return 0


def _labelled(options: argparse.Namespace, network: ir.Network) -> tuple[Labelled, ...]:
    dataset.event_map(network.input.axes, f"{options.model}: its input")
    return dataset.find(options.data, network.output.shape.size)


def _compared(
    network: ir.Network, model: Model, recordings: tuple[Labelled, ...], steps: int
) -> tuple[LayerAgreement, ...]:
    """How a network in whole numbers compares with float on a few recordings."""
    if model.network.numbers == "f32":
        return ()
    few = dataset.spaced(recordings, _COMPARED)
    frames = [one.frames(network.input.axes, steps) for one in few]
    return agreement(Model.of(network, "network", "f32").network, model.network, frames)


def _eval_json(found: Evaluation, compared: tuple[LayerAgreement, ...]) -> dict[str, object]:
    rate = found.total / found.seconds if found.seconds else 0.0
    return {
        **dataclasses.asdict(found),
        "recordings_per_second": rate,
        "agreement_with_float": [dataclasses.asdict(layer) for layer in compared],
    }


def _progress() -> Progress | None:
    """A bar on a terminal's standard error, and nothing elsewhere."""
    if not sys.stderr.isatty():
        return None

    def draw(done: int, total: int) -> None:
        bar = "#" * (_BAR * done // total)
        end = "\n" if done == total else ""
        print(f"\r[{bar:{_BAR}}] {done}/{total}", end=end, file=sys.stderr, flush=True)

    return draw
