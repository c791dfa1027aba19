# SPDX-License-Identifier: Apache-2.0
"""Writes a planned network as C: NAME.h and NAME.c, NAME_model.h and NAME_model.c.

The same network gives the same bytes: no dates, no paths, no order of a dictionary by chance.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from typing import assert_never

import numpy as np

from spikec import ir
from spikec.errors import SpikecError
from spikec.passes import plan as planning
from spikec.version import VERSION

_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while bool true false main".split()
)
_C_HEADERS = frozenset(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal "
    "stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath "
    "threads time uchar wchar wctype".split()
)  # a NAME.h of ours would be found in their place
_WIDTH = 100


def check_name(name: str) -> str:
    """Returns ``name`` if generated symbols can start with it.

    Raises:
        SpikecError: it is no C identifier, or one that C or the runtime keeps for itself.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise SpikecError(
            f"the name {name!r} is no C identifier, and generated symbols start with it; use "
            "letters, digits and underscores, and a letter first."
        )
    taken = name in _KEYWORDS or name.lower() in _C_HEADERS
    if taken or name.lower().startswith("spk"):
        raise SpikecError(
            f"the name {name!r} is kept by C or by spikec's runtime; choose another one."
        )
    return name


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """One ``static const`` array of the generated file."""

    layer: str
    ctype: str
    name: str
    bytes: int
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """What one layer costs: adds in the worst case, when every input is active."""

    layer: str
    adds: int
    neurons: int


def emit(planned: planning.Plan, name: str) -> dict[str, str]:
    """Returns the generated files, by file name."""
    check_name(name)
    return {
        f"{name}.h": _header(planned, name),
        f"{name}.c": _source(planned, name),
        f"{name}_model.h": _model_header(name),
        f"{name}_model.c": _model(planned, name),
    }


def kernels(planned: planning.Plan) -> tuple[str, ...]:
    """The kernel headers that the generated source includes."""
    used: set[str] = set()
    for operation in planned.operations:
        match operation:
            case planning.Spread(layer=layer):
                kind = "conv2d" if isinstance(layer, ir.Conv2d) else "linear"
                used.add(f"spk_{kind}_f32.h")
            case planning.Fire():
                used.add("spk_leaky_f32.h")
            case planning.PoolSpikes() | planning.PoolDense():
                used.add("spk_pool_f32.h")
            case planning.Scale() | planning.Expand():
                used.add("spk_dense_f32.h")
            case _:
                assert_never(operation)
    return tuple(sorted(used))


def tables(planned: planning.Plan) -> tuple[Table, ...]:
    """Every constant array of the generated source, in file order."""
    found: list[Table] = []
    for operation in planned.operations:
        found.extend(_tables_of(operation))
    return tuple(found)


