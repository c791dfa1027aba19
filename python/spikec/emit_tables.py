# SPDX-License-Identifier: Apache-2.0
"""Writes a planned network's constants as C arrays, each captioned with its axes and its layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import assert_never

import numpy as np

from spikec import ir
from spikec.passes import plan as planning
from spikec.taps import Span, spans, tap_order

WIDTH = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One ``static const`` array of the generated file."""

    layer: str
    ctype: str
    name: str
    bytes: int
    text: str


def tables(planned: planning.Plan) -> tuple[Table, ...]:
    """Every constant array of the generated source, in file order."""
    found: list[Table] = []
    for operation in planned.operations:
        found.extend(tables_of(operation))
    return tuple(found)


def tables_of(operation: planning.Operation) -> list[Table]:
    """The arrays that one operation reads."""
    match operation:
        case planning.Spread(layer=layer, before=before):
            if isinstance(layer, ir.Conv2d):
                return _conv_tables(layer, before)
            return _linear_tables(layer)
        case planning.Fire(layer=leaky):
            return [
                _float_table(
                    leaky.name, f"{leaky.name}_{what}", values,
                    f"{leaky.name}: {what}, {_axes(values)}, was {_was(leaky)}",
                )
                for what, values in (("beta", leaky.beta), ("threshold", leaky.threshold))
            ]  # fmt: skip
        case planning.PoolSpikes(layer=pool) | planning.PoolDense(layer=pool):
            size = (operation.before.height, operation.before.width)
            out = (pool.shape.height, pool.shape.width)
            dilation = pool.dilation if isinstance(pool, ir.MaxPool2d) else (1, 1)
            found = [
                _extent_table(
                    pool.name, f"{pool.name}_{('rows', 'cols')[i]}",
                    ir.extents(out[i], size[i], pool.kernel[i], pool.stride[i], pool.padding[i],
                               dilation[i]),
                    f"{pool.name}: first input and taps of each output "
                    f"{('row', 'column')[i]}, was {_was(pool)}",
                )
                for i in (0, 1)
            ]  # fmt: skip
            if isinstance(pool, ir.AvgPool2d):
                caption = f"{pool.name}: what each window's sum is divided by, [y][x]"
                found.append(
                    _float_table(pool.name, f"{pool.name}_divisor", pool.divisors, caption)
                )
            return found
        case planning.Scale(layer=affine):
            scale, shift = broadcast_affine(affine)
            axes = _axes(scale)
            return [
                _float_table(
                    affine.name, f"{affine.name}_{what}", values,
                    f"{affine.name}: {what}, {axes}, was {_was(affine)}",
                )
                for what, values in (("scale", scale), ("shift", shift))
            ]  # fmt: skip
        case planning.Expand(fired=fired):
            if fired is None or fired.unit_spikes:
                return []
            grade, shape = fired.grade, fired.shape
            if grade.size > 1:
                grade = np.broadcast_to(grade, (shape.height, shape.width, shape.channels))
            caption = f"{fired.name}: size of a spike, {_axes(grade)}"
            return [_float_table(fired.name, f"{fired.name}_grade", grade, caption)]
        case _:
            assert_never(operation)


def _conv_tables(conv: ir.Conv2d, before: ir.Shape) -> list[Table]:
    kernel_height, kernel_width, group_in, channels = conv.weight.shape
    group_out = channels // conv.groups
    ys = tap_order(kernel_height, conv.stride[0], conv.dilation[0])
    xs = tap_order(kernel_width, conv.stride[1], conv.dilation[1])
    ordered = conv.weight[ys][:, xs].reshape(
        kernel_height, kernel_width, group_in, conv.groups, group_out
    )
    ordered = ordered.transpose(3, 2, 0, 1, 4)  # [group][ic in group][ky][kx][oc in group]
    name = conv.name
    rows = spans(conv, 0, before.height)
    cols = spans(conv, 1, before.width)
    return [
        _float_table(
            name, f"{name}_weight", ordered,
            f"{name}: weight [in {conv.groups * group_in}][ky {kernel_height}]"
            f"[kx {kernel_width}][out {group_out}], taps in tap order, was {_was(conv)}",
        ),
        _float_table(name, f"{name}_bias", conv.bias, f"{name}: bias [out]"),
        _span_table(name, f"{name}_rows", rows, f"{name}: first output, first tap, taps of each y"),
        _span_table(name, f"{name}_cols", cols, f"{name}: first output, first tap, taps of each x"),
    ]  # fmt: skip


def _linear_tables(linear: ir.Linear) -> list[Table]:
    inputs, outputs = linear.weight.shape
    caption = f"{linear.name}: weight [in {inputs}][out {outputs}], was {_was(linear)}"
    return [
        _float_table(linear.name, f"{linear.name}_weight", linear.weight, caption),
        _float_table(linear.name, f"{linear.name}_bias", linear.bias, f"{linear.name}: bias [out]"),
    ]


def broadcast_affine(affine: ir.Affine) -> tuple[ir.Floats, ir.Floats]:
    """Scale and shift in one common shape, ``[1, 1, c]`` or ``[y, x, c]``."""
    whole = affine.scale.shape[:2] != (1, 1) or affine.shift.shape[:2] != (1, 1)
    shape = affine.shape
    axes = (shape.height, shape.width, shape.channels) if whole else (1, 1, shape.channels)
    return np.broadcast_to(affine.scale, axes), np.broadcast_to(affine.shift, axes)


def float_literal(value: np.float32 | float) -> str:
    """A float32 as a C hex literal, which loses nothing."""
    mantissa, _, exponent = float(np.float32(value)).hex().partition("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0")
        mantissa += "0" if mantissa.endswith(".") else ""
    return f"{mantissa}p{exponent}f"


def _float_table(layer: str, name: str, values: ir.Floats, caption: str) -> Table:
    body = rows_of(float_literal(value) for value in values.ravel())
    text = f"// {caption}\nstatic const float {name}[{values.size}] = {{\n{body}\n}};\n"
    return Table(layer, "float", name, 4 * values.size, text)


def _span_table(layer: str, name: str, entries: Sequence[Span], caption: str) -> Table:
    body = rows_of(f"{{{s.out}, {s.tap}, {s.taps}}}" for s in entries)
    text = f"// {caption}\nstatic const spk_span {name}[{len(entries)}] = {{\n{body}\n}};\n"
    return Table(layer, "spk_span", name, 6 * len(entries), text)


def _extent_table(layer: str, name: str, entries: Sequence[tuple[int, int]], caption: str) -> Table:
    body = rows_of(f"{{{first}, {taps}}}" for first, taps in entries)
    text = f"// {caption}\nstatic const spk_extent {name}[{len(entries)}] = {{\n{body}\n}};\n"
    return Table(layer, "spk_extent", name, 4 * len(entries), text)


def rows_of(items: Iterable[str]) -> str:
    """Items separated by commas, as many a line as fit."""
    lines: list[str] = []
    line = " "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH:
            lines.append(line)
            line = " "
        line += f" {item},"
    lines.append(line)
    return "\n".join(lines)


def one_line(name: str) -> str:
    """A name from outside that cannot leave the comment it stands in."""
    return "".join(c if c.isprintable() and c != "\\" else "_" for c in name)


def _was(layer: ir.Layer) -> str:
    return f"torch {layer.source!r}".replace("'", '"')


def _axes(values: ir.Floats) -> str:
    if values.size == 1:
        return "one for all neurons"
    return "[channel]" if values.shape[:2] == (1, 1) else "[y][x][channel]"
