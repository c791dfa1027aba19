# SPDX-License-Identifier: Apache-2.0
"""The argument MODEL and what goes with it: where a verb's network comes from."""

from __future__ import annotations

import argparse
import typing
from collections.abc import Mapping
from pathlib import Path

from spikec.errors import SpikecError
from spikec.frontends import nir
from spikec.frontends.load import Loaded, Semantics, load
from spikec.frontends.nir_layers import Steps
from spikec.ir import network as ir
from spikec.ir import network_file


def add_model(parser: argparse.ArgumentParser) -> None:
    """The argument MODEL and its options."""
    parser.add_argument(
        "model", metavar="MODEL", type=Path,
        help="a checkpoint, NAME.pt, with --net and --input; a NIR graph, NAME.nir; an "
        "architecture in the published runtime's format, NAME.json, with --weights and "
        f"--input; or a network file, NAME{network_file.SUFFIX}",
    )  # fmt: skip
    group = parser.add_argument_group("where the network comes from")
    group.add_argument(
        "--net", metavar="MODULE:FUNCTION",
        help="the function without arguments that builds a checkpoint's network",
    )  # fmt: skip
    group.add_argument("--input", metavar="C,H,W", type=_axes, help="one frame's shape, or N")
    group.add_argument(
        "--weights", metavar="FILE", type=Path, help="an architecture's weights, a JSON file"
    )
    group.add_argument(
        "--semantics", choices=typing.get_args(Semantics),
        help="of an architecture's neurons: snnTorch's, in which it was trained (the default), "
        "or the published runtime's own, which spikes differently",
    )  # fmt: skip
    group.add_argument(
        "--nir-dt", metavar="SECONDS", type=float,
        help="the time step of a NIR graph, which does not say; by default 0.0001, as "
        "snnTorch exports it",
    )  # fmt: skip
    group.add_argument(
        "--nir-reset", choices=typing.get_args(ir.ResetMechanism),
        help="what a NIR graph's neurons do when they fired: set the membrane to v_reset "
        "(zero, the default, as NIR has it), subtract v_threshold, or none",
    )  # fmt: skip
    group.add_argument(
        "--nir-reset-delay", action="store_true",
        help="they do it in the next time step, as snnTorch does, not at once",
    )  # fmt: skip


def load_model(options: argparse.Namespace) -> Loaded:
    """The network that the command line names, whatever it is in.

    Raises:
        SpikecError: it cannot be loaded, or an option does not go with what it is in.
    """
    refuse_options_of_other_kinds(options)
    require_options(options)
    return load(
        options.model,
        net=options.net,
        input_shape=options.input,
        weights=options.weights,
        semantics=options.semantics or "snntorch",
        nir_steps=nir_steps(options),
    )


def refuse_options_of_other_kinds(options: argparse.Namespace) -> None:
    """Refuses options that are of another kind of file than MODEL is.

    Raises:
        SpikecError: there is one.
    """
    path: Path = options.model
    of_architecture = {"--weights": options.weights, "--semantics": options.semantics}
    of_nir = {
        "--nir-dt": options.nir_dt,
        "--nir-reset": options.nir_reset,
        "--nir-reset-delay": options.nir_reset_delay or None,
    }
    _goes_with(path, of_architecture, ".json", "an architecture, NAME.json")
    _goes_with(path, of_nir, nir.SUFFIX, "a NIR graph, NAME.nir")


def require_options(options: argparse.Namespace) -> None:
    """Ends the program as bad usage does where MODEL needs options that are not there."""
    match options.model.suffix:
        case network_file.SUFFIX | nir.SUFFIX:
            pass
        case ".json":
            if options.weights is None or options.input is None:
                options.fail("an architecture needs --weights and --input")
        case _:
            if options.net is None or options.input is None:
                options.fail("a checkpoint needs --net and --input")


def nir_steps(options: argparse.Namespace) -> Steps:
    """What the options say of a NIR graph."""
    given = {"dt": options.nir_dt, "reset": options.nir_reset}
    chosen = {name: value for name, value in given.items() if value is not None}
    return Steps(**chosen, reset_delay=options.nir_reset_delay)


def _goes_with(path: Path, given: Mapping[str, object], suffix: str, what: str) -> None:
    for name, value in given.items():
        if value is not None and path.suffix != suffix:
            raise SpikecError(f"{name} goes with {what}, and {path} is none; leave it out.")


def _axes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape such as 2,34,34") from None
