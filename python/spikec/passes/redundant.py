# SPDX-License-Identifier: Apache-2.0
"""Takes out the channels and taps that the others can best make up for, a step at a time.

The currents into a layer's neurons are its weights times what it reads. When a channel that it
reads goes, the weights of the others are chosen anew, by least squares, so that the currents come
as close as they can, over all positions and steps of calibration recordings. With ``G`` the
products of all pairs of inputs, ``w`` the weights and ``b`` the rows of one channel, that adds the
squared error ``w_b' (inv(G)_bb)^-1 w_b`` (the surgeon's rule: Hassibi and Stork 1993).

By this rule each layer names the channels to go until a multiple of four is left, which is how many
the kernels work on at a time; each convolution also names the last row and the last column of its
kernel. The few whose networks err least in the outputs' currents, for what they save, learn for a
while, and the best of them is taken. What they learn from, and by what, is handed in: ``Lessons``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from spikec.ir import network as ir
from spikec.passes import prune

_Matrix: TypeAlias = npt.NDArray[np.float64]

_RIDGE = 1e-3  # of the mean diagonal of G, toward the weights as they are

_AT_A_TIME = 4  # channels that kernels work on
_SURVEYED = 80  # recordings whose activity is looked at
_COMPARED = 48  # recordings on which candidates learn and are compared
_TRIED = 4  # candidates that learn
_TRIES = 24  # updates of that

_PER_EVENT, _PER_RUN, _PER_ADD, _PER_NEURON = 14.0, 42.0, 1.6, 7.0
"""Cortex-M7 instructions, roughly, for an active input, a row of a kernel it meets, a weight it
adds and a neuron's step: what ``spikec profile`` shows of ``models/nmnist``."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Slim:
    """A smaller network whose weights are refitted; what went.

    ``segment`` lost the ``channels`` (as numbered before), or the kernel of its convolution a row
    (``axis`` 0) or column (1) of taps. ``error`` is that of the outputs' currents, as a share of
    their variance, after some learning.
    """

    network: ir.Network
    segment: str
    channels: tuple[int, ...]
    axis: int | None
    error: float


class Lessons(Protocol):
    """What networks learn from; ``learning.distill.Lessons`` does it with torch."""

    def few(self, count: int) -> Lessons:
        """The same with about ``count`` recordings."""

    def error(self, network: ir.Network) -> float:
        """How far the output currents of ``network`` are off, as a share of their variance."""

    def learn(self, network: ir.Network, updates: int) -> ir.Network:
        """``network`` after so many updates of its weights."""

    def reads(self, network: ir.Network) -> Iterator[Mapping[str, ir.Floats]]:
        """What each layer with weights reads, ``[T, B, H, W, C]`` by its name, batch by batch."""


def slimmer(network: ir.Network, lessons: Lessons) -> Slim | None:
    """``network`` without what is the most redundant; None when nothing more may go.

    It is held against what ``lessons`` want, from which it may differ already.
    """
    few = lessons.few(_COMPARED)
    seen = _activity(network, lessons.few(_SURVEYED))
    rates = {name: one.rates for name, one in seen.items()}
    cost_now = _cost(network, rates)
    found: list[tuple[float, float, Slim]] = []
    for candidate in _candidates(network, seen):
        saved = cost_now - _cost(candidate.network, _rates_without(network, rates, candidate))
        if saved > 0:
            found.append((few.error(candidate.network) / saved, saved, candidate))
    if not found:
        return None
    tried: list[tuple[float, Slim]] = []
    for _, saved, candidate in sorted(found, key=lambda one: one[0])[:_TRIED]:
        better = few.learn(candidate.network, _TRIES)
        error, before = few.error(better), few.error(candidate.network)
        if error > before:
            better, error = candidate.network, before
        slim = dataclasses.replace(candidate, network=better, error=error)
        tried.append((error / saved, slim))
    return min(tried, key=lambda one: one[0])[1]


