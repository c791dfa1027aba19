# SPDX-License-Identifier: Apache-2.0
"""Writes a planned network's constants as C arrays, each captioned with its axes and its layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal, assert_never

import numpy as np

from spikec.backend.c.text import WIDTH
from spikec.ir import network as ir
from spikec.ir.taps import spans, tap_order
from spikec.passes import lower as planning
from spikec.passes.choose import BLOCK, Gathered


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
    found: dict[str, Table] = {}
    for part in planned.parts:
        found |= {table.name: table for table in tables_of(part)}
    return tuple(found.values())


def tables_of(operation: planning.Part) -> list[Table]:
    """The arrays that one operation reads."""
    match operation:
        case planning.Spread(layer=layer, before=before):
            if isinstance(layer, ir.Conv2d):
                return _conv_tables(layer, before)
            return _linear_tables(layer)
        case planning.Gather(layer=layer, before=before):
            return _gather_tables(layer, before)
        case planning.Collect(layer=conv):
            return _collect_tables(conv)
        case planning.Fire(layer=leaky):
            return _leaky_tables(leaky)
        case planning.Update(layer=cell):
            return _cell_tables(cell)
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
                    f"{('row', 'column')[i]}, was {was(pool)}",
                )
                for i in (0, 1)
            ]  # fmt: skip
            if isinstance(pool, ir.AvgPool2d) and not _sums(operation):
                caption = f"{pool.name}: what each window's sum is divided by, [y][x]"
                found.append(
                    _float_table(pool.name, f"{pool.name}_divisor", pool.divisors, caption)
                )
            return found
        case planning.Scale(layer=affine):
            scale, shift = broadcast_affine(affine)
            axes = _axes(scale)
            if isinstance(affine, ir.AffineTT):
                axes = f"[step]{_axes(scale[0])}"
            return [
                _float_table(
                    affine.name, f"{affine.name}_{what}", values,
                    f"{affine.name}: {what}, {axes}, was {was(affine)}",
                )
                for what, values in (("scale", scale), ("shift", shift))
            ]  # fmt: skip
        case planning.Place() | planning.Join():
            return []
        case planning.Expand(fired=fired):
            if fired is None or fired.unit_spikes:
                return []
            grade, shape = fired.grade, fired.shape
            if grade.size > 1:
                grade = np.broadcast_to(grade, (shape.height, shape.width, shape.channels))
            caption = f"{fired.name}: size of a spike, {_axes(grade)}"
            return [_float_table(fired.name, grade_table(fired), grade, caption)]
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
    return [
        _weight_table(
            name, ordered,
            f"{name}: weight [in {conv.groups * group_in}][ky {kernel_height}]"
            f"[kx {kernel_width}][out {group_out}], taps in tap order, was {was(conv)}",
        ),
        *_bias_table(conv),
        *(
            _span_table(
                name, f"{name}_{what}",
                [(span.out, span.tap, span.taps) for span in spans(conv, axis, size)],
                f"{name}: first output, first tap, taps of each {letter}", "spk_span",
            )
            for axis, what, letter, size in (
                (0, "rows", "y", before.height), (1, "cols", "x", before.width),
            )
        ),
    ]  # fmt: skip


def _collect_tables(conv: ir.Conv2d) -> list[Table]:
    axes = "".join(
        f"[{axis} {size}]"
        for axis, size in zip(("ky", "kx", "in", "out"), conv.weight.shape, strict=True)
    )
    return [
        _weight_table(
            conv.name, conv.weight,
            f"{conv.name}: weight {axes}, was {was(conv)}",
        ),
        *_bias_table(conv),
    ]  # fmt: skip


def _linear_tables(linear: ir.Linear) -> list[Table]:
    inputs, outputs = linear.weight.shape
    caption = f"{linear.name}: weight [in {inputs}][out {outputs}], was {was(linear)}"
    return [_weight_table(linear.name, linear.weight, caption), *_bias_table(linear)]


def _weight_table(layer: str, weight: ir.Weights, caption: str) -> Table:
    """Weights ``[..., out]``, int8 ones in fours where these go into the outputs."""
    name = f"{layer}_weight"
    if weight.dtype != np.int8:
        return _float_table(layer, name, weight.astype(np.float32), caption)
    items = [str(value) for value in weight.ravel().tolist()]
    if weight.shape[-1] % 4 == 0:
        fours = (", ".join(items[at : at + 4]) for at in range(0, len(items), 4))
        items = [f"SPK_FOUR({four})" for four in fours]
    return _integer_table(layer, "int8_t", name, weight.size, items, caption)


def _bias_table(layer: ir.Conv2d | ir.Linear) -> list[Table]:
    """The bias; in whole numbers it is the neurons'."""
    if layer.weight.dtype == np.int8:
        return []
    return [_float_table(layer.name, f"{layer.name}_bias", layer.bias, f"{layer.name}: bias [out]")]


