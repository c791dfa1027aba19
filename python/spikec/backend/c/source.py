# SPDX-License-Identifier: Apache-2.0
"""Writes a planned network as C: NAME.h and NAME.c, NAME_model.h and NAME_model.c.

The same network gives the same bytes: no dates, no paths, no order of a dictionary by chance.
"""

from __future__ import annotations

import dataclasses
import re
from typing import assert_never

import numpy as np

from spikec.backend.c import cell as emit_cell
from spikec.backend.c.tables import (
    broadcast_affine,
    float_literals,
    grade_table,
    rows_of,
    tables,
    tables_of,
)
from spikec.backend.c.text import KEYWORDS, WIDTH, one_line, signature
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.ir.taps import spans, tap_step
from spikec.passes import lower as planning
from spikec.passes.choose import Gathered
from spikec.version import VERSION

LEVELS = ("v3", "v4")
"""The levels of x86-64 that have a source of their own; see ``cc/host/spk_level.h``."""

_C_HEADERS = frozenset(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal "
    "stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath "
    "threads time uchar wchar wctype".split()
)  # a NAME.h of ours would be found in their place


def check_name(name: str) -> str:
    """Returns ``name`` if generated symbols can start with it.

    Raises:
        SpikecError: it is no C identifier, or one that C or the runtime keeps for itself.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise SpikecError(
            f"the name {name!r} is no C identifier, and generated symbols start with it; use "
            "letters, digits and underscores, and a letter first."
        )
    taken = name in KEYWORDS or name.lower() in _C_HEADERS
    ending = re.search(r"_(model|readout|v[34])$", name)
    if ending:
        raise SpikecError(
            f"the name {name!r} ends in {ending[0]}, as one of the files generated for another "
            "network may; choose another one."
        )
    if taken or name.lower().startswith("spk"):
        raise SpikecError(
            f"the name {name!r} is kept by C or by spikec's runtime; choose another one."
        )
    return name


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
        **{f"{name}_{level}.c": _at_level(planned, name, level) for level in LEVELS},
        f"{name}_model.h": _model_header(name),
        f"{name}_model.c": _model(planned, name),
    }


_SUFFIXES: dict[planning.CType, str] = {"float": "f32", "int16_t": "i16", "int32_t": "i32"}
"""What kernels are called for the numbers that they make."""


def _suffix(buffer: planning.Buffer) -> str:
    return _SUFFIXES[buffer.ctype]


def kernels(planned: planning.Plan) -> tuple[str, ...]:
    """The kernel headers that the generated source includes."""
    used: set[str] = set()
    for operation in planned.parts:
        match operation:
            case planning.Spread(layer=layer):
                kind = "conv2d" if isinstance(layer, ir.Conv2d) else "linear"
                used.add(f"spk_{kind}_{_suffix(operation.writes)}.h")
            case planning.Collect():
                used.add("spk_collect_f32.h")
            case planning.Gather():
                used.add("spk_gather_f32.h")
            case planning.Fire(membrane=membrane):
                used.add(f"spk_leaky_{'f32' if membrane.ctype == 'float' else 'int'}.h")
            case planning.Update(layer=cell):
                used |= emit_cell.headers(cell)
            case planning.Place() | planning.Join():
                used.add("spk_place.h")
            case planning.PoolSpikes():
                used.add("spk_pool_spikes.h")
            case planning.PoolDense(writes=buffer):
                used.add(f"spk_pool_{'f32' if buffer.ctype == 'float' else 'int'}.h")
            case planning.Scale(buffer=buffer) | planning.Expand(writes=buffer):
                used.add(f"spk_dense_{'f32' if buffer.ctype == 'float' else 'int'}.h")
            case _:
                assert_never(operation)
    return tuple(sorted(used))


def work(planned: planning.Plan) -> tuple[Work, ...]:
    """Worst-case work of one step, per operation."""
    found = []
    for operation in planned.parts:
        match operation:
            case (
                planning.Spread(layer=layer, before=before)
                | planning.Collect(layer=layer, before=before)
                | planning.Gather(layer=layer, before=before)
            ):
                adds = int(layer.weight.size)
                if isinstance(layer, ir.Conv2d):
                    rows = sum(s.taps for s in spans(layer, 0, before.height))
                    cols = sum(s.taps for s in spans(layer, 1, before.width))
                    adds = rows * cols * before.channels * (layer.shape.channels // layer.groups)
                found.append(Work(layer.name, adds, 0))
            case planning.Fire() | planning.Update(index=int()):
                found.append(Work(operation.layer.name, 0, operation.layer.shape.size))
            case (
                planning.PoolSpikes() | planning.PoolDense() | planning.Scale() | planning.Expand()
                | planning.Place() | planning.Join() | planning.Update()
            ):  # fmt: skip
                continue
            case _:
                assert_never(operation)
    return tuple(found)


def _parameter(values: ir.Floats | ir.Integers, table: str, channels: int) -> str:
    """A ``spk_param_f32`` (or ``_i16``, ``_i32``) initialiser.

    ``values`` are ``[1, 1, 1]``, ``[1, 1, c]`` or ``[y, x, c]``.
    """
    per_channel = 0 if values.size == 1 else 1
    per_position = channels if values.shape[:2] != (1, 1) else 0
    return f"{{{table}, {per_position}, {per_channel}}}"


def _descriptor(operation: planning.Part) -> str:
    """The descriptor of an operation's kernel, or a function of its own; empty: it needs none."""
    match operation:
        case planning.Spread(layer=layer, before=before):
            suffix = _suffix(operation.writes)
            if isinstance(layer, ir.Conv2d):
                return _conv_descriptor(layer, before, suffix)
            fields: dict[str, object] = {
                **_weight_fields(layer),
                "inputs": layer.weight.shape[0],
                "outputs": layer.weight.shape[1],
            }
            return _struct(f"spk_linear_{suffix}", layer.name, fields)
        case planning.Collect(layer=layer, before=before):
            return _collect_descriptor(layer, before)
        case planning.Gather(layer=layer, before=before):
            return _gather_descriptor(layer.name, Gathered.of(layer, before))
        case planning.Fire():
            return _leaky_descriptor(operation)
        case planning.Update():
            return emit_cell.function(operation)
        case planning.PoolSpikes(layer=pool) | planning.PoolDense(layer=pool):
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
            }
            if isinstance(operation, planning.PoolSpikes):
                return _struct("spk_pool_spikes", pool.name, fields)
            if operation.writes.ctype != "float":
                return _struct("spk_pool_int", pool.name, fields)
            average = isinstance(pool, ir.AvgPool2d)
            fields["divisors"] = f"{pool.name}_divisor" if average else "NULL"
            return _struct("spk_pool_f32", pool.name, fields)
        case planning.Scale() | planning.Expand() | planning.Place() | planning.Join():
            return ""
        case _:
            assert_never(operation)