def _candidates(network: ir.Network, seen: Mapping[str, _Seen]) -> Iterator[Slim]:
    """The worst channels of each segment, and the last row and column of each kernel."""
    for part in prune.segments(network):
        conv = part.weights
        if isinstance(conv, ir.Conv2d) and conv.groups == 1:
            for axis in (0, 1):
                if conv.weight.shape[axis] > 1:
                    fit = _Fit.of(conv, network, seen[part.name]).without_taps(axis)
                    smaller = _refitted(prune.trim(network, part.name, axis), part.name, fit)
                    yield Slim(smaller, part.name, (), axis, 0.0)
        count = part.weights.shape.channels
        if part.fixed or part.reader is None or count == 1:
            continue
        fit = _Fit.of(part.reader, network, seen[part.reader.name])
        left = list(range(count))
        while len(left) > (count // 2 if count <= _AT_A_TIME else (count - 1) // 4 * 4):
            worst = min(left, key=fit.error)
            left.remove(worst)
            fit = fit.without_channel(worst)
        smaller = prune.keep(network, {part.name: np.array(left)})
        gone = tuple(channel for channel in range(count) if channel not in left)
        yield Slim(_refitted(smaller, part.reader.name, fit), part.name, gone, None, 0.0)


def _refitted(network: ir.Network, name: str, fit: _Fit) -> ir.Network:
    """``network`` with the weights of layer ``name`` that fit."""
    weights = fit.solution.astype(np.float32)
    layers = []
    for layer in network.layers:
        if isinstance(layer, ir.Conv2d | ir.Linear) and layer.name == name:
            weight = np.ascontiguousarray(weights[:-1].reshape(layer.weight.shape))
            bias = weights[-1] + np.float32(0.0)  # no -0.0 to start a sum from
            layer = dataclasses.replace(layer, weight=weight, bias=bias)
        layers.append(layer)
    return dataclasses.replace(network, layers=tuple(layers))


def _rates_without(
    network: ir.Network, rates: Mapping[str, _Matrix], slim: Slim
) -> dict[str, _Matrix]:
    """How active what every layer reads will be, once the channels are gone."""
    gone = {
        part.reader.name: list(slim.channels)
        for part in prune.segments(network)
        if part.name == slim.segment and part.reader is not None
    }
    return {name: np.delete(each, gone.get(name, [])) for name, each in rates.items()}


def cost(network: ir.Network, lessons: Lessons) -> float:
    """About how many Cortex-M7 instructions a step takes, to compare networks by."""
    seen = _activity(network, lessons.few(_SURVEYED))
    return _cost(network, {name: one.rates for name, one in seen.items()})


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What a layer with weights reads, over all recordings.

    ``products`` of all pairs, a constant 1 last; ``rates``: values that are not zero in a step, by
    channel.
    """

    products: _Matrix
    rates: _Matrix


def _activity(network: ir.Network, lessons: Lessons) -> dict[str, _Seen]:
    """What every layer with weights reads, over all recordings."""
    found: dict[str, _Seen] = {}
    frames = 0
    for read in lessons.reads(network):
        for part in prune.segments(network):
            inputs = read[part.name]
            steps, count = inputs.shape[:2]
            beta = part.spiking.beta.mean() if part.spiking else np.float32(0.0)
            sums = _sum_over_time(inputs, beta).reshape(-1, *inputs.shape[2:])
            ones = _sum_over_time(np.ones((steps, count), np.float32), beta).reshape(-1, 1)
            if isinstance(part.weights, ir.Conv2d):
                sums = _windows(sums, part.weights)
            places = part.weights.shape.height * part.weights.shape.width
            rows = sums.reshape(steps * count * places, -1)
            rows = np.concatenate([rows, np.repeat(ones, places, axis=0)], axis=1)
            products = (rows.T @ rows).astype(np.float64)
            active = np.count_nonzero(inputs, axis=(0, 1, 2, 3)).astype(np.float64)
            before = found.get(part.name)
            if before is not None:
                products, active = products + before.products, active + before.rates
            found[part.name] = _Seen(products, active)
        frames += steps * count
    return {name: _Seen(one.products, one.rates / frames) for name, one in found.items()}


def _sum_over_time(value: ir.Floats, beta: np.float32) -> ir.Floats:
    """``value [T, ...]`` added up over time, what is old decaying by ``beta``."""
    sums = value.copy()
    for t in range(1, len(sums)):
        sums[t] += beta * sums[t - 1]
    return sums


def _windows(value: ir.Floats, conv: ir.Conv2d) -> ir.Floats:
    """What each output of a convolution sees, ``[N, y, x, ky, kx, C]``, a view; 0 outside."""
    ky, kx = conv.weight.shape[:2]
    (sy, sx), (py, px), (dy, dx) = conv.stride, conv.padding, conv.dilation
    height, width = conv.shape.height, conv.shape.width
    tall, wide = (height - 1) * sy + (ky - 1) * dy + 1, (width - 1) * sx + (kx - 1) * dx + 1
    low, right = max(0, tall - py - value.shape[1]), max(0, wide - px - value.shape[2])
    padded = np.pad(value, ((0, 0), (py, low), (px, right), (0, 0)))
    n, y, x, c = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (len(value), height, width, ky, kx, value.shape[3]),
        (n, y * sy, x * sx, y * dy, x * dx, c),
        writeable=False,
    )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """One layer's weights, fitted to what is left of its inputs.

    ``products`` of all its inputs and the constant of its bias; ``wanted``, those with its
    currents; of each input its ``channel`` and ``tap`` (row, column), -1 for the bias. ``left``
    are the inputs that are left, ``inverse`` their products', ``solution`` their weights.
    """

    products: _Matrix
    wanted: _Matrix
    channel: npt.NDArray[np.int64]
    tap: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    left: npt.NDArray[np.int64]
    inverse: _Matrix
    solution: _Matrix

    @classmethod
    def of(cls, layer: ir.Conv2d | ir.Linear, network: ir.Network, seen: _Seen) -> _Fit:
        """The layer as it is; one without groups."""
        channels = network.shape_of(layer.inputs[0]).channels
        cols = layer.weight.shape[1] if isinstance(layer, ir.Conv2d) else 1
        place = np.arange(layer.weight[..., 0].size)
        products = seen.products.copy()
        products[np.diag_indices_from(products)] += _RIDGE * np.trace(products) / len(products)
        flat = layer.weight.reshape(len(place), -1)
        weights = np.concatenate([flat, layer.bias[None]]).astype(np.float64)
        return cls(
            products,
            products @ weights,
            np.append(place % channels, -1),
            (np.append(place // (channels * cols), -1), np.append(place // channels % cols, -1)),
            np.arange(len(products)),
            _inverse(products),
            weights,
        )

    def error(self, channel: int) -> float:
        """The squared error of the currents that removing an input channel adds."""
        rows = np.flatnonzero(self.channel[self.left] == channel)
        part = self.solution[rows]
        return float((part * np.linalg.solve(self.inverse[np.ix_(rows, rows)], part)).sum())

    def without_channel(self, channel: int) -> _Fit:
        """Fitted without an input channel."""
        return self._to(self.left[self.channel[self.left] != channel])

    def without_taps(self, axis: int) -> _Fit:
        """Fitted without the last row (0) or column (1) of taps."""
        tap = self.tap[axis][self.left]
        return self._to(self.left[tap != tap.max()])

    def _to(self, left: npt.NDArray[np.int64]) -> _Fit:
        inverse = _inverse(self.products[np.ix_(left, left)])
        return dataclasses.replace(
            self, left=left, inverse=inverse, solution=inverse @ self.wanted[left]
        )


def _inverse(products: _Matrix) -> _Matrix:
    return np.asarray(np.linalg.inv(products), np.float64)


def _cost(network: ir.Network, rates: Mapping[str, _Matrix]) -> float:
    """An estimate of a step's instructions, borders of maps not counted."""
    total = 0.0
    for part in prune.segments(network):
        outputs, runs, taps = part.weights.shape.channels, 1.0, 1.0
        if isinstance(part.weights, ir.Conv2d):
            conv = part.weights
            rows, cols = conv.weight.shape[:2]
            runs, taps = rows / conv.stride[0], cols / conv.stride[1] / conv.groups
        events = float(rates[part.name].sum())
        outputs += -outputs % _AT_A_TIME
        total += events * (_PER_EVENT + runs * (_PER_RUN + _PER_ADD * taps * outputs))
        total += _PER_NEURON * sum(
            layer.shape.size for layer in part.layers if isinstance(layer, ir.Leaky)
        )
    return total
