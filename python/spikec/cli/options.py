# SPDX-License-Identifier: Apache-2.0
"""The verbs ``eval`` and ``report`` of the command: their options, and what they print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.measure.evaluate import Evaluation, Progress, evaluate, observe
from spikec.measure.report import costs
from spikec.model import Model
from spikec.recordings import dataset
from spikec.recordings import frames as frame_file
from spikec.recordings.dataset import Labelled
from spikec.semantics import readout
from spikec.semantics.agreement import LayerAgreement, agreement

_COMPARED = 4  # recordings on which whole numbers are compared with float
_BAR = 30  # characters
_DATA = (
    "recordings in N-MNIST's layout, DIR/0/*.bin for class 0 and so on, or a .npz file with frames "
    "x [n, T, ...] and labels y [n]"
)
EVENTS = (
    "recordings in N-MNIST's format (.bin), or frames: .npz files with x [n, T, ...], or .npy files"
)
"""What files of recordings may be."""


def add_eval(parser: argparse.ArgumentParser) -> None:
    """The options of ``eval``."""
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help=_DATA)
    parser.add_argument(
        "--held-out", action="store_true",
        help="only what training and calibration leave out: a quarter, by file name",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="default: one for each processor"
    )
    add_readout(parser, "a recording's")
    _add_common(parser)


def add_report(parser: argparse.ArgumentParser) -> None:
    """The options of ``report``."""
    recordings = parser.add_mutually_exclusive_group()
    recordings.add_argument("--data", type=Path, metavar="DATA", help=_DATA)
    recordings.add_argument(
        "--events", nargs="+", type=Path, metavar="FILE", default=[], help=EVENTS
    )
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


def add_readout(parser: argparse.ArgumentParser, steps: str) -> None:
    """The options that choose how the class is decided; ``steps`` names the one for time steps."""
    parser.add_argument(
        "--readout", choices=readout.KINDS,
        help="what decides the class: most spikes, the first spike, or the largest membrane in the "
        "end, ever, or summed over time",
    )  # fmt: skip
    parser.add_argument(
        "--early-exit", type=_early_exit, metavar="exact|MARGIN",
        help=f"stop once the class cannot change any more in {steps} time steps, or once it leads "
        "by so many spikes, or so much membrane",
    )  # fmt: skip


def chosen_readout(options: argparse.Namespace, network: ir.Network, steps: int) -> dict[str, Any]:
    """The arguments of ``Model.of`` that the options of ``add_readout`` ask for.

    Raises:
        SpikecError: there is an early exit without a readout.
    """
    needed = readout.needed(network)
    kind = options.readout or (needed.kind if needed is not None else None)
    if kind is None:
        if options.early_exit is None:
            return {}
        raise SpikecError(
            f"--early-exit {options.early_exit}: is of a readout, and there is none; give "
            "--readout count or another one too."
        )
    return {"readout": kind, "early_exit": options.early_exit, "steps": steps}


def _early_exit(text: str) -> str | float:
    if text == "exact":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither exact nor a number") from None


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
    model = Model.of(
        network, "network", options.numbers, input_max=options.input_max,
        **chosen_readout(options, network, steps),
    )  # fmt: skip
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
    paths = recordings(options.events, network)
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


def recordings(paths: Sequence[Path], network: ir.Network) -> list[Path]:
    """Files of events as they are, and each recording in a file of frames.

    Raises:
        SpikecError: a file of frames cannot be read or does not fit the network.
    """
    found: list[Path] = []
    for path in paths:
        one = not frame_file.is_file(path)
        found += [path] if one else frame_file.recordings(path, network.input.axes)
    return found


def steps_of(paths: Sequence[Path], network: ir.Network, asked: int | None) -> int | None:
    """How many time steps recordings have; None for events, which are binned into any number.

    Raises:
        SpikecError: files of frames do not have the steps that were ``asked`` for, or not the same.
    """
    axes = network.input.axes
    files = [file for path in paths if (file := frame_file.file_of(path)) is not None]
    counts = {frame_file.steps(path, axes) for path in files}
    if asked is not None:
        counts.add(asked)
    if files and len(counts) > 1:
        raise SpikecError(
            f"{files[0]}: recordings in frames have the time steps that they have, and these are "
            f"not all one number: {', '.join(map(str, sorted(counts)))}."
        )
    return counts.pop() if files else asked


def _labelled(options: argparse.Namespace, network: ir.Network) -> tuple[Labelled, ...]:
    shape = network.output.shape
    what = f"{options.model}: its input"
    return dataset.fitting(options.data, network.input.axes, shape.size, what)


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
