# SPDX-License-Identifier: Apache-2.0
"""The most that a network may take of a board, and the sentence that says it takes more.

Tables and state are known when the C is generated, the code when an image is linked: both hold the
same budget and say the same. Needs nothing but Python's standard library.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes; 0 for as many as the board has. ``ram`` is of the state: a stack comes on top."""

    flash: int = 0
    ram: int = 0

    def flash_excess(self, name: str, parts: Mapping[str, int], layers: Mapping[str, int]) -> str:
        """A sentence if ``parts``, such as code and tables, are more than the flash, or nothing.

        ``layers`` are bytes by layer name: the sentence names the one that takes most.
        """
        return _excess(name, "flash", self.flash, parts, layers)

    def ram_excess(self, name: str, parts: Mapping[str, int], layers: Mapping[str, int]) -> str:
        """The same for RAM."""
        return _excess(name, "ram", self.ram, parts, layers)


def add_options(parser: argparse._ActionsContainer) -> None:
    """The options that state a budget."""
    parser.add_argument(
        "--max-flash", type=byte_count, default=0, metavar="BYTES",
        help="fail if the network takes more flash; 0: no limit",
    )  # fmt: skip
    parser.add_argument(
        "--max-ram", type=byte_count, default=0, metavar="BYTES",
        help="fail if the network's state takes more RAM; 0: no limit",
    )  # fmt: skip


def byte_count(text: str) -> int:
    """A number of bytes on the command line."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes, 0 or more")
    return int(text)


def _excess(
    name: str, memory: str, limit: int, parts: Mapping[str, int], layers: Mapping[str, int]
) -> str:
    taken = sum(parts.values())
    if not limit or taken <= limit:
        return ""
    names = {"flash": "flash", "ram": "RAM"}
    what = " and ".join(
        part if len(parts) == 1 else f"{part} {size:,} B" for part, size in parts.items()
    )
    costliest = max(layers, key=lambda layer: layers[layer], default="")
    worst = "`spikec report` says which layer takes most:"
    if costliest:
        worst = f"{costliest} takes most, {layers[costliest]:,} B:"
    return (
        f"{name}: takes {taken:,} B of {names[memory]} ({what}), {taken - limit:,} B more than its "
        f"budget max_{memory} = {limit:,} B. {worst} make it smaller, prune the network, use int8 "
        "where it is float, or raise the budget."
    )
