# SPDX-License-Identifier: Apache-2.0
"""Options that several verbs have, each spelled and explained in one place.

What was once spelled otherwise still works, but no help shows it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.semantics import readout

NUMBERS = ("f32", "int8")
DEFAULT_STEPS = 50
"""Time steps of a recording of events where nothing says how many."""

_DATA = (
    "recordings in N-MNIST's layout, DIR/0/*.bin for class 0 and so on, or a .npz file with frames "
    "x [n, T, ...] and labels y [n]"
)
_EVENTS = (
    "recordings in N-MNIST's format (.bin), or frames: .npz files with x [n, T, ...], or .npy files"
)


def positive(text: str) -> int:
    """An integer of at least 1 on the command line."""
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return int(text)


def add_examples(parser: argparse.ArgumentParser, *commands: str) -> None:
    """Shows examples at the end of a verb's help."""
    parser.epilog = "examples:\n" + "\n".join(f"  {command}" for command in commands)


def add_time_steps(parser: argparse._ActionsContainer, *older: str) -> None:
    """How many time steps a recording has; ``older`` are spellings that are not shown."""
    parser.add_argument(
        "--time-steps", type=positive, metavar="T",
        help="time steps of a recording; by default the network's own STEPS, or else "
        f"{DEFAULT_STEPS}",
    )  # fmt: skip
    for name in older:
        parser.add_argument(name, type=positive, dest="time_steps", help=argparse.SUPPRESS)


def add_events(parser: argparse._ActionsContainer, required: bool = True) -> None:
    """The recordings that a verb runs."""
    parser.add_argument(
        "--events", required=required, nargs="+", type=Path, metavar="FILE", default=[],
        help=_EVENTS,
    )  # fmt: skip


def add_data(parser: argparse._ActionsContainer, required: bool) -> None:
    """The labelled recordings that a verb runs."""
    parser.add_argument("--data", required=required, type=Path, metavar="DATA", help=_DATA)


def add_limit(parser: argparse._ActionsContainer) -> None:
    """How many of the recordings are run."""
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="only N of the recordings, evenly spaced"
    )


def add_numbers(parser: argparse._ActionsContainer) -> None:
    """The format of weights and membranes, and the range of inputs that it holds for."""
    parser.add_argument(
        "--numbers", choices=NUMBERS, default="f32",
        help="weights and membranes: f32, the spikes of snnTorch; int8, a quarter of the bytes and "
        "spikes that differ a little; default: f32",
    )  # fmt: skip
    parser.add_argument(
        "--input-max", type=positive, metavar="N",
        help="the most events that one input counts in one time step: inputs are 0 to N",
    )  # fmt: skip


def add_readout(parser: argparse._ActionsContainer) -> None:
    """How the class is decided, and when."""
    parser.add_argument(
        "--readout", choices=readout.KINDS,
        help="what decides the class: most spikes, the first spike, or the largest membrane in the "
        "end, ever, or summed over time",
    )  # fmt: skip
    parser.add_argument(
        "--early-exit", type=_early_exit, metavar="exact|MARGIN",
        help="stop once the class cannot change any more in the recording's time steps, or once it "
        "leads by so many spikes, or so much membrane",
    )  # fmt: skip


def add_json(parser: argparse._ActionsContainer) -> None:
    """JSON instead of text."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_quiet(parser: argparse._ActionsContainer) -> None:
    """Silence when all is well."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing when all is well")


def add_target(parser: argparse._ActionsContainer) -> None:
    """Where a step's cost is measured."""
    parser.add_argument(
        "--target", choices=("host", "cortex-m7"), default="host",
        help="what a step's cost is: time on this machine, or instructions of the Cortex-M7 in "
        "QEMU, which needs arm-none-eabi-gcc and qemu-system-arm; default: host",
    )  # fmt: skip


def choose_readout(options: argparse.Namespace, network: ir.Network, steps: int) -> dict[str, Any]:
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
