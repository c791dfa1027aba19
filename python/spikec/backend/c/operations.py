# SPDX-License-Identifier: Apache-2.0
"""Writes each operation of a step as a call of a kernel, with the constants that the kernel reads.

This is the one place where the C backend tells operations apart.
"""

from __future__ import annotations

import dataclasses
from typing import assert_never

import numpy as np

from spikec.backend.c import cell, tables
from spikec.backend.c.names import describe_layer
from spikec.backend.c.tables import Table, rows_of
from spikec.backend.c.target import Target
from spikec.backend.c.text import WIDTH, one_line, signature
from spikec.ir import network as ir
from spikec.ir.operations import (
    SIZES,
    ActiveInputs,
    Band,
    Buffer,
    CType,
    DenseArray,
    DenseSum,
    Expand,
    Fire,
    Gather,
    Join,
    Operation,
    Place,
    PoolDense,
    PoolSpikes,
    Scale,
    Scatter,
    SpikeList,
    Update,
)
from spikec.ir.taps import spans, tap_step
from spikec.passes.choose import DenseWindows


@dataclasses.dataclass(frozen=True, slots=True)
class KernelCall:
    """An operation in C.

    Attributes:
        kernel: the function that computes it, of cc/kernels or of the network's own cells.
        tables: the constant arrays that it reads.
        descriptor: the text of its constant descriptor, or of the network's own function; may be
            empty.
        call: the lines that run it on the caller's list of active inputs, or on buffers.
        frame_call: the same on the caller's dense frame; equal to ``call`` where no input is read.
        adds: synaptic additions in a step if every input and every neuron were active.
        neurons: how many neurons it updates.
        note: what it is, for a comment.
    """

    kernel: str
    tables: tuple[Table, ...]
    descriptor: str
    call: str
    frame_call: str
    adds: int
    neurons: int
    note: str


_SUFFIXES: dict[CType, str] = {"float": "f32", "int16_t": "i16", "int32_t": "i32"}
"""What kernels are called for the numbers that they make."""


def suffix_of(buffer: Buffer) -> str:
    """How the name of a kernel ends that makes a buffer's numbers."""
    return _SUFFIXES[buffer.ctype]


def lower_call(operation: Operation, target: Target = "generic") -> KernelCall:
    """Lowers an operation to the call of its kernel on a target."""
    match operation:
        case Scatter():
            return _lower_scatter(operation, target)
        case Gather():
            return _lower_gather(operation)
        case DenseSum():
            return _lower_dense(operation)
        case Fire():
            return _lower_leaky(operation)
        case Update():
            return _lower_cells(operation)
        case Band():
            return _lower_band(operation, target)
        case PoolSpikes():
            return _lower_pool_spikes(operation)
        case PoolDense():
            return _lower_pool(operation)
        case Scale():
            return _lower_affine(operation)
        case Expand():
            return _lower_expand(operation)
        case Place():
            return _lower_place(operation)
        case Join():
            return _lower_join(operation)
        case _:
            assert_never(operation)


def _made(
    operation: Operation,
    kernel: str,
    arguments: list[str],
    *,
    frame: tuple[str, list[str]] | None = None,
    count: str = "",
    tables: list[Table] | None = None,
    descriptor: str = "",
    adds: int = 0,
    neurons: int = 0,
) -> KernelCall:
    """A kernel and its call with ``arguments``, whose result, if any, is the spikes' ``count``."""
    start = f"const uint32_t {count} = " if count else ""
    call = write_call(f"{start}{kernel}", arguments)
    return KernelCall(
        kernel,
        tuple(tables or ()),
        descriptor,
        call,
        call if frame is None else write_call(*frame),
        adds,
        neurons,
        _note(operation),
    )


def _note(operation: Operation) -> str:
    """What an operation is, and what it was."""
    layers = operation.layers
    if not layers:
        return ""
    note = " -> ".join(map(describe_layer, layers))
    if isinstance(operation, Band):
        note += f" by {operation.rows} of {operation.fire.layer.shape.height} rows"
    return f"{note}, was torch " + ", ".join(f'"{one_line(layer.source)}"' for layer in layers)


def write_call(start: str, arguments: list[str]) -> str:
    """A call as a statement, broken between arguments and aligned where it is too long."""
    return signature(start, arguments, ";", WIDTH - 2)


