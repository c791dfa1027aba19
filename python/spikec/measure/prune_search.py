# SPDX-License-Identifier: Apache-2.0
"""Finds smaller networks, level by level, and which of them may be written.

Three sets of recordings, disjoint by name and by content: *calibration* (what is silent, which
channels go, what the rest learns), *validation* (which level is chosen) and *judged* (the held-out
ones, which nothing else looks at: the accuracy that is reported).
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.measure import profile
from spikec.measure.evaluate import Evaluation, evaluate
from spikec.model import Model
from spikec.passes import prune as passes
from spikec.passes import redundant
from spikec.recordings import dataset
from spikec.recordings.dataset import Labelled
from spikec.targets.host import Host

_LEAST = 0.25  # of the original's estimated cost: no level below
_FEWEST = 10  # recordings of calibration, validation and judging each
_CALIBRATION = 1000  # recordings at most
_TIMED = 3  # judged recordings on which time or instructions are counted
_TOO_FAR = 5  # times the drop in accuracy that is allowed: no level after that

_Recordings = Sequence[npt.NDArray[np.generic]]
_Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What a search is for.

    Attributes:
        max_accuracy_drop: points of accuracy that may be lost on recordings that calibration did
            not see.
        min_rate: spikes a neuron and step below which a channel is rarely active.
        updates: how often a pruned network's weights are corrected.
        target: what a step's cost is measured on.
    """

    max_accuracy_drop: float
    min_rate: float
    updates: int
    target: profile.Target


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """The recordings by what they may be used for, and sentences on what was left out."""

    calibration: tuple[Labelled, ...]
    validation: tuple[Labelled, ...]
    judged: tuple[Labelled, ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What a network is and costs; additions and updates a step, mean of the judged recordings.

    ``step_cost`` is in ``unit``: microseconds on this machine, or instructions of the Cortex-M7.
    """

    channels: dict[str, int]
    neurons: int
    table_bytes: int
    state_bytes: int
    additions: float
    step_cost: float
    unit: str


@dataclasses.dataclass(frozen=True, slots=True)
class Level:
    """One point of the curve; accuracies are shares, ``low`` to ``high`` the 95 % interval.

    ``validation`` is None of a network that learnt from those recordings too.
    """

    name: str
    validation: float | None
    accuracy: float
    low: float
    high: float
    right: int
    total: int
    figures: Figures


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A network on the way: what it is, what is left of the original, what went; did it learn."""

    name: str
    network: ir.Network
    kept: passes.Kept
    removed: tuple[passes.Removal, ...]
    trimmed: Mapping[str, tuple[int, int]]
    learnt: bool = False


def split_recordings(folder: Path, network: ir.Network) -> Split:
    """The recordings of ``folder`` by use; none is in two sets, by name or by content.

    Held-out ones (``dataset.held_out``) are judged; of the others every third, by a hash of its
    name, validates. A recording whose bytes are also in a set that judges it is left out.

    Raises:
        SpikecError: a set has too few recordings, or one cannot be read.
    """
    every = dataset.fitting(folder, network.input.axes, network.output.shape.size)
    others, judged = dataset.split(every)
    validation = [one for one in others if _validates(one.path.name)]
    calibration = [one for one in others if not _validates(one.path.name)]
    known = {one.sha256() for one in judged}
    notes = []
    sets: list[tuple[Labelled, ...]] = []
    for name, of in (("validation", validation), ("calibration", calibration)):
        left = tuple(one for one in of if one.sha256() not in known)
        known |= {one.sha256() for one in left}
        if len(left) < len(of):
            notes.append(
                f"{len(of) - len(left)} recording(s) left out of {name}: the same bytes as one "
                "that judges it, under another name."
            )
        sets.append(left)
    validated, calibrated = sets
    counts = {"calibration": calibrated, "validation": validated, "judging": judged}
    for name, found in counts.items():
        if len(found) < _FEWEST:
            raise SpikecError(
                f"{folder}: {len(found)} recording(s) are left for {name}, and at least {_FEWEST} "
                "are needed; which recording serves for what follows from its name. Give more "
                "recordings, or --exact, which needs none."
            )
    return Split(dataset.spaced(calibrated, _CALIBRATION), validated, judged, tuple(notes))


def _validates(name: str) -> bool:
    """Whether a recording that is not held out chooses the level; held_out looks at other bits."""
    return zlib.crc32(name.encode()) // 4 % 3 == 0


def find_levels(
    asked: Asked, original: ir.Network, exact: Stage, split: Split, steps: int, say: _Say
) -> tuple[list[Level], list[Stage]]:
    """The curve, from the original on, and the network at each of its points."""
    recordings = _frames(split.calibration, original, steps)
    lessons = _lessons(original, recordings, _labels(original, split))
    whole = redundant.cost(original, lessons)
    first = Stage("original", original, passes.everything(original), (), {})
    stages, levels = [first], [judge_stage(first, split, steps, asked.target)]

    def add(stage: Stage) -> bool:
        """Judges one more level; whether to go on."""
        stages.append(stage)
        levels.append(judge_stage(stage, split, steps, asked.target))
        return _lost(levels[0], levels[-1]) <= _TOO_FAR * float(max(asked.max_accuracy_drop, 1))

    if exact.removed:
        say("exact")
        add(exact)
    say("rarely active")
    quiet, rare = _quiet(exact, recordings, asked.min_rate)
    if quiet is not None:
        add(quiet)
    last = quiet or exact
    if rare is not None:
        tuned = lessons.learn(rare.network, asked.updates)
        last = dataclasses.replace(rare, network=tuned, learnt=True)
        if not add(last):
            return levels, stages
    while redundant.cost(last.network, lessons) > _LEAST * whole:
        found = redundant.slimmer(last.network, lessons)
        if found is None:
            break
        last = _slimmed(last, found)
        say(last.name)
        tuned = lessons.learn(last.network, asked.updates)
        last = dataclasses.replace(last, network=tuned, learnt=True)
        if not add(last):
            break
    return levels, stages


def learn_from_all(
    asked: Asked, original: ir.Network, chosen: Stage, split: Split, steps: int
) -> Stage:
    """The chosen network once it has learnt from the recordings that chose it, too."""
    every = dataclasses.replace(split, calibration=(*split.calibration, *split.validation))
    recordings = _frames(every.calibration, original, steps)
    lessons = _lessons(original, recordings, _labels(original, every))
    tuned = lessons.learn(chosen.network, 2 * asked.updates)
    return dataclasses.replace(chosen, name=f"{chosen.name}, all", network=tuned)


def _lessons(
    original: ir.Network, recordings: _Recordings, labels: Sequence[int]
) -> redundant.Lessons:
    """What pruned networks learn from, by torch.

    Raises:
        SpikecError: torch is not here.
    """
    try:
        from spikec.learning.distill import Lessons
    except ModuleNotFoundError as error:
        raise SpikecError(
            f"pruning by recordings trains what is left, which needs the package {error.name!r}: "
            "pip install torch snntorch; or give --exact, which trains nothing."
        ) from error
    return Lessons.of(original, recordings, labels)


def _labels(network: ir.Network, split: Split) -> list[int]:
    """The outputs that calibration recordings should have; none where no neuron is a class."""
    shape = network.spiking[-1].shape
    if shape.height * shape.width > 1 or shape.size != network.output.shape.size:
        return []
    return [one.label for one in split.calibration]


def _frames(recordings: Sequence[Labelled], network: ir.Network, steps: int) -> _Recordings:
    """Recordings as ``[T, H, W, C]`` in memory order; counts must be within the declared range."""
    found = []
    for one in recordings:
        frames = network.input.to_memory(one.frames(network.input.axes, steps))
        most = network.input_max
        if most is not None and frames.max(initial=0) > most:
            raise SpikecError(
                f"{one.path}: an input counts {int(frames.max())} events in one of {steps} steps, "
                f"and inputs are declared as 0 to {most}; raise --input-max or --time-steps."
            )
        small = most is not None and most <= np.iinfo(np.uint8).max
        found.append(np.ascontiguousarray(frames, np.uint8 if small else np.float32))
    return found


def _quiet(
    stage: Stage, recordings: _Recordings, min_rate: float
) -> tuple[Stage | None, Stage | None]:
    """Without what is silent on the recordings; without what is rarely active too, if there is."""
    network = stage.network
    host = Model.of(network, "network", "f32").build()
    spikes = _rates(network, host, recordings)
    parts = [part for part in passes.segments(network) if not part.fixed and part.spiking]
    found: list[Stage | None] = []
    for reason, least in (("silent on calibration", 0.0), ("rarely active", min_rate)):
        gone = {}
        removed: list[passes.Removal] = []
        for part in parts:
            assert part.spiking is not None
            rates = spikes[part.spiking.name]
            quiet = np.flatnonzero((rates <= least) if least == 0 else (rates < least))
            if len(quiet) == len(rates):
                quiet = np.delete(quiet, np.argmax(rates[quiet]))
            gone[part.name] = quiet
            for channel in quiet.tolist():
                why: passes.Reason = "rarely active" if rates[channel] else "silent on calibration"
                one = passes.removal(part, channel, why, rate=float(rates[channel]))
                removed.append(_renumbered(stage, part, one))
        before = found[0] if found else None
        if not removed or (before and len(before.removed) == len(stage.removed) + len(removed)):
            found.append(None)
            continue
        kept = {part.name: np.arange(part.weights.shape.channels) for part in
                passes.segments(network)}  # fmt: skip
        kept |= {name: np.delete(kept[name], channels) for name, channels in gone.items()}
        found.append(
            Stage(
                reason,
                passes.keep(network, kept),
                {name: stage.kept[name][channels] for name, channels in kept.items()},
                (*stage.removed, *removed),
                stage.trimmed,
            )
        )
    return found[0], found[1]


def _rates(
    network: ir.Network, host: Host, recordings: _Recordings
) -> dict[str, npt.NDArray[np.float64]]:
    """Spikes a neuron and step of every channel, by the spiking layer's name."""
    total: dict[str, npt.NDArray[np.float64]] = {}
    for frames in recordings:
        axes = network.input.to_axes(frames.astype(np.float32))
        for name, fired in host.spikes(axes).items():
            total[name] = total.get(name, np.zeros(1)) + fired.mean(axis=(0, 1, 2))
    return {name: rates / len(recordings) for name, rates in total.items()}


def _renumbered(stage: Stage, part: passes.Segment, one: passes.Removal) -> passes.Removal:
    """A removal from a stage's network, as the original counts channels."""
    return dataclasses.replace(one, channel=int(stage.kept[part.name][one.channel]))


def _slimmed(stage: Stage, found: redundant.Slim) -> Stage:
    """A stage after one more step of what is redundant."""
    kept, trimmed = dict(stage.kept), dict(stage.trimmed)
    part = next(one for one in passes.segments(stage.network) if one.name == found.segment)
    if found.axis is not None:
        rows, cols = trimmed.get(part.name, (0, 0))
        trimmed[part.name] = (rows + (found.axis == 0), cols + (found.axis == 1))
        conv = next(one for one in passes.segments(found.network) if one.name == part.name)
        taps = "x".join(map(str, conv.weights.weight.shape[:2]))
        return Stage(f"{part.name} {taps}", found.network, kept, stage.removed, trimmed)
    removed = [
        _renumbered(stage, part, passes.removal(part, one, "redundant", error=found.error))
        for one in found.channels
    ]
    kept[part.name] = np.delete(kept[part.name], found.channels)
    name = f"{part.name} {len(kept[part.name])} channels"
    return Stage(name, found.network, kept, (*stage.removed, *removed), trimmed)


def judge_stage(
    stage: Stage, split: Split, steps: int, target: profile.Target, validates: bool = True
) -> Level:
    """Accuracy and cost of one network."""
    model = Model.of(stage.network, "network", "f32")
    host = model.build()
    validation = None
    if validates:
        validation = evaluate(model, split.validation, steps, host=host).accuracy
    judged = evaluate(model, split.judged, steps, host=host)
    few = dataset.spaced(split.judged, _TIMED)
    frames = [one.frames(stage.network.input.axes, steps) for one in few]
    cost = profile.profile(model, frames, target)
    costs = model.report()
    figures = Figures(
        {part.name: part.weights.shape.channels for part in passes.segments(stage.network)},
        sum(layer.shape.size for layer in stage.network.spiking),
        costs.table_bytes,
        costs.state_bytes,
        _additions(judged, steps),
        cost.step_cost,
        cost.unit,
    )
    return Level(
        stage.name, validation, judged.accuracy, judged.low, judged.high, judged.right,
        judged.total, figures,
    )  # fmt: skip


def _additions(judged: Evaluation, steps: int) -> float:
    return sum(layer.mean for layer in judged.synaptic_operations) / steps


def choose_level(levels: Sequence[Level], stages: Sequence[Stage], drop: float) -> Stage:
    """The last level, so the smallest, within the drop on validation and on held-out recordings."""
    allowed = [
        stage
        for level, stage in zip(levels, stages, strict=True)
        if _lost(levels[0], level) <= drop + 1e-9
        and 100 * (levels[0].accuracy - level.accuracy) <= drop + 1e-9
    ]
    return allowed[-1]


def _lost(original: Level, level: Level) -> float:
    """Points of accuracy on validation recordings that a level is below the original."""
    assert original.validation is not None and level.validation is not None, "both were validated"
    return 100 * (original.validation - level.validation)
