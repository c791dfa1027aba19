# SPDX-License-Identifier: Apache-2.0
"""Writes a planned network's constants as C arrays, each captioned with its axes and its layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, assert_never

import numpy as np

from spikec.backend.c.target import Target
from spikec.backend.c.text import WIDTH, wrapped
from spikec.ir import network as ir
from spikec.ir.operations import SIZES, Number
from spikec.ir.taps import spans, tap_order
from spikec.passes.choose import BLOCK, DenseWindows


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One ``static const`` array of the generated file."""

    layer: str
    ctype: str
    name: str
    bytes: int
    text: str


class HasTables(Protocol):
    """Something that reads tables, such as an operation's ``KernelCall``."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that it reads."""


def tables_of(calls: Iterable[HasTables]) -> tuple[Table, ...]:
    """Every constant array that calls read, each once, in file order."""
    found = {table.name: table for call in calls for table in call.tables}
    return tuple(found.values())


def pool_tables(pool: ir.MaxPool2d | ir.AvgPool2d, before: ir.Shape, divides: bool) -> list[Table]:
    """What each output's window is, and, where the pooling ``divides``, by what."""
    size, out = (before.height, before.width), (pool.shape.height, pool.shape.width)
    dilation = pool.dilation if isinstance(pool, ir.MaxPool2d) else (1, 1)
    found = [
        _extent_table(
            pool.name, f"{pool.name}_{('rows', 'cols')[i]}",
            ir.extents(out[i], size[i], pool.kernel[i], pool.stride[i], pool.padding[i],
                       dilation[i]),
            f"{pool.name}: first input and taps of each output {('row', 'column')[i]}, was "
            f"{was(pool)}",
        )
        for i in (0, 1)
    ]  # fmt: skip
    if isinstance(pool, ir.AvgPool2d) and divides:
        caption = f"{pool.name}: what each window's sum is divided by, [y][x]"
        found.append(_float_table(pool.name, f"{pool.name}_divisor", pool.divisors, caption))
    return found


def affine_tables(affine: ir.Affine | ir.AffineTT) -> list[Table]:
    """Scale and shift, of every time step where each has its own."""
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


def grade_tables(fired: ir.Spiking) -> list[Table]:
    """The sizes of a layer's spikes."""
    grade, shape = fired.grade, fired.shape
    if grade.size > 1:
        grade = np.broadcast_to(grade, (shape.height, shape.width, shape.channels))
    caption = f"{fired.name}: size of a spike, {_axes(grade)}"
    return [_float_table(fired.name, grade_table(fired), grade, caption)]


def scatter_conv2d_tables(conv: ir.Conv2d, before: ir.Shape, target: Target) -> list[Table]:
    """Weights in tap order, the bias, and which outputs each input row and column reaches."""
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
            f"[kx {kernel_width}][out {group_out}], taps in tap order, was {was(conv)}", target,
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


def gather_tables(conv: ir.Conv2d) -> list[Table]:
    """Weights as a gathering convolution reads them, and the bias."""
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


def scatter_linear_tables(linear: ir.Linear, target: Target) -> list[Table]:
    """Weights, a row an input, and the bias."""
    inputs, outputs = linear.weight.shape
    caption = f"{linear.name}: weight [in {inputs}][out {outputs}], was {was(linear)}"
    return [_weight_table(linear.name, linear.weight, caption, target), *_bias_table(linear)]


def _weight_table(
    layer: str, weight: ir.Weights, caption: str, target: Target = "generic"
) -> Table:
    """Weights ``[..., out]``.

    The Cortex-M7's SXTAB16 adds bytes 0 and 2 of a word to two neighbouring sums, then bytes 1 and
    3: for it four int8 weights of neighbouring outputs stand in that order.
    """
    name = f"{layer}_weight"
    if weight.dtype != np.int8:
        return _float_table(layer, name, weight.astype(np.float32), caption)
    if target == "cortex-m7" and weight.shape[-1] % 4 == 0:
        weight = weight.reshape(-1, 4)[:, [0, 2, 1, 3]]
        caption += ", in fours as SXTAB16 reads them: 0, 2, 1, 3"
    items = map(str, weight.ravel().tolist())
    return _integer_table(layer, "int8_t", name, weight.size, items, caption)


