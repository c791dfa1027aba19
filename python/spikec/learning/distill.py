# SPDX-License-Identifier: Apache-2.0
"""Trains a smaller network to do what the one it was cut from does.

What is trained are weights and biases, through ``to_torch``. The loss has three parts: the squared
error of the currents into the output neurons, summed over time as their membranes sum them, from
those of the original; the cross-entropy of the label and the softmax of the currents' sums, lest
the original's mistakes are learnt; and a small cost of every spike of a hidden layer, which costs
additions. Spikes have snnTorch's fast sigmoid as their surrogate gradient. What runs in the end is
judged apart from this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

from spikec.ir import network as ir
from spikec.learning.to_torch import to_torch, weighted_part

Recordings: TypeAlias = Sequence[npt.NDArray[np.generic]]

_SLOPE = 5.0  # of the surrogate gradient
_RATE = 0.03  # the largest step, by the size of a layer's weights
_SHIFT = 2  # pixels, at most, that a copy of a recording is moved by
_TURN = 0.2  # radians that it is turned by
_STRETCH = 0.1  # by which its sides grow or shrink
_COPIES = 6  # of each recording
_LABELS = 1.0  # weight of the cross-entropy, by the size of the currents
_SPIKE = 3e-4  # cost of a hidden spike, beside the cross-entropy
_LOOKS = 8  # at the loss of many recordings, while training goes on
_LOOKED_AT = 96  # recordings
_ROWS = 640  # time steps times recordings in a batch, about
_LARGEST_BATCH = 32


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What is to be learnt: recordings, some distorted, and the output currents they should give.

    ``recordings`` are ``[T, H, W, C]`` in memory order and of one length; ``moves`` name one of
    them and the input that each of its positions, row by row, is taken from; ``wanted``
    ``[T, outputs]`` is for each. ``labels`` are the recordings' outputs, or empty where nothing is
    known of them.
    """

    recordings: Recordings
    moves: tuple[tuple[int, npt.NDArray[np.int64]], ...]
    wanted: Sequence[torch.Tensor]
    labels: tuple[int, ...]

    @classmethod
    def of(cls, teacher: ir.Network, recordings: Recordings, labels: Sequence[int]) -> Lessons:
        """Every recording as it is and, where a map is large enough, also a little distorted."""
        torch.set_num_threads(1)  # sums in the same order, whatever the machine
        height, width = recordings[0].shape[1:3]
        random = np.random.default_rng(0)
        still = np.arange(height * width)
        moves = [(i, still) for i in range(len(recordings))]
        if min(height, width) > 4 * _SHIFT:
            moves += [
                (i % len(recordings), _distort(height, width, random))
                for i in range(len(recordings) * _COPIES)
            ]
        wanted: list[torch.Tensor] = []
        lessons = cls(recordings, tuple(moves), wanted, tuple(labels))
        student = _Student(teacher)
        with torch.no_grad():
            for chosen in lessons.batches():
                found = student.currents(lessons.frames(chosen, teacher))[0]
                wanted += list(student.sum_over_time(found).unbind(1))
        return lessons

    def batches(self) -> Iterator[range]:
        """All of what is to be learnt, some at a time."""
        size = max(1, _ROWS // len(self.recordings[0]))
        for start in range(0, len(self.moves), size):
            yield range(start, min(start + size, len(self.moves)))

    def frames(self, chosen: Iterable[int], network: ir.Network) -> torch.Tensor:
        """Recordings, distorted, ``[T, B, *axes]``."""
        found = []
        for i, source in (self.moves[one] for one in chosen):
            frames = self.recordings[i]
            flat = frames.reshape(len(frames), -1, frames.shape[-1])
            moved = flat[:, source].reshape(frames.shape)
            found.append(network.input.to_axes(moved).astype(np.float32))
        return torch.from_numpy(np.stack(found, axis=1))

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
        squares, _ = self._losses(_Student(network))
        truth = torch.stack(list(self.wanted))
        return squares / (truth.numel() * (float(truth.var(correction=0)) or 1.0))

    def reads(self, network: ir.Network) -> Iterator[Mapping[str, ir.Floats]]:
        """What each layer with weights reads, ``[T, B, H, W, C]`` by its name, batch by batch."""
        student = _Student(network)
        with torch.no_grad():
            for chosen in self.batches():
                seen: dict[str, torch.Tensor] = {}
                student.currents(self.frames(chosen, network), seen)
                yield {
                    name: _to_memory(value, network.shape_of(network.layer(name).inputs[0]))
                    for name, value in seen.items()
                }

    def learn(self, network: ir.Network, updates: int) -> ir.Network:
        """``network`` with weights that make its output currents those that are wanted.

        Looks now and then at the loss, and returns the best. The same arguments give the same
        network.
        """
        batch = min(_LARGEST_BATCH, max(1, _ROWS // len(self.recordings[0])), len(self.moves))
        student = _Student(network)
        groups = [
            {"params": [module.weight, module.bias],
             "lr": _RATE * 0.5 * float(module.weight.detach().square().mean().sqrt())}
            for module in student.weighted.values()
        ]  # fmt: skip
        optimizer = torch.optim.Adam(groups)
        # From twice the rates above down to 0, as half a cosine.
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda update: 1 + np.cos(np.pi * (update + 1) / (updates + 1))
        )
        random = np.random.default_rng(0)
        order: list[int] = []
        few = self.few(_LOOKED_AT)
        best = (few._losses(student)[1], student.state())
        for update in range(1, updates + 1):
            if len(order) < batch:
                order = random.permutation(len(self.moves)).tolist()
            chosen, order = order[:batch], order[batch:]
            loss = self._loss(student, chosen)[1] / batch
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if update % max(1, updates // _LOOKS) == 0:
                best = min(best, (few._losses(student)[1], student.state()), key=lambda one: one[0])
        return student.network_with(best[1])

    def _losses(self, student: _Student) -> tuple[float, float]:
        """Of all recordings together: the currents' squared errors, and the whole loss."""
        squares = whole = 0.0
        with torch.no_grad():
            for chosen in self.batches():
                one, other = self._loss(student, chosen)
                squares, whole = squares + float(one), whole + float(other)
        return squares, whole

    def _loss(self, student: _Student, chosen: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Of some recordings together: the currents' squared errors, and the whole loss."""
        given, spikes = student.currents(self.frames(chosen, student.network))
        wanted = torch.stack([self.wanted[one] for one in chosen], 1)
        squares = (student.sum_over_time(given) - wanted).square().sum()
        other = _SPIKE * spikes
        if self.labels:
            labels = torch.tensor([self.labels[self.moves[one][0]] for one in chosen])
            other = other + nn.functional.cross_entropy(given.sum(0), labels, reduction="sum")
        return squares, squares + self._weight() * other

    def _weight(self) -> float:
        """The weight of the cross-entropy, and of what is measured by it."""
        return _LABELS * float(torch.stack(list(self.wanted)).std(correction=0))


class _Student:
    """A chain of layers up to its output neurons, whose currents are compared."""

    def __init__(self, network: ir.Network) -> None:
        self.network = network
        last = network.spiking[-1]
        assert isinstance(last, ir.Leaky), "pruning comes before quantizing"
        module = to_torch(network, _SLOPE)
        assert isinstance(module, nn.Sequential), "passes/prune.py takes chains only"
        layers = network.layers[: network.layers.index(last)]
        self.parts = list(zip(layers, module, strict=False))
        self.weighted = {
            layer.name: weights
            for layer, part in self.parts
            if (weights := weighted_part(part)) is not None
        }
        self.beta = torch.from_numpy(
            np.broadcast_to(last.beta, (last.shape.height, last.shape.width, last.shape.channels))
            .reshape(-1)
            .copy()
        )

    def currents(
        self, frames: torch.Tensor, seen: dict[str, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The output neurons' currents ``[T, B, outputs]``, and how many hidden spikes there were.

        ``frames`` are ``[T, B, *axes]``; ``seen`` gets what each layer with weights reads.
        """
        steps = len(frames)
        value, spikes = frames, frames.new_zeros(())
        for layer, part in self.parts:
            if isinstance(part, snntorch.Leaky):
                part.reset_mem()
                value = torch.stack([part(now) for now in value])
                spikes = spikes + value.sum()
                continue
            if seen is not None and layer.name in self.weighted:
                seen[layer.name] = value
            flat = part(value.flatten(0, 1))
            value = flat.unflatten(0, (steps, -1))
        return value.flatten(2), spikes

    def sum_over_time(self, currents: torch.Tensor) -> torch.Tensor:
        """Currents ``[T, B, outputs]`` added up, what is old decaying as the membranes do."""
        sums = [currents[0]]
        for now in currents[1:]:
            sums.append(self.beta * sums[-1] + now)
        return torch.stack(sums)

    def state(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """A copy of the weights and biases, by layer."""
        return {
            name: (part.weight.detach().clone(), part.bias.detach().clone())
            for name, part in self.weighted.items()
            if part.bias is not None
        }

    def network_with(self, state: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> ir.Network:
        """The network with these weights and biases."""
        layers = []
        for layer in self.network.layers:
            if isinstance(layer, ir.Conv2d | ir.Linear) and layer.name in state:
                weight, bias = (each.numpy() for each in state[layer.name])
                if isinstance(layer, ir.Linear):
                    before = self.network.shape_of(layer.inputs[0])
                    outputs = layer.weight.shape[1]
                    maps = weight.T.reshape(before.channels, before.height, before.width, outputs)
                    weight = np.moveaxis(maps, 0, 2).reshape(layer.weight.shape)
                else:
                    weight = weight.reshape(*weight.shape[:2], *layer.weight.shape[:2])
                    weight = weight.transpose(2, 3, 1, 0)
                layer = dataclasses.replace(
                    layer,
                    weight=np.ascontiguousarray(weight, np.float32),
                    bias=bias + np.float32(0.0),  # no -0.0 to start a sum from
                )
            layers.append(layer)
        return dataclasses.replace(self.network, layers=tuple(layers))


def _to_memory(value: torch.Tensor, shape: ir.Shape) -> ir.Floats:
    """``[T, B, *axes]`` as ``[T, B, H, W, C]``."""
    return np.ascontiguousarray(shape.to_memory(value.numpy()))


def _distort(height: int, width: int, random: np.random.Generator) -> npt.NDArray[np.int64]:
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
