# SPDX-License-Identifier: Apache-2.0
"""How large values and membranes can ever get, for every input of the declared range.

Interval arithmetic: the lowest and the highest a layer's values can be, given those of the layer
before. Of float32 networks the intervals also hold what rounding can add in any order of a step's
sums, so that a bound is one of the numbers that the C computes; of networks in integers they
are exact. What is tested are inputs that try to break them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from spikec.ir import network as ir
from spikec.semantics import reference

_Array: TypeAlias = npt.NDArray[np.float64]
_HALF_ULP = 2.0**-24
"""What rounding to float32 can change a number by, relative to it."""
_HALF_LEAST = 2.0**-150
"""And what it can change a subnormal number by."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """From ``low`` to ``high``, maps ``[y, x, c]`` in memory order; infinite where unbounded."""

    low: _Array
    high: _Array

    @property
    def largest(self) -> float:
        """The largest magnitude in it."""
        return float(max(-self.low.min(), self.high.max(), 0.0))


@dataclasses.dataclass(frozen=True, slots=True)
class Bounds:
    """``values`` of what every layer hands on, and ``membranes`` of the spiking layers, by name.

    A membrane's interval holds it before and after a reset that comes at once.
    """

    values: dict[str, Interval]
    membranes: dict[str, Interval]


def of(network: ir.Network, loops: Mapping[str, Interval] | None = None) -> Bounds:
    """The bounds of ``network`` for inputs from 0 to its ``input_max``.

    Without a declared range inputs are unbounded, and so is all that depends on them. ``loops`` are
    the values of ``Previous`` layers, by name, of a network that has yet to get what they read.
    """
    exact = network.numbers == "int8"
    shape = network.input
    axes = (shape.height, shape.width, shape.channels)
    most = np.inf if network.input_max is None else float(network.input_max)
    least = -np.inf if network.input_max is None else 0.0
    values = {ir.INPUT: Interval(np.full(axes, least), np.full(axes, most))}
    membranes = {}
    for layer in network.layers:
        if isinstance(layer, ir.Previous):
            values[layer.name] = (
                _handed_on(network.layer(layer.inputs[0]), exact)
                if loops is None
                else loops[layer.name]
            )
            continue
        value = values[layer.inputs[0]]
        match layer:
            case ir.Conv2d() | ir.Linear():
                values[layer.name] = _weighed(layer, value, exact)
            case ir.MaxPool2d():
                values[layer.name] = Interval(
                    reference.max_pool2d(layer, value.low[None])[0],
                    reference.max_pool2d(layer, value.high[None])[0],
                )
            case ir.AvgPool2d():
                values[layer.name] = _mean(layer, value, exact)
            case ir.Affine():
                values[layer.name] = _scaled(layer, value)
            case ir.AffineTT():
                steps = [
                    _scaled(
                        ir.Affine(layer.name, layer.source, layer.inputs, layer.shape, *one), value
                    )
                    for one in zip(layer.scale, layer.shift, strict=True)
                ]
                values[layer.name] = Interval(
                    np.min([step.low for step in steps], axis=0),
                    np.max([step.high for step in steps], axis=0),
                )
            case ir.Flatten():
                values[layer.name] = value
            case ir.Unflatten():
                before = network.shape_of(layer.inputs[0])
                ends = np.stack([value.low, value.high])
                values[layer.name] = Interval(*reference.unflatten(layer, before, ends))
            case ir.Concat():
                parts = [(network.shape_of(name), values[name]) for name in layer.inputs]
                values[layer.name] = Interval(
                    reference.concat(layer, [(shape, each.low[None]) for shape, each in parts])[0],
                    reference.concat(layer, [(shape, each.high[None]) for shape, each in parts])[0],
                )
            case ir.Cell():
                values[layer.name], membranes[layer.name] = _cell(
                    layer, [values[name] for name in layer.inputs], exact
                )
            case ir.Leaky() | ir.IntegerLeaky():
                membranes[layer.name] = membrane(layer, value)
                fires = membranes[layer.name].high > layer.threshold
                spike = np.where(fires, 1.0 if exact else layer.grade, 0.0)
                values[layer.name] = Interval(np.minimum(spike, 0.0), np.maximum(spike, 0.0))
            case _:
                assert_never(layer)
    return Bounds(values, membranes)


def _handed_on(layer: ir.Layer, exact: bool) -> Interval:
    """What a layer can hand on whatever it reads: of spikes their sizes."""
    axes = (layer.shape.height, layer.shape.width, layer.shape.channels)
    if not isinstance(layer, ir.Spiking) or (isinstance(layer, ir.Cell) and layer.fires is None):
        return Interval(np.full(axes, -np.inf), np.full(axes, np.inf))
    spike = np.broadcast_to(1.0 if exact else layer.grade.astype(np.float64), axes)
    return Interval(np.minimum(spike, 0.0), np.maximum(spike, 0.0))


def _cell(cell: ir.Cell, inputs: Sequence[Interval], exact: bool) -> tuple[Interval, Interval]:
    """What cells hand on, and their membranes; of float32 ones only spikes are known."""
    unknown = _handed_on(cell, exact)
    anything = Interval(np.full_like(unknown.low, -np.inf), np.full_like(unknown.low, np.inf))
    found = statements(cell, inputs) if exact else None
    if found is None:
        return unknown, anything
    value = unknown if cell.value is None else found[cell.value]
    return value, found[cell.states[0].name] if cell.states else anything


_TRIES = 64
_LARGEST = 2.0**40


def statements(cell: ir.Cell, inputs: Sequence[Interval]) -> dict[str, Interval] | None:
    """The intervals of all that has a name in a program of integers; None: it has no bounds.

    Those of the states are such that a time step that starts within them ends within them. They are
    found by running the program on intervals until nothing grows, in larger and larger strides.
    """
    channels = cell.shape.channels
    axes = (cell.shape.height, cell.shape.width, channels)
    known = {
        each.name: Interval(*(np.broadcast_to(each.values.astype(np.float64), axes),) * 2)
        for each in cell.parameters
    }
    for names, value in zip(cell.currents, inputs, strict=True):
        for part, name in enumerate(names):
            place = slice(part * channels, (part + 1) * channels)
            known[name] = Interval(value.low[..., place], value.high[..., place])
    nothing = np.zeros(axes)
    states = {each.name: Interval(nothing, nothing) for each in cell.states}
    for attempt in range(_TRIES):
        after = _after(cell, known | states)
        grown = {name: _hull(states[name], each) for name, each in after.items()}
        lower = {name: grown[name].low < states[name].low for name in states}
        higher = {name: grown[name].high > states[name].high for name in states}
        if not any(each.any() for each in (*lower.values(), *higher.values())):
            break
        stride = 1.0 if attempt < _TRIES // 4 else 2.0
        states = {
            name: Interval(
                np.where(lower[name], stride * each.low, each.low),
                np.where(higher[name], stride * each.high, each.high),
            )
            for name, each in grown.items()
        }
        if any(each.largest > _LARGEST for each in states.values()):
            return None
    else:
        return None
    for _ in range(_TRIES):  # a step that starts within bounds ends within tighter ones
        states = {
            name: _hull(Interval(nothing, nothing), each)
            for name, each in _after(cell, known | states).items()
        }
    return _run(cell, known | states)


def _after(cell: ir.Cell, known: dict[str, Interval]) -> dict[str, Interval]:
    """The states after a time step."""
    done = _run(cell, known)
    return {each.name: done[each.next] for each in cell.states}


def _hull(one: Interval, other: Interval) -> Interval:
    return Interval(np.minimum(one.low, other.low), np.maximum(one.high, other.high))


def _run(cell: ir.Cell, known: dict[str, Interval]) -> dict[str, Interval]:
    """The statements of a program of integers, on intervals; a flag is from 0 to 1."""
    for step in cell.program:
        given = [known[name] for name in step.arguments]
        first = given[0]
        match step.op:
            case "add":
                low, high = first.low + given[1].low, first.high + given[1].high
            case "sub":
                low, high = first.low - given[1].high, first.high - given[1].low
            case "mul":
                ends = [one * two for one in _ends(first) for two in _ends(given[1])]
                low, high = np.min(ends, axis=0), np.max(ends, axis=0)
            case "neg":
                low, high = -first.high, -first.low
            case "abs":
                low = np.maximum(np.maximum(first.low, -first.high), 0.0)
                high = _size(first.low, first.high)
            case "maximum":
                low = np.maximum(first.low, given[1].low)
                high = np.maximum(first.high, given[1].high)
            case "greater":
                low = (first.low > given[1].high).astype(np.float64)
                high = (first.high > given[1].low).astype(np.float64)
            case "at_least":
                low = (first.low >= given[1].high).astype(np.float64)
                high = (first.high >= given[1].low).astype(np.float64)
            case "select":
                either = _hull(given[1], given[2])
                low = np.where(first.low > 0, given[1].low, either.low)
                high = np.where(first.low > 0, given[1].high, either.high)
                low = np.where(first.high > 0, low, given[2].low)
                high = np.where(first.high > 0, high, given[2].high)
            case "number":
                low, high = first.low, first.high
            case "decay":
                ends = [
                    np.floor((one * two + 2.0**14) / 2.0**15)
                    for one in _ends(first)
                    for two in _ends(given[1])
                ]
                low, high = np.min(ends, axis=0), np.max(ends, axis=0)
            case "shift":
                low, high = first.low * 2.0 ** given[1].low, first.high * 2.0 ** given[1].low
            case "sigmoid" | "tanh" | "nearest":
                raise AssertionError("of floats only")
            case _:
                assert_never(step.op)
        known[step.name] = Interval(low, high)
    return known


def _ends(interval: Interval) -> tuple[_Array, _Array]:
    return interval.low, interval.high


def _weighed(layer: ir.Conv2d | ir.Linear, value: Interval, exact: bool) -> Interval:
    """The smallest and largest sum of weights times inputs.

    An input is taken at the end of its interval that makes the sum smallest, or largest.
    """
    weight = layer.weight.astype(np.float64)
    none = np.zeros(len(layer.bias))
    if not np.isfinite(value.largest):
        # Only a weight of 0 makes a bound of such an input.
        reach = reference.weigh(layer, np.abs(weight), none, np.ones((1, *value.low.shape)))[0]
        free: _Array = np.where(reach > 0, np.inf, 0.0)
        return Interval(layer.bias - free, layer.bias + free)
    up, down = np.maximum(weight, 0.0), np.minimum(weight, 0.0)
    ends = np.stack([value.low, value.high])
    rising = reference.weigh(layer, up, layer.bias, ends)
    falling = reference.weigh(layer, down, none, ends[::-1])
    low, high = rising + falling
    if exact:
        return Interval(low, high)
    size = np.maximum(np.abs(value.low), np.abs(value.high))[None]
    error = _error(
        weight[..., 0].size + 1,
        reference.weigh(layer, np.abs(weight), np.abs(layer.bias), size)[0],
    )
    return Interval(low - error, high + error)


def _mean(pool: ir.AvgPool2d, value: Interval, exact: bool) -> Interval:
    """The mean over windows; of integers the sum."""
    one = dataclasses.replace(pool, divisors=np.ones_like(pool.divisors))
    divisors = pool.divisors[..., None].astype(np.float64)
    size = _size(value.low, value.high)
    means = reference.avg_pool2d(one, np.stack([value.low, value.high, size])) / divisors
    low, high = np.min(means[:2], axis=0), np.max(means[:2], axis=0)
    if exact:
        return Interval(low, high)
    error = _error(pool.kernel[0] * pool.kernel[1] + 1, np.abs(means[2]))
    return Interval(low - error, high + error)


def _scaled(affine: ir.Affine, value: Interval) -> Interval:
    scale = affine.scale.astype(np.float64)
    with np.errstate(invalid="ignore"):  # 0 times infinity
        ends = np.where(scale == 0, 0.0, np.stack([value.low, value.high]) * scale)
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    error = _error(2, _size(low, high) + np.abs(affine.shift))
    return Interval(low + affine.shift - error, high + affine.shift + error)


def membrane(layer: ir.Leaky | ir.IntegerLeaky, current: Interval) -> Interval:
    """The interval of the membranes of ``layer``, driven by ``current``.

    With a decay ``b`` and a current of at most ``high`` a membrane that is never reset stays below
    ``high / (1 - b)``. A reset that subtracts the threshold, a step later, starts from at most
    that much, and a membrane that needs none is at most at the threshold.
    """
    threshold = layer.threshold.astype(np.float64)
    if isinstance(layer, ir.IntegerLeaky):
        beta = layer.decay / 2.0**15
        low = current.low * 2.0**layer.shift + layer.bias - 0.5  # what rounding a decay takes
        high = current.high * 2.0**layer.shift + layer.bias + 0.5
        interval = _held(layer, beta, threshold, low, high)
        return Interval(np.ceil(interval.low), np.floor(interval.high))
    beta = layer.beta.astype(np.float64)
    interval = _held(layer, beta, threshold, current.low, current.high)
    # Each step rounds a product, a sum and a reset; what it errs by decays as the membrane does.
    reach = _size(interval.low, interval.high) + np.abs(threshold) * (layer.reset != "none")
    step = _error(8, reach + _size(current.low, current.high))
    return _held(layer, beta, threshold, current.low - step, current.high + step)


def _held(
    layer: ir.Leaky | ir.IntegerLeaky, beta: _Array, threshold: _Array, low: _Array, high: _Array
) -> Interval:
    """Bounds that hold after every step if they hold before it, and at the start."""

    def limit(current: _Array, sign: int) -> _Array:
        """Where a membrane that is never reset tends to; the start, 0, is on the near side."""
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.where(beta < 1, current / (1 - beta), sign * np.inf)
        return np.where(current * sign > 0, far, current)

    free = limit(high, 1)
    size = np.abs(threshold)
    if layer.reset == "none":
        return Interval(limit(low, -1), free)
    if not layer.reset_delay and layer.reset == "subtract":
        # In the end a spike has taken off one threshold, and what else was taken off is undone.
        top = limit(high + np.maximum(-threshold, 0), 1)
        bottom = limit(low - np.maximum(threshold, 0), -1)
    elif not layer.reset_delay:
        extra = np.maximum(size, _size(low, high))  # undoing doubles what is left
        top, bottom = limit(high + extra, 1), limit(low - extra, -1)
    elif layer.reset == "zero":
        top = np.maximum(high, beta * np.maximum(threshold, 0) + high)
        bottom = limit(low, -1)
    else:
        top = np.maximum(threshold, np.maximum(beta * threshold + high, limit(high - threshold, 1)))
        bottom = np.minimum(limit(low, -1), low - (1 - beta) * threshold)
        odd = limit(high + size, 1)  # a threshold below 0, whose reset adds
        top = np.where(threshold < 0, odd, top)
        bottom = np.where(threshold < 0, limit(low - size, -1), bottom)
    silent = (free <= threshold) & (threshold >= 0)
    return Interval(np.where(silent, limit(low, -1), bottom), np.where(silent, free, top))


def _size(low: _Array, high: _Array) -> _Array:
    return np.asarray(np.maximum(np.abs(low), np.abs(high)))


def _error(operations: int, size: _Array) -> _Array:
    """The largest error after ``operations`` roundings to float32 of a sum of this size."""
    return 1.01 * operations * (_HALF_ULP * size + _HALF_LEAST)
