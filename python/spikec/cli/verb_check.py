# SPDX-License-Identifier: Apache-2.0
"""``spikec check``: everything in a network that cannot be compiled."""

from __future__ import annotations

import argparse

from spikec.cli.model_argument import (
    add_model,
    load_model,
    nir_steps,
    refuse_options_of_other_kinds,
    require_options,
)
from spikec.cli.options import add_examples
from spikec.frontends import nir
from spikec.frontends.load import load_module


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_model(parser)
    add_examples(
        parser,
        "spikec check nmnist.pt --net models.nmnist.net:net --input 2,34,34",
        "spikec check net.nir --nir-dt 0.001",
    )


def run(options: argparse.Namespace) -> int:
    """Lists what is not supported; 1 when there is anything.

    Raises:
        SpikecError: the network cannot be loaded.
    """
    path = options.model
    if path.suffix in (".pt", ".pth"):
        return _check_module(options)
    load_model(options)  # which says what is wrong
    if path.suffix == nir.SUFFIX:
        print(f"{path}: read as {nir_steps(options)}.")
    print(f"{path}: can be compiled.")
    return 0


def _check_module(options: argparse.Namespace) -> int:
    refuse_options_of_other_kinds(options)
    require_options(options)
    _, net = load_module(options.model, options.net)
    from spikec.frontends.pytorch.module import check

    problems = check(net, options.input)
    for problem in problems:
        print(problem)
    if problems:
        print(f"{options.model}: {len(problems)} problem(s); it cannot be compiled.")
        return 1
    print(f"{options.model}: can be compiled.")
    return 0
