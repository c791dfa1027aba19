# SPDX-License-Identifier: Apache-2.0
"""Compiles the table of kernel cases to C and writes down what the reference says they do."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.backend.c.form import LEVELS, Form
from spikec.backend.c.source import emit
from spikec.backend.c.tables import float_literal
from spikec.backend.c.target import Target
from spikec.ir import network as ir
from spikec.model import Model
from spikec.semantics import reference
from tests.joined import join, split_by_index
from tests.kernels import cases

WIDTH = 98
BROKEN = ("membrane", "output", "spike")
"""Which kinds of expected value are made wrong on purpose, one in a file of its own."""
INTEGER = "integer"
"""And a membrane of the first integer network."""
UNITS: dict[str, tuple[Form, tuple[Target | None, ...]]] = {
    "fast": (LEVELS, (None, *LEVELS.levels)),
    "levels": (LEVELS, (None, *LEVELS.levels)),
    "generic": (Form("generic", driven=True), (None,)),
    "cortex_m7": (Form("cortex-m7", driven=True), (None,)),
}
"""Folders of C files with many networks each: for all levels of x86-64, some of them to be compiled
with all optimisations; in plain C; and for the Cortex-M7."""
TOGETHER = 32
"""Networks in one of these files."""


def main(arguments: list[str]) -> int:
    """Writes what is included and what is compiled into folders, and the cases into files.

    ``every.c`` has every case, ``narrow.c``, ``narrow_cells.c`` and ``narrow_integer.c`` those that
    a microcontroller can hold, in float32, of cells and in integers; ``broken_KIND.c`` has the
    first case with one expected value wrong, ``broken_integer.c`` the first in integers.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    for what in ("headers", "handles", *UNITS, "cases"):
        parser.add_argument(f"--{what}", type=Path, required=True, help=f"folder of the {what}")
    options = parser.parse_args(arguments)
    written: list[Vectors] = []
    models: list[Model] = []
    for number, row in enumerate(cases.CASES):
        drawn = cases.draw(row)
        model = cases.model(row, drawn, f"case{number:02}")
        limited = str(model.network.max_steps == len(drawn.frames)).lower()
        models.append(model)
        files = emit(model.plan, model.name, form=LEVELS)
        for name in (f"{model.name}.h", f"{model.name}_model.h"):
            write(options.headers / name, files[name])
        write(options.handles / f"{number // TOGETHER}.c", files[f"{model.name}_model.c"], add=True)
        written.append(Vectors(row, model.name, vectors(model, drawn.frames, None), limited))
        first = [earlier.row.numbers for earlier in written].count(row.numbers) == 1
        for kind in (BROKEN if row.numbers == "f32" else (INTEGER,)) if first else ():
            one = Vectors(row, model.name, vectors(model, drawn.frames, kind), limited)
            write(options.cases / f"broken_{kind}.c", whole([one]))
    write_units(options, models)
    write(options.cases / "every.c", whole(written))
    for name in ("narrow", "narrow_cells", "narrow_integer"):
        held = [v for v in written if cases.program(v.row) == name]
        write(options.cases / f"{name}.c", whole(held))
    return 0


def write_units(options: argparse.Namespace, models: Sequence[Model]) -> None:
    """Writes the networks' C into the folders of ``UNITS``, many to a file."""
    for folder, (form, levels) in UNITS.items():
        chosen = list(models)
        if folder in ("fast", "levels"):
            chosen = [m for n, m in enumerate(models) if (n % 10 == 0) == (folder == "fast")]
        for wide, several in split_by_index(chosen).items():
            for first in range(0, len(several), TOGETHER):
                together = several[first : first + TOGETHER]
                for level in levels:
                    name = f"{'wide' if wide else 'narrow'}_{first}_{level or form.target}.c"
                    write(getattr(options, folder) / name, join(together, form, level))


@dataclasses.dataclass(frozen=True, slots=True)
class Vectors:
    """A case as C: its row in the table, what its symbols start with, its arrays.

    ``limited`` is C's truth of whether the network runs for no more steps than there are.
    """

    row: cases.Case
    symbol: str
    text: str
    limited: str