def work(planned: planning.Plan) -> tuple[Work, ...]:
    """Worst-case work of one step, per operation."""
    found = []
    for operation in planned.operations:
        match operation:
            case planning.Spread(layer=layer, before=before):
                adds = int(layer.weight.size)
                if isinstance(layer, ir.Conv2d):
                    rows = sum(s.taps for s in spans(layer, 0, before.height))
                    cols = sum(s.taps for s in spans(layer, 1, before.width))
                    adds = rows * cols * before.channels * (layer.shape.channels // layer.groups)
                found.append(Work(layer.name, adds, 0))
            case planning.Fire():
                found.append(Work(operation.layer.name, 0, operation.layer.shape.size))
            case (
                planning.PoolSpikes() | planning.PoolDense() | planning.Scale() | planning.Expand()
            ):
                continue
            case _:
                assert_never(operation)
    return tuple(found)


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """What one input row or column reaches; see ``spk_span`` in the convolution kernel."""

    out: int
    tap: int
    taps: int


def tap_order(kernel: int, stride: int, dilation: int) -> list[int]:
    """The kernel's taps so that one input meets rising, evenly spaced outputs.

    Tap k of input i feeds output ``(i + padding - k * dilation) / stride`` where that is whole, so
    an input uses the taps of one residue class of ``k * dilation mod stride``; within a class,
    falling k gives rising outputs.
    """
    return sorted(range(kernel), key=lambda k: (k * dilation % stride, -k))


def spans(conv: ir.Conv2d, axis: int, size: int) -> list[Span]:
    """The spans of every input row (axis 0) or column (axis 1) of a convolution."""
    kernel = conv.weight.shape[axis]
    stride, padding, dilation = conv.stride[axis], conv.padding[axis], conv.dilation[axis]
    outs = (conv.shape.height, conv.shape.width)[axis]
    order = tap_order(kernel, stride, dilation)
    result = []
    for i in range(size):
        reached = [
            ((i + padding - k * dilation) // stride, place)
            for place, k in enumerate(order)
            if (i + padding - k * dilation) % stride == 0
            and 0 <= (i + padding - k * dilation) // stride < outs
        ]
        result.append(
            Span(reached[0][0], reached[0][1], len(reached)) if reached else Span(0, 0, 0)
        )
    return result


def _step(stride: int, dilation: int) -> int:
    """The distance between the outputs that two neighbouring taps of one input feed."""
    return dilation // math.gcd(stride, dilation)


def float_literal(value: np.float32 | float) -> str:
    """A float32 as a C hex literal, which loses nothing."""
    mantissa, _, exponent = float(np.float32(value)).hex().partition("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0")
        mantissa += "0" if mantissa.endswith(".") else ""
    return f"{mantissa}p{exponent}f"


def _rows(items: Iterable[str]) -> str:
    """Items separated by commas, as many a line as fit."""
    lines: list[str] = []
    line = " "
    for item in items:
        if len(line) + len(item) + 2 > _WIDTH:
            lines.append(line)
            line = " "
        line += f" {item},"
    lines.append(line)
    return "\n".join(lines)


def _float_table(layer: str, name: str, values: ir.Floats, caption: str) -> Table:
    body = _rows(float_literal(value) for value in values.ravel())
    text = f"// {caption}\nstatic const float {name}[{values.size}] = {{\n{body}\n}};\n"
    return Table(layer, "float", name, 4 * values.size, text)


def _span_table(layer: str, name: str, entries: Sequence[Span], caption: str) -> Table:
    if any(max(s.out, s.tap, s.taps) > 0xFFFF for s in entries):
        raise SpikecError(
            f"layer {layer}: a map of more than 65,535 rows or columns is not supported."
        )
    body = _rows(f"{{{s.out}, {s.tap}, {s.taps}}}" for s in entries)
    text = f"// {caption}\nstatic const spk_span {name}[{len(entries)}] = {{\n{body}\n}};\n"
    return Table(layer, "spk_span", name, 6 * len(entries), text)


def _extent_table(layer: str, name: str, entries: Sequence[tuple[int, int]], caption: str) -> Table:
    if any(max(entry) > 0xFFFF for entry in entries):
        raise SpikecError(
            f"layer {layer}: a map of more than 65,535 rows or columns is not supported."
        )
    body = _rows(f"{{{first}, {taps}}}" for first, taps in entries)
    text = f"// {caption}\nstatic const spk_extent {name}[{len(entries)}] = {{\n{body}\n}};\n"
    return Table(layer, "spk_extent", name, 4 * len(entries), text)


def _one_line(name: str) -> str:
    """A name from outside that cannot leave the comment it stands in."""
    return "".join(c if c.isprintable() and c != "\\" else "_" for c in name)


def _was(layer: ir.Layer) -> str:
    return f"torch {layer.source!r}".replace("'", '"')


def _parameter(values: ir.Floats, table: str, channels: int) -> str:
    """A ``spk_param_f32`` initialiser for values ``[1, 1, 1]``, ``[1, 1, c]`` or ``[y, x, c]``."""
    per_channel = 0 if values.shape[2] == 1 and values.shape != (1, 1, channels) else 1
    per_position = channels if values.shape[:2] != (1, 1) else 0
    if values.size == 1:
        per_channel = per_position = 0
    return f"{{{table}, {per_position}, {per_channel}}}"


def _axes(values: ir.Floats) -> str:
    if values.size == 1:
        return "one for all neurons"
    return "[channel]" if values.shape[:2] == (1, 1) else "[y][x][channel]"


def _tables_of(operation: planning.Operation) -> list[Table]:
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
            scale, shift = _broadcast_affine(affine)
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


def _broadcast_affine(affine: ir.Affine) -> tuple[ir.Floats, ir.Floats]:
    """Scale and shift in one common shape, ``[1, 1, c]`` or ``[y, x, c]``."""
    whole = affine.scale.shape[:2] != (1, 1) or affine.shift.shape[:2] != (1, 1)
    shape = affine.shape
    axes = (shape.height, shape.width, shape.channels) if whole else (1, 1, shape.channels)
    return np.broadcast_to(affine.scale, axes), np.broadcast_to(affine.shift, axes)


def _linear_tables(linear: ir.Linear) -> list[Table]:
    inputs, outputs = linear.weight.shape
    caption = f"{linear.name}: weight [in {inputs}][out {outputs}], was {_was(linear)}"
    return [
        _float_table(linear.name, f"{linear.name}_weight", linear.weight, caption),
        _float_table(linear.name, f"{linear.name}_bias", linear.bias, f"{linear.name}: bias [out]"),
    ]


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


def _descriptor(operation: planning.Operation) -> str:
    """The ``static const`` descriptor of an operation's kernel; empty when it needs none."""
    match operation:
        case planning.Spread(layer=layer, before=before):
            if isinstance(layer, ir.Conv2d):
                return _conv_descriptor(layer, before)
            fields: dict[str, object] = {
                "weight": f"{layer.name}_weight",
                "bias": f"{layer.name}_bias",
                "inputs": layer.weight.shape[0],
                "outputs": layer.weight.shape[1],
            }
            return _struct("spk_linear_f32", layer.name, fields)
        case planning.Fire(layer=leaky, pool=pool):
            window = pool.kernel if pool is not None else (1, 1)
            channels = leaky.shape.channels
            fields = {
                "beta": _parameter(leaky.beta, f"{leaky.name}_beta", channels),
                "threshold": _parameter(leaky.threshold, f"{leaky.name}_threshold", channels),
                "height": leaky.shape.height,
                "width": leaky.shape.width,
                "channels": channels,
                "pool_height": window[0],
                "pool_width": window[1],
                "in_width": operation.in_width,
                "reset": f"SPK_RESET_{leaky.reset.upper()}",
                "reset_delay": "true" if leaky.reset_delay else "false",
            }
            return _struct("spk_leaky_f32", leaky.name, fields)
        case planning.PoolSpikes(layer=pool) | planning.PoolDense(layer=pool):
            average = isinstance(pool, ir.AvgPool2d)
            dilation = pool.dilation if isinstance(pool, ir.MaxPool2d) else (1, 1)
            fields = {
                "rows": f"{pool.name}_rows",
                "cols": f"{pool.name}_cols",
                "in_width": operation.before.width,
                "out_height": pool.shape.height,
                "out_width": pool.shape.width,
                "channels": pool.shape.channels,
                "row_step": dilation[0],
                "col_step": dilation[1],
                "divisors": f"{pool.name}_divisor" if average else "NULL",
            }
            return _struct("spk_pool_f32", pool.name, fields)
        case planning.Scale() | planning.Expand():
            return ""
        case _:
            assert_never(operation)


def _conv_descriptor(conv: ir.Conv2d, before: ir.Shape) -> str:
    fields: dict[str, object] = {
        "weight": f"{conv.name}_weight",
        "bias": f"{conv.name}_bias",
        "rows": f"{conv.name}_rows",
        "cols": f"{conv.name}_cols",
        "in_width": before.width,
        "in_height": before.height,
        "in_channels": before.channels,
        "out_width": conv.shape.width,
        "out_height": conv.shape.height,
        "out_channels": conv.shape.channels,
        "kernel_height": conv.weight.shape[0],
        "kernel_width": conv.weight.shape[1],
        "row_step": _step(conv.stride[0], conv.dilation[0]),
        "col_step": _step(conv.stride[1], conv.dilation[1]),
        "group_in": conv.weight.shape[2],
        "group_out": conv.shape.channels // conv.groups,
    }
    return _struct("spk_conv2d_f32", conv.name, fields)


def _struct(ctype: str, name: str, fields: dict[str, object]) -> str:
    body = _rows(f".{field} = {value}" for field, value in fields.items())
    return f"static const {ctype} {name} = {{\n{body}\n}};\n"


def _call(operation: planning.Operation, frame: bool) -> str:
    """The line of C that runs an operation; ``frame`` reads the input as a dense frame."""
    match operation:
        case planning.Spread():
            layer = operation.layer
            kernel = "spk_conv2d" if isinstance(layer, ir.Conv2d) else "spk_linear"
            match operation.reads:
                case planning.Active():
                    kind, reads = ("dense", "frame") if frame else ("active", "active, count")
                case planning.Spikes():
                    kind = "spikes"
                    reads = f"s->{operation.reads.buffer.name}, {operation.reads.count}"
                case planning.Dense():
                    kind, reads = "dense", f"s->{operation.reads.buffer.name}"
                case _:
                    assert_never(operation.reads)
            return f"{kernel}_{kind}_f32(&{layer.name}, {reads}, s->{operation.writes.name});"
        case planning.Fire():
            return (
                f"const uint32_t {operation.writes.count} = spk_leaky_step_f32("
                f"&{operation.layer.name}, s->{operation.reads.name}, "
                f"s->{operation.membrane.name}, s->{operation.writes.buffer.name});"
            )
        case planning.PoolSpikes():
            return (
                f"const uint32_t {operation.writes.count} = spk_maxpool_spikes_f32("
                f"&{operation.layer.name}, s->{operation.reads.buffer.name}, "
                f"{operation.reads.count}, s->{operation.map.name}, {operation.before.size}, "
                f"s->{operation.writes.buffer.name});"
            )
        case planning.PoolDense():
            kind = "max" if isinstance(operation.layer, ir.MaxPool2d) else "avg"
            return (
                f"spk_{kind}pool_dense_f32(&{operation.layer.name}, s->{operation.reads.name}, "
                f"s->{operation.writes.name});"
            )
        case planning.Scale(layer=affine, buffer=buffer):
            channels = _broadcast_affine(affine)[0].size
            return (
                f"spk_affine_dense_f32({affine.name}_scale, {affine.name}_shift, {channels}, "
                f"s->{buffer.name}, {affine.shape.size // channels});"
            )
        case planning.Expand(reads=reads, writes=writes, fired=fired):
            if isinstance(reads, planning.Active):
                if frame:
                    return f"memcpy(s->{writes.name}, frame, sizeof(s->{writes.name}));"
                return (
                    f"spk_dense_from_active_f32(active, count, s->{writes.name}, {writes.length});"
                )
            assert fired is not None, "only a spiking layer makes a list of spikes"
            grade = "spk_one" if fired.unit_spikes else f"{fired.name}_grade"
            per_neuron = 0 if fired.unit_spikes or fired.grade.size == 1 else 1
            return (
                f"spk_dense_from_spikes_f32(s->{reads.buffer.name}, {reads.count}, {grade}, "
                f"{per_neuron}, s->{writes.name}, {writes.length});"
            )
        case _:
            assert_never(operation)


def _wrapped(call: str) -> str:
    """A call that is too long for a line, broken between arguments."""
    lines = [""]
    for part in re.split(r"(?<=, )", call):
        if len(lines[-1]) + len(part) > _WIDTH - 2:
            lines.append("      ")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _what(layer: ir.Layer) -> str:
    """A layer in a few words."""
    match layer:
        case ir.Conv2d(weight=weight):
            return f"conv {weight.shape[3]}@{weight.shape[0]}x{weight.shape[1]}"
        case ir.Linear(weight=weight):
            return f"linear {weight.shape[1]}"
        case ir.MaxPool2d(kernel=kernel) | ir.AvgPool2d(kernel=kernel):
            kind = "maxpool" if isinstance(layer, ir.MaxPool2d) else "avgpool"
            return f"{kind} {kernel[0]}x{kernel[1]}"
        case ir.Affine():
            return "batch norm"
        case ir.Flatten():
            return "flatten"
        case ir.Leaky(reset=reset, reset_delay=delay):
            how = "" if reset == "subtract" else f" reset {reset}"
            return f"leaky{how}{'' if delay or reset == 'none' else ' at once'}"
        case _:
            assert_never(layer)


def describe(network: ir.Network) -> str:
    """The network on one line."""
    return " -> ".join([str(network.input), *(_what(layer) for layer in network.layers)])


def _comment(label: str, text: str) -> str:
    """A labelled comment, wrapped under its label."""
    lines: list[str] = []
    line = f"// {label:<9}"
    indent = "//          "
    for word in text.split(" "):
        if len(line) + 1 + len(word) > _WIDTH and line != indent:
            lines.append(line)
            line = indent
        line += f" {word}" if line not in (f"// {label:<9}", indent) else word
    lines.append(line)
    return "\n".join(lines)


def _banner(planned: planning.Plan, first: str) -> str:
    network = planned.network
    bytes_of_tables = sum(table.bytes for table in tables(planned))
    items = work(planned)
    adds = sum(item.adds for item in items)
    each = ", ".join(f"{item.layer} {item.adds:,}" for item in items if item.adds)
    neurons = sum(item.neurons for item in items)
    return "\n".join(
        (
            "// SPDX-License-Identifier: Apache-2.0",
            f"// {first}",
            f"// Generated by spikec {VERSION}; do not edit.",
            _comment("source", f"{_one_line(network.source)}, sha256 {network.sha256}"),
            _comment("network", describe(network)),
            _comment(
                "numbers",
                "float32; the same bits on every target, if built without fused multiply-add "
                "(-ffp-contract=off)",
            ),
            _comment(
                "memory",
                f"{bytes_of_tables:,} bytes of constant tables (flash), {planned.state_bytes:,} "
                "bytes of state (RAM), no heap",
            ),
            _comment(
                "work",
                f"per step {neurons:,} neurons are updated and, if every input and every neuron "
                f"fired, {adds:,} weights added ({each}); in proportion to what fires",
            ),
            "",
        )
    )


def _header(planned: planning.Plan, name: str) -> str:
    upper = name.upper()
    network = planned.network
    output = network.output
    spiking = network.spiking
    readout = spiking[-1]
    outputs = output.shape.size
    order = "[y][x][c] (channel last)" if not network.input.flat else "that of the input vector"
    enum = {
        f"{upper}_INPUTS": network.input.size,
        f"{upper}_INPUT_HEIGHT": network.input.height,
        f"{upper}_INPUT_WIDTH": network.input.width,
        f"{upper}_INPUT_CHANNELS": network.input.channels,
        f"{upper}_OUTPUTS": outputs,
        f"{upper}_LAYERS": len(spiking),
        f"{upper}_STATE_BYTES": planned.state_bytes,
    }
    entries = "\n".join(f"  {key} = {value}," for key, value in enum.items())
    members = "\n".join(
        [
            *(f"  {b.ctype} {b.name}[{b.length}];  // {b.note}" for b in planned.membranes),
            *(_slot(slot) for slot in planned.slots),
        ]
    )
    membrane_readout = ""
    if output.shape.size == readout.shape.size:
        membrane_readout = f"""
// The membranes of the output neurons after the last step; NULL for NULL.
const float *{name}_membranes(const {name}_state *state);
"""
    banner = _banner(planned, "A spiking neural network in plain C11.")
    return f"""{banner}#ifndef {upper}_H_
#define {upper}_H_

#include <stddef.h>
#include <stdint.h>

#include "spk_observer.h"
#include "spk_spikes.h"
#include "spk_status.h"

#ifdef __cplusplus
extern "C" {{
#endif

enum {{
{entries}
}};

// Everything a running network remembers. The caller owns it; several run side by side. Only the
// membranes live from one step to the next; the rest is room for the step under way.
typedef struct {name}_state {{
{members}
}} {name}_state;

// Puts every membrane to 0. Call it before the first step and between recordings.
SPK_MUST_USE spk_status {name}_reset({name}_state *state);

// One time step. `active` lists the inputs that are not zero, sorted by index, each once; an index
// is a position in the input's memory order, {order}.
// `spikes` gets 1 for every output neuron that fired and 0 for the others. On an error nothing is
// written: NULL pointers, more than {upper}_INPUTS entries, an index out of range or out of order,
// a value that is not finite.
SPK_MUST_USE spk_status {name}_step({name}_state *state, const spk_active *active, size_t count,
                         uint8_t spikes[{upper}_OUTPUTS]);

// The same for a dense frame in memory order, most of it zero.
SPK_MUST_USE spk_status {name}_step_frame({name}_state *state,
                               const float frame[{upper}_INPUTS],
                               uint8_t spikes[{upper}_OUTPUTS]);

// {name}_step that also shows every spiking layer to `observer`, for tests and profiles.
SPK_MUST_USE spk_status {name}_step_observed({name}_state *state, const spk_active *active,
                                  size_t count, uint8_t spikes[{upper}_OUTPUTS],
                                  spk_observer observer, void *context);
{membrane_readout}
// The output with the largest count; the first one when several have it.
uint32_t {name}_winner(const uint32_t counts[{upper}_OUTPUTS]);

#ifdef __cplusplus
}}
#endif

#endif  // {upper}_H_
"""


def _slot(slot: tuple[planning.Buffer, ...]) -> str:
    if len(slot) == 1:
        return f"  {slot[0].ctype} {slot[0].name}[{slot[0].length}];  // {slot[0].note}"
    inside = "\n".join(f"    {b.ctype} {b.name}[{b.length}];  // {b.note}" for b in slot)
    return f"  union {{  // one after the other\n{inside}\n  }};"


def _source(planned: planning.Plan, name: str) -> str:
    upper = name.upper()
    network = planned.network
    entry_operations, other = _entry(planned)
    parts = [_banner(planned, f"The tables and the step of {name}.h."), ""]
    if planned.index == "uint32_t":
        parts.append("#define SPK_WIDE_INDEX  // a layer has more than 65,536 neurons\n")
    includes = "\n".join(f'#include "{header}"' for header in kernels(planned))
    parts.append(f'#include "{name}.h"\n\n#include <assert.h>\n#include <string.h>\n\n{includes}\n')
    parts.append(
        f"static_assert(sizeof({name}_state) == {upper}_STATE_BYTES,\n"
        f'              "the state is as large as {name}.h says");\n'
    )
    if _needs_one(planned):
        parts.append(
            "// The size of a spike that is not graded.\nstatic const float spk_one[1] = {1.0f};\n"
        )
    for operation in planned.operations:
        parts.extend(table.text for table in _tables_of(operation))
        descriptor = _descriptor(operation)
        if descriptor:
            parts.append(descriptor)
    resets = "\n".join(
        f"  memset(state->{b.name}, 0, sizeof(state->{b.name}));" for b in planned.membranes
    )
    parts.append(
        f"""spk_status {name}_reset({name}_state *state) {{
  if (state == NULL) return SPK_NULL_ARGUMENT;
{resets}
  return SPK_OK;
}}
"""
    )
    lines = "\n".join(_lines(operation, frame=False) for operation in other)
    out = planned.output
    parts.append(
        f"""// What follows the layers that read the input. `observer` may be NULL.
SPK_CLONES
static void {name}_rest({name}_state *s, uint8_t *spikes, spk_observer observer, void *context) {{
{lines}
  memset(spikes, 0, {upper}_OUTPUTS);
  for (uint32_t i = 0; i < {out.count}; i++) spikes[s->{out.buffer.name}[i]] = 1;
}}
"""
    )
    active = "\n".join(_lines(operation, frame=False) for operation in entry_operations)
    frame = "\n".join(_lines(operation, frame=True) for operation in entry_operations)
    parts.append(
        f"""SPK_CLONES
spk_status {name}_step_observed({name}_state *s, const spk_active *active, size_t count,
                     uint8_t spikes[{upper}_OUTPUTS], spk_observer observer, void *context) {{
  if (s == NULL || spikes == NULL) return SPK_NULL_ARGUMENT;
  const spk_status status = spk_active_check(active, count, {upper}_INPUTS);
  if (status != SPK_OK) return status;
{active}
  {name}_rest(s, spikes, observer, context);
  return SPK_OK;
}}

spk_status {name}_step({name}_state *s, const spk_active *active, size_t count,
                     uint8_t spikes[{upper}_OUTPUTS]) {{
  return {name}_step_observed(s, active, count, spikes, NULL, NULL);
}}

SPK_CLONES
spk_status {name}_step_frame({name}_state *s, const float frame[{upper}_INPUTS],
                     uint8_t spikes[{upper}_OUTPUTS]) {{
  if (s == NULL || spikes == NULL) return SPK_NULL_ARGUMENT;
  const spk_status status = spk_frame_check(frame, {upper}_INPUTS);
  if (status != SPK_OK) return status;
{frame}
  {name}_rest(s, spikes, NULL, NULL);
  return SPK_OK;
}}
"""
    )
    readout = network.spiking[-1]
    if network.output.shape.size == readout.shape.size:
        parts.append(
            f"""const float *{name}_membranes(const {name}_state *state) {{
  return state == NULL ? NULL : state->membrane_{readout.name};
}}
"""
        )
    parts.append(
        f"""uint32_t {name}_winner(const uint32_t counts[{upper}_OUTPUTS]) {{
  uint32_t best = 0;
  for (uint32_t i = 1; i < {upper}_OUTPUTS; i++) {{
    if (counts[i] > counts[best]) best = i;
  }}
  return best;
}}
"""
    )
    return "\n".join(parts)


def _entry(
    planned: planning.Plan,
) -> tuple[tuple[planning.Operation, ...], tuple[planning.Operation, ...]]:
    """The operations that read the caller's input, and the rest; the former come first."""
    split = 0
    for at, operation in enumerate(planned.operations):
        reads = getattr(operation, "reads", None)
        if isinstance(reads, planning.Active):
            split = at + 1
    return planned.operations[:split], planned.operations[split:]


def _needs_one(planned: planning.Plan) -> bool:
    return any(
        isinstance(op, planning.Expand) and op.fired is not None and op.fired.unit_spikes
        for op in planned.operations
    )


def _lines(operation: planning.Operation, frame: bool) -> str:
    """An operation in C: what it is, its call, and what an observer is shown of it."""
    layers: list[ir.Layer] = []
    match operation:
        case planning.Fire(layer=leaky, pool=pool):
            layers = [leaky] if pool is None else [pool, leaky]
        case planning.Expand():
            pass
        case _:
            layers = [operation.layer]
    note = " -> ".join(_what(layer) for layer in layers)
    was = ", ".join(f'"{_one_line(layer.source)}"' for layer in layers)
    call = _wrapped(_call(operation, frame))
    text = f"  // {note}, was torch {was}\n  {call}" if layers else f"  {call}"
    if not isinstance(operation, planning.Fire):
        return text
    neurons, spikes = operation.layer.shape.size, operation.writes
    index_bytes = planning.SIZES[spikes.buffer.ctype]
    return f"""{text}
  spk_observe(observer, context, {operation.index}, {neurons}, {spikes.count}, {index_bytes},
              s->{spikes.buffer.name}, s->{operation.membrane.name});"""


def _model(planned: planning.Plan, name: str) -> str:
    upper = name.upper()
    neurons = ", ".join(str(layer.shape.size) for layer in planned.network.spiking)
    return f"""{_banner(planned, f"{name} behind the one handle that generic drivers use.")}
#include "{name}_model.h"

#include "{name}.h"

static spk_status {name}_model_reset(void *state) {{ return {name}_reset(state); }}

static spk_status {name}_model_step(void *state, const spk_active *active, size_t count,
                             uint8_t *spikes) {{
  return {name}_step(state, active, count, spikes);
}}

static spk_status {name}_model_step_frame(void *state, const float *frame, uint8_t *spikes) {{
  return {name}_step_frame(state, frame, spikes);
}}

static spk_status {name}_model_step_observed(void *state, const spk_active *active, size_t count,
                                      uint8_t *spikes, spk_observer observer, void *context) {{
  return {name}_step_observed(state, active, count, spikes, observer, context);
}}

static const uint32_t {name}_model_neurons[{upper}_LAYERS] = {{{neurons}}};

const spk_model {name}_model = {{
    .name = "{name}",
    .inputs = {upper}_INPUTS,
    .outputs = {upper}_OUTPUTS,
    .layers = {upper}_LAYERS,
    .neurons = {name}_model_neurons,
    .state_bytes = sizeof({name}_state),
    .reset = {name}_model_reset,
    .step = {name}_model_step,
    .step_frame = {name}_model_step_frame,
    .step_observed = {name}_model_step_observed,
}};
"""


def _model_header(name: str) -> str:
    upper = name.upper()
    return f"""// SPDX-License-Identifier: Apache-2.0
// {name} behind the one handle that generic drivers use.
// Generated by spikec {VERSION}; do not edit.
#ifndef {upper}_MODEL_H_
#define {upper}_MODEL_H_

#include "spk_model.h"

extern const spk_model {name}_model;

#endif  // {upper}_MODEL_H_
"""