def _weight_fields(layer: ir.Conv2d | ir.Linear) -> dict[str, object]:
    """Weights and, where there is one, a bias; in whole numbers the neurons have it."""
    fields: dict[str, object] = {"weight": f"{layer.name}_weight"}
    return fields if layer.weight.dtype == np.int8 else fields | {"bias": f"{layer.name}_bias"}


def _leaky_descriptor(fire: planning.Fire) -> str:
    leaky, channels = fire.layer, fire.layer.shape.channels

    def parameter(what: str, values: ir.Floats | ir.Integers) -> str:
        return _parameter(values, f"{leaky.name}_{what}", channels)

    fields: dict[str, object]
    match leaky:
        case ir.Leaky():
            fields = {
                "beta": parameter("beta", leaky.beta),
                "threshold": parameter("threshold", leaky.threshold),
            }
        case ir.IntegerLeaky():
            bias = parameter("bias", leaky.bias) if leaky.bias.any() else "{NULL, 0, 0}"
            fields = {
                "decay": parameter("decay", leaky.decay),
                "threshold": parameter("threshold", leaky.threshold),
                "bias": bias,
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
    return _struct(f"spk_leaky_{_suffix(fire.membrane)}", leaky.name, fields)


def _conv_descriptor(conv: ir.Conv2d, before: ir.Shape, suffix: str) -> str:
    fields: dict[str, object] = {
        **_weight_fields(conv),
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
        "row_step": tap_step(conv.stride[0], conv.dilation[0]),
        "col_step": tap_step(conv.stride[1], conv.dilation[1]),
        "stride_y": conv.stride[0],
        "pad_top": conv.padding[0],
        "field": (conv.weight.shape[0] - 1) * conv.dilation[0] + 1,
        "group_in": conv.weight.shape[2],
        "group_out": conv.shape.channels // conv.groups,
    }
    return _struct(f"spk_conv2d_{suffix}", conv.name, fields)


def _collect_descriptor(conv: ir.Conv2d, before: ir.Shape) -> str:
    fields: dict[str, object] = {
        "weight": f"{conv.name}_weight",
        "bias": f"{conv.name}_bias",
        "in_height": before.height,
        "in_width": before.width,
        "in_channels": before.channels,
        "out_height": conv.shape.height,
        "out_width": conv.shape.width,
        "out_channels": conv.shape.channels,
        "kernel_height": conv.weight.shape[0],
        "kernel_width": conv.weight.shape[1],
        "stride_y": conv.stride[0],
        "stride_x": conv.stride[1],
        "pad_top": conv.padding[0],
        "pad_left": conv.padding[1],
    }
    return _struct("spk_collect_f32", conv.name, fields)


def _gather_descriptor(name: str, gathered: Gathered) -> str:
    fields: dict[str, object] = {
        "weight": f"{name}_weight",
        "bias": f"{name}_bias",
        "rows": f"{name}_rows",
        "cols": f"{name}_cols",
        "in_width": gathered.before.width,
        "in_channels": gathered.before.channels,
        "out_width": gathered.shape.width,
        "out_height": gathered.shape.height,
        "out_channels": gathered.shape.channels,
        "kernel_height": gathered.kernel[0],
        "kernel_width": gathered.kernel[1],
        "row_step": gathered.dilation[0],
        "col_step": gathered.dilation[1],
        "group_in": gathered.group_in,
        "group_out": gathered.shape.channels // gathered.groups,
        "whole_from": gathered.whole[0],
        "whole_to": gathered.whole[1],
        "whole_step": gathered.stride[1],
    }
    return _struct("spk_gather_f32", name, fields)


def _struct(ctype: str, name: str, fields: dict[str, object]) -> str:
    body = rows_of(f".{field} = {value}" for field, value in fields.items())
    return f"static const {ctype} {name} = {{\n{body}\n}};\n"


def _call(operation: planning.Part, frame: bool) -> str:
    """The line of C that runs an operation; ``frame`` reads the input as a dense frame."""
    match operation:
        case planning.Spread():
            layer = operation.layer
            kernel = "spk_conv2d" if isinstance(layer, ir.Conv2d) else "spk_linear"
            match operation.reads:
                case planning.Active():
                    kind, reads = "active", "active, count"
                    if frame:
                        kind, reads = _frame_kind(operation.writes), "frame"
                case planning.Spikes():
                    kind = "spikes"
                    reads = f"s->{operation.reads.buffer.name}, {operation.reads.count}"
                case planning.Dense():
                    kind, reads = "dense", f"s->{operation.reads.buffer.name}"
                case _:
                    assert_never(operation.reads)
            return (
                f"{kernel}_{kind}_{_suffix(operation.writes)}(&{layer.name}, {reads}, "
                f"s->{operation.writes.name});"
            )
        case planning.Collect(layer=layer, reads=spikes):
            return (
                f"spk_collect_spikes_f32(&{layer.name}, s->{spikes.buffer.name}, {spikes.count}, "
                f"s->{operation.room.name}, s->{operation.writes.name});"
            )
        case planning.Gather(layer=layer):
            return (
                f"spk_gather_dense_f32(&{layer.name}, s->{operation.reads.name}, "
                f"s->{operation.writes.name});"
            )
        case planning.Fire():
            kernel = f"spk_leaky_step_{_leaky_suffix(operation)}"
            return (
                f"const uint32_t {operation.writes.count} = {kernel}("
                f"&{operation.layer.name}, s->{operation.reads.name}, "
                f"s->{operation.membrane.name}, s->{operation.writes.buffer.name});"
            )
        case planning.PoolSpikes():
            return (
                f"const uint32_t {operation.writes.count} = spk_maxpool_spikes("
                f"&{operation.layer.name}, s->{operation.reads.buffer.name}, "
                f"{operation.reads.count}, s->{operation.map.name}, {operation.before.size}, "
                f"s->{operation.writes.buffer.name});"
            )
        case planning.PoolDense():
            kind = "max" if isinstance(operation.layer, ir.MaxPool2d) else "avg"
            if kind == "avg" and operation.writes.ctype != "float":
                kind = "sum"
            return (
                f"spk_{kind}pool_dense_{_suffix(operation.writes)}(&{operation.layer.name}, "
                f"s->{operation.reads.name}, s->{operation.writes.name});"
            )
        case planning.Update():
            return emit_cell.call(operation)
        case planning.Place(reads=source, columns=columns):
            out = f"s->{operation.writes.name}" + (f" + {operation.first}" * (operation.first > 0))
            return (
                f"spk_place_{_suffix(operation.writes)}(s->{source.name}, "
                f"{source.length // columns}, {columns}, {out}, {operation.row_step}, "
                f"{operation.column_step});"
            )
        case planning.Join():
            raise AssertionError("several calls")
        case planning.Scale(layer=affine, buffer=buffer, step=step):
            scale = broadcast_affine(affine)[0]
            channels = scale.size if step is None else scale[0].size
            at = "" if step is None else f" + {channels} * s->{step.name}[0]"
            return (
                f"spk_affine_dense_f32({affine.name}_scale{at}, {affine.name}_shift{at}, "
                f"{channels}, s->{buffer.name}, {affine.shape.size // channels});"
            )
        case planning.Expand(reads=reads, writes=writes, fired=fired):
            to = f"s->{writes.name}, {writes.length}"
            suffix = _suffix(writes)
            if isinstance(reads, planning.Active):
                if frame:
                    return f"spk_dense_from_frame_{suffix}(frame, {to});"
                return f"spk_dense_from_active_{suffix}(active, count, {to});"
            assert fired is not None, "only a spiking layer makes a list of spikes"
            if suffix != "f32":
                return (
                    f"spk_dense_from_spikes_{suffix}(s->{reads.buffer.name}, {reads.count}, {to});"
                )
            grade = "spk_one" if fired.unit_spikes else grade_table(fired)
            per_neuron = 0 if fired.unit_spikes or fired.grade.size == 1 else 1
            return (
                f"spk_dense_from_spikes_f32(s->{reads.buffer.name}, {reads.count}, {grade}, "
                f"{per_neuron}, s->{writes.name}, {writes.length});"
            )
        case _:
            assert_never(operation)


def _frame_kind(writes: planning.Buffer) -> str:
    """What a kernel that reads the caller's dense frame is called."""
    return "dense" if writes.ctype == "float" else "frame"


def _leaky_suffix(fire: planning.Fire) -> str:
    """Of the kernel of neurons: whole numbers name their currents, then their membranes."""
    membrane = _suffix(fire.membrane)
    return membrane if membrane == "f32" else f"{_suffix(fire.reads)}_{membrane}"


def _wrapped(call: str) -> str:
    """A call that is too long for a line, broken between arguments and aligned."""
    start, _, arguments = call.partition("(")
    return signature(start, arguments.removesuffix(");").split(", "), ";", WIDTH - 2)


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
        case ir.Affine() | ir.AffineTT():
            steps = f" of {len(layer.scale)} steps" if isinstance(layer, ir.AffineTT) else ""
            return f"batch norm{steps}"
        case ir.Unflatten():
            return f"unflatten {layer.shape}"
        case ir.Concat():
            return "concat"
        case ir.Previous():
            return "the step before"
        case ir.Cell(kind=kind, winner=winner):
            short = one_line(kind).rpartition(".")[2].lower()
            return short if winner is None else f"{short}, one wins"
        case ir.Flatten():
            return "flatten"
        case (
            ir.Leaky(reset=reset, reset_delay=delay)
            | ir.IntegerLeaky(reset=reset, reset_delay=delay)
        ):
            how = "" if reset == "subtract" else f" reset {reset}"
            return f"leaky{how}{'' if delay or reset == 'none' else ' at once'}"
        case _:
            assert_never(layer)


def describe(network: ir.Network) -> str:
    """The network on one line."""
    found = str(network.input)
    before = ir.INPUT
    for layer in network.layers:
        # In a chain every layer reads the one before; elsewhere it says what it reads.
        reads = "" if layer.inputs == (before,) else f" of {' and '.join(layer.inputs)}"
        found += f" -> {_what(layer)}{reads}"
        before = layer.name
    return found


def _chosen(planned: planning.Plan) -> str:
    """Which kernel every convolution and linear layer got, and why."""
    choices = planned.choices
    if len(set(choices.values())) == 1:
        return f"{next(iter(choices.values()))}"
    return "; ".join(f"{name} {choice}" for name, choice in choices.items())


def _comment(label: str, text: str) -> str:
    """A labelled comment, wrapped under its label."""
    lines: list[str] = []
    line = f"// {label:<9}"
    indent = "//          "
    for word in text.split(" "):
        if len(line) + 1 + len(word) > WIDTH and line != indent:
            lines.append(line)
            line = indent
        line += f" {word}" if line not in (f"// {label:<9}", indent) else word
    lines.append(line)
    return "\n".join(lines)


def _numbers(network: ir.Network) -> str:
    """The format of weights and membranes, and for which inputs it holds."""
    if network.numbers == "int8":
        bits = ", ".join(
            f"{layer.name} {layer.bits if isinstance(layer, ir.IntegerLeaky) else 32}"
            for layer in network.spiking
            if not isinstance(layer, ir.Leaky)
        )
        return (
            f"int8 weights, membranes of as many bits as their bounds need ({bits}) for whole "
            f"inputs from 0 to {network.input_max}; the same integers on every target"
        )
    declared = "" if network.input_max is None else f"; for inputs from 0 to {network.input_max}"
    return (
        "float32; the same bits on every target, if built without fused multiply-add "
        f"(-ffp-contract=off){declared}"
    )


def _banner(planned: planning.Plan, first: str) -> str:
    network = planned.network
    bytes_of_tables = sum(table.bytes for table in tables(planned))
    items = work(planned)
    adds = sum(item.adds for item in items)
    each = ", ".join(f"{item.layer} {item.adds:,}" for item in items if item.adds)
    neurons = sum(item.neurons for item in items)
    dense = any(choice.dense for choice in planned.choices.values())
    return "\n".join(
        (
            "// SPDX-License-Identifier: Apache-2.0",
            f"// {first}",
            f"// Generated by spikec {VERSION}; do not edit.",
            _comment("source", f"{one_line(network.source)}, sha256 {network.sha256}"),
            _comment("network", describe(network)),
            _comment("numbers", _numbers(network)),
            _comment(
                "memory",
                f"{bytes_of_tables:,} bytes of constant tables (flash), {planned.state_bytes:,} "
                "bytes of state (RAM), no heap",
            ),
            _comment("kernels", _chosen(planned) or "no layer has a choice"),
            _comment(
                "work",
                f"per step {neurons:,} neurons are updated and, if every input and every neuron "
                f"fired, {adds:,} weights added ({each}); in proportion to what fires"
                + (", but for dense kernels" if dense else ""),
            ),
            "",
        )
    )


def _signatures(name: str, state: str, end: str, qualifier: str = "") -> dict[str, str]:
    """The heads of the generated functions that step a network; ``state`` names the argument."""
    upper = name.upper()
    this = f"{name}_state *{state}"
    active = ["const spk_active *active", "size_t count"]
    spikes = f"uint8_t spikes[{upper}_OUTPUTS]"
    arguments = {
        "step": [this, *active, spikes],
        "step_frame": [this, f"const float frame[{upper}_INPUTS]", spikes],
        "step_observed": [this, *active, spikes, "spk_observer observer", "void *context"],
    }
    return {
        what: signature(f"{qualifier}spk_status {name}_{what}", given, end)
        for what, given in arguments.items()
    }


def _header(planned: planning.Plan, name: str) -> str:
    upper = name.upper()
    network = planned.network
    output = network.output
    spiking = network.spiking
    readout = network.readout
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
    limit = ""
    if network.max_steps is not None:
        enum[f"{upper}_MAX_STEPS"] = network.max_steps
        limit = f", or a step after {upper}_MAX_STEPS of them since the reset"
    entries = "\n".join(f"  {key} = {value}," for key, value in enum.items())
    members = "\n".join(_member(*member) for member in planned.members)
    membrane_readout = ""
    if readout is not None:
        number = _membrane(planned, readout).ctype
        membrane_readout = f"""
// The membranes of the output neurons after the last step; NULL for NULL.
const {number} *{name}_membranes(const {name}_state *state);
"""
        if not isinstance(readout, ir.Leaky) and readout.unit is not None:
            membrane_readout += f"""
// What one count of each of these membranes is worth, so that they can be compared.
extern const float {name}_membrane_units[{upper}_OUTPUTS];
"""
    remembered = "all that is remembered" if _has_more(planned) else "every membrane"
    banner = _banner(planned, "A spiking neural network in plain C11.")
    heads = _signatures(name, "state", ";", "SPK_MUST_USE ")
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

{_remembered(planned)}
typedef struct {name}_state {{
{members}
}} {name}_state;

// Puts {remembered} to 0. Call it before the first step and between recordings.
SPK_MUST_USE spk_status {name}_reset({name}_state *state);

// One time step. `active` lists the inputs that are not zero, sorted by index, each once; an index
// is a position in the input's memory order, {order}.
// `spikes` gets 1 for every output neuron that fired and 0 for the others. On an error nothing is
// written: NULL pointers, more than {upper}_INPUTS entries, an index out of range or out of order,
// {_refused(network)}{limit}.
{heads["step"]}

// The same for a dense frame in memory order, most of it zero.
{heads["step_frame"]}

// {name}_step that also shows every operation to `observer`, for tests and profiles.
{heads["step_observed"]}
{membrane_readout}
// The output with the largest count; the first one when several have it.
uint32_t {name}_winner(const uint32_t counts[{upper}_OUTPUTS]);

#ifdef __cplusplus
}}
#endif

