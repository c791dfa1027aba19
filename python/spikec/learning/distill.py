# SPDX-License-Identifier: Apache-2.0
"""Lets a smaller network learn to do what the one it was cut from does, in NumPy.

What is learnt are weights and biases. What is matched are the currents into the output neurons,
summed over time as their membranes sum them; also the label's output should have the largest
current (cross-entropy of the currents' sums), lest the original's mistakes are learnt, and hidden
layers should spike little. A spike has no slope, so a smooth one stands in for it (surrogate
gradient, Neftci et al. 2019; SuperSpike's, Zenke and Ganguli 2018), and what a reset takes off is
taken as a constant. Sums here are in any order: nothing of this has to be exact, because what runs
is judged afterwards.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from spikec.ir import network as ir

Back: TypeAlias = Callable[[ir.Floats], ir.Floats]
"""From the slope of the loss by a layer's output to that by its input."""
Parameters: TypeAlias = dict[tuple[str, str], ir.Floats]

_STEEPNESS = 5.0  # of the smooth spike, by thresholds
_RATE = 0.03  # the largest step, by the size of a layer's weights
_SHIFT = 2  # pixels, at most, that a copy of a recording is moved by
_TURN = 0.2  # radians that it is turned by
_STRETCH = 0.1  # by which its sides grow or shrink
_COPIES = 6  # of each recording
_LABELS = 1.0  # what labels count for, by the size of the currents
_TOLL = 3e-4  # what a spike of a hidden layer counts for beside a label: it costs additions
_LOOKS = 8  # at what came of learning, while it goes on
_LOOKED_AT = 96  # recordings
_ROWS = 640  # steps times recordings in a batch, about
_LARGEST_BATCH = 32


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What is to be learnt: recordings, some moved, and the output currents they should give.

    ``recordings`` are ``[T, H, W, C]`` in memory order and of one length; ``moves`` name one of
    them and the input that each of its positions, row by row, is taken from; ``wanted``
    ``[T, H, W, C]`` is for each. ``labels`` are the recordings' outputs, or empty where nothing is
    known of them.
    """

    recordings: Sequence[npt.NDArray[np.generic]]
    moves: tuple[tuple[int, npt.NDArray[np.int64]], ...]
    wanted: Sequence[ir.Floats]
    labels: tuple[int, ...]

    @classmethod
    def of(
        cls,
        teacher: ir.Network,
        recordings: Sequence[npt.NDArray[np.generic]],
        labels: Sequence[int],
    ) -> Lessons:
        """Every recording as it is and, where a map is large enough, also a little distorted."""
        height, width = recordings[0].shape[1:3]
        random = np.random.default_rng(0)
        still = np.arange(height * width)
        moves = [(i, still) for i in range(len(recordings))]
        if min(height, width) > 4 * _SHIFT:
            moves += [
                (i % len(recordings), _distorted(height, width, random))
                for i in range(len(recordings) * _COPIES)
            ]
        steps = len(recordings[0])
        wanted: list[ir.Floats] = []
        lessons = cls(recordings, tuple(moves), wanted, tuple(labels))
        size = max(1, _ROWS // steps)
        for start in range(0, len(moves), size):
            chosen = range(start, min(start + size, len(moves)))
            found = _outputs(teacher, batched(lessons.shown(chosen)), steps)
            wanted += list(found.reshape(steps, len(chosen), *found.shape[1:]).swapaxes(0, 1))
        return lessons

    def shown(self, chosen: Iterable[int]) -> list[npt.NDArray[np.generic]]:
        """Recordings, distorted."""
        found = []
        for i, source in (self.moves[one] for one in chosen):
            frames = self.recordings[i]
            flat = frames.reshape(len(frames), -1, frames.shape[-1])
            found.append(flat[:, source].reshape(frames.shape))
        return found

    def few(self, count: int) -> Lessons:
        """The same with about ``count`` of its recordings as they are."""
        some = range(0, len(self.recordings), max(1, len(self.recordings) // count))
        return Lessons(
            [self.recordings[i] for i in some],
            tuple((place, self.moves[i][1]) for place, i in enumerate(some)),
            [self.wanted[i] for i in some],
            tuple(self.labels[i] for i in some) if self.labels else (),
        )

    def error(self, network: ir.Network) -> float:
        """How far the output currents of ``network`` are off, as a share of their variance."""
        truth = np.stack(list(self.wanted))
        return self._losses(network)[0] / (truth.size * (float(truth.var()) or 1.0))

    def _losses(self, network: ir.Network) -> tuple[float, float]:
        """Of all recordings together: the currents' squared errors; and what is learnt by."""
        steps = len(self.recordings[0])
        size = max(1, _ROWS // steps)
        squares, surprise = 0.0, 0.0  # the latter with the toll on spikes
        layers, beta = _before_outputs(network), _decay(network)
        for start in range(0, len(self.moves), size):
            chosen = range(start, min(start + size, len(self.moves)))
            shown = batched(self.shown(chosen))
            seen: dict[str, ir.Floats] = {}
            given, _ = forward(layers, shown, steps, parameters(layers), seen=seen)
            for layer, reader in itertools.pairwise(layers):
                if isinstance(layer, ir.Leaky):
                    surprise += _TOLL * np.count_nonzero(seen[reader.name])
            squares += float(np.square(summed(given, steps, beta) - self._wanted(chosen)).sum())
            if self.labels:
                shares, labels = self._shares(given, chosen)
                surprise -= float(np.log(shares[np.arange(len(labels)), labels] + 1e-9).sum())
        return squares, squares + self._weight() * surprise

    def _weight(self) -> float:
        """What labels count for."""
        return _LABELS * float(np.std(np.stack(list(self.wanted))))

    def learn(self, network: ir.Network, updates: int) -> ir.Network:
        """``network`` with weights that make its output currents those that are wanted.

        Looks now and then at what came of it, and returns the best. The same arguments give the
        same network.
        """
        steps = len(self.recordings[0])
        batch = min(_LARGEST_BATCH, max(1, _ROWS // steps), len(self.moves))
        layers, beta = _before_outputs(network), _decay(network)
        own = parameters(layers)
        sizes = {key: float(np.sqrt(np.mean(own[key[0], "weight"] ** 2))) for key in own}
        mean = {key: np.zeros_like(values) for key, values in own.items()}
        square = {key: np.zeros_like(values) for key, values in own.items()}
        random = np.random.default_rng(0)
        order: list[int] = []
        weight = np.float32(self._weight())
        few = self.few(_LOOKED_AT)
        best = (few._losses(network)[1], network)
        for update in range(1, updates + 1):
            if len(order) < batch:
                order = random.permutation(len(self.moves)).tolist()
            chosen, order = order[:batch], order[batch:]
            slopes: Parameters = {}
            shown = batched(self.shown(chosen))
            given, backs = forward(layers, shown, steps, own, slopes)
            off = summed(given, steps, beta) - self._wanted(chosen)
            slope = summed(off[::-1], steps, beta)[::-1] * np.float32(2 / batch)
            if self.labels:
                slope += weight * self._surprise(given, chosen) / batch
            for layer, back in zip(reversed(layers), reversed(backs), strict=True):
                if isinstance(layer, ir.Leaky):
                    slope = slope + _TOLL * weight / batch
                slope = back(slope)
            rate = _RATE * 0.5 * (1 + math.cos(math.pi * update / (updates + 1)))
            for key, values in own.items():  # Adam, Kingma and Ba 2015
                mean[key] = 0.9 * mean[key] + 0.1 * slopes[key]
                square[key] = 0.999 * square[key] + 0.001 * slopes[key] ** 2
                size = np.sqrt(square[key] / (1 - 0.999**update)) + 1e-8
                step = mean[key] / (1 - 0.9**update) / size
                own[key] = (values - rate * sizes[key] * step).astype(np.float32)
            if update % max(1, updates // _LOOKS) == 0:
                now = with_parameters(network, own)
                best = min(best, (few._losses(now)[1], now), key=lambda one: one[0])
        return best[1]

    def _surprise(self, given: ir.Floats, chosen: Sequence[int]) -> ir.Floats:
        """The slope of the cross-entropy by currents ``[steps * recordings, H, W, C]``."""
        shares, labels = self._shares(given, chosen)
        shares[np.arange(len(labels)), labels] -= 1
        steps = len(given) // len(labels)
        return np.tile(shares, (steps, 1)).reshape(given.shape)

    def _shares(self, given: ir.Floats, chosen: Sequence[int]) -> tuple[ir.Floats, list[int]]:
        """The outputs' shares by the exponentials of their currents' sums; and the labels."""
        sums = given.reshape(-1, len(chosen), given[0].size).sum(axis=0)
        shares = np.exp(sums - sums.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return shares, [self.labels[self.moves[one][0]] for one in chosen]

    def _wanted(self, chosen: Iterable[int]) -> ir.Floats:
        return batched([self.wanted[one] for one in chosen])


def _distorted(height: int, width: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Where each position of a map is taken from when that is turned, stretched and moved."""
    angle = random.uniform(-_TURN, _TURN)
    stretch = random.uniform(1 - _STRETCH, 1 + _STRETCH, 2)
    shift = random.uniform(-_SHIFT, _SHIFT, 2)
    y, x = np.mgrid[:height, :width]
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    turned = np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x
    rows = np.rint(turned[0] * stretch[0] + shift[0] + (height - 1) / 2).astype(np.int64)
    cols = np.rint(turned[1] * stretch[1] + shift[1] + (width - 1) / 2).astype(np.int64)
    source = rows.clip(0, height - 1) * width + cols.clip(0, width - 1)
    return np.asarray(source.ravel(), np.int64)


def _outputs(network: ir.Network, value: ir.Floats, steps: int) -> ir.Floats:
    """The currents into the output neurons, summed as their membranes sum them."""
    layers = _before_outputs(network)
    return summed(forward(layers, value, steps, parameters(layers))[0], steps, _decay(network))


def batched(recordings: Sequence[npt.NDArray[np.generic]]) -> ir.Floats:
    """Recordings ``[T, H, W, C]`` side by side, ``[T * recordings, H, W, C]``, step by step."""
    stacked = np.stack(recordings, axis=1).astype(np.float32)
    return stacked.reshape(-1, *stacked.shape[2:])


def batches(recordings: Sequence[npt.NDArray[np.generic]]) -> Iterator[ir.Floats]:
    """All recordings, some at a time, as ``batched`` gives them."""
    size = max(1, _ROWS // len(recordings[0]))
    for start in range(0, len(recordings), size):
        yield batched(recordings[start : start + size])


def parameters(layers: Sequence[ir.Layer]) -> Parameters:
    """Weights and biases by layer's name and field."""
    return {
        (layer.name, field): np.asarray(getattr(layer, field), np.float32)
        for layer in layers
        if isinstance(layer, ir.Conv2d | ir.Linear)
        for field in ("weight", "bias")
    }


def with_parameters(network: ir.Network, found: Parameters) -> ir.Network:
    """``network`` with these weights and biases."""
    layers = tuple(
        dataclasses.replace(
            layer,
            weight=np.ascontiguousarray(found[layer.name, "weight"]),
            bias=found[layer.name, "bias"] + np.float32(0.0),  # no -0.0 to start a sum from
        )
        if isinstance(layer, ir.Conv2d | ir.Linear) and (layer.name, "weight") in found
        else layer
        for layer in network.layers
    )
    return dataclasses.replace(network, layers=layers)


def forward(
    layers: Sequence[ir.Layer],
    value: ir.Floats,
    steps: int,
    own: Parameters,
    slopes: Parameters | None = None,
    seen: dict[str, ir.Floats] | None = None,
) -> tuple[ir.Floats, list[Back]]:
    """What ``layers`` make of ``value [steps * recordings, H, W, C]``, and how to go back.

    Going back puts the slopes of weights and biases into ``slopes``. ``seen`` gets what every layer
    reads, by its name.
    """
    backs = []
    for number, layer in enumerate(layers):
        if seen is not None:
            seen[layer.name] = value
        value, back = _through(layer, value, steps, own, {} if slopes is None else slopes, number)
        if slopes is not None:
            backs.append(back)
    return value, backs


def windows(
    value: ir.Floats, layer: ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d, fill: float = 0.0
) -> ir.Floats:
    """What each output of ``layer`` sees, ``[N, y, x, ky, kx, C]``, a view; ``fill`` outside."""
    ky, kx = kernel_of(layer)
    (sy, sx), (py, px), (dy, dx) = layer.stride, layer.padding, _dilation(layer)
    height, width = layer.shape.height, layer.shape.width
    tall, wide = (height - 1) * sy + (ky - 1) * dy + 1, (width - 1) * sx + (kx - 1) * dx + 1
    low, right = max(0, tall - py - value.shape[1]), max(0, wide - px - value.shape[2])
    padded = np.pad(value, ((0, 0), (py, low), (px, right), (0, 0)), constant_values=fill)
    n, y, x, c = padded.strides
    return np.lib.stride_tricks.as_strided(
        padded,
        (len(value), height, width, ky, kx, value.shape[3]),
        (n, y * sy, x * sx, y * dy, x * dx, c),
        writeable=False,
    )


def kernel_of(layer: ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d) -> tuple[int, int]:
    """Rows and columns of taps."""
    if isinstance(layer, ir.Conv2d):
        return layer.weight.shape[0], layer.weight.shape[1]
    return layer.kernel


def _dilation(layer: ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d) -> tuple[int, int]:
    return (1, 1) if isinstance(layer, ir.AvgPool2d) else layer.dilation


def _unwindowed(
    slope: ir.Floats, layer: ir.Conv2d | ir.MaxPool2d | ir.AvgPool2d, shape: tuple[int, ...]
) -> ir.Floats:
    """Reverses ``windows`` for a slope: adds up, for each input of ``shape``, all that saw it."""
    (sy, sx), (py, px), (dy, dx) = layer.stride, layer.padding, _dilation(layer)
    count, height, width, ky, kx, channels = slope.shape
    tall, wide = (height - 1) * sy + (ky - 1) * dy + 1, (width - 1) * sx + (kx - 1) * dx + 1
    padded = np.zeros(
        (count, max(tall, py + shape[1]), max(wide, px + shape[2]), channels), np.float32
    )
    for i in range(ky):
        for j in range(kx):
            rows = slice(i * dy, i * dy + (height - 1) * sy + 1, sy)
            cols = slice(j * dx, j * dx + (width - 1) * sx + 1, sx)
            padded[:, rows, cols] += slope[:, :, :, i, j]
    return padded[:, py : py + shape[1], px : px + shape[2]]


def _through(
    layer: ir.Layer, value: ir.Floats, steps: int, own: Parameters, slopes: Parameters, number: int
) -> tuple[ir.Floats, Back]:
    """One layer: its output, and the way back."""
    match layer:
        case ir.Conv2d():
            return _conv2d(layer, value, own, slopes, number)
        case ir.Linear():
            weight = own[layer.name, "weight"]
            flat = value.reshape(len(value), -1)

            def linear(slope: ir.Floats) -> ir.Floats:
                rows = slope.reshape(len(value), -1)
                slopes[layer.name, "weight"] = flat.T @ rows
                slopes[layer.name, "bias"] = rows.sum(axis=0)
                return (rows @ weight.T).reshape(value.shape)

            out = flat @ weight + own[layer.name, "bias"]
            return out.reshape(len(value), 1, 1, -1), linear
        case ir.MaxPool2d():
            seen = windows(value, layer, -np.inf)
            most = seen.max(axis=(3, 4))
            first = seen == most[:, :, :, None, None]

            def max_pool(slope: ir.Floats) -> ir.Floats:
                share = first / first.sum(axis=(3, 4), keepdims=True, dtype=np.float32)
                return _unwindowed(share * slope[:, :, :, None, None], layer, value.shape)

            return most, max_pool
        case ir.AvgPool2d():
            divisors = layer.divisors[..., None]

            def avg_pool(slope: ir.Floats) -> ir.Floats:
                share = (slope / divisors)[:, :, :, None, None]
                all_taps = (*share.shape[:3], *layer.kernel, share.shape[-1])
                return _unwindowed(np.broadcast_to(share, all_taps), layer, value.shape)

            return windows(value, layer).sum(axis=(3, 4)) / divisors, avg_pool
        case ir.Affine():
            return value * layer.scale + layer.shift, lambda slope: slope * layer.scale
        case ir.Flatten():
            return value, lambda slope: slope
        case ir.Leaky():
            return _leaky(layer, value, steps)
        case ir.IntegerLeaky():
            raise TypeError("pruning comes before quantizing")
        case ir.AffineTT() | ir.Unflatten() | ir.Concat() | ir.Previous() | ir.Cell():
            raise TypeError("passes/prune.py refuses it")
        case _:
            assert_never(layer)


def _conv2d(
    layer: ir.Conv2d, value: ir.Floats, own: Parameters, slopes: Parameters, number: int
) -> tuple[ir.Floats, Back]:
    weight = own[layer.name, "weight"]
    ky, kx, inputs, channels = weight.shape
    outs = channels // layer.groups
    places = (len(value), layer.shape.height, layer.shape.width)
    parts = []
    out = np.empty((math.prod(places), channels), np.float32)
    for group in range(layer.groups):
        columns = slice(group * outs, (group + 1) * outs)
        part = value[..., group * inputs : (group + 1) * inputs]
        seen = windows(part, layer).reshape(math.prod(places), -1)
        out[:, columns] = seen @ weight[..., columns].reshape(-1, outs)
        parts.append((columns, part, seen))

    def conv2d(slope: ir.Floats) -> ir.Floats:
        rows = slope.reshape(-1, channels)
        slopes[layer.name, "bias"] = rows.sum(axis=0)
        slopes[layer.name, "weight"] = np.empty_like(weight)
        found = []
        for columns, part, seen in parts:
            mine = rows[:, columns]
            slopes[layer.name, "weight"][..., columns] = (seen.T @ mine).reshape(
                ky, kx, inputs, outs
            )
            if number:  # nobody asks for the slope by the network's input
                taps = mine @ weight[..., columns].reshape(-1, outs).T
                found.append(
                    _unwindowed(taps.reshape(*places, ky, kx, inputs), layer, part.shape)
                )  # fmt: skip
        return np.concatenate(found, axis=3) if found else slope

    return (out + own[layer.name, "bias"]).reshape(*places, channels), conv2d


def _leaky(layer: ir.Leaky, value: ir.Floats, steps: int) -> tuple[ir.Floats, Back]:
    """Leaky neurons; see ``reference.leaky``."""
    current = value.reshape(steps, -1, *value.shape[1:])
    spikes, distance, held = (np.empty_like(current) for _ in range(3))
    membrane = np.zeros(current.shape[1:], np.float32)
    threshold = np.broadcast_to(layer.threshold, membrane.shape)
    for t, now in enumerate(current):
        above = (membrane > threshold).astype(np.float32)
        kept = 1 - above if layer.reset == "zero" else np.ones_like(above)
        membrane = layer.beta * kept * membrane + now
        if layer.reset == "subtract":
            membrane = membrane - above * threshold
        fired = (membrane > threshold).astype(np.float32)
        spikes[t], distance[t], held[t] = fired, membrane - threshold, layer.beta * kept
        if not layer.reset_delay and layer.reset != "none":
            undo = fired - above
            membrane = membrane - undo * (threshold if layer.reset == "subtract" else membrane)

    def leaky(slope: ir.Floats) -> ir.Floats:
        scale = np.maximum(np.abs(layer.threshold), np.float32(1e-6))
        smooth = layer.grade / scale / (1 + _STEEPNESS * np.abs(distance) / scale) ** 2
        back = (slope.reshape(current.shape) * smooth).astype(np.float32)
        for t in range(steps - 2, -1, -1):
            back[t] += held[t + 1] * back[t + 1]
        return back.reshape(value.shape)

    return (spikes * layer.grade).reshape(value.shape), leaky


def summed(value: ir.Floats, steps: int, beta: ir.Floats) -> ir.Floats:
    """``value [steps * recordings, ...]`` added up over time, what is old decaying by ``beta``."""
    parts = value.reshape(steps, -1, *value.shape[1:]).copy()
    for t in range(1, steps):
        parts[t] += beta * parts[t - 1]
    return parts.reshape(value.shape)


def _decay(network: ir.Network) -> ir.Floats:
    """The output neurons' decay."""
    last = network.spiking[-1]
    assert isinstance(last, ir.Leaky), "pruning comes before quantizing"
    return last.beta


def _before_outputs(network: ir.Network) -> tuple[ir.Layer, ...]:
    """The layers that make the currents of the output neurons."""
    return network.layers[: network.layers.index(network.spiking[-1])]
