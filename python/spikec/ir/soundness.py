# SPDX-License-Identifier: Apache-2.0
"""What must hold of a network before anything relies on it: layers that fit one another.

The importers build networks that are sound; one that was read from a file is judged here, because
the generated C trusts every size and index in it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Container
from typing import assert_never

import numpy as np

from spikec.ir import network as ir

LARGEST = 1 << 28
"""Values in one layer, a gigabyte of floats: far beyond a microcontroller, and beyond C's enum."""
LARGEST_INPUT = 0x7FFF
"""The largest input value that a network can declare."""
LONGEST = 0xFFFF
"""Rows, columns, taps or steps of a window, which tables hold in 16 bits."""
_LONGEST_TEXT = 1000
_MOST_TAPS = 1 << 24
"""Places times taps along one axis, all of which are looked at when tables are made."""


def fault(network: ir.Network) -> str:
    """The first thing that is wrong with ``network``, as half a sentence; empty when it is sound.

    Layers come after what they read and end in spikes; shapes, weights and options agree from layer
    to layer; names can stand in C; numbers are finite.
    """
    for text in (network.source, *(layer.source for layer in network.layers)):
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            return "a source is too long, or holds characters that cannot be printed"
    if not re.fullmatch("[0-9a-f]{64}", network.sha256):
        return "sha256 is not 64 hexadecimal digits"
    if network.input_max is not None and not 0 < network.input_max <= LARGEST_INPUT:
        return f"its declared largest input is not within 1 and {LARGEST_INPUT:,}"
    shapes = {ir.INPUT: network.input}
    found = _size_fault(network.input)
    if found:
        return f"the input: {found}"
    for layer in network.layers:
        if not re.fullmatch("[a-z][a-z0-9]{0,30}[0-9]", layer.name) or layer.name in shapes:
            return (
                f"layer {layer.name!r}: its name is not of its own, lower-case letters and digits "
                "that end in a digit"
            )
        found = (
            _inputs_fault(network, layer, shapes)
            or _size_fault(layer.shape)
            or _number_fault(layer)
            or _layer_fault(layer, [network.shape_of(name) for name in layer.inputs])
        )
        if found:
            return f"layer {layer.name!r}: {found}"
        shapes[layer.name] = layer.shape
    return _end_fault(network)


def _inputs_fault(network: ir.Network, layer: ir.Layer, earlier: Container[str]) -> str:
    """Everything reads what comes before it, but for loops, which a ``Previous`` closes."""
    match layer:
        case ir.Previous(inputs=(source,)):
            names = [other.name for other in network.layers]
            if source not in names or source in earlier or source == layer.name:
                return f"reads {source!r}, which is no later layer"
            if isinstance(network.layer(source), ir.Previous | ir.Flatten):
                return f"reads {source!r}, which computes nothing"
            readers = list(network.readers(layer.name))
            for reader in readers:
                if names.index(reader.name) > names.index(source):
                    return f"reads {source!r}, and {reader.name!r} reads it after that has run"
                if isinstance(reader, ir.Flatten):  # the same memory
                    readers += network.readers(reader.name)
            return ""
        case ir.Concat() | ir.Cell():
            count = len(layer.inputs)
        case _:
            count = 1
    if not layer.inputs or len(layer.inputs) != count:
        return f"reads {len(layer.inputs)} layers where it must read {count}"
    missing = [name for name in layer.inputs if name not in earlier]
    return f"reads {missing[0]!r}, which is no earlier layer" if missing else ""


def _size_fault(shape: ir.Shape) -> str:
    sides = (shape.height, shape.width)
    if shape.line and (shape.flat or shape.height != 1):
        return f"its shape {shape} is a line and no line"
    if min(*sides, shape.channels) < 1 or max(sides) > LONGEST or shape.size > LARGEST:
        return f"its shape {shape} is empty or too large"
    return ""


def _number_fault(layer: ir.Layer) -> str:
    named = [(field.name, getattr(layer, field.name)) for field in dataclasses.fields(layer)]
    if isinstance(layer, ir.Cell):
        named += [(each.name, each.values) for each in layer.parameters]
    for name, values in named:
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            return f"its {name} holds NaN or infinity"
    return ""


