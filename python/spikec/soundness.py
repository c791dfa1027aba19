# SPDX-License-Identifier: Apache-2.0
"""What must hold of a network before anything relies on it: layers that fit one another.

The importers build networks that are sound; one that was read from a file is judged here, because
the generated C trusts every size and index in it.
"""

from __future__ import annotations

import dataclasses
import re
from typing import assert_never

import numpy as np

from spikec import ir

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

    Layers form a chain that ends in spikes; shapes, weights and options agree from layer to layer;
    names can stand in C; numbers are finite.
    """
    for text in (network.source, *(layer.source for layer in network.layers)):
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            return "a source is too long, or holds characters that cannot be printed"
    if not re.fullmatch("[0-9a-f]{64}", network.sha256):
        return "sha256 is not 64 hexadecimal digits"
    if network.input_max is not None and not 0 < network.input_max <= LARGEST_INPUT:
        return f"its declared largest input is not within 1 and {LARGEST_INPUT:,}"
    before_name, before = ir.INPUT, network.input
    names = set()
    found = _size_fault(before)
    if found:
        return f"the input: {found}"
    for layer in network.layers:
        if not re.fullmatch("[a-z][a-z0-9]{0,30}[0-9]", layer.name) or layer.name in names:
            return (
                f"layer {layer.name!r}: its name is not of its own, lower-case letters and digits "
                "that end in a digit"
            )
        if layer.inputs != (before_name,):
            return f"layer {layer.name!r}: reads {layer.inputs} where it must read {before_name!r}"
        found = _size_fault(layer.shape) or _number_fault(layer) or _layer_fault(layer, before)
        if found:
            return f"layer {layer.name!r}: {found}"
        names.add(layer.name)
        before_name, before = layer.name, layer.shape
    return _end_fault(network)


def _size_fault(shape: ir.Shape) -> str:
    sides = (shape.height, shape.width)
    if min(*sides, shape.channels) < 1 or max(sides) > LONGEST or shape.size > LARGEST:
        return f"its shape {shape} is empty or too large"
    return ""


def _number_fault(layer: ir.Layer) -> str:
    for field in dataclasses.fields(layer):
        values = getattr(layer, field.name)
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            return f"its {field.name} holds NaN or infinity"
    return ""


def _layer_fault(layer: ir.Layer, before: ir.Shape) -> str:
    """What is wrong with one layer that reads a value of shape ``before``."""
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
            if layer.shape != before:
                return f"its shape {layer.shape} is not that of its input, {before}"
            return (
                _parameter_fault(layer.scale, "scale", before)
                or _parameter_fault(layer.shift, "shift", before)
                or _sum_fault(layer.shift, "shift")
            )
        case ir.Flatten():
            if layer.shape != dataclasses.replace(before, flat=True):
                return f"its shape {layer.shape} is not its input {before} flattened"
            return ""
        case ir.Leaky():
            return _leaky_fault(layer, before)
        case ir.IntegerLeaky():
            return "is of a network in whole numbers, which is made when a network is compiled"
        case _:
            assert_never(layer)


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


def _parameter_fault(values: ir.Floats, what: str, shape: ir.Shape) -> str:
    c = shape.channels
    if values.shape not in ((1, 1, 1), (1, 1, c), (shape.height, shape.width, c)):
        return f"its {what} is {values.shape}, which does not fit its neurons {shape}"
    return ""


def _end_fault(network: ir.Network) -> str:
    """The outputs are spikes: nothing after the last Leaky may turn them into other numbers."""
    if not network.spiking:
        return "it has no spiking layer"
    for layer in reversed(network.layers):
        if isinstance(layer, ir.Spiking):
            break
        units = isinstance(layer, ir.MaxPool2d) and network.spiking[-1].unit_spikes
        if not units and not isinstance(layer, ir.Flatten):
            return f"layer {layer.name!r}: stands after the last spiking layer"
    return ""


def _sides(shape: ir.Shape) -> tuple[int, int]:
    return (shape.height, shape.width)
