# SPDX-License-Identifier: Apache-2.0
"""The truth in bits: what the generated C computes, in NumPy, to the last bit.

One summation order holds everywhere: an output starts from its bias, then inputs are added in
memory order. An input that is zero adds nothing, which cannot be told from adding a zero: a sum
that does not start from -0.0 never becomes -0.0. So this dense code equals the event-driven C.
A network in whole numbers is computed in 64 bits, where nothing can overflow.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from spikec import ir

Numbers: TypeAlias = npt.NDArray[Any]
"""float32, or int64 of a network in whole numbers."""

_CHUNK = 1 << 19  # values worked on at a time, to stay in the cache


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """What a network did: per layer name, arrays ``[T, H, W, C]`` in memory order.

    ``spikes`` are 0 or 1 of the spiking layers, ``membranes`` theirs after the step, ``values``
    what every layer hands on. Membranes of a network in whole numbers are counts of their layer's
    ``unit``.
    """

    spikes: dict[str, npt.NDArray[np.uint8]]
    membranes: dict[str, Numbers]
    values: dict[str, Numbers]


def run(network: ir.Network, frames: ir.Floats) -> Trace:
    """Runs ``network`` over ``frames [T, H, W, C]`` in memory order, from the reset state."""
    spikes: dict[str, npt.NDArray[np.uint8]] = {}
    membranes: dict[str, Numbers] = {}
    zero = np.float32(0.0)  # added where a list of what is active would lose the sign of -0.0
    given: Numbers = np.ascontiguousarray(frames, np.float32) + zero
    values: dict[str, Numbers] = {
        ir.INPUT: given if network.numbers == "f32" else given.astype(np.int64)
    }
    for layer in network.layers:
        value = values[layer.inputs[0]]
        match layer:
            case ir.Conv2d() | ir.Linear():
                values[layer.name] = _chunked(layer, value)
            case ir.MaxPool2d():
                values[layer.name] = max_pool2d(layer, value)
            case ir.AvgPool2d():
                values[layer.name] = avg_pool2d(layer, value)
            case ir.Affine():
                values[layer.name] = value * layer.scale + layer.shift
            case ir.Flatten():
                values[layer.name] = value
            case ir.Leaky():
                fired, kept = leaky(layer, value)
                spikes[layer.name] = fired
                membranes[layer.name] = kept
                values[layer.name] = fired * layer.grade + zero
            case ir.IntegerLeaky():
                fired, kept = integer_leaky(layer, value)
                spikes[layer.name] = fired
                membranes[layer.name] = kept
                values[layer.name] = fired.astype(np.int64)
            case _:
                assert_never(layer)
    return Trace(spikes, membranes, values)


def integer_leaky(
    layer: ir.IntegerLeaky, current: Numbers
) -> tuple[npt.NDArray[np.uint8], Numbers]:
    """Spikes and membranes ``[T, H, W, C]`` of neurons in whole numbers.

    Equation: see ``docs/numbers.md``.
    """
    decay, threshold = layer.decay.astype(np.int64), layer.threshold.astype(np.int64)
    spikes = np.empty(current.shape, np.uint8)
    membranes = np.empty(current.shape, np.int64)
    membrane = np.zeros(current.shape[1:], np.int64)
    for t, now in enumerate(current):
        above = membrane > threshold
        kept = np.where(above, 0, membrane) if layer.reset == "zero" else membrane
        membrane = ((kept * decay + (1 << 14)) >> 15) + (now << layer.shift) + layer.bias
        if layer.reset == "subtract":
            membrane -= np.where(above, threshold, 0)
        fired = membrane > threshold
        if not layer.reset_delay and layer.reset != "none":
            undo = fired.astype(np.int64) - above
            membrane = membrane - undo * (threshold if layer.reset == "subtract" else membrane)
        spikes[t] = fired
        membranes[t] = membrane
    return spikes, membranes


def leaky(layer: ir.Leaky, current: ir.Floats) -> tuple[npt.NDArray[np.uint8], ir.Floats]:
    """Spikes and membranes ``[T, H, W, C]`` of leaky neurons driven by ``current [T, H, W, C]``.

    Equation, snnTorch's ``Leaky``: see ``docs/numbers.md``.
    """
    zero = np.float32(0.0)
    spikes = np.empty(current.shape, np.uint8)
    membranes = np.empty(current.shape, np.float32)
    membrane = np.zeros(current.shape[1:], np.float32)
    threshold = np.broadcast_to(layer.threshold, membrane.shape)
    for t, now in enumerate(current):
        above = membrane > threshold
        match layer.reset:
            case "subtract":
                membrane = layer.beta * membrane + now - np.where(above, threshold, zero)
            case "zero":
                membrane = layer.beta * np.where(above, zero, membrane) + now
            case "none":
                membrane = layer.beta * membrane + now
            case _:
                assert_never(layer.reset)
        fired = membrane > threshold
        if not layer.reset_delay and layer.reset != "none":
            undo = fired.astype(np.float32) - above.astype(np.float32)
            membrane = membrane - undo * (threshold if layer.reset == "subtract" else membrane)
        spikes[t] = fired
        membranes[t] = membrane
    return spikes, membranes


def _chunked(layer: ir.Conv2d | ir.Linear, value: Numbers) -> Numbers:
    """Weights times inputs for all steps, a few steps at a time."""
    shape = layer.shape
    out = np.empty((len(value), shape.height, shape.width, shape.channels), value.dtype)
    steps = max(1, _CHUNK // max(1, layer.shape.size))
    for start in range(0, len(value), steps):
        part = value[start : start + steps]
        out[start : start + steps] = weigh(layer, layer.weight, layer.bias, part)
    return out


def weigh(layer: ir.Conv2d | ir.Linear, weight: Numbers, bias: Numbers, value: Numbers) -> Numbers:
    """``bias`` plus ``value [T, H, W, C]`` times ``weight``, as ``layer`` connects them.

    The type of ``value`` is that of all arithmetic.
    """
    match layer:
        case ir.Conv2d():
            return _conv2d(layer, weight, bias, value)
        case ir.Linear():
            total = np.empty((len(value), 1, 1, layer.shape.channels), value.dtype)
            total[:] = bias
            flat = value.reshape(len(value), 1, 1, len(weight))
            for i in np.flatnonzero(flat.any(axis=(0, 1, 2))):
                total += flat[..., i : i + 1] * weight[i]
            return total
        case _:
            assert_never(layer)


def _conv2d(layer: ir.Conv2d, weight: Numbers, bias: Numbers, value: Numbers) -> Numbers:
    """``out[y, x] = bias + sum over ky, kx, ic of in[y*s + ky*d - p, ...] * weight``."""
    kernel_height, kernel_width, group_in, channels = weight.shape
    group_out = channels // layer.groups
    (sy, sx), (py, px), (dy, dx) = layer.stride, layer.padding, layer.dilation
    height, width = layer.shape.height, layer.shape.width
    need = (
        (height - 1) * sy + dy * (kernel_height - 1) + 1,
        (width - 1) * sx + dx * (kernel_width - 1) + 1,
    )
    after = (max(0, need[0] - py - value.shape[1]), max(0, need[1] - px - value.shape[2]))
    padded = np.pad(value, ((0, 0), (py, after[0]), (px, after[1]), (0, 0)))
    total = np.empty((len(value), height, width, channels), value.dtype)
    total[:] = bias
    for ky in range(kernel_height):
        for kx in range(kernel_width):
            rows = slice(ky * dy, ky * dy + (height - 1) * sy + 1, sy)
            cols = slice(kx * dx, kx * dx + (width - 1) * sx + 1, sx)
            window = padded[:, rows, cols]
            for group in range(layer.groups):
                outs = slice(group * group_out, (group + 1) * group_out)
                for ic in range(group_in):
                    tap = window[..., group * group_in + ic, None]
                    if tap.any():
                        total[..., outs] += tap * weight[ky, kx, ic, outs]
    return total


def max_pool2d(layer: ir.MaxPool2d, value: Numbers) -> Numbers:
    """The largest of each window of ``value [T, H, W, C]``."""
    rows, cols = (
        ir.extents(
            (layer.shape.height, layer.shape.width)[i],
            value.shape[1 + i], layer.kernel[i], layer.stride[i], layer.padding[i],
            layer.dilation[i],
        )
        for i in (0, 1)
    )  # fmt: skip
    out = np.empty((len(value), len(rows), len(cols), value.shape[3]), value.dtype)
    for y, (top, high) in enumerate(rows):
        for x, (left, wide) in enumerate(cols):
            ys = slice(top, top + (high - 1) * layer.dilation[0] + 1, layer.dilation[0])
            xs = slice(left, left + (wide - 1) * layer.dilation[1] + 1, layer.dilation[1])
            out[:, y, x] = value[:, ys, xs].max(axis=(1, 2))
    return out


def avg_pool2d(layer: ir.AvgPool2d, value: Numbers) -> Numbers:
    """The mean of each window of ``value [T, H, W, C]``; of whole numbers the sum."""
    whole = np.issubdtype(value.dtype, np.integer)
    rows, cols = (
        ir.extents(
            (layer.shape.height, layer.shape.width)[i],
            value.shape[1 + i], layer.kernel[i], layer.stride[i], layer.padding[i], 1,
        )
        for i in (0, 1)
    )  # fmt: skip
    out = np.empty((len(value), len(rows), len(cols), value.shape[3]), value.dtype)
    for y, (top, high) in enumerate(rows):
        for x, (left, wide) in enumerate(cols):
            total = np.zeros((len(value), value.shape[3]), value.dtype)
            for i in range(high):
                for j in range(wide):
                    total = total + value[:, top + i, left + j]
            if not whole:
                total = total / layer.divisors[y, x] + np.float32(0.0)  # no -0 by underflow
            out[:, y, x] = total
    return out