def _layer_fault(layer: ir.Layer, inputs: list[ir.Shape]) -> str:
    """What is wrong with one layer that reads values of the shapes ``inputs``."""
    before = inputs[0]
    match layer:
        case ir.Conv2d():
            return _conv2d_fault(layer, before)
        case ir.Linear():
            wanted = ir.Shape(1, 1, layer.shape.channels, flat=True)
            if not before.flat or layer.shape != wanted:
                return f"a linear layer cannot make {layer.shape} of {before}"
            return _weight_fault(layer, (before.size, layer.shape.channels))
        case ir.MaxPool2d():
            sides = zip(
                _sides(layer.shape), layer.stride, layer.kernel, _sides(before), strict=True
            )
            if layer.clipped != any((out - 1) * s + k > size for out, s, k, size in sides):
                return "what it says of clipped windows is not so"
            return _pool_fault(layer, layer.dilation, before)
        case ir.AvgPool2d():
            if layer.divisors.shape != _sides(layer.shape) or not layer.divisors.all():
                return "its divisors are not one for each window, none of them 0"
            return _pool_fault(layer, (1, 1), before)
        case ir.Affine():
            return _affine_fault(layer, before, layer.scale, layer.shift)
        case ir.AffineTT():
            if layer.scale.shape != layer.shift.shape or layer.scale.ndim != 4:
                return "its scale and shift are not [T, y, x, c], of one shape"
            return _affine_fault(layer, before, layer.scale[0], layer.shift[0])
        case ir.Flatten():
            if layer.shape != dataclasses.replace(before, flat=True, line=False):
                return f"its shape {layer.shape} is not its input {before} flattened"
            return ""
        case ir.Unflatten():
            if layer.shape.flat or not before.flat or layer.shape.size != before.size:
                return f"it cannot make {layer.shape} of {before}"
            return ""
        case ir.Concat():
            return _concat_fault(layer, inputs)
        case ir.Previous():
            return "" if layer.shape == before else f"its shape is not that of its input, {before}"
        case ir.Leaky():
            return _leaky_fault(layer, before)
        case ir.Cell():
            return _cell_fault(layer, inputs)
        case ir.IntegerLeaky():
            return "is of a network in integers, which is made when a network is compiled"
        case _:
            assert_never(layer)


def _affine_fault(
    layer: ir.Affine | ir.AffineTT, before: ir.Shape, scale: ir.Floats, shift: ir.Floats
) -> str:
    if layer.shape != before:
        return f"its shape {layer.shape} is not that of its input, {before}"
    return (
        _parameter_fault(scale, "scale", before)
        or _parameter_fault(shift, "shift", before)
        or _sum_fault(layer.shift, "shift")
    )


def _concat_fault(layer: ir.Concat, inputs: list[ir.Shape]) -> str:
    shape = layer.shape
    if shape.flat:
        wanted = ir.Shape(1, 1, sum(each.size for each in inputs), flat=True)
        fits = all(each.flat for each in inputs)
    else:
        wanted = dataclasses.replace(inputs[0], channels=sum(each.channels for each in inputs))
        fits = all(dataclasses.replace(each, channels=shape.channels) == wanted for each in inputs)
    return "" if fits and shape == wanted else f"its inputs cannot be joined to {shape}"


_NUMBERS: dict[ir.Op, int] = {
    "add": 2, "sub": 2, "mul": 2, "neg": 1, "abs": 1, "maximum": 2, "greater": 2, "at_least": 2,
    "sigmoid": 1, "tanh": 1,
}  # fmt: skip
"""How many numbers the statements take that take only numbers."""


