# SPDX-License-Identifier: Apache-2.0
"""The truth in bits: what the generated C computes, in NumPy, to the last bit.

One summation order holds everywhere: an output starts from its bias, then inputs are added in
memory order. An input that is zero adds nothing, which cannot be told from adding a zero: a sum
that does not start from -0.0 never becomes -0.0. So this dense code equals the event-driven C.
"""

from __future__ import annotations

import dataclasses
from typing import assert_never

import numpy as np
import numpy.typing as npt

from spikec import ir

_CHUNK = 1 << 19  # values worked on at a time, to stay in the cache


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """What a network did: per layer name, arrays ``[T, H, W, C]`` in memory order.

    ``spikes`` are 0 or 1 of the spiking layers, ``membranes`` theirs after the step, ``values``
    what every layer hands on.
    """

    spikes: dict[str, npt.NDArray[np.uint8]]
    membranes: dict[str, ir.Floats]
    values: dict[str, ir.Floats]


def run(network: ir.Network, frames: ir.Floats) -> Trace:
    """Runs ``network`` over ``frames [T, H, W, C]`` in memory order, from the reset state."""
    spikes: dict[str, npt.NDArray[np.uint8]] = {}
    membranes: dict[str, ir.Floats] = {}
    zero = np.float32(0.0)  # added where a list of what is active would lose the sign of -0.0
    values: dict[str, ir.Floats] = {ir.INPUT: np.ascontiguousarray(frames, np.float32) + zero}
    for layer in network.layers:
        value = values[layer.inputs[0]]
        match layer:
            case ir.Conv2d():
                values[layer.name] = _chunked(layer, value)
            case ir.Linear():
                values[layer.name] = _chunked(
                    layer, value.reshape(len(value), 1, 1, layer.weight.shape[0])
                )
            case ir.MaxPool2d():
                values[layer.name] = _max_pool2d(layer, value)
            case ir.AvgPool2d():
                values[layer.name] = _avg_pool2d(layer, value)
            case ir.Affine():
                values[layer.name] = value * layer.scale + layer.shift
            case ir.Flatten():
                values[layer.name] = value
            case ir.Leaky():
                fired, kept = leaky(layer, value)
                spikes[layer.name] = fired
                membranes[layer.name] = kept
                values[layer.name] = fired * layer.grade + zero
            case _:
                assert_never(layer)
    return Trace(spikes, membranes, values)


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


def _chunked(layer: ir.Conv2d | ir.Linear, value: ir.Floats) -> ir.Floats:
    """Weights times inputs for all steps, a few steps at a time."""
    shape = layer.shape
    out = np.empty((len(value), shape.height, shape.width, shape.channels), np.float32)
    steps = max(1, _CHUNK // max(1, layer.shape.size))
    for start in range(0, len(value), steps):
        part = value[start : start + steps]
        match layer:
            case ir.Conv2d():
                out[start : start + steps] = _conv2d(layer, part)
            case ir.Linear():
                total = np.broadcast_to(layer.bias, (len(part), 1, 1, layer.shape.channels)).copy()
                for i in np.flatnonzero(part.any(axis=(0, 1, 2))):
                    total += part[..., i : i + 1] * layer.weight[i]
                out[start : start + steps] = total
            case _:
                assert_never(layer)
    return out


def _conv2d(layer: ir.Conv2d, value: ir.Floats) -> ir.Floats:
    """``out[y, x] = bias + sum over ky, kx, ic of in[y*s + ky*d - p, ...] * weight``."""
    kernel_height, kernel_width, group_in, channels = layer.weight.shape
    group_out = channels // layer.groups
    (sy, sx), (py, px), (dy, dx) = layer.stride, layer.padding, layer.dilation
    height, width = layer.shape.height, layer.shape.width
    need = (
        (height - 1) * sy + dy * (kernel_height - 1) + 1,
        (width - 1) * sx + dx * (kernel_width - 1) + 1,
    )
    after = (max(0, need[0] - py - value.shape[1]), max(0, need[1] - px - value.shape[2]))
    padded = np.pad(value, ((0, 0), (py, after[0]), (px, after[1]), (0, 0)))
    total = np.empty((len(value), height, width, channels), np.float32)
    total[:] = layer.bias
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
                        total[..., outs] += tap * layer.weight[ky, kx, ic, outs]
    return total


def _max_pool2d(layer: ir.MaxPool2d, value: ir.Floats) -> ir.Floats:
    rows, cols = (
        ir.extents(
            (layer.shape.height, layer.shape.width)[i],
            value.shape[1 + i], layer.kernel[i], layer.stride[i], layer.padding[i],
            layer.dilation[i],
        )
        for i in (0, 1)
    )  # fmt: skip
    out = np.empty((len(value), len(rows), len(cols), value.shape[3]), np.float32)
    for y, (top, high) in enumerate(rows):
        for x, (left, wide) in enumerate(cols):
            ys = slice(top, top + (high - 1) * layer.dilation[0] + 1, layer.dilation[0])
            xs = slice(left, left + (wide - 1) * layer.dilation[1] + 1, layer.dilation[1])
            out[:, y, x] = value[:, ys, xs].max(axis=(1, 2))
    return out


def _avg_pool2d(layer: ir.AvgPool2d, value: ir.Floats) -> ir.Floats:
    rows, cols = (
        ir.extents(
            (layer.shape.height, layer.shape.width)[i],
            value.shape[1 + i], layer.kernel[i], layer.stride[i], layer.padding[i], 1,
        )
        for i in (0, 1)
    )  # fmt: skip
    out = np.empty((len(value), len(rows), len(cols), value.shape[3]), np.float32)
    for y, (top, high) in enumerate(rows):
        for x, (left, wide) in enumerate(cols):
            total = np.zeros((len(value), value.shape[3]), np.float32)
            for i in range(high):
                for j in range(wide):
                    total = total + value[:, top + i, left + j]
            out[:, y, x] = total / layer.divisors[y, x] + np.float32(0.0)  # no -0 by underflow
    return out
