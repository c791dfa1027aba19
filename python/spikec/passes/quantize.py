# SPDX-License-Identifier: Apache-2.0
"""Turns a network into whole numbers: int8 weights, and neurons that compute with integers.

Between layers go spikes and counts, which are whole numbers already. So only weights are rounded,
to 127 steps of a size of each output channel's own, the *unit* of the currents that they make. What
scales currents on their way to a neuron (the unit, an average's divisor, a batch norm) goes into
that neuron's threshold, and what is added to them into its bias: neurons rather than currents are
scaled, which costs nothing.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from spikec import bounds, ir
from spikec.errors import SpikecError

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
    """What a layer hands on: ``unit * whole number + offset``, arrays that broadcast to its map.

    ``current`` says that weights or averages made it, so that only neurons may read it.
    """

    unit: _Array
    offset: _Array
    current: bool


def quantize(network: ir.Network) -> ir.Network:
    """The network in whole numbers, for inputs that are whole numbers up to its ``input_max``.

    Raises:
        SpikecError: a layer cannot be computed so; every such layer would give other spikes.
    """
    if network.input_max is None:
        network = dataclasses.replace(network, input_max=INPUT_MAX)
    one = np.ones((1, 1, 1))
    values = {ir.INPUT: _Value(one, np.zeros((1, 1, 1)), False)}
    names = {ir.INPUT: ir.INPUT}  # of the layer that makes a value, batch norms left out
    layers: list[ir.Layer] = []
    counts: list[ir.Layer] = []  # since the last neurons, layers that hand on counts
    way: list[str] = []  # and those that hand on currents
    for original in network.layers:
        source = original.inputs[0]
        value = values[source]
        layer = dataclasses.replace(original, inputs=(names[source],))
        before = network.shape_of(source)
        made: ir.Layer | None
        match layer:
            case ir.Conv2d() | ir.Linear():
                made, values[layer.name] = _weights(network, layer, value, before)
            case ir.MaxPool2d():
                _same_in_windows(layer, value)
                made, values[layer.name] = layer, value
            case ir.AvgPool2d():
                made, values[layer.name] = _sum(layer, value, before)
            case ir.Affine():
                scale, shift = layer.scale.astype(np.float64), layer.shift.astype(np.float64)
                made = None
                values[layer.name] = _Value(
                    value.unit * scale, value.offset * scale + shift, value.current
                )
            case ir.Flatten():
                made, values[layer.name] = layer, value
            case ir.Leaky():
                so_far = dataclasses.replace(network, layers=tuple(layers))
                _check_counts(so_far, counts)
                made = _neurons(so_far, layer, value, way or [layer.inputs[0]])
                counts, way = [], []
                values[layer.name] = _Value(
                    layer.grade.astype(np.float64), np.zeros((1, 1, 1)), False
                )
            case ir.IntegerLeaky():
                raise AssertionError("the network is in whole numbers already")
            case _:
                assert_never(layer)
        if made is not None:
            layers.append(made)
            if values[layer.name].current:
                way.append(made.name)
            elif not isinstance(made, ir.IntegerLeaky):
                counts.append(made)
        names[layer.name] = names[source] if made is None else layer.name
    return dataclasses.replace(network, layers=tuple(layers))


def _check_counts(network: ir.Network, layers: list[ir.Layer]) -> None:
    """Counts, which are handed on in 16 bits, fit these."""
    found = bounds.of(network).values
    for layer in layers:
        if found[layer.name].largest > _SHORT.limit:
            raise _refuse(
                layer, f"for inputs up to {network.input_max} its sums exceed 16 bits",
                "declare a smaller input_max",
            )  # fmt: skip


def _refuse(layer: ir.Layer, why: str, fix: str) -> SpikecError:
    return SpikecError(
        f"layer {layer.name} (torch {layer.source!r}): numbers='int8' cannot compute it: {why}; "
        f"{fix}, or use numbers='f32'."
    )


def _weights(
    network: ir.Network, layer: ir.Conv2d | ir.Linear, value: _Value, before: ir.Shape
) -> tuple[ir.Layer, _Value]:
    """The layer with weights in whole numbers, and the currents that it makes."""
    if value.current:
        raise _refuse(
            layer, "it reads currents of another layer, which are no counts",
            "put a spiking layer between the two",
        )  # fmt: skip
    weight = layer.weight.astype(np.float64)
    bias = layer.bias.astype(np.float64)
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
    bias = bias + shift
    unit = np.abs(weight).reshape(-1, weight.shape[-1]).max(axis=0) / _STEPS
    unit = np.maximum(unit, np.maximum(_threshold(network, layer), np.abs(bias)) / _FINEST)
    unit = np.where(unit > 0, unit, 1.0)
    channels = before.channels if isinstance(layer, ir.Linear) else weight.shape[2]
    whole = _rounded((weight / unit).reshape(-1, channels, weight.shape[-1])).reshape(weight.shape)
    made = dataclasses.replace(layer, weight=whole, bias=np.zeros_like(layer.bias))
    return made, _Value(unit.reshape(1, 1, -1), bias.reshape(1, 1, -1), True)


def _rounded(exact: _Array) -> npt.NDArray[np.int8]:
    """Whole numbers near ``exact [tap, input channel, output channel]``, mostly the nearest.

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
    found = False
    for other in network.layers:
        found = found or other.name == layer.name
        if found and isinstance(other, ir.Leaky):
            return float(np.abs(other.threshold).max())
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


def _neurons(so_far: ir.Network, leaky: ir.Leaky, value: _Value, way: list[str]) -> ir.IntegerLeaky:
    """Neurons whose membranes fit their type, whatever the input.

    ``so_far`` makes their current, the last ones of its layers, ``way``, from counts or spikes.

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

    found = bounds.of(so_far).values
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