def _cell_fault(cell: ir.Cell, inputs: list[ir.Shape]) -> str:
    """What is wrong with a program: each name once, and each argument of the right kind."""
    if cell.unit is not None or any(each.values.dtype != np.float32 for each in cell.parameters):
        return "is of a network in integers, which is made when a network is compiled"
    if len(cell.kind) > _LONGEST_TEXT or not cell.kind.isprintable():
        return "its kind is too long, or holds characters that cannot be printed"
    kinds: dict[str, str] = {}
    levels = {
        step.arguments[1] for step in cell.program if step.op == "nearest" and step.arguments[1:]
    }

    def declare(name: str, kind: str) -> str:
        if not re.fullmatch("[a-z][a-z0-9_]{0,30}", name) or name in kinds:
            return f"{name[:40]!r} is no name of its own, of lower-case letters, digits and _"
        kinds[name] = kind
        return ""

    if len(cell.currents) != len(inputs):
        return "its currents are not those of its inputs"
    for parts, before in zip(cell.currents, inputs, strict=True):
        wanted = dataclasses.replace(cell.shape, channels=len(parts) * cell.shape.channels)
        if before != wanted:
            return f"its input {before} is not {wanted}"
        found = next(filter(None, (declare(name, "number") for name in parts)), "")
        if found:
            return found
    for each in cell.parameters:
        table = each.name in levels
        found = declare(each.name, "levels" if table else "number")
        if not table:
            found = found or _parameter_fault(each.values, each.name, cell.shape)
        elif each.values.ndim != 1 or not each.values.size:
            found = found or f"its {each.name} is no table of levels"
        if found:
            return found
    for state in cell.states:
        found = declare(state.name, "number")
        if found:
            return found
    constants = {each.name for each in cell.parameters}
    for step in cell.program:
        given = [kinds.get(name, "nothing") for name in step.arguments]
        match step.op:
            case "select":
                wanted_kinds, made = ["flag", "number", "number"], "number"
            case "number":
                wanted_kinds, made = ["flag"], "number"
            case "nearest":
                wanted_kinds, made = ["number", "levels"], "number"
            case "decay" | "shift":
                return f"{step.op} is of integers only"
            case _:
                wanted_kinds = ["number"] * _NUMBERS[step.op]
                made = "flag" if step.op in ("greater", "at_least") else "number"
        if given != wanted_kinds:
            return f"its {step.name} is {step.op} of {', '.join(given) or 'nothing'}"
        found = declare(step.name, made)
        if found:
            return found
        judges = step.op in ("greater", "at_least") and step.arguments[1] in constants
        if step.name == cell.fires and not judges:
            return "its spike is not a potential compared with a threshold"
    names = [step.name for step in cell.program]
    results = [state.next for state in cell.states]
    results += [] if cell.value is None else [cell.value]
    if any(kinds.get(name) != "number" for name in results):
        return "what it hands on or remembers is no number of its program"
    if (cell.fires is None) == (cell.value is None):
        return "it hands on either spikes or a value"
    if cell.fires is not None:
        if cell.fires not in names or not cell.states:
            return "its spike is no statement of its program, or it remembers nothing"
        if cell.winner is not None and (
            cell.winner not in names[: names.index(cell.fires)] or kinds[cell.winner] != "number"
        ):
            return "what its winner is judged by does not come before the spike"
    elif cell.winner is not None:
        return "it has a winner, but never fires"
    found = _parameter_fault(cell.grade, "grade", cell.shape)
    return found or ("" if cell.grade.all() else "its grade is 0 somewhere")


