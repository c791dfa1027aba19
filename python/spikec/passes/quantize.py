# SPDX-License-Identifier: Apache-2.0
"""Turns a network into integers: int8 weights, and neurons that compute with integers.

Between layers go spikes and counts, which are integers already. So only weights are rounded,
to 127 steps of a size of each output channel's own, the *unit* of the currents that they make. What
scales currents on their way to a neuron (the unit, an average's divisor, a batch norm) goes into
that neuron's threshold, and what is added to them into its bias: neurons rather than currents are
scaled, which costs nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.passes.quantize_cell import Current, refusal, whole_cell
from spikec.semantics import bounds, reference

INPUT_MAX = 255
"""The largest input value of a network that declares none."""
_STEPS = 127
_FINEST = 1 << 14
"""How many units a threshold or bias has at most: a unit far below what matters gains nothing."""
_HOLD = 32
"""At what part of its threshold a membrane of 16 bits may stop decaying, through rounding."""

_Array: TypeAlias = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class _Bits:
    """A type of membranes: its bits, the largest membrane, and the most bits of a fraction."""

    bits: Literal[16, 32]
    limit: int
    most_shift: int


_SHORT = _Bits(16, (1 << 15) - 1, 6)
_LONG = _Bits(32, (1 << 30) - 1, 8)


@dataclasses.dataclass(frozen=True, slots=True)
class _Value:
    """What a layer hands on: ``unit * integer + offset``, arrays that broadcast to its map.

    ``current`` says that weights or averages made it, so that only neurons may read it.
    """

    unit: _Array
    offset: _Array
    current: bool


@dataclasses.dataclass(frozen=True, slots=True)
class _Made:
    """A convolution or linear layer: how it was, and what it reads; to make it once more."""

    layer: ir.Conv2d | ir.Linear
    value: _Value
    before: ir.Shape


def quantize(network: ir.Network) -> ir.Network:
    """The network in integers, for inputs that are integers up to its ``input_max``.

    Raises:
        SpikecError: a layer cannot be computed so; every such layer would give other spikes.
    """
    if network.input_max is None:
        network = dataclasses.replace(network, input_max=INPUT_MAX)
    work = _Work(network)
    for layer in network.layers:
        work.add(layer)
    return dataclasses.replace(network, layers=tuple(work.layers.values()))


_NOTHING = np.zeros((1, 1, 1))


class _Work:
    """Walks the layers, and keeps what was made of them and what their values stand for."""

    def __init__(self, network: ir.Network) -> None:
        self.network = network
        self.layers: dict[str, ir.Layer] = {}
        self.values = {ir.INPUT: _Value(np.ones((1, 1, 1)), _NOTHING, False)}
        self.names = {ir.INPUT: ir.INPUT}  # of what makes a value, batch norms left out
        self.made: dict[str, _Made] = {}
        self.loops: dict[str, bounds.Interval] = {}

    def add(self, original: ir.Layer) -> None:
        """Appends what one layer becomes in integers, and what one count of its value is worth."""
        name = original.name
        self.names[name] = name
        if isinstance(original, ir.Previous):
            self._loop(original)
            return
        layer = dataclasses.replace(
            original, inputs=tuple(self.names[source] for source in original.inputs)
        )
        value = self.values[original.inputs[0]]
        before = self.network.shape_of(original.inputs[0])
        match layer:
            case ir.Conv2d() | ir.Linear():
                self.made[name] = _Made(layer, value, before)
                self.layers[name], self.values[name] = _weights(
                    layer, value, before, _unit(self.network, layer, value, before)
                )
            case ir.MaxPool2d():
                _same_in_windows(layer, value)
                self.layers[name], self.values[name] = layer, value
            case ir.AvgPool2d():
                self.layers[name], self.values[name] = _sum(layer, value, before)
            case ir.Affine():
                scale, shift = layer.scale.astype(np.float64), layer.shift.astype(np.float64)
                self.names[name] = self.names[original.inputs[0]]
                self.values[name] = _Value(
                    value.unit * scale, value.offset * scale + shift, value.current
                )
            case ir.AffineTT():
                raise _refuse(
                    layer, "its scale differs from step to step", "use BatchNorm1d or BatchNorm2d"
                )
            case ir.Flatten():
                self.layers[name], self.values[name] = layer, value
            case ir.Unflatten() | ir.Concat():
                self.layers[name] = layer
                self.values[name] = self._moved(layer, original.inputs)
            case ir.Leaky():
                so_far = self._so_far(layer)
                way = [one.name for one in self._between(layer) if self.values[one.name].current]
                made = _neurons(so_far, self.loops, layer, value, way or [layer.inputs[0]])
                self.layers[name] = made
                self.values[name] = _Value(layer.grade.astype(np.float64), _NOTHING, False)
            case ir.Cell():
                self._cell(layer, original.inputs)
            case ir.IntegerLeaky():
                raise AssertionError("the network is in integers already")
            case _:
                assert_never(layer)

    def _loop(self, layer: ir.Previous) -> None:
        """What a loop hands on are spikes; their size goes into the weights that read them."""
        source = self.network.layer(layer.inputs[0])
        if not isinstance(source, ir.Spiking) or (
            isinstance(source, ir.Cell) and source.fires is None
        ):
            raise _refuse(layer, "it hands on what is no spikes", "feed spikes back, not membranes")
        axes = (layer.shape.height, layer.shape.width, layer.shape.channels)
        self.layers[layer.name] = layer
        self.values[layer.name] = _Value(source.grade.astype(np.float64), _NOTHING, False)
        self.loops[layer.name] = bounds.Interval(np.zeros(axes), np.ones(axes))

    def _between(self, layer: ir.Layer) -> list[ir.Layer]:
        """The layers between ``layer`` and the neurons, loops or inputs in front of it."""
        found: dict[str, ir.Layer] = {}
        names = list(layer.inputs)
        while names:
            one = self.layers.get(names.pop())
            neurons = isinstance(one, ir.Spiking) and (
                not isinstance(one, ir.Cell) or bool(one.states)
            )
            if one is None or neurons or isinstance(one, ir.Previous) or one.name in found:
                continue
            found[one.name] = one
            names += one.inputs
        return [one for one in self.layers.values() if one.name in found]

    def _so_far(self, layer: ir.Layer) -> ir.Network:
        """What makes the current of ``layer``; counts, which take 16 bits, fit these."""
        so_far = dataclasses.replace(self.network, layers=tuple(self.layers.values()))
        found = bounds.of(so_far, self.loops).values
        for one in self._between(layer):
            if not self.values[one.name].current and found[one.name].largest > _SHORT.limit:
                raise _refuse(
                    one, f"for inputs up to {self.network.input_max} its sums exceed 16 bits",
                    "declare a smaller input_max",
                )  # fmt: skip
        return so_far

    def _moved(self, layer: ir.Unflatten | ir.Concat, sources: tuple[str, ...]) -> _Value:
        """What values stand for once they were moved, which moves their units, too."""
        shapes = [self.network.shape_of(source) for source in sources]
        given = [self.values[source] for source in sources]
        if any(value.current for value in given):
            raise _refuse(layer, "it moves currents", "put a spiking layer before it")

        def move(parts: list[_Array]) -> _Array:
            rows = [
                np.broadcast_to(part, (1, shape.height, shape.width, shape.channels))
                for part, shape in zip(parts, shapes, strict=True)
            ]
            if isinstance(layer, ir.Unflatten):
                return ir.smallest(reference.unflatten(layer, shapes[0], rows[0])[0])
            joined = reference.concat(layer, list(zip(shapes, rows, strict=True)))
            return ir.smallest(joined[0])

        return _Value(
            move([value.unit for value in given]), move([value.offset for value in given]), False
        )

    def _cell(self, cell: ir.Cell, sources: tuple[str, ...]) -> None:
        if len(sources) > 1:
            self._share_unit(cell, sources)
        given = [self.values[source] for source in sources]
        if any((value.unit <= 0).any() for value in given):
            raise _refuse(
                cell, "a batch norm before it scales a channel by 0 or less",
                "fold the batch norm into the weights",
            )  # fmt: skip
        if not cell.states:
            self.layers[cell.name], self.values[cell.name] = _sum_of_inputs(cell, given)
            return
        found = bounds.of(self._so_far(cell), self.loops).values
        currents = [
            Current(value.unit, value.offset, found[name])
            for value, name in zip(given, cell.inputs, strict=True)
        ]
        self.layers[cell.name] = whole_cell(cell, currents)
        self.values[cell.name] = _Value(cell.grade.astype(np.float64), _NOTHING, False)

    def _share_unit(self, cell: ir.Cell, sources: tuple[str, ...]) -> None:
        """Makes the layers that several currents come from once more, with one unit for all."""
        units = [self.values[source].unit for source in sources]
        if all(np.array_equal(unit, units[0]) for unit in units):
            return
        if not all(source in self.made for source in sources):
            raise _refuse(
                cell, "it adds up values whose units differ, and not all come from weights at once",
                "pool and normalize before the last weights",
            )  # fmt: skip
        common = np.max([np.broadcast_to(unit, np.broadcast_shapes(*(u.shape for u in units)))
                         for unit in units], axis=0)  # fmt: skip
        for source in sources:
            made = self.made[source]
            self.layers[source], self.values[source] = _weights(
                made.layer, made.value, made.before, common.ravel()
            )


def _refuse(layer: ir.Layer, why: str, fix: str) -> SpikecError:
    return SpikecError(
        f"layer {layer.name} (torch {layer.source!r}): numbers='int8' cannot compute it: {why}; "
        f"{fix}, or use numbers='f32'."
    )


def _scaled(layer: ir.Conv2d | ir.Linear, value: _Value, before: ir.Shape) -> tuple[_Array, _Array]:
    """Weights for integers as inputs, not rounded yet, and what is added to their sums."""
    if value.current:
        raise _refuse(
            layer, "it reads currents of another layer, which are no counts",
            "put a spiking layer between the two",
        )  # fmt: skip
    weight = layer.weight.astype(np.float64)
    axes = (before.height, before.width, before.channels)
    if isinstance(layer, ir.Linear):
        shift = np.broadcast_to(value.offset, axes).ravel() @ weight
        weight = weight * np.broadcast_to(value.unit, axes).reshape(-1, 1)
    else:
        if value.unit.shape[:2] != (1, 1) or value.offset.shape[:2] != (1, 1):
            raise _refuse(
                layer, "the sizes of its inputs differ from position to position",
                "pool without padding or ceil_mode",
            )  # fmt: skip
        weight = weight * _per_group(layer, value.unit, before)
        shift = (layer.weight * _per_group(layer, value.offset, before)).sum(axis=(0, 1, 2))
        if value.offset.any() and _reads_padding(layer, before):
            raise _refuse(
                layer, "a batch norm shifts its inputs, but not the padding around them",
                "put the batch norm after the convolution",
            )  # fmt: skip
    return weight, layer.bias.astype(np.float64) + shift


def _unit(
    network: ir.Network, layer: ir.Conv2d | ir.Linear, value: _Value, before: ir.Shape
) -> _Array:
    """The unit of the currents that ``layer`` makes, one an output channel."""
    weight, bias = _scaled(layer, value, before)
    unit = np.abs(weight).reshape(-1, weight.shape[-1]).max(axis=0) / _STEPS
    unit = np.maximum(unit, np.maximum(_threshold(network, layer), np.abs(bias)) / _FINEST)
    return np.where(unit > 0, unit, 1.0)


def _weights(
    layer: ir.Conv2d | ir.Linear, value: _Value, before: ir.Shape, unit: _Array
) -> tuple[ir.Layer, _Value]:
    """The layer with weights in integers, and the currents that it makes."""
    weight, bias = _scaled(layer, value, before)
    channels = before.channels if isinstance(layer, ir.Linear) else weight.shape[2]
    whole = _rounded((weight / unit).reshape(-1, channels, weight.shape[-1])).reshape(weight.shape)
    made = dataclasses.replace(layer, weight=whole, bias=np.zeros_like(layer.bias))
    return made, _Value(unit.reshape(1, 1, -1), bias.reshape(1, 1, -1), True)


def _rounded(exact: _Array) -> npt.NDArray[np.int8]:
    """Integers near ``exact [tap, input channel, output channel]``, mostly the nearest.

    The taps of one channel pair err by less than half a step together: where their errors add up to
    more, those nearest to the middle between two steps go the other way. Spikes come in patches,
    so that it is the sum which counts.
    """
    whole = np.rint(exact)
    error = whole - exact
    surplus = np.rint(error.sum(axis=0))
    rank = np.argsort(np.argsort(-error, axis=0, kind="stable"), axis=0, kind="stable")
    whole -= rank < surplus
    whole += rank >= len(exact) + surplus
    return np.clip(whole, -_STEPS, _STEPS).astype(np.int8)


def _per_group(conv: ir.Conv2d, values: _Array, before: ir.Shape) -> _Array:
    """Values of input channels, for a convolution's weight ``[ky, kx, ic/groups, oc]``."""
    groups = np.broadcast_to(values.ravel(), (before.channels,)).reshape(conv.groups, -1)
    return np.repeat(groups.T, conv.shape.channels // conv.groups, axis=1)


def _reads_padding(conv: ir.Conv2d, before: ir.Shape) -> bool:
    ends = (
        (outs - 1) * stride + dilation * (taps - 1) + 1 - padding > size
        for outs, stride, dilation, taps, padding, size in zip(
            (conv.shape.height, conv.shape.width), conv.stride, conv.dilation,
            conv.weight.shape[:2], conv.padding, (before.height, before.width), strict=True,
        )
    )  # fmt: skip
    return any(conv.padding) or any(ends)


def _threshold(network: ir.Network, layer: ir.Layer) -> float:
    """The largest threshold of the neurons that read ``layer``; 0 when there are none."""
    readers = list(network.readers(layer.name))
    for reader in readers:
        if isinstance(reader, ir.Leaky) or (isinstance(reader, ir.Cell) and reader.fires):
            return float(np.abs(reader.threshold).max())
        if not isinstance(reader, ir.Previous | ir.Conv2d | ir.Linear):
            readers += network.readers(reader.name)
    return 0.0


def _same_in_windows(pool: ir.MaxPool2d | ir.AvgPool2d, value: _Value) -> None:
    if value.unit.shape[:2] != (1, 1) or value.offset.shape[:2] != (1, 1):
        raise _refuse(
            pool, "the sizes of the values in its windows differ", "pool without padding before it"
        )
    if isinstance(pool, ir.MaxPool2d) and (value.unit <= 0).any():
        raise _refuse(
            pool, "a batch norm or the size of spikes turns the largest value into the smallest",
            "keep scales above 0 before a max pooling",
        )  # fmt: skip


def _sum(pool: ir.AvgPool2d, value: _Value, before: ir.Shape) -> tuple[ir.Layer, _Value]:
    """A sum instead of a mean; the divisor goes into the unit."""
    _same_in_windows(pool, value)
    divisors = pool.divisors.astype(np.float64)[..., None]
    one = dataclasses.replace(pool, divisors=np.ones_like(pool.divisors))
    rows, cols = (
        np.array([taps for _, taps in ir.extents(
            outs, size, pool.kernel[i], pool.stride[i], pool.padding[i], 1
        )], np.float64)
        for i, (outs, size) in enumerate(
            ((pool.shape.height, before.height), (pool.shape.width, before.width))
        )
    )  # fmt: skip
    taps = np.outer(rows, cols)[..., None]
    if (divisors == divisors[0, 0]).all():
        divisors = divisors[:1, :1]
    if (taps == taps[0, 0]).all() or not value.offset.any():
        taps = taps[:1, :1]
    return one, _Value(value.unit / divisors, value.offset * taps / divisors, value.current)


def _sum_of_inputs(cell: ir.Cell, given: list[_Value]) -> tuple[ir.Layer, _Value]:
    """Cells that only add up what they read, which has one unit."""
    if any(step.op != "add" for step in cell.program) or cell.parameters:
        raise refusal(cell, f"it is a {cell.kind}, which needs real numbers", "leave it out")
    unit = given[0].unit
    shape = (cell.shape.height, cell.shape.width, cell.shape.channels)
    made = dataclasses.replace(
        cell, unit=ir.smallest(np.broadcast_to(unit.astype(np.float32), shape))
    )
    offset = np.sum([np.broadcast_to(value.offset, shape) for value in given], axis=0)
    return made, _Value(unit, ir.smallest(offset), any(value.current for value in given))


def _neurons(
    so_far: ir.Network,
    loops: Mapping[str, bounds.Interval],
    leaky: ir.Leaky,
    value: _Value,
    way: list[str],
) -> ir.IntegerLeaky:
    """Neurons whose membranes fit their type, whatever the input.

    ``so_far`` makes their current; of its layers ``way`` make it from counts or spikes.

    Of the types that hold the bound the smaller, of the shifts the largest: what is left of the
    type becomes fractions of a unit.
    """
    if (value.unit <= 0).any():
        raise _refuse(
            leaky, "a batch norm before it scales a channel by 0 or less",
            "fold the batch norm into the weights",
        )  # fmt: skip
    if leaky.beta.max() >= 1:
        raise _refuse(
            leaky, "with beta = 1 its membrane has no bound", "use a beta below 1"
        )  # fmt: skip
    axes = (leaky.shape.height, leaky.shape.width, leaky.shape.channels)

    def whole(values: _Array, limit: int) -> ir.Integers:
        """``values`` rounded, in memory order and as small as they go."""
        bounded = np.clip(np.rint(values), -limit, limit).astype(np.int32)
        return ir.smallest(np.broadcast_to(bounded, axes))

    found = bounds.of(so_far, loops).values
    current = found[leaky.inputs[0]]
    widest = max(found[name].largest for name in way)
    for bits in (_SHORT, _LONG):
        for shift in range(bits.most_shift, -1, -1):
            unit = value.unit / (1 << shift)
            made = ir.IntegerLeaky(
                leaky.name, leaky.source, leaky.inputs, leaky.shape,
                decay=whole(leaky.beta.astype(np.float64) * (1 << 15), _SHORT.limit),
                # A threshold beyond the limit is never exceeded, nor is one that is at it.
                threshold=whole(leaky.threshold / unit, bits.limit),
                bias=whole(value.offset / unit, bits.limit),
                shift=shift,
                bits=bits.bits,
                unit=ir.smallest(np.broadcast_to(unit.astype(np.float32), axes)),
                grade=leaky.grade,
                reset=leaky.reset,
                reset_delay=leaky.reset_delay,
            )  # fmt: skip
            if np.abs(value.offset / unit).max() <= bits.limit and _fits(
                made, current, widest, bits
            ):
                return made
    raise _refuse(
        leaky, f"for inputs up to {so_far.input_max} its membrane may exceed 30 bits",
        "declare a smaller input_max, or use a smaller beta",
    )  # fmt: skip


def _fits(leaky: ir.IntegerLeaky, current: bounds.Interval, widest: float, bits: _Bits) -> bool:
    """Whether membranes stay within their type, and rounding is small beside the threshold.

    ``widest`` is the largest current on the way to the neurons, which is no wider than they are.
    """
    if bounds.membrane(leaky, current).largest > bits.limit:
        return False
    # A membrane below half a count a step of decay decays no more.
    held = 0.5 / (1 - leaky.decay / (1 << 15))
    fine = bool((held * _HOLD <= np.maximum(leaky.threshold, 1)).all())
    return widest <= bits.limit and (fine or bits is _LONG)