#endif  // {upper}_H_
"""


def _has_more(planned: planning.Plan) -> bool:
    """Whether anything but membranes persists."""
    return len(planned.persistent) > len(planned.network.spiking)


def _remembered(planned: planning.Plan) -> str:
    """What the state struct is for."""
    if not _has_more(planned):
        return (
            "// Everything a running network remembers. The caller owns it; several run side by "
            "side. Only the\n// membranes live from one step to the next; the rest is room for the "
            "step under way."
        )
    return (
        "// Everything a running network remembers. The caller owns it; several run side by side. "
        "The\n// states of the neurons, and what the next step reads, live from one step to the "
        "next; the rest is\n// room for the step under way."
    )


def _membrane(planned: planning.Plan, layer: ir.Spiking) -> planning.Buffer:
    """Where the membranes of a layer are."""
    return next(b for b in planned.membranes if b.name == f"membrane_{layer.name}")


def _refused(network: ir.Network) -> str:
    """Which input values an error is returned for."""
    if network.input_max is None:
        return "a value that is not finite"
    whole = "a whole number " if network.numbers == "int8" else ""
    return f"a value that is not {whole}from 0 to {network.input_max}"


def _checked(network: ir.Network, kind: str, arguments: str) -> str:
    """The call that checks the input, of the ``kind`` "active" or "frame"."""
    check = f"spk_{kind}_check"
    if network.input_max is not None:
        check += "_counts" if network.numbers == "int8" else "_range"
        arguments += f", {network.input_max}"
    return f"{check}({arguments})"


def _member(place: tuple[planning.Buffer, ...], fill: int) -> str:
    """A member of the state struct, and what fills its last cache line."""
    lines = [
        f"{'SPK_WORD ' if b.ctype == 'int16_t' else ''}{b.ctype} {b.name}[{b.length}];  // {b.note}"
        for b in place
    ]
    if len(place) > 1:
        lines = ["union {  // one after the other", *(f"  {line}" for line in lines), "};"]
    if fill:
        lines.append(f"uint8_t fill_{place[0].name}[{fill}];  // what follows starts a cache line")
    return "\n".join(f"  {line}" for line in lines)


def _source(planned: planning.Plan, name: str) -> str:
    upper = name.upper()
    parts = [_banner(planned, f"The tables and the step of {name}.h."), ""]
    if planned.index == "uint32_t":
        parts.append("#define SPK_WIDE_INDEX  // a layer has more than 65,536 neurons\n")
    includes = "\n".join(f'#include "{file}"' for file in (*kernels(planned), "spk_level.h"))
    parts.append(f'#include "{name}.h"\n\n#include <assert.h>\n#include <string.h>\n\n{includes}\n')
    parts.append(
        f"static_assert(sizeof({name}_state) == {upper}_STATE_BYTES,\n"
        f'              "the state is as large as {name}.h says");\n'
    )
    if _needs_one(planned):
        parts.append(
            "// The size of a spike that is not graded.\nstatic const float spk_one[1] = {1.0f};\n"
        )
    written: set[str] = set()
    for part in planned.parts:
        found = [table for table in tables_of(part) if table.name not in written]
        written |= {table.name for table in found}
        parts.extend(table.text for table in found)
        descriptor = _descriptor(part)
        if descriptor:
            parts.append(descriptor)
    parts.append(_steps(planned, name))
    parts.append(_functions(planned, name))
    return "\n".join(parts)


_OBSERVED = ["uint8_t *spikes", "spk_observer observer", "void *context"]


def _leveled(name: str) -> dict[str, list[str]]:
    """The parameters of what is compiled for every level of CPU, by function."""
    state = f"{name}_state *s"
    return {
        f"{name}_active": [state, "const spk_active *active", "size_t count", *_OBSERVED],
        f"{name}_frame": [state, "const float *frame", "uint8_t *spikes"],
    }


def _steps(planned: planning.Plan, name: str) -> str:
    """A step behind its checks, one line a layer."""
    entry, other = _entry(planned)
    first = len(entry) + 1  # an observer counts the check of the input as 0
    lines = "\n".join(_lines(operation, number) for number, operation in enumerate(other, first))
    unread = [] if other else ["  (void)observer;", "  (void)context;"]
    lines = "\n".join([*([lines] if lines else unread), *_handing_out(planned, name)])
    lists = (getattr(operation, "writes", None) for operation in entry)
    counts = [
        value.count
        for value in lists
        if isinstance(value, planning.Spikes) and re.search(rf"(?<!->)\b{value.count}\b", lines)
    ]
    arguments = [f"{name}_state *s", *(f"uint32_t {count}" for count in counts), *_OBSERVED]
    rest = signature(f"static void {name}_rest", arguments, " {")
    parts = [
        f"""// What follows the layers that read the input. `observer` may be NULL.
{rest}
{lines}
}}
"""
    ]
    calls = {
        f"{name}_active": (
            [_lines(operation, number) for number, operation in enumerate(entry, 1)],
            "observer, context",
        ),
        f"{name}_frame": ([_lines(operation, None) for operation in entry], "NULL, NULL"),
    }
    given = ", ".join(["s", *counts, "spikes"])
    for function, parameters in _leveled(name).items():
        declared = signature(f"SPK_LEVELS({function}, ", parameters, ");")
        head = signature(f"void SPK_AT_LEVEL({function})", parameters, " {")
        body, shown = calls[function]
        parts.append(
            "\n".join([declared, "", head, *body, f"  {name}_rest({given}, {shown});", "}", ""])
        )
    return "\n".join(parts)


def _handing_out(planned: planning.Plan, name: str) -> list[str]:
    """The end of a step: the output's spikes as bytes, and the step is counted."""
    out, outputs = planned.output, f"{name.upper()}_OUTPUTS"
    lines = []
    if not isinstance(out, planning.Dense):
        lines.append(f"memset(spikes, 0, {outputs});")
    if isinstance(out, planning.Spikes):
        lines.append(
            f"for (uint32_t i = 0; i < {out.count}; i++) spikes[s->{out.buffer.name}[i]] = 1;"
        )
    elif isinstance(out, planning.Dense):
        zero = "0.0f" if out.buffer.ctype == "float" else "0"
        lines.append(
            f"for (uint32_t i = 0; i < {outputs}; i++) spikes[i] = s->{out.buffer.name}[i] != "
            f"{zero};"
        )
    if planned.step is not None:
        lines.append(f"s->{planned.step.name}[0]++;")
    return [f"  {line}" for line in lines]