def _conv2d_fault(conv: ir.Conv2d, before: ir.Shape) -> str:
    if before.flat or conv.shape.flat:
        return f"a convolution cannot make {conv.shape} of {before}"
    channels, groups = conv.shape.channels, conv.groups
    if groups < 1 or channels % groups or before.channels % groups:
        return f"{groups} groups do not divide {before.channels} and {channels} channels"
    kernel = conv.weight.shape[:2]
    found = _weight_fault(conv, (*kernel, before.channels // groups, channels)) or _window_fault(
        kernel, conv.stride, conv.padding, conv.dilation, _sides(before)
    )
    if found:
        return found
    for i in (0, 1):
        reach = conv.dilation[i] * (kernel[i] - 1)
        end = (_sides(conv.shape)[i] - 1) * conv.stride[i] + reach + 1
        # Below and on the right padding="same" adds what is left of the reach, a number the same.
        if end - conv.padding[i] - _sides(before)[i] > max(
            conv.padding[i], reach - conv.padding[i]
        ):
            return f"its shape {conv.shape} is larger than its input {before} gives"
    return ""


def _weight_fault(layer: ir.Conv2d | ir.Linear, wanted: tuple[int, ...]) -> str:
    if layer.weight.shape != wanted or not layer.weight.size:
        return f"its weight is {layer.weight.shape} where {wanted} fits its shapes"
    if layer.bias.shape != (layer.shape.channels,):
        return f"its bias is {layer.bias.shape} where {(layer.shape.channels,)} is needed"
    return _sum_fault(layer.bias, "bias")


def _sum_fault(values: ir.Floats, what: str) -> str:
    """A sum that starts from -0.0 would tell a skipped zero from an added one."""
    return f"its {what} holds -0.0" if np.signbit(values[values == 0]).any() else ""


def _pool_fault(
    pool: ir.MaxPool2d | ir.AvgPool2d, dilation: tuple[int, int], before: ir.Shape
) -> str:
    if before.flat or pool.shape.flat or pool.shape.channels != before.channels:
        return f"a pooling cannot make {pool.shape} of {before}"
    places = _sides(pool.shape)
    found = _window_fault(pool.kernel, pool.stride, pool.padding, dilation, places)
    if found:
        return found
    for i in (0, 1):
        first = np.arange(places[i], dtype=np.int64) * pool.stride[i] - pool.padding[i]
        skipped = np.maximum(0, -(first // dilation[i]))  # taps before the map
        if (first + skipped * dilation[i] >= _sides(before)[i]).any() or (
            skipped >= pool.kernel[i]
        ).any():
            return f"one of its windows reaches no input of {before}"
    return ""


def _window_fault(
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    places: tuple[int, int],
) -> str:
    """Whether a window's options are in range, and the taps of all ``places`` can be listed."""
    options = (*kernel, *stride, *dilation)
    if min(options) < 1 or min(padding) < 0 or max(*options, *padding) > LONGEST:
        return f"its kernel, stride, padding or dilation is not within {LONGEST:,}"
    if max(kernel[0] * places[0], kernel[1] * places[1]) > _MOST_TAPS:
        return f"its windows {kernel} are too large"
    return ""


def _leaky_fault(leaky: ir.Leaky, before: ir.Shape) -> str:
    if leaky.shape != before:
        return f"its shape {leaky.shape} is not that of its input, {before}"
    for what in ("beta", "threshold", "grade"):
        found = _parameter_fault(getattr(leaky, what), what, before)
        if found:
            return found
    if leaky.beta.min() < 0 or leaky.beta.max() > 1:
        return "its beta is not within 0 and 1"
    return "" if leaky.grade.all() else "its grade is 0 somewhere"


def _parameter_fault(values: ir.Floats | ir.Integers, what: str, shape: ir.Shape) -> str:
    c = shape.channels
    if values.shape not in ((1, 1, 1), (1, 1, c), (shape.height, shape.width, c)):
        return f"its {what} is {values.shape}, which does not fit its neurons {shape}"
    return ""


def _end_fault(network: ir.Network) -> str:
    """The outputs are spikes: nothing after them may turn them into other numbers."""
    if not network.spiking:
        return "it has no spiking layer"
    unread = [
        layer.name
        for layer in network.layers
        if not network.readers(layer.name) and layer is not network.output
    ]
    if unread:
        return f"layer {unread[0]!r}: nothing reads it, and it is not the last one"
    if isinstance(network.readout, ir.Cell):
        return ""  # one that never fires is read through its membrane
    ends: list[tuple[str, bool]] = [(network.output.name, False)]
    while ends:
        name, pooled = ends.pop()
        layer = None if name == ir.INPUT else network.layer(name)
        match layer:
            case ir.Flatten() | ir.Concat() | ir.Unflatten():
                ends += [(other, pooled) for other in layer.inputs]
            case ir.MaxPool2d():
                ends += [(other, True) for other in layer.inputs]
            case ir.Leaky() | ir.IntegerLeaky() if layer.unit_spikes or not pooled:
                continue
            case ir.Cell(fires=str()) if layer.unit_spikes or not pooled:
                continue
            case _:
                return f"layer {name!r}: stands after the last spiking layer"
    return ""


def _sides(shape: ir.Shape) -> tuple[int, int]:
    return (shape.height, shape.width)
