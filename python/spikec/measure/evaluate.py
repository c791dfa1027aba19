# SPDX-License-Identifier: Apache-2.0
"""How a compiled network does on labelled recordings: accuracy, spikes, synaptic operations.

Recordings are read, binned and run side by side, through the C that ships; the results do not
depend on how many threads there are.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.backend.c.names import describe_network
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.measure.profile import fan_out
from spikec.model import Model
from spikec.recordings.dataset import Labelled
from spikec.semantics import readout, reference
from spikec.targets.host import Host

Progress = Callable[[int, int], None]
"""Told how many recordings are done, of how many."""

_Z = 1.959964  # of a 95 % interval


@dataclasses.dataclass(frozen=True, slots=True)
class Decided:
    """What a readout made of one recording.

    ``winner`` is the class, if any, decided after ``steps`` time steps in which the network made
    ``synaptic_operations``; ``winner_of_all`` the class without early exit.
    """

    winner: int | None
    steps: int
    synaptic_operations: int
    winner_of_all: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Activity:
    """What a network did in one recording.

    ``counts`` are spikes by output, ``spikes`` by spiking layer, ``synaptic_operations`` the
    weights that active inputs add, by convolution and linear layer; whole recordings each.
    ``prediction`` is what the readout decided; without one the first output with the largest count,
    as the generated ``NAME_winner`` says, and None when no output spiked.
    """

    events: int
    counts: tuple[float, ...]
    spikes: tuple[int, ...]
    synaptic_operations: tuple[int, ...]
    decided: Decided | None = None

    @property
    def prediction(self) -> int | None:
        """The class, if any."""
        if self.decided is not None:
            return self.decided.winner
        return int(np.argmax(self.counts)) if any(self.counts) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """One recording, its label, and what the network made of it."""

    file: str
    label: int
    prediction: int | None
    activity: Activity


@dataclasses.dataclass(frozen=True, slots=True)
class LayerMean:
    """Spikes of a spiking layer, or operations of one with weights, a recording."""

    layer: str
    torch: str
    mean: float


@dataclasses.dataclass(frozen=True, slots=True)
class Exits:
    """When a readout decided, over all recordings.

    ``steps`` are its time steps a recording, ``saved`` the share of all synaptic operations that
    were not made, ``right`` how many recordings are right without early exit.
    """

    readout: str
    steps: float
    saved: float
    right: int


@dataclasses.dataclass(frozen=True, slots=True)
class Evaluation:
    """How a network did; ``str()`` of it is a page for people.

    ``low`` and ``high`` are the 95 % Wilson interval of ``accuracy``, a share. ``silent``
    recordings made no output spike: they have no prediction and count as wrong. ``empty`` ones
    held no event and were run as zeros. ``exits`` is None without a readout. ``confusion`` is
    ``[label][prediction]``, with a last column for no prediction. ``seconds`` is what everything
    took, on ``threads``.
    """

    network: str
    numbers: str
    steps: int
    right: int
    total: int
    accuracy: float
    low: float
    high: float
    silent: int
    empty: int
    confusion: tuple[tuple[int, ...], ...]
    spikes: tuple[LayerMean, ...]
    synaptic_operations: tuple[LayerMean, ...]
    exits: Exits | None
    recordings: tuple[Judged, ...]
    seconds: float = dataclasses.field(compare=False)
    threads: int = dataclasses.field(compare=False)

    def __str__(self) -> str:
        lines = [
            f"{self.network}, {self.numbers}",
            f"{self.right} of {self.total} right: {100 * self.accuracy:.2f} % (95 % interval "
            f"{100 * self.low:.2f} to {100 * self.high:.2f}), {self.steps} steps a recording",
        ]
        if self.exits is not None:
            lines.append(f"readout {self.exits.readout}")
            if self.exits.steps < self.steps:
                lines.append(
                    f"  {self.exits.steps:.1f} steps a recording, {100 * self.exits.saved:.1f} % "
                    f"of synaptic operations saved; without early exit {self.exits.right} right"
                )
        if self.silent:
            lines.append(
                f"{self.silent} recording(s) without an output spike: no class, counted as wrong"
            )
        if self.empty:
            lines.append(f"{self.empty} recording(s) without an event: run as zeros")
        lines += ["", *self._by_label(), "", "a recording, mean:"]
        for unit, what in (
            ("spikes", self.spikes),
            ("synaptic operations", self.synaptic_operations),
        ):
            total = sum(layer.mean for layer in what)
            each = ", ".join(f"{layer.layer} {layer.mean:,.0f}" for layer in what)
            lines.append(f"  {total:,.0f} {unit}: {each}")
        rate = self.total / self.seconds if self.seconds else 0.0
        lines += ["", f"{rate:,.0f} recordings a second on {self.threads} thread(s), reading them"]
        return "\n".join(lines)

    def _by_label(self) -> list[str]:
        lines = []
        for label, row in enumerate(self.confusion):
            total = sum(row)
            if not total:
                continue
            wrong = sorted(
                ((count, guess) for guess, count in enumerate(row) if count and guess != label),
                key=lambda item: (-item[0], item[1]),
            )
            names = [
                f"{'none' if guess == len(row) - 1 else guess} x {count}"
                for count, guess in wrong[:4]
            ]
            names += [f"and {len(wrong) - 4} more"] if len(wrong) > 4 else []
            taken = f", taken for {', '.join(names)}" if names else ""
            share = 100 * row[label] / total
            lines.append(f"class {label}: {row[label]} of {total} right, {share:.1f} %{taken}")
        return lines


def evaluate(
    model: Model,
    recordings: Sequence[Labelled],
    steps: int,
    threads: int | None = None,
    progress: Progress | None = None,
    host: Host | None = None,
) -> Evaluation:
    """Judges a network on recordings, each binned into ``steps`` time steps.

    Its class is what the model's readout says; without one what most spikes say, or the largest
    membranes where outputs never spike.

    ``threads``: as many as there are processors when None. ``host``: the model built already;
    it is built when None.

    Raises:
        SpikecError: there are no recordings, one cannot be read, a label is no output of the
            network, or it cannot be built.
    """
    classes = model.network.output.shape.size
    if not recordings:
        raise SpikecError("there are no recordings to judge; give a folder that has some.")
    for one in recordings:
        if not 0 <= one.label < classes:
            raise SpikecError(
                f"{one.path}: its label is {one.label}, and the network's classes are 0 to "
                f"{classes - 1}."
            )
    host = host or model.build()
    count = threads or os.cpu_count() or 1
    start = time.perf_counter()
    done = observe(model, host, [one.path for one in recordings], steps, count, progress)
    seconds = time.perf_counter() - start
    confusion = np.zeros((classes, classes + 1), np.int64)
    for one, activity in zip(recordings, done, strict=True):
        guess = activity.prediction
        confusion[one.label, classes if guess is None else guess] += 1
    right, total = int(np.trace(confusion)), len(recordings)
    low, high = wilson(right, total)
    spiking, weighted = model.network.spiking, _weighted(model.network)
    return Evaluation(
        network=describe_network(model.network),
        numbers=model.network.numbers,
        steps=steps,
        right=right,
        total=total,
        accuracy=right / total,
        low=low,
        high=high,
        silent=int(confusion[:, classes].sum()),
        empty=sum(activity.events == 0 for activity in done),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        spikes=_means(spiking, [activity.spikes for activity in done]),
        synaptic_operations=_means(
            weighted, [activity.synaptic_operations for activity in done]
        ),
        exits=_exits(model, recordings, done),
        recordings=tuple(
            Judged(str(one.path), one.label, activity.prediction, activity)
            for one, activity in zip(recordings, done, strict=True)
        ),
        seconds=seconds,
        threads=count,
    )  # fmt: skip


def observe(
    model: Model,
    host: Host,
    paths: Sequence[Path],
    steps: int,
    threads: int,
    progress: Progress | None = None,
) -> list[Activity]:
    """What the network does in each recording, in the order of ``paths``.

    Raises:
        SpikecError: a recording cannot be read or does not fit the network.
    """
    axes = model.network.input.axes
    decides = model.readout or readout.needed(model.network)

    def one(path: Path) -> Activity:
        frames = Labelled(path, 0).frames(axes, steps)
        try:
            return activity(model.network, host, frames, decides)
        except SpikecError as error:
            raise SpikecError(f"{path}: {error}") from error

    done = []
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(one, paths):
            done.append(found)
            if progress is not None:
                progress(len(done), len(paths))
    return done


def activity(
    network: ir.Network,
    host: Host,
    frames: npt.NDArray[np.float32],
    decides: readout.Readout | None = None,
) -> Activity:
    """What the network does with ``frames [T, *axes]`` of event counts, and what is decided."""
    spikes = host.spikes(frames)
    values = _Values(network, network.input.to_memory(frames), spikes)
    operations = np.zeros((len(frames), len(_weighted(network))), np.int64)
    for i, layer in enumerate(_weighted(network)):
        before = values.of(layer.inputs[0])
        fan = fan_out(layer, network.shape_of(layer.inputs[0]))
        active = np.count_nonzero(before, axis=3).reshape(len(frames), -1)
        operations[:, i] = active @ fan.ravel()
    outputs = network.output.shape.to_axes(values.of(network.output.name))
    counts = outputs.sum(axis=0, dtype=np.float64)
    decided = None
    if decides is not None:
        fired = (outputs.reshape(len(frames), -1) != 0).astype(np.uint8)
        membranes = None
        if decides.of_membranes and network.readout is not None:
            membranes = host.membranes(frames)[network.readout.source].reshape(fired.shape)
        found = decides.decide(fired, membranes)
        decided = Decided(
            found.winner,
            found.steps,
            int(operations[: found.steps].sum()),
            decides.whole.decide(fired, membranes).winner,
        )
    return Activity(
        int(frames.sum(dtype=np.float64)),
        tuple(counts.reshape(-1).tolist()),
        tuple(int(np.count_nonzero(spikes[layer.name])) for layer in network.spiking),
        tuple(operations.sum(axis=0).tolist()),
        decided,
    )


class _Values:
    """What layers hand on, ``[T, H, W, C]``, from what the spiking layers fired.

    Only what lies between spikes and weights is computed here: poolings and the like. Where there
    is more, such as weights that follow weights, the reference computes the whole network once.
    """

    def __init__(
        self,
        network: ir.Network,
        frames: ir.Floats,
        spikes: dict[str, npt.NDArray[np.uint8]],
    ) -> None:
        self._network = network
        self._frames = frames
        self._layers = {layer.name: layer for layer in network.layers}
        self._known: dict[str, npt.NDArray[np.generic]] = {ir.INPUT: frames}
        whole = network.numbers == "int8"
        for layer in network.spiking:
            silent = isinstance(layer, ir.Cell) and layer.fires is None
            if silent and layer is not network.readout:  # of outputs spikes are counted: none
                continue
            fired = spikes[layer.name]
            # In integers the size of a spike is in what reads it; outputs have no reader.
            counted = whole and layer is not network.readout
            graded = not counted and not np.all(layer.grade == 1.0)
            self._known[layer.name] = fired * layer.grade if graded else fired

    def of(self, name: str) -> npt.NDArray[np.generic]:
        """The values of a layer, or of the input."""
        if name not in self._known:
            layer = self._layers[name]
            if isinstance(layer, ir.Previous):
                now = self.of(layer.inputs[0])
                self._known[name] = np.concatenate([np.zeros_like(now[:1]), now])[:-1]
            elif not isinstance(layer, ir.MaxPool2d | ir.AvgPool2d | ir.Affine | ir.Flatten):
                ran = reference.run(self._network, self._frames)
                self._known = {**ran.values, **self._known}
            else:
                source = layer.inputs[0]
                alone = ir.Network(
                    self._network.shape_of(source),
                    (dataclasses.replace(layer, inputs=(ir.INPUT,)),),
                    "", "",
                )  # fmt: skip
                values = np.asarray(self.of(source), np.float32)
                self._known[name] = reference.run(alone, values).values[name]
        return self._known[name]


def _exits(model: Model, recordings: Sequence[Labelled], done: Sequence[Activity]) -> Exits | None:
    decides = model.readout or readout.needed(model.network)
    decisions = [one.decided for one in done if one.decided is not None]
    if decides is None:
        return None
    total = sum(sum(one.synaptic_operations) for one in done)
    made = sum(one.synaptic_operations for one in decisions)
    labels = [one.label for one in recordings]
    return Exits(
        str(decides),
        sum(one.steps for one in decisions) / len(decisions),
        1 - made / total if total else 0.0,
        sum(one.winner_of_all == label for one, label in zip(decisions, labels, strict=True)),
    )


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share."""
    share = right / total
    middle = (share + _Z * _Z / (2 * total)) / (1 + _Z * _Z / total)
    half = _Z * math.sqrt(share * (1 - share) / total + _Z * _Z / (4 * total * total))
    half /= 1 + _Z * _Z / total
    return max(0.0, middle - half), min(1.0, middle + half)


def _weighted(network: ir.Network) -> tuple[ir.Conv2d | ir.Linear, ...]:
    return tuple(layer for layer in network.layers if isinstance(layer, ir.Conv2d | ir.Linear))


def _means(layers: Sequence[ir.Layer], rows: Sequence[tuple[int, ...]]) -> tuple[LayerMean, ...]:
    return tuple(
        LayerMean(layer.name, layer.source, sum(row[i] for row in rows) / len(rows))
        for i, layer in enumerate(layers)
    )