def _sums(pool: planning.PoolSpikes | planning.PoolDense) -> bool:
    """Whether an average pooling is of whole numbers, which it sums."""
    return isinstance(pool, planning.PoolDense) and pool.writes.ctype != "float"


def grade_table(fired: ir.Spiking) -> str:
    """The name of the sizes of a layer's spikes; a cell may have a parameter ``grade``."""
    return f"{fired.name}_{'spike_size' if isinstance(fired, ir.Cell) else 'grade'}"


def _cell_tables(cell: ir.Cell) -> list[Table]:
    """The parameters of a program that are not one value, as far as it needs them."""
    found = []
    for each in cell.parameters:
        if each.name not in cell_uses(cell) or each.values.size == 1:
            continue
        axes = "[level]" if each.values.ndim == 1 else _axes(each.values)
        name, caption = f"{cell.name}_{each.name}", f"{cell.name}: {each.name}, {axes}"
        caption += f", was {was(cell)}"
        if each.values.dtype == np.float32:
            found.append(_float_table(cell.name, name, each.values.astype(np.float32), caption))
        else:
            items = map(str, each.values.ravel().tolist())
            found.append(
                _integer_table(cell.name, "int32_t", name, each.values.size, items, caption)
            )
    return found


def cell_uses(cell: ir.Cell, results: Iterable[str] | None = None) -> set[str]:
    """The names that ``results`` of a program depend on; else all that leaves the program."""
    if results is None:
        results = [state.next for state in cell.states]
        results += [name for name in (cell.fires, cell.winner, cell.value) if name is not None]
    used = set(results)
    for step in reversed(cell.program):
        if step.name in used:
            used |= set(step.arguments)
    return used


def _leaky_tables(leaky: ir.Leaky | ir.IntegerLeaky) -> list[Table]:
    def caption(what: str, values: ir.Floats | ir.Integers) -> str:
        return f"{leaky.name}: {what}, {_axes(values)}, was {was(leaky)}"

    match leaky:
        case ir.Leaky():
            return [
                _float_table(leaky.name, f"{leaky.name}_{what}", values, caption(what, values))
                for what, values in (("beta", leaky.beta), ("threshold", leaky.threshold))
            ]
        case ir.IntegerLeaky():
            wide: planning.Number = "int32_t" if leaky.bits == 32 else "int16_t"
            kinds: list[tuple[planning.Number, str, str, ir.Integers]] = [
                ("int16_t", "decay", "decay, of 32768", leaky.decay),
                (wide, "threshold", "threshold", leaky.threshold),
            ]
            if leaky.bias.any():
                kinds.append((wide, "bias", "bias", leaky.bias))
            return [
                _integer_table(
                    leaky.name, ctype, f"{leaky.name}_{what}", values.size,
                    map(str, values.ravel()), caption(text, values),
                )
                for ctype, what, text, values in kinds
            ]  # fmt: skip
        case _:
            assert_never(leaky)


def _gather_tables(layer: ir.Conv2d | ir.Linear, before: ir.Shape) -> list[Table]:
    gathered = Gathered.of(layer, before)
    (kernel_height, kernel_width), group_in = gathered.kernel, gathered.group_in
    pieces = []
    at = 0
    for channels in gathered.groups * gathered.blocks:
        pieces.append(gathered.weight[..., at : at + channels].ravel())
        at += channels
    name = layer.name
    return [
        _weight_table(
            name, np.concatenate(pieces).astype(np.float32),
            f"{name}: weight, in blocks of {BLOCK} outputs and a rest: [block][ky {kernel_height}]"
            f"[kx {kernel_width}][in {group_in}][out of the block], was {was(layer)}",
        ),
        *_bias_table(layer),
        *(
            _span_table(
                name, f"{name}_{what}s",
                [(field.first, field.tap, field.taps) for field in found],
                f"{name}: first input, first tap, taps of each output {what}", "spk_field",
            )
            for what, found in (("row", gathered.rows), ("col", gathered.cols))
        ),
    ]  # fmt: skip