def _functions(planned: planning.Plan, name: str) -> str:
    """What the header declares; not there where the file is compiled for another level."""
    upper = name.upper()
    network = planned.network
    heads = _signatures(name, "s", " {")
    resets = "\n".join(
        f"  memset(state->{b.name}, 0, sizeof(state->{b.name}));" for b in planned.persistent
    )
    limit = ""
    if planned.step is not None:
        limit = (
            f"  if (s->{planned.step.name}[0] >= {upper}_MAX_STEPS) return SPK_TOO_MANY_STEPS;\n"
        )
    parts = [
        f"""#if defined(SPK_LEVEL_BASE)

spk_status {name}_reset({name}_state *state) {{
  if (state == NULL) return SPK_NULL_ARGUMENT;
{resets}
  return SPK_OK;
}}

{heads["step_observed"]}
  if (s == NULL || spikes == NULL) return SPK_NULL_ARGUMENT;
  const spk_status status = {_checked(network, "active", f"active, count, {upper}_INPUTS")};
  if (status != SPK_OK) return status;
{limit}  spk_observe_operation(observer, context, 0);
  SPK_BEST_LEVEL({name}_active, (s, active, count, spikes, observer, context));
  return SPK_OK;
}}

{heads["step"]}
  return {name}_step_observed(s, active, count, spikes, NULL, NULL);
}}

{heads["step_frame"]}
  if (s == NULL || spikes == NULL) return SPK_NULL_ARGUMENT;
  const spk_status status = {_checked(network, "frame", f"frame, {upper}_INPUTS")};
  if (status != SPK_OK) return status;
{limit}  SPK_BEST_LEVEL({name}_frame, (s, frame, spikes));
  return SPK_OK;
}}
"""
    ]
    readout = network.readout
    if readout is not None:
        membrane = _membrane(planned, readout)
        parts.append(
            f"""const {membrane.ctype} *{name}_membranes(const {name}_state *state) {{
  return state == NULL ? NULL : state->{membrane.name};
}}
"""
        )
    if readout is not None and not isinstance(readout, ir.Leaky) and readout.unit is not None:
        shape = readout.shape
        units = np.broadcast_to(readout.unit, (shape.height, shape.width, shape.channels))
        body = rows_of(float_literals(units))
        parts.append(f"const float {name}_membrane_units[{upper}_OUTPUTS] = {{\n{body}\n}};\n")
    parts.append(
        f"""uint32_t {name}_winner(const uint32_t counts[{upper}_OUTPUTS]) {{
  uint32_t best = 0;
  for (uint32_t i = 1; i < {upper}_OUTPUTS; i++) {{
    if (counts[i] > counts[best]) best = i;
  }}
  return best;
}}

#endif  // SPK_LEVEL_BASE
"""
    )
    return "\n".join(parts)


