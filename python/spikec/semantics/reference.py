# SPDX-License-Identifier: Apache-2.0
"""The truth in bits: what the generated C computes, in NumPy, to the last bit.

One summation order holds everywhere: an output starts from its bias, then inputs are added in
memory order. An input that is zero adds nothing, which cannot be told from adding a zero: a sum
that does not start from -0.0 never becomes -0.0. So this dense code equals the event-driven C.
A network in integers is computed in 64 bits, where nothing can overflow. A ``Cell``'s program
runs statement by statement, each rounded by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from spikec.ir import network as ir
from spikec.semantics import functions

Numbers: TypeAlias = npt.NDArray[Any]
"""float32, or int64 of a network in integers."""

_CHUNK = 1 << 19  # values worked on at a time, to stay in the cache


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """What a network did: per layer name, arrays ``[T, H, W, C]`` in memory order.

    ``spikes`` are 0 or 1 of the spiking layers, ``membranes`` theirs after the step, ``values``
    what every layer hands on. Membranes of a network in integers are counts of their layer's
    ``unit``.
    """

    spikes: dict[str, npt.NDArray[np.uint8]]
    membranes: dict[str, Numbers]
    values: dict[str, Numbers]


def run(network: ir.Network, frames: ir.Floats) -> Trace:
    """Runs ``network`` over ``frames [T, H, W, C]`` in memory order, from the reset state."""
    zero = np.float32(0.0)  # added where a list of what is active would lose the sign of -0.0
    given: Numbers = np.ascontiguousarray(frames, np.float32) + zero
    if network.numbers == "int8":
        given = given.astype(np.int64)
    runner = _Runner(network, given.dtype)
    loops = any(isinstance(layer, ir.Previous) for layer in network.layers)
    if not loops:
        return runner.run(given)
    traces = [runner.run(given[t : t + 1]) for t in range(len(given))]
    first = runner.run(given[:0])  # the shapes, should there be no time step
    return Trace(
        *(
            {
                name: np.concatenate([getattr(trace, what)[name] for trace in (first, *traces)])
                for name in getattr(first, what)
            }
            for what in ("spikes", "membranes", "values")
        )
    )


class _Runner:
    """Runs some time steps of a network after others, and keeps what goes from step to step.

    A network with loops runs one at a time.
    """

    def __init__(self, network: ir.Network, dtype: npt.DTypeLike) -> None:
        self.network = network
        self.step = 0
        self.states: dict[str, dict[str, Numbers]] = {}
        self.last: dict[str, Numbers] = {}
        for layer in network.layers:
            shape = (layer.shape.height, layer.shape.width, layer.shape.channels)
            self.last[layer.name] = np.zeros((1, *shape), dtype)
            if isinstance(layer, ir.Cell):
                self.states[layer.name] = {
                    each.name: np.zeros(shape, dtype) for each in layer.states
                }
            else:
                self.states[layer.name] = {"mem": np.zeros(shape, dtype)}

    def run(self, frames: Numbers) -> Trace:
        """What the next ``len(frames)`` time steps do."""
        trace = Trace({}, {}, {ir.INPUT: frames})
        for layer in self.network.layers:
            self._run(layer, trace)
        if len(frames):
            self.last = {layer.name: trace.values[layer.name][-1:] for layer in self.network.layers}
        self.step += len(frames)
        return trace

    def _run(self, layer: ir.Layer, trace: Trace) -> None:
        """Runs one layer over the frames in ``trace``, and adds what it did to that."""
        values, states = trace.values, self.states[layer.name]
        zero = np.float32(0.0)
        if isinstance(layer, ir.Previous):
            values[layer.name] = self.last[layer.inputs[0]][: len(values[ir.INPUT])]
            return
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
            case ir.AffineTT():
                steps = slice(self.step, self.step + len(value))
                values[layer.name] = value * layer.scale[steps] + layer.shift[steps]
            case ir.Flatten():
                values[layer.name] = value
            case ir.Unflatten():
                values[layer.name] = unflatten(layer, self.network.shape_of(layer.inputs[0]), value)
            case ir.Concat():
                values[layer.name] = concat(
                    layer, [(self.network.shape_of(name), values[name]) for name in layer.inputs]
                )
            case ir.Leaky() | ir.IntegerLeaky():
                if isinstance(layer, ir.Leaky):
                    fired, kept = leaky(layer, value, states["mem"])
                    values[layer.name] = fired * layer.grade + zero
                else:
                    fired, kept = integer_leaky(layer, value, states["mem"])
                    values[layer.name] = fired.astype(np.int64)
                trace.spikes[layer.name] = fired
                trace.membranes[layer.name] = kept
                if len(kept):
                    states["mem"] = kept[-1]
            case ir.Cell():
                found = cell(layer, [values[name] for name in layer.inputs], states)
                values[layer.name] = found.values
                if layer.states:
                    trace.spikes[layer.name] = found.spikes
                    trace.membranes[layer.name] = found.membranes
                self.states[layer.name] = found.states
            case _:
                assert_never(layer)


def concat(layer: ir.Concat, parts: Sequence[tuple[ir.Shape, Numbers]]) -> Numbers:
    """Joins values ``[T, H, W, C]``, each given with its shape."""
    if not layer.shape.flat:
        return np.concatenate([value for _, value in parts], axis=3)
    rows = [shape.to_axes(value).reshape(-1, shape.size) for shape, value in parts]
    return np.concatenate(rows, axis=1)[:, None, None, :]


def unflatten(layer: ir.Unflatten, before: ir.Shape, value: Numbers) -> Numbers:
    """Features ``[T, H, W, C]`` of the shape ``before`` as the map of ``layer``."""
    features = before.to_axes(value)
    return np.ascontiguousarray(layer.shape.to_memory(features.reshape(-1, *layer.shape.axes)))


@dataclasses.dataclass(frozen=True, slots=True)
class CellRun:
    """What cells did: ``[T, H, W, C]`` each, and the states after it, ``[H, W, C]``.

    ``membranes`` are those of the first state; None without states.
    """

    values: Numbers
    spikes: npt.NDArray[np.uint8]
    membranes: Numbers
    states: dict[str, Numbers]


def cell(
    layer: ir.Cell, inputs: Sequence[Numbers], states: dict[str, Numbers] | None = None
) -> CellRun:
    """Runs the program of ``layer`` over inputs ``[T, H, W, parts * C]``; states are 0 at first."""
    shape = (layer.shape.height, layer.shape.width, layer.shape.channels)
    steps, dtype = len(inputs[0]), inputs[0].dtype
    parameters = {each.name: each.values.astype(dtype, copy=False) for each in layer.parameters}
    currents: dict[str, Numbers] = {}
    for names, value in zip(layer.currents, inputs, strict=True):
        for part, name in enumerate(names):
            currents[name] = value[..., part * shape[2] : (part + 1) * shape[2]]
    if not layer.states:  # steps do not depend on one another
        assert layer.value is not None, "a cell without states hands on a value"
        done = _statements(layer, parameters | currents, dtype)
        values = np.broadcast_to(done[layer.value], (steps, *shape)).astype(dtype)
        return CellRun(values, np.zeros((0, *shape), np.uint8), values[:0], {})
    if states is None:
        states = {each.name: np.zeros(shape, dtype) for each in layer.states}
    values, membranes = np.empty((2, steps, *shape), dtype)
    spikes = np.zeros((steps, *shape), np.uint8)
    for t in range(steps):
        now = {name: current[t] for name, current in currents.items()}
        done = _statements(layer, parameters | now | states, dtype)
        states = {each.name: np.broadcast_to(done[each.next], shape) for each in layer.states}
        membranes[t] = states[layer.states[0].name]
        if layer.fires is not None:
            spikes[t] = done[layer.fires]
            whole = layer.unit is not None
            values[t] = spikes[t] if whole else spikes[t] * layer.grade + np.float32(0.0)
        else:
            assert layer.value is not None, "a cell that never fires hands on a value"
            values[t] = done[layer.value]
    return CellRun(values, spikes, membranes, states)


def _statements(
    layer: ir.Cell, known: dict[str, Numbers], dtype: npt.DTypeLike
) -> dict[str, Numbers]:
    """Everything that has a name in a program, after it has run on what is ``known``."""
    for step in layer.program:
        given = [known[name] for name in step.arguments]
        result = _statement(step.op, given, dtype)
        if step.name == layer.fires and layer.winner is not None:
            result = result & _largest(layer.shape, known[layer.winner])
        known[step.name] = result
    return known


def _statement(op: ir.Op, given: Sequence[Numbers], dtype: npt.DTypeLike) -> Numbers:
    """One statement of a program; all numbers are of one type."""
    first = given[0]
    match op:
        case "add":
            return first + given[1]
        case "sub":
            return first - given[1]
        case "mul":
            return first * given[1]
        case "neg":
            return -first
        case "abs":
            return np.abs(first)
        case "maximum":
            return np.where(given[1] > first, given[1], first)
        case "greater":
            return np.greater(first, given[1])
        case "at_least":
            return np.greater_equal(first, given[1])
        case "select":
            return np.where(first, given[1], given[2])
        case "number":
            return first.astype(dtype)
        case "sigmoid":
            return functions.sigmoid(first)
        case "tanh":
            return functions.tanh(first)
        case "nearest":
            levels = given[1].ravel()
            return np.asarray(levels[np.abs(levels - first[..., None]).argmin(axis=-1)])
        case "decay":
            return (first * given[1] + (1 << 14)) >> 15
        case "shift":
            return first << given[1]
        case _:
            assert_never(op)


def _largest(shape: ir.Shape, values: Numbers) -> npt.NDArray[np.bool_]:
    """Where the largest of ``values [H, W, C]`` is, of equal ones the first of snnTorch's order."""
    place = int(shape.to_axes(values[None]).argmax())
    mask = np.zeros((1, *shape.axes), np.bool_)
    mask.flat[place] = True
    return np.asarray(shape.to_memory(mask)[0].reshape(values.shape))


