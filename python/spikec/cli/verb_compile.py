# SPDX-License-Identifier: Apache-2.0
"""``spikec compile``: a network as C."""

from __future__ import annotations

import argparse
import typing
from pathlib import Path

from spikec.backend.c.names import check_name
from spikec.backend.c.target import Target, this_machine
from spikec.cli.model_argument import add_model, load_model
from spikec.cli.options import (
    add_examples,
    add_numbers,
    add_quiet,
    add_readout,
    add_time_steps,
    positive,
)
from spikec.cli.recordings import choose_steps, list_recordings, read_frames
from spikec.measure.report import check_budget
from spikec.model import KERNELS, Model
from spikec.targets import budget


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_model(parser)
    group = parser.add_argument_group("what is written")
    group.add_argument("--name", required=True, help="the start of files' and symbols' names")
    group.add_argument(
        "-o", "--out", required=True, type=Path, metavar="DIR", help="the folder to write"
    )
    group.add_argument(
        "--target", choices=("host", *typing.get_args(Target)), default="generic",
        help="the CPU whose instructions the C may use; the default is plain C for any, host the "
        "CPU at hand",
    )  # fmt: skip
    add_numbers(group)
    # For drivers that run any network, as Bazel's rules do: with an observer and a handle.
    group.add_argument("--driven", action="store_true", help=argparse.SUPPRESS)
    add_quiet(group)
    group = parser.add_argument_group("which kernels")
    group.add_argument(
        "--kernels", choices=typing.get_args(KERNELS), default="auto",
        help="of convolutions and linear layers: event (cost grows with what fires), dense (cost "
        "always the same), or auto, which takes for each layer what --calibrate says is cheaper",
    )  # fmt: skip
    group.add_argument(
        "--calibrate", nargs="+", type=Path, metavar="FILE", default=[],
        help="recordings such as the network will see: of events (.bin), or frames (.npz, .npy)",
    )  # fmt: skip
    group = parser.add_argument_group("what decides the class")
    add_readout(group)
    add_time_steps(group)
    group.add_argument("--bins", type=positive, help=argparse.SUPPRESS)  # of --calibrate
    group.add_argument("--steps", type=positive, help=argparse.SUPPRESS)  # of --readout
    budget.add_options(parser.add_argument_group("what the network may take"))
    add_examples(
        parser,
        "spikec compile nmnist.pt --net models.nmnist.net:net --input 2,34,34 --name nmnist "
        "-o nmnist_c",
        "spikec compile nmnist.spikec --name nmnist -o nmnist_m7 --target cortex-m7 --numbers int8",
    )


def run(options: argparse.Namespace) -> int:
    """Writes the network's C.

    Raises:
        SpikecError: it cannot be loaded, compiled as asked, or written, or exceeds its budget.
    """
    check_name(options.name)
    loaded = load_model(options)
    calibration = None
    if options.calibrate:
        asked = options.bins or options.time_steps
        steps = choose_steps(loaded, options.calibrate, asked)
        paths = list_recordings(options.calibrate, loaded.network)
        calibration = [read_frames(options, loaded.network, path, steps)[0] for path in paths]
    limit = options.steps
    if limit is None and options.readout is not None:
        limit = options.time_steps
        if limit is None and options.early_exit == "exact":
            limit = loaded.steps
    model = Model.of(
        loaded.network, options.name, options.numbers, options.kernels, calibration,
        options.input_max, options.readout, options.early_exit, limit,
    )  # fmt: skip
    target: Target = this_machine() if options.target == "host" else options.target
    check_budget(model, budget.Budget(options.max_flash, options.max_ram), target)
    model.write(options.out, target=target, driven=options.driven)
    if not options.quiet:
        print(model.report(target))
        print(f"written to {options.out}")
    return 0
