# SPDX-License-Identifier: Apache-2.0
"""How generated C is set: its keywords, its width, heads of functions over several lines."""

from __future__ import annotations

WIDTH = 100
KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while bool true false main".split()
)
"""What no name of ours may be."""


def one_line(name: str) -> str:
    """A name from outside that cannot leave the comment it stands in."""
    return "".join(c if c.isprintable() and c != "\\" else "_" for c in name)


def wrapped(line: str, indent: str) -> list[str]:
    """A line broken at spaces where it is too long; ``indent`` starts what follows."""
    lines = []
    while len(line) > WIDTH and (at := line.rfind(" ", len(indent) + 1, WIDTH)) > 0:
        lines.append(line[:at])
        line = indent + line[at + 1 :]
    return [*lines, line]


def signature(start: str, arguments: list[str], end: str, width: int = WIDTH) -> str:
    """A C function's head or call; arguments that need several lines are aligned."""
    indent = " " * (len(start) + 1)
    lines = [f"{start}("]
    for at, argument in enumerate(arguments):
        last = at == len(arguments) - 1
        piece = argument + (f"){end}" if last else ",")
        if len(lines[-1]) + len(piece) + 1 > width and lines[-1] != f"{start}(":
            lines.append(indent)
        lines[-1] += piece if lines[-1].endswith(("(", indent)) else f" {piece}"
    return "\n".join(lines)