def integer_leaky(
    layer: ir.IntegerLeaky, current: Numbers, membrane: Numbers | None = None
) -> tuple[npt.NDArray[np.uint8], Numbers]:
    """Spikes and membranes ``[T, H, W, C]`` of neurons in integers.

    They start from ``membrane [H, W, C]``, or else from 0.

    Equation: see ``docs/numbers.md``.
    """
    decay, threshold = layer.decay.astype(np.int64), layer.threshold.astype(np.int64)
    spikes = np.empty(current.shape, np.uint8)
    membranes = np.empty(current.shape, np.int64)
    if membrane is None:
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


def leaky(
    layer: ir.Leaky, current: ir.Floats, membrane: ir.Floats | None = None
) -> tuple[npt.NDArray[np.uint8], ir.Floats]:
    """Spikes and membranes ``[T, H, W, C]`` of leaky neurons driven by ``current [T, H, W, C]``.

    They start from ``membrane [H, W, C]``, or else from 0.

    Equation, snnTorch's ``Leaky``: see ``docs/numbers.md``.
    """
    zero = np.float32(0.0)
    spikes = np.empty(current.shape, np.uint8)
    membranes = np.empty(current.shape, np.float32)
    if membrane is None:
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
    """The mean of each window of ``value [T, H, W, C]``; of integers the sum."""
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