def broadcast_affine(affine: ir.Affine | ir.AffineTT) -> tuple[ir.Floats, ir.Floats]:
    """Scale and shift in one common shape, ``[1, 1, c]`` or ``[y, x, c]``, behind ``[T]`` if so."""
    steps = affine.scale.shape[:-3]
    whole = affine.scale.shape[-3:-1] != (1, 1) or affine.shift.shape[-3:-1] != (1, 1)
    shape = affine.shape
    axes = (shape.height, shape.width, shape.channels) if whole else (1, 1, shape.channels)
    axes = (*steps, *axes)
    return np.broadcast_to(affine.scale, axes), np.broadcast_to(affine.shift, axes)


def float_literal(value: np.float32 | float) -> str:
    """A float32 as a C hex literal, which loses nothing."""
    mantissa, _, exponent = float(np.float32(value)).hex().partition("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0")
        mantissa += "0" if mantissa.endswith(".") else ""
    return f"{mantissa}p{exponent}f"


_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_SPACE = ord(" ")
_LITERAL = np.frombuffer(b"-0x1.000000p+000f,", np.uint8)
"""The longest literal, with its comma: what ``float_literals`` fills in."""


def float_literals(values: ir.Floats) -> list[str]:
    """``float_literal`` of many finite values at once, which is several times faster."""
    flat = np.ascontiguousarray(values, np.float32).ravel()
    # |value| = mantissa * 2**exponent, and the 24 bits of a mantissa in 0.5..1 are 1.xxxxxx's.
    mantissa, exponent = np.frexp(np.abs(flat))
    bits = (mantissa * np.float32(1 << 24)).astype(np.uint32)
    power = np.where(bits > 0, exponent - 1, 0)
    text = np.tile(_LITERAL, (len(flat), 1))
    text[~np.signbit(flat), 0] = _SPACE
    text[bits == 0, 3] = ord("0")
    fraction = (bits << 1) & 0xFFFFFF  # six hex digits
    for digit in range(6):
        rest = fraction & (0xFFFFFF >> (4 * digit))
        shown = _HEX[rest >> (20 - 4 * digit)]
        text[:, 5 + digit] = shown if digit == 0 else np.where(rest == 0, _SPACE, shown)
    text[power < 0, 12] = ord("-")
    size = np.abs(power)
    for place, unit in enumerate((100, 10, 1)):
        text[:, 13 + place] = np.where(
            (size >= unit) | (unit == 1), _HEX[size // unit % 10], _SPACE
        )
    return text.tobytes().replace(b" ", b"").decode("ascii").split(",")[:-1]


def _float_table(layer: str, name: str, values: ir.Floats, caption: str) -> Table:
    body = rows_of(float_literals(values))
    line = " SPK_ALIGNED" if values.size * 4 >= 1024 else ""
    text = f"// {caption}\nstatic const float {name}[{values.size}]{line} = {{\n{body}\n}};\n"
    return Table(layer, "float", name, 4 * values.size, text)


def _integer_table(
    layer: str,
    ctype: planning.Number | Literal["int8_t"],
    name: str,
    size: int,
    items: Iterable[str],
    caption: str,
) -> Table:
    """Whole numbers; SPK_ALIGNED or SPK_WORD because kernels read several at a time."""
    width = 1 if ctype == "int8_t" else planning.SIZES[ctype]
    line = "SPK_ALIGNED" if size * width >= 1024 else "SPK_WORD"
    text = f"// {caption}\nstatic const {ctype} {name}[{size}] {line} = {{\n{rows_of(items)}\n}};\n"
    return Table(layer, ctype, name, size * width, text)


def _span_table(
    layer: str, name: str, entries: Sequence[tuple[int, int, int]], caption: str, ctype: str
) -> Table:
    body = rows_of(f"{{{first}, {tap}, {taps}}}" for first, tap, taps in entries)
    text = f"// {caption}\nstatic const {ctype} {name}[{len(entries)}] = {{\n{body}\n}};\n"
    return Table(layer, ctype, name, 6 * len(entries), text)


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


def was(layer: ir.Layer) -> str:
    """What a layer was, for a comment."""
    return f"torch {layer.source!r}".replace("'", '"')


def _axes(values: ir.Floats | ir.Integers) -> str:
    if values.size == 1:
        return "one for all neurons"
    return "[channel]" if values.shape[:2] == (1, 1) else "[y][x][channel]"