def vectors(model: Model, frames: ir.Floats, broken: str | None) -> str:
    """C arrays of one case: ``frames [T, H, W, C]`` as lists, and what the reference makes of them.

    ``broken`` makes one value wrong: a step before the last, in the last layer's first neuron.
    """
    network = model.network
    trace = reference.run(network, frames)
    steps = len(frames)
    flat = frames.reshape(steps, -1)
    step, index = np.nonzero(flat)
    offsets = np.searchsorted(step, np.arange(steps + 1))
    readout = network.readout
    if readout is None:
        outputs = (trace.values[network.output.name].reshape(steps, -1) != 0).astype(np.uint8)
    else:  # also of neurons that never fire, whatever they hand on
        outputs = trace.spikes[readout.name].reshape(steps, -1).copy()
    spikes = rows([trace.spikes[layer.name] for layer in network.spiking])
    # The bits of a float32 or an int32; whether integers fit, the table's test says.
    cell = np.float32 if network.numbers == "f32" else np.int32
    membranes = rows([trace.membranes[layer.name].astype(cell) for layer in network.spiking])
    bits = membranes.view(np.uint32)
    first = -network.spiking[-1].shape.size
    match broken:
        case "output":
            outputs[steps - 2, 0] ^= 1
        case "spike":
            spikes[steps - 2, first] ^= 1
        case "membrane" | "integer":
            bits[steps - 2, first] ^= np.uint32(1)
    name = model.name
    active = (
        f"{{{at}, {float_literal(value)}}}"
        for at, value in zip(index, flat[step, index], strict=True)
    )
    return "\n".join(
        (
            f"static {name}_state first_of_{name}, second_of_{name};",
            array("uint32_t", f"offsets_of_{name}", map(str, offsets)),
            array("spk_active", f"active_of_{name}", active),
            array("uint8_t", f"outputs_of_{name}", map(str, outputs.ravel())),
            array("uint8_t", f"spikes_of_{name}", map(str, spikes.ravel())),
            array("uint32_t", f"membranes_of_{name}", (f"{each:#x}" for each in bits.ravel())),
        )
    )


def rows(layers: list[npt.NDArray[ir.Scalar]]) -> npt.NDArray[ir.Scalar]:
    """Layers ``[T, H, W, C]`` one after the other, as rows ``[T, neurons]``."""
    return np.concatenate([layer.reshape(len(layer), -1) for layer in layers], axis=1)


def array(ctype: str, name: str, items: Iterable[str]) -> str:
    """A C array, as many items a line as fit."""
    lines = [" "]
    for item in items:
        if len(lines[-1]) + len(item) > WIDTH:
            lines.append(" ")
        lines[-1] += f" {item},"
    return f"static const {ctype} {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def whole(written: list[Vectors]) -> str:
    """A file of cases."""
    includes = "\n".join(f'#include "{v.symbol}.h"\n#include "{v.symbol}_model.h"' for v in written)
    body = "\n".join(v.text for v in written)
    entries = "\n".join(
        f'  {{"{v.row.name}", &{v.symbol}_model, {{&first_of_{v.symbol}, &second_of_{v.symbol}}},\n'
        f"   {v.row.steps + 2 * v.row.driven}, offsets_of_{v.symbol}, active_of_{v.symbol},\n"
        f"   outputs_of_{v.symbol}, spikes_of_{v.symbol}, membranes_of_{v.symbol},\n"
        f"   {v.row.most or 0}, {str(v.row.numbers == 'int8').lower()}, {v.limited}}},"
        for v in written
    )
    return f"""// SPDX-License-Identifier: Apache-2.0
// What the reference computed for every row of tests/kernels/cases.py. Generated; do not edit.
#include "kernel_case.h"

{includes}

{body}
const kernel_case kernel_cases[] = {{
{entries}
}};

const uint32_t kernel_case_count = sizeof kernel_cases / sizeof kernel_cases[0];
"""


def write(path: Path, text: str, add: bool = False) -> None:
    """Writes a text file with the same bytes on every machine, or adds to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if add else "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