def _at_level(planned: planning.Plan, name: str, level: str) -> str:
    """The source that compiles NAME.c once more for a level of CPU."""
    return f"""{_banner(planned, f"{name}.c for x86-64-{level}; empty for other CPUs.")}
#include "spk_level_{level}.h"

#if defined(SPK_HAS_LEVELS)
#include "{name}.c"
#endif

typedef int {name}_{level}_is_not_empty;
"""


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
        isinstance(op, planning.Expand)
        and op.fired is not None
        and op.writes.ctype == "float"
        and op.fired.unit_spikes
        for op in planned.operations
    )


def _lines(operation: planning.Operation, number: int | None) -> str:
    """An operation in C: what it is, its call, and what an observer is shown of it.

    ``number`` counts operations from 1; None: of a dense frame, where nobody observes.
    """
    layers: list[ir.Layer] = []
    parts = planning.parts_of(operation)
    for part in parts:
        match part:
            case planning.Fire(layer=leaky, pool=pool):
                layers += [leaky] if pool is None else [pool, leaky]
            case planning.Expand():
                pass
            case _:
                layers.append(part.layer)
    note = " -> ".join(_what(layer) for layer in layers)
    was = ", ".join(f'"{one_line(layer.source)}"' for layer in layers)
    if isinstance(operation, planning.Band):
        note += f" by {operation.rows} of {operation.fire.layer.shape.height} rows"
        call = _band_call(operation, number is None)
    elif isinstance(operation, planning.Join):
        call = _join_calls(operation)
    else:
        call = _wrapped(_call(operation, number is None))
    lines = [f"// {note}, was torch {was}"] if layers else []
    lines += call.split("\n")
    writes = getattr(operation, "writes", None)
    if isinstance(writes, planning.Spikes) and writes.kept is not None:
        lines.append(f"s->{writes.kept.name}[0] = {writes.count};")
    fire = parts[-1]
    if (
        number is not None
        and isinstance(fire, planning.Fire | planning.Update)
        and (fire.index is not None)
    ):
        neurons, spikes = fire.layer.shape.size, fire.writes
        membrane = fire.membrane if isinstance(fire, planning.Fire) else fire.states[0]
        shown = "0, 0, NULL"  # cells that never fire
        if isinstance(spikes, planning.Spikes):
            index_bytes = planning.SIZES[spikes.buffer.ctype]
            shown = f"{spikes.count}, {index_bytes}, s->{spikes.buffer.name}"
        shown = _wrapped(
            f"spk_observe(observer, context, {number}, {neurons}, {fire.index}, "
            f"{shown}, s->{membrane.name}, SPK_{_suffix(membrane).upper()});"
        )
        lines += shown.split("\n")
    elif number is not None:
        lines.append(f"spk_observe_operation(observer, context, {number});")
    return "\n".join(f"  {line}" for line in lines)