def _bias_table(layer: ir.Conv2d | ir.Linear) -> list[Table]:
    """The bias; in integers it is the neurons'."""
    if layer.weight.dtype == np.int8:
        return []
    return [_float_table(layer.name, f"{layer.name}_bias", layer.bias, f"{layer.name}: bias [out]")]


def grade_table(fired: ir.Spiking) -> str:
    """The name of the sizes of a layer's spikes; a cell may have a parameter ``grade``."""
    return f"{fired.name}_{'spike_size' if isinstance(fired, ir.Cell) else 'grade'}"


def cell_tables(cell: ir.Cell) -> list[Table]:
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


def leaky_tables(leaky: ir.Leaky | ir.IntegerLeaky) -> list[Table]:
    """Decay and threshold, and in integers the bias, where there is one."""

    def caption(what: str, values: ir.Floats | ir.Integers) -> str:
        return f"{leaky.name}: {what}, {_axes(values)}, was {was(leaky)}"

    match leaky:
        case ir.Leaky():
            return [
                _float_table(leaky.name, f"{leaky.name}_{what}", values, caption(what, values))
                for what, values in (("beta", leaky.beta), ("threshold", leaky.threshold))
            ]
        case ir.IntegerLeaky():
            wide: Number = "int32_t" if leaky.bits == 32 else "int16_t"
            kinds: list[tuple[Number, str, str, ir.Integers]] = [
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


def dense_tables(layer: ir.Conv2d | ir.Linear, windows: DenseWindows) -> list[Table]:
    """Weights in blocks of outputs, the bias, and what each output row and column reads."""
    (kernel_height, kernel_width), group_in = windows.kernel, windows.group_in
    pieces = []
    at = 0
    for channels in windows.groups * windows.blocks:
        pieces.append(windows.weight[..., at : at + channels].ravel())
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
            for what, found in (("row", windows.rows), ("col", windows.cols))
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
    line = " SPK_ALIGNED" if values.size * 4 >= 1024 else ""
    head = f"float {name}[{values.size}]{line}"
    return Table(
        layer, "float", name, 4 * values.size, _text(caption, head, float_literals(values))
    )


def _integer_table(
    layer: str,
    ctype: Number | Literal["int8_t"],
    name: str,
    size: int,
    items: Iterable[str],
    caption: str,
) -> Table:
    """Integers; SPK_ALIGNED or SPK_WORD because kernels read several at a time."""
    width = 1 if ctype == "int8_t" else SIZES[ctype]
    line = "SPK_ALIGNED" if size * width >= 1024 else "SPK_WORD"
    head = f"{ctype} {name}[{size}] {line}"
    return Table(layer, ctype, name, size * width, _text(caption, head, items))


def _span_table(
    layer: str, name: str, entries: Sequence[tuple[int, int, int]], caption: str, ctype: str
) -> Table:
    items = (f"{{{first}, {tap}, {taps}}}" for first, tap, taps in entries)
    text = _text(caption, f"{ctype} {name}[{len(entries)}]", items)
    return Table(layer, ctype, name, 6 * len(entries), text)


def _extent_table(layer: str, name: str, entries: Sequence[tuple[int, int]], caption: str) -> Table:
    items = (f"{{{first}, {taps}}}" for first, taps in entries)
    text = _text(caption, f"spk_extent {name}[{len(entries)}]", items)
    return Table(layer, "spk_extent", name, 4 * len(entries), text)


def _text(caption: str, head: str, items: Iterable[str]) -> str:
    """An array in C under its caption."""
    said = "\n".join(wrapped(f"// {caption}", "// "))
    return f"{said}\nSPK_TABLE static const {head} = {{\n{rows_of(items)}\n}};\n"


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
