# SPDX-License-Identifier: Apache-2.0
"""``spikec save``: a network as one file that every verb reads, without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from spikec.backend.c.names import describe_network
from spikec.cli.model_argument import add_model, load_model
from spikec.cli.options import add_examples, add_quiet
from spikec.ir import network_file


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_model(parser)
    parser.add_argument(
        "-o", "--out", required=True, type=Path, metavar="FILE",
        help=f"the file to write, NAME{network_file.SUFFIX}",
    )  # fmt: skip
    add_quiet(parser)
    add_examples(
        parser,
        "spikec save nmnist.pt --net models.nmnist.net:net --input 2,34,34 -o nmnist.spikec",
        "spikec save net.nir --nir-reset subtract --nir-reset-delay -o net.spikec",
    )


def run(options: argparse.Namespace) -> int:
    """Writes the network file.

    Raises:
        SpikecError: the network cannot be loaded or the file not written.
    """
    loaded = load_model(options)
    saved = network_file.Saved(loaded.network, loaded.steps)
    size = network_file.write(options.out, saved)
    if not options.quiet:
        print(f"{describe_network(loaded.network)}\nwritten to {options.out}, {size:,} bytes")
    return 0