def _join_calls(join: planning.Join) -> str:
    """The lines of C that append one list after the other."""
    count = join.writes.count
    lines = [f"uint32_t {count} = 0;"]
    for spikes, offset in zip(join.reads, join.offsets, strict=True):
        call = (
            f"{count} = spk_join_spikes(s->{spikes.buffer.name}, {spikes.count}, {offset}, "
            f"s->{join.writes.buffer.name}, {count});"
        )
        lines += _wrapped(call).split("\n")
    return "\n".join(lines)


def _band_call(band: planning.Band, frame: bool) -> str:
    """The lines of C that run a band by band; ``frame`` reads the input as a dense frame."""
    conv, leaky, count = band.spread.layer.name, band.fire.layer.name, band.writes.count
    at = f"at_{conv}"
    match band.reads:
        case planning.Active():
            kind, reads = "active", ["active", "count", f"&{at}"]
            if frame:
                kind, reads = _frame_kind(band.spread.writes), ["frame"]
        case planning.Spikes(buffer=buffer):
            kind, reads = "spikes", [f"s->{buffer.name}", band.reads.count, f"&{at}"]
        case planning.Dense():
            raise AssertionError("a band reads a list")
        case _:
            assert_never(band.reads)
    current = f"s->{band.spread.writes.name}"
    pool = band.fire.pool.kernel[0] if band.fire.pool is not None else 1
    first = "y" if pool == 1 else f"{pool} * y"
    spread = signature(
        f"  spk_conv2d_band_{kind}_{_suffix(band.spread.writes)}",
        [f"&{conv}", *reads, first, str(pool * band.rows), current],
        ";",
        WIDTH - 2,
    )
    fire = signature(
        f"  {count} = spk_leaky_rows_{_leaky_suffix(band.fire)}",
        [
            f"&{leaky}", "y", str(band.rows), current, f"s->{band.fire.membrane.name}",
            f"s->{band.writes.buffer.name}", count,
        ],
        ";",
        WIDTH - 2,
    )  # fmt: skip
    height, step = band.fire.layer.shape.height, "y++" if band.rows == 1 else f"y += {band.rows}"
    return "\n".join(
        [
            *([] if "frame" in reads else [f"size_t {at} = 0;"]),
            f"uint32_t {count} = 0;",
            f"for (uint32_t y = 0; y < {height}; {step}) {{",
            spread,
            fire,
            "}",
        ]
    )


def _model(planned: planning.Plan, name: str) -> str:
    upper = name.upper()
    neurons = ", ".join(str(layer.shape.size) for layer in planned.network.spiking)
    active = ["const spk_active *active", "size_t count", "uint8_t *spikes"]
    heads = {
        what: signature(f"static spk_status {name}_model_{what}", ["void *state", *given], " {")
        for what, given in (
            ("step", active),
            ("step_frame", ["const float *frame", "uint8_t *spikes"]),
            ("step_observed", [*active, "spk_observer observer", "void *context"]),
        )
    }
    return f"""{_banner(planned, f"{name} behind the one handle that generic drivers use.")}
#include "{name}_model.h"

#include "{name}.h"

static spk_status {name}_model_reset(void *state) {{ return {name}_reset(state); }}

{heads["step"]}
  return {name}_step(state, active, count, spikes);
}}

{heads["step_frame"]}
  return {name}_step_frame(state, frame, spikes);
}}

{heads["step_observed"]}
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
