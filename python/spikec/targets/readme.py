# SPDX-License-Identifier: Apache-2.0
"""The README.md that is written beside the C: which file does what, how to build it, its bytes."""

from __future__ import annotations

import re

_BEGIN = "<!-- network {name} -->"
_END = "<!-- end of network {name} -->"


def write_readme(
    name: str, network: str, target: str, table_bytes: int, state_bytes: int, readout: bool
) -> str:
    """Returns the README of a folder with one network.

    ``network`` and ``target`` are descriptions in a few words; bytes are those of constant tables
    (flash) and of the state (RAM).
    """
    return _HEAD + _section(name, network, target, table_bytes, state_bytes, readout) + _TAIL


def keep_networks(text: str, before: str, names: set[str]) -> str:
    """``text``, a README, with the sections that the README ``before`` has of other networks.

    ``names`` are those of all networks in the folder; of others no section is kept.
    """
    sections = dict(_sections(before)) | dict(_sections(text))
    kept = "".join(body for name, body in sorted(sections.items()) if name in names)
    return _HEAD + kept + _TAIL


def _sections(text: str) -> list[tuple[str, str]]:
    """The networks that a README speaks of, each with its section."""
    pattern = r"<!-- network (\w+) -->.*?<!-- end of network \1 -->\n\n"
    return [(match[1], match[0]) for match in re.finditer(pattern, text, re.DOTALL)]


def _section(
    name: str, network: str, target: str, table_bytes: int, state_bytes: int, readout: bool
) -> str:
    decides = f" `{name}_readout_*` decide the class." if readout else ""
    return f"""{_BEGIN.format(name=name)}
## {name}

`{name}.h` is all that a program includes: sizes, the state, and the functions with what they
promise. `{name}.c` is complete: tables, kernels and the step.{decides} Only symbols that start with
`{name}_` are visible to the linker.

| what | this network |
| --- | --- |
| layers | {network} |
| written for | {target} |
| flash | {table_bytes:,} B of tables, and code |
| RAM | {state_bytes:,} B, `sizeof({name}_state)`, owned by the caller |

{_END.format(name=name)}

"""


_HEAD = """\
# Spiking neural networks in C

Written by spikec; do not edit. Write them again instead.

"""

_TAIL = """\
## Building

Any C11 compiler, for a board or a computer; no library, no heap. In an IDE (Arduino, STM32Cube,
Keil, IAR): add the `.c` file of a network to the sources and this folder to the include paths. With
CMake: `add_subdirectory` this folder and link `spikec::NAME`.

No flag is needed. The files switch off the fusing of multiplications and additions themselves, so
that results do not depend on the compiler's standard or optimisation; they stop with a sentence
where a flag such as `-ffast-math` would change results. `-O2` or `-O3` is fast, `-Os` is small.

Two macros can be set for all files: `SPK_TABLE`, put before every constant table (a section of
the external flash, say), and `SPK_STATE_ALIGN`, put behind the state's struct (an alignment).
"""