def _write_descriptor(ctype: str, name: str, fields: dict[str, object]) -> str:
    body = rows_of(f".{field} = {value}" for field, value in fields.items())
    return f"static const {ctype} {name} = {{\n{body}\n}};\n"


def _weight_fields(layer: ir.Conv2d | ir.Linear) -> dict[str, object]:
    """Weights and, where there is one, a bias; with integers the neurons have it."""
    fields: dict[str, object] = {"weight": f"{layer.name}_weight"}
    return fields if layer.weight.dtype == np.int8 else fields | {"bias": f"{layer.name}_bias"}


def _count_adds(layer: ir.Conv2d | ir.Linear, before: ir.Shape) -> int:
    """How many weights are added if every input is active."""
    if isinstance(layer, ir.Linear):
        return int(layer.weight.size)
    rows = sum(span.taps for span in spans(layer, 0, before.height))
    cols = sum(span.taps for span in spans(layer, 1, before.width))
    return rows * cols * before.channels * (layer.shape.channels // layer.groups)


def _scatter_kernel(operation: Scatter) -> str:
    return "spk_scatter_conv2d" if isinstance(operation.layer, ir.Conv2d) else "spk_scatter_linear"


def _scatter_tables(operation: Scatter, target: Target) -> list[Table]:
    layer = operation.layer
    if isinstance(layer, ir.Conv2d):
        return tables.scatter_conv2d_tables(layer, operation.before, target)
    return tables.scatter_linear_tables(layer, target)


def _scatter_descriptor(operation: Scatter) -> str:
    """The descriptor of a convolution that scatters: its sizes, and where its tables are."""
    layer, before, suffix = operation.layer, operation.before, suffix_of(operation.writes)
    fields = _weight_fields(layer)
    if isinstance(layer, ir.Linear):
        fields |= {"inputs": layer.weight.shape[0], "outputs": layer.weight.shape[1]}
        return _write_descriptor(f"spk_scatter_linear_{suffix}", layer.name, fields)
    fields |= {
        "rows": f"{layer.name}_rows",
        "cols": f"{layer.name}_cols",
        "in_width": before.width,
        "in_height": before.height,
        "in_channels": before.channels,
        "out_width": layer.shape.width,
        "out_height": layer.shape.height,
        "out_channels": layer.shape.channels,
        "kernel_height": layer.weight.shape[0],
        "kernel_width": layer.weight.shape[1],
        "row_step": tap_step(layer.stride[0], layer.dilation[0]),
        "col_step": tap_step(layer.stride[1], layer.dilation[1]),
        "stride_y": layer.stride[0],
        "pad_top": layer.padding[0],
        "field": (layer.weight.shape[0] - 1) * layer.dilation[0] + 1,
        "group_in": layer.weight.shape[2],
        "group_out": layer.shape.channels // layer.groups,
    }
    return _write_descriptor(f"spk_scatter_conv2d_{suffix}", layer.name, fields)


def _frame_kind(writes: Buffer) -> str:
    """What a kernel that scatters the caller's dense frame is called."""
    return "dense" if writes.ctype == "float" else "frame"


def _lower_scatter(operation: Scatter, target: Target) -> KernelCall:
    layer, suffix = operation.layer, suffix_of(operation.writes)
    kernel, to = _scatter_kernel(operation), f"s->{operation.writes.name}"
    frame = None
    match operation.reads:
        case ActiveInputs():
            kind, reads = "active", ["active", "count"]
            frame_kernel = f"{kernel}_{_frame_kind(operation.writes)}_{suffix}"
            frame = (frame_kernel, [f"&{layer.name}", "frame", to])
        case SpikeList(buffer=buffer, count=count):
            kind, reads = "spikes", [f"s->{buffer.name}", count]
        case DenseArray(buffer=buffer):
            kind, reads = "dense", [f"s->{buffer.name}"]
        case _:
            assert_never(operation.reads)
    return _made(
        operation,
        f"{kernel}_{kind}_{suffix}",
        [f"&{layer.name}", *reads, to],
        frame=frame,
        tables=_scatter_tables(operation, target),
        descriptor=_scatter_descriptor(operation),
        adds=_count_adds(layer, operation.before),
    )


def _lower_gather(operation: Gather) -> KernelCall:
    """A convolution of spikes, summed output by output."""
    layer, before, spikes = operation.layer, operation.before, operation.reads
    fields: dict[str, object] = {
        "weight": f"{layer.name}_weight",
        "bias": f"{layer.name}_bias",
        "in_height": before.height,
        "in_width": before.width,
        "in_channels": before.channels,
        "out_height": layer.shape.height,
        "out_width": layer.shape.width,
        "out_channels": layer.shape.channels,
        "kernel_height": layer.weight.shape[0],
        "kernel_width": layer.weight.shape[1],
        "stride_y": layer.stride[0],
        "stride_x": layer.stride[1],
        "pad_top": layer.padding[0],
        "pad_left": layer.padding[1],
    }
    return _made(
        operation,
        "spk_gather_conv2d_spikes_f32",
        [
            f"&{layer.name}", f"s->{spikes.buffer.name}", spikes.count,
            f"s->{operation.scratch.name}", f"s->{operation.writes.name}",
        ],
        tables=tables.gather_tables(layer),
        descriptor=_write_descriptor("spk_gather_conv2d_f32", layer.name, fields),
        adds=_count_adds(layer, before),
    )  # fmt: skip


def _lower_dense(operation: DenseSum) -> KernelCall:
    """A sum over all inputs, zeros too."""
    layer = operation.layer
    windows = DenseWindows.of(layer, operation.before)
    fields: dict[str, object] = {
        "weight": f"{layer.name}_weight",
        "bias": f"{layer.name}_bias",
        "rows": f"{layer.name}_rows",
        "cols": f"{layer.name}_cols",
        "in_width": windows.before.width,
        "in_channels": windows.before.channels,
        "out_width": windows.shape.width,
        "out_height": windows.shape.height,
        "out_channels": windows.shape.channels,
        "kernel_height": windows.kernel[0],
        "kernel_width": windows.kernel[1],
        "row_step": windows.dilation[0],
        "col_step": windows.dilation[1],
        "group_in": windows.group_in,
        "group_out": windows.shape.channels // windows.groups,
        "whole_from": windows.whole[0],
        "whole_to": windows.whole[1],
        "whole_step": windows.stride[1],
    }
    return _made(
        operation,
        "spk_dense_sum_f32",
        [f"&{layer.name}", f"s->{operation.reads.name}", f"s->{operation.writes.name}"],
        tables=tables.dense_tables(layer, windows),
        descriptor=_write_descriptor("spk_dense_f32", layer.name, fields),
        adds=_count_adds(layer, operation.before),
    )


def _leaky_suffix(fire: Fire) -> str:
    """The end of a neuron kernel's name: for integers the types of current and membrane."""
    membrane = suffix_of(fire.membrane)
    return membrane if membrane == "f32" else f"{suffix_of(fire.reads)}_{membrane}"


def _write_parameter(values: ir.Floats | ir.Integers, table: str, channels: int) -> str:
    """A ``spk_param_f32`` (or ``_i16``, ``_i32``) initialiser.

    ``values`` are ``[1, 1, 1]``, ``[1, 1, c]`` or ``[y, x, c]``.
    """
    per_channel = 0 if values.size == 1 else 1
    per_position = channels if values.shape[:2] != (1, 1) else 0
    return f"{{{table}, {per_position}, {per_channel}}}"


def _leaky_descriptor(fire: Fire) -> str:
    """The descriptor of leaky neurons: their parameters, their map and their pooling."""
    leaky, channels = fire.layer, fire.layer.shape.channels

    def write(what: str, values: ir.Floats | ir.Integers) -> str:
        return _write_parameter(values, f"{leaky.name}_{what}", channels)

    fields: dict[str, object]
    match leaky:
        case ir.Leaky():
            fields = {
                "beta": write("beta", leaky.beta),
                "threshold": write("threshold", leaky.threshold),
            }
        case ir.IntegerLeaky():
            fields = {
                "decay": write("decay", leaky.decay),
                "threshold": write("threshold", leaky.threshold),
                "bias": write("bias", leaky.bias) if leaky.bias.any() else "{NULL, 0, 0}",
                "shift": leaky.shift,
            }
        case _:
            assert_never(leaky)
    window = fire.pool.kernel if fire.pool is not None else (1, 1)
    fields |= {
        "height": leaky.shape.height,
        "width": leaky.shape.width,
        "channels": channels,
        "pool_height": window[0],
        "pool_width": window[1],
        "in_width": fire.in_width,
        "reset": f"SPK_RESET_{leaky.reset.upper()}",
        "reset_delay": "true" if leaky.reset_delay else "false",
    }
    return _write_descriptor(f"spk_leaky_{suffix_of(fire.membrane)}", leaky.name, fields)


def _lower_leaky(fire: Fire) -> KernelCall:
    return _made(
        fire,
        f"spk_leaky_step_{_leaky_suffix(fire)}",
        [
            f"&{fire.layer.name}", f"s->{fire.reads.name}", f"s->{fire.membrane.name}",
            f"s->{fire.writes.buffer.name}",
        ],
        count=fire.writes.count,
        tables=tables.leaky_tables(fire.layer),
        descriptor=_leaky_descriptor(fire),
        neurons=fire.layer.shape.size,
    )  # fmt: skip


def _lower_cells(update: Update) -> KernelCall:
    buffers = dict.fromkeys((*update.reads, *update.states, update.writes.buffer))
    return _made(
        update,
        f"{update.layer.name}_update",
        [f"s->{buffer.name}" for buffer in buffers],
        count=update.writes.count if isinstance(update.writes, SpikeList) else "",
        tables=tables.cell_tables(update.layer),
        descriptor=cell.write_function(update),
        neurons=update.layer.shape.size if update.index is not None else 0,
    )


def _lower_band(band: Band, target: Target) -> KernelCall:
    """A loop over bands: the scattering of some rows, then the neurons that read them."""
    scatter, fire = lower_call(band.scatter, target), lower_call(band.fire, target)
    suffix = suffix_of(band.scatter.writes)
    name, count = band.scatter.layer.name, band.writes.count
    kernel, at = f"{_scatter_kernel(band.scatter)}_band", f"at_{name}"
    match band.reads:
        case ActiveInputs():
            kind, reads = "active", ["active", "count", f"&{at}"]
        case SpikeList(buffer=buffer):
            kind, reads = "spikes", [f"s->{buffer.name}", band.reads.count, f"&{at}"]
        case DenseArray():
            raise AssertionError("a band reads a list")
        case _:
            assert_never(band.reads)
    current = f"s->{band.scatter.writes.name}"
    pool = band.fire.pool.kernel[0] if band.fire.pool is not None else 1
    first = "y" if pool == 1 else f"{pool} * y"
    height = band.fire.layer.shape.height
    step = "y++" if band.rows == 1 else f"y += {band.rows}"
    neurons = signature(
        f"  {count} = spk_leaky_rows_{_leaky_suffix(band.fire)}",
        [
            f"&{band.fire.layer.name}", "y", str(band.rows), current,
            f"s->{band.fire.membrane.name}", f"s->{band.writes.buffer.name}", count,
        ],
        ";",
        WIDTH - 2,
    )  # fmt: skip

    def write(kind: str, reads: list[str], position: str) -> str:
        head = f"  {kernel}_{kind}_{suffix}"
        rows = str(pool * band.rows)
        call = signature(head, [f"&{name}", *reads, first, rows, current], ";", WIDTH - 2)
        loop = f"for (uint32_t y = 0; y < {height}; {step}) {{"
        return f"{position}uint32_t {count} = 0;\n{loop}\n{call}\n{neurons}\n}}"

    call = write(kind, reads, f"size_t {at} = 0;\n")
    frame_call = call
    if isinstance(band.reads, ActiveInputs):
        frame_call = write(_frame_kind(band.scatter.writes), ["frame"], "")
    return KernelCall(
        f"{kernel}_{kind}_{suffix}",
        scatter.tables + fire.tables,
        f"{scatter.descriptor}\n{fire.descriptor}",
        call,
        frame_call,
        scatter.adds,
        fire.neurons,
        _note(band),
    )


def _pool_fields(operation: PoolSpikes | PoolDense) -> dict[str, object]:
    pool = operation.layer
    dilation = pool.dilation if isinstance(pool, ir.MaxPool2d) else (1, 1)
    return {
        "rows": f"{pool.name}_rows",
        "cols": f"{pool.name}_cols",
        "in_width": operation.before.width,
        "out_height": pool.shape.height,
        "out_width": pool.shape.width,
        "channels": pool.shape.channels,
        "row_step": dilation[0],
        "col_step": dilation[1],
    }


def _lower_pool_spikes(operation: PoolSpikes) -> KernelCall:
    pool, spikes = operation.layer, operation.reads
    return _made(
        operation,
        "spk_maxpool_spikes_run",
        [
            f"&{pool.name}", f"s->{spikes.buffer.name}", spikes.count, f"s->{operation.map.name}",
            str(operation.before.size), f"s->{operation.writes.buffer.name}",
        ],
        count=operation.writes.count,
        tables=tables.pool_tables(pool, operation.before, divides=False),
        descriptor=_write_descriptor("spk_pool", pool.name, _pool_fields(operation)),
    )  # fmt: skip


def _lower_pool(operation: PoolDense) -> KernelCall:
    pool, suffix = operation.layer, suffix_of(operation.writes)
    kind, divides = "max", False
    fields = _pool_fields(operation)
    if isinstance(pool, ir.AvgPool2d):
        divides = suffix == "f32"
        kind = "avg" if divides else "sum"
    if divides:
        fields["divisors"] = f"{pool.name}_divisor"
    return _made(
        operation,
        f"spk_{kind}pool_dense_{suffix}",
        [f"&{pool.name}", f"s->{operation.reads.name}", f"s->{operation.writes.name}"],
        tables=tables.pool_tables(pool, operation.before, divides),
        descriptor=_write_descriptor("spk_pool", pool.name, fields),
    )


def _lower_affine(operation: Scale) -> KernelCall:
    affine, step = operation.layer, operation.step
    scale = tables.broadcast_affine(affine)[0]
    channels = scale.size if step is None else scale[0].size
    at = "" if step is None else f" + {channels} * s->{step.name}[0]"
    return _made(
        operation,
        "spk_affine_apply_f32",
        [
            f"{affine.name}_scale{at}", f"{affine.name}_shift{at}", str(channels),
            f"s->{operation.buffer.name}", str(affine.shape.size // channels),
        ],
        tables=tables.affine_tables(affine),
    )  # fmt: skip


def _lower_expand(operation: Expand) -> KernelCall:
    reads, fired, suffix = operation.reads, operation.fired, suffix_of(operation.writes)
    to = [f"s->{operation.writes.name}", str(operation.writes.length)]
    if isinstance(reads, ActiveInputs):
        return _made(
            operation,
            f"spk_expand_active_{suffix}",
            ["active", "count", *to],
            frame=(f"spk_expand_frame_{suffix}", ["frame", *to]),
        )
    assert fired is not None, "only neurons make a list of spikes"
    spikes = [f"s->{reads.buffer.name}", reads.count]
    graded = suffix == "f32" and not fired.unit_spikes
    if suffix == "f32":
        per_neuron = int(graded and fired.grade.size > 1)
        spikes += [tables.grade_table(fired) if graded else "spk_one", str(per_neuron)]
    return _made(
        operation,
        f"spk_expand_spikes_{suffix}",
        [*spikes, *to],
        tables=tables.grade_tables(fired) if graded else [],
    )


def _lower_place(operation: Place) -> KernelCall:
    columns = operation.columns
    first = f" + {operation.first}" if operation.first > 0 else ""
    return _made(
        operation,
        f"spk_place_{suffix_of(operation.writes)}",
        [
            f"s->{operation.reads.name}", str(operation.reads.length // columns), str(columns),
            f"s->{operation.writes.name}{first}", str(operation.row_step),
            str(operation.column_step),
        ],
    )  # fmt: skip


def _lower_join(operation: Join) -> KernelCall:
    count, to = operation.writes.count, f"s->{operation.writes.buffer.name}"
    lines = [f"uint32_t {count} = 0;"]
    for spikes, offset in zip(operation.reads, operation.offsets, strict=True):
        arguments = [f"s->{spikes.buffer.name}", spikes.count, str(offset), to, count]
        lines.append(write_call(f"{count} = spk_join_spikes", arguments))
    call = "\n".join(lines)
    return KernelCall("spk_join_spikes", (), "", call, call, 0, 0, _note(operation))


def index_bytes(spikes: SpikeList) -> int:
    """Bytes of a position in a list."""
    return SIZES[spikes.buffer.ctype]
