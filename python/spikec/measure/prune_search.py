# SPDX-License-Identifier: Apache-2.0
"""The verb ``prune``: smaller networks, level by level, and which of them may be written.

Three sets of recordings, disjoint by name and by content: *calibration* (what is silent, which
channels go, what the rest learns), *validation* (which level is chosen) and *judged* (the held-out
ones, which nothing else looks at: the accuracy that is reported).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.backend.c.names import describe_network
from spikec.errors import SpikecError
from spikec.files import write_whole
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.learning import distill as recover
from spikec.measure import profile
from spikec.measure.evaluate import Evaluation, evaluate
from spikec.model import Model, declared
from spikec.passes import prune as passes
from spikec.passes import redundant
from spikec.passes.fold import fold
from spikec.passes.quantize import INPUT_MAX
from spikec.recordings import dataset
from spikec.recordings.dataset import Labelled
from spikec.targets.host import Host

_LEAST = 0.25  # of the original's estimated cost: no level below
_FEWEST = 10  # recordings of calibration, validation and judging each
_CALIBRATION = 1000  # recordings at most
_SURVEYED = 80  # of them, on which the cost is estimated
_TIMED = 3  # judged recordings on which time or instructions are counted
_TOO_FAR = 5  # times the drop in accuracy that is allowed: no level after that

_Recordings = Sequence[npt.NDArray[np.generic]]
_Say = Callable[[str], None]


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
class _Stage:
    """A network on the way: what it is, what is left of the original, what went; did it learn."""

    name: str
    network: ir.Network
    kept: passes.Kept
    removed: tuple[passes.Removal, ...]
    trimmed: Mapping[str, tuple[int, int]]
    learnt: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``prune``."""
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE",
        help=f"the network file to write, NAME{network_file.SUFFIX}",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR",
        help="recordings in N-MNIST's layout: DIR/0/*.bin for class 0, and so on",
    )  # fmt: skip
    parser.add_argument(
        "--exact", action="store_true",
        help="remove only what changes no spike, ever; needs no --data",
    )  # fmt: skip
    parser.add_argument(
        "--max-accuracy-drop", type=_points, default=1.0, metavar="POINTS",
        help="on recordings that calibration did not see; default: 1",
    )  # fmt: skip
    parser.add_argument(
        "--min-rate", type=_points, default=0.001, metavar="RATE",
        help="a channel is rarely active below this many spikes a neuron and step; default: 0.001",
    )  # fmt: skip
    parser.add_argument(
        "--input-max", type=_whole, metavar="N",
        help="the most events that one input counts in one time step, for which the network that "
        f"is written is valid: inputs are 0 to N; default: {INPUT_MAX}",
    )  # fmt: skip
    parser.add_argument(
        "--bins", type=_whole,
        help="time steps to bin a recording into; the network's own STEPS by default",
    )  # fmt: skip
    parser.add_argument(
        "--updates", type=_whole, default=400,
        help="how often a pruned network's weights are corrected; default: 400",
    )  # fmt: skip
    parser.add_argument(
        "--target", choices=["host", "cortex-m7"], default="host",
        help="what a step's cost is: time on this machine, or instructions of the Cortex-M7 in "
        "QEMU, which needs arm-none-eabi-gcc and qemu-system-arm; default: host",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole report here")
    parser.add_argument("--figure", type=Path, metavar="FILE.svg", help="draw the curve here")


def run(options: argparse.Namespace, network: ir.Network, own_steps: int | None) -> int:
    """Prunes ``network``, whose STEPS are ``own_steps``, and prints what came of it."""
    if options.data is None and not options.exact:
        raise SpikecError(
            "prune needs --data DIR, recordings to calibrate by and to judge on, or --exact, which "
            "removes only what changes no spike."
        )
    _check_outputs(options)
    most = options.input_max or network.input_max or INPUT_MAX
    original = fold(declared(network, most))
    exact = passes.prune(original)
    start = _Stage("exact", exact.network, exact.kept, exact.removed, {})
    report: dict[str, object] = {"input_max": most, "notes": list(exact.notes)}
    if options.exact:
        chosen, steps = start, own_steps
        text = []
    else:
        steps = options.bins or own_steps or 50
        split = split_recordings(options.data, original)
        levels, stages = _levels(options, original, start, split, steps)
        chosen = _choose(levels, stages, options.max_accuracy_drop)
        if chosen.learnt:
            last = _learnt_from_all(options, original, chosen, split, steps)
            levels.append(_judge(last, split, steps, options.target, validates=False))
            if 100 * (levels[0].accuracy - levels[-1].accuracy) <= options.max_accuracy_drop:
                chosen = last
        report |= _curve_json(levels, chosen.name, split, options.max_accuracy_drop, steps)
        text = [*split.notes, *_curve(levels, chosen.name, split), ""]
        if options.figure is not None:
            write_whole(options.figure, _svg(levels, chosen.name).encode(), "figure")
    size = network_file.write(options.out, network_file.Saved(chosen.network, steps))
    report |= {
        "chosen": chosen.name,
        "kept": {name: channels.tolist() for name, channels in chosen.kept.items()},
        "removed": [dataclasses.asdict(one) for one in chosen.removed],
        "taps_removed": {name: list(counts) for name, counts in chosen.trimmed.items()},
    }
    if options.json is not None:
        write_whole(options.json, (json.dumps(report, indent=2) + "\n").encode(), "report")
    for line in [*text, *summary(chosen.removed), *_trims(chosen.trimmed), *exact.notes]:
        print(line)
    print(f"{describe_network(chosen.network)}, inputs 0 to {most}")
    print(f"written to {options.out}, {size:,} bytes")
    return 0


def _check_outputs(options: argparse.Namespace) -> None:
    """Refuses at once what could not be written in the end."""
    if options.out.suffix != network_file.SUFFIX:
        raise SpikecError(
            f"--out {options.out}: a network file's name ends in {network_file.SUFFIX}; name it so."
        )
    for path in (options.out, options.json, options.figure):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise SpikecError(
                f"{path}: is a folder, or stands in none that there is; name a file in a folder."
            )


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


def _levels(
    options: argparse.Namespace, original: ir.Network, exact: _Stage, split: Split, steps: int
) -> tuple[list[Level], list[_Stage]]:
    """The curve, from the original on, and the network at each of its points."""
    recordings = _frames(split.calibration, original, steps)
    survey = recordings[:: max(1, len(recordings) // _SURVEYED)]
    whole = redundant.cost(original, survey)
    lessons = recover.Lessons.of(original, recordings, _labels(original, split))
    first = _Stage("original", original, passes.everything(original), (), {})
    stages, levels = [first], [_judge(first, split, steps, options.target)]
    say = _progress()

    def add(stage: _Stage) -> bool:
        """Judges one more level; whether to go on."""
        stages.append(stage)
        levels.append(_judge(stage, split, steps, options.target))
        return _lost(levels[0], levels[-1]) <= _TOO_FAR * float(max(options.max_accuracy_drop, 1))

    if exact.removed:
        say("exact")
        add(exact)
    say("rarely active")
    quiet, rare = _quiet(exact, recordings, options.min_rate)
    if quiet is not None:
        add(quiet)
    last = quiet or exact
    if rare is not None:
        tuned = lessons.learn(rare.network, options.updates)
        last = dataclasses.replace(rare, network=tuned, learnt=True)
        if not add(last):
            return levels, stages
    while redundant.cost(last.network, survey) > _LEAST * whole:
        found = redundant.slimmer(last.network, lessons)
        if found is None:
            break
        last = _slimmed(last, found)
        say(last.name)
        tuned = lessons.learn(last.network, options.updates)
        last = dataclasses.replace(last, network=tuned, learnt=True)
        if not add(last):
            break
    return levels, stages


def _learnt_from_all(
    options: argparse.Namespace, original: ir.Network, chosen: _Stage, split: Split, steps: int
) -> _Stage:
    """The chosen network once it has learnt from the recordings that chose it, too."""
    every = dataclasses.replace(split, calibration=(*split.calibration, *split.validation))
    recordings = _frames(every.calibration, original, steps)
    lessons = recover.Lessons.of(original, recordings, _labels(original, every))
    tuned = lessons.learn(chosen.network, 2 * options.updates)
    return dataclasses.replace(chosen, name=f"{chosen.name}, all", network=tuned)


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
                f"and inputs are declared as 0 to {most}; raise --input-max or --bins."
            )
        small = most is not None and most <= np.iinfo(np.uint8).max
        found.append(np.ascontiguousarray(frames, np.uint8 if small else np.float32))
    return found


def _quiet(
    stage: _Stage, recordings: _Recordings, min_rate: float
) -> tuple[_Stage | None, _Stage | None]:
    """Without what is silent on the recordings; without what is rarely active too, if there is."""
    network = stage.network
    host = Model.of(network, "network", "f32").build()
    spikes = _rates(network, host, recordings)
    parts = [part for part in passes.segments(network) if not part.fixed and part.spiking]
    found: list[_Stage | None] = []
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
            _Stage(
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


def _renumbered(stage: _Stage, part: passes.Segment, one: passes.Removal) -> passes.Removal:
    """A removal from a stage's network, as the original counts channels."""
    return dataclasses.replace(one, channel=int(stage.kept[part.name][one.channel]))


def _slimmed(stage: _Stage, found: redundant.Slim) -> _Stage:
    """A stage after one more step of what is redundant."""
    kept, trimmed = dict(stage.kept), dict(stage.trimmed)
    part = next(one for one in passes.segments(stage.network) if one.name == found.segment)
    if found.axis is not None:
        rows, cols = trimmed.get(part.name, (0, 0))
        trimmed[part.name] = (rows + (found.axis == 0), cols + (found.axis == 1))
        conv = next(one for one in passes.segments(found.network) if one.name == part.name)
        taps = "x".join(map(str, conv.weights.weight.shape[:2]))
        return _Stage(f"{part.name} {taps}", found.network, kept, stage.removed, trimmed)
    removed = [
        _renumbered(stage, part, passes.removal(part, one, "redundant", error=found.error))
        for one in found.channels
    ]
    kept[part.name] = np.delete(kept[part.name], found.channels)
    name = f"{part.name} {len(kept[part.name])} channels"
    return _Stage(name, found.network, kept, (*stage.removed, *removed), trimmed)


def _judge(
    stage: _Stage, split: Split, steps: int, target: profile.Target, validates: bool = True
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


def _choose(levels: Sequence[Level], stages: Sequence[_Stage], drop: float) -> _Stage:
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


def summary(removed: Sequence[passes.Removal]) -> list[str]:
    """What went, by layer and reason; each channel is named."""
    if not removed:
        return ["nothing can be removed"]
    lines = []
    for key in dict.fromkeys((one.layer, one.reason) for one in removed):
        of = [one for one in removed if (one.layer, one.reason) == key]
        text = f"{key[0]}: {len(of)} channel(s) {key[1]}: {passes.listed([o.channel for o in of])}"
        neurons = sum(one.neurons for one in of)
        if neurons:
            text += f" ({neurons:,} neurons)"
        bounds = [(one.bound, one.threshold) for one in of if one.bound is not None]
        if bounds:
            bound, threshold = max(bounds, key=lambda pair: pair[0] - (pair[1] or 0.0))
            text += f"; membranes are at most {bound:.6g}, threshold {threshold:.6g}"
        rates = [one.rate for one in of if one.rate]
        if rates:
            text += f"; at most {max(rates):.2g} spikes a neuron and step"
        lines.append(text)
    return lines


def _trims(trimmed: Mapping[str, tuple[int, int]]) -> list[str]:
    return [
        f"{name}: {rows} row(s) and {cols} column(s) of taps removed at the end of its kernel"
        for name, (rows, cols) in trimmed.items()
        if rows or cols
    ]


def _curve(levels: Sequence[Level], chosen: str, split: Split) -> list[str]:
    """The curve as a table, and drawn."""
    unit = "instructions" if levels[0].figures.unit == "instructions" else "host us"
    rows = [
        ["level", "channels", "neurons", "tables B", "state B", "adds/step", unit, "less",
         "validation", "held out", "95 % interval"]
    ]  # fmt: skip
    whole = levels[0].figures.step_cost
    for level in levels:
        figures = level.figures
        exact = f"{figures.step_cost:,.0f}" if unit == "instructions" else (
            f"{figures.step_cost:.2f}"
        )  # fmt: skip
        rows.append([
            ("* " if level.name == chosen else "  ") + level.name,
            "-".join(map(str, figures.channels.values())),
            f"{figures.neurons:,}", f"{figures.table_bytes:,}", f"{figures.state_bytes:,}",
            f"{figures.additions:,.0f}", exact, f"{whole / figures.step_cost:.2f}x",
            "-" if level.validation is None else f"{100 * level.validation:.2f}",
            f"{100 * level.accuracy:.2f}",
            f"{100 * level.low:.1f}-{100 * level.high:.1f}",
        ])  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        f"{len(split.calibration)} recordings calibrate, {len(split.validation)} choose the level "
        f"(*), {len(split.judged)} judge; figures are means a step"
    ]
    for row in rows:
        cells = zip(row, widths, strict=True)
        lines.append(
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in
                enumerate(cells)
            ).rstrip()
        )  # fmt: skip
    lines.append("")
    for level in levels:
        cost = round(_BAR * min(1.0, level.figures.step_cost / whole))
        lines.append(
            f"{level.name:>{widths[0]}} |{'#' * cost:{_BAR}}| {100 * level.accuracy:.2f} %"
        )
    return lines


_BAR = 40  # characters for the original's cost


def _svg(levels: Sequence[Level], chosen: str) -> str:
    """The curve as a drawing: accuracy with its interval against a step's cost."""
    width, height, left, low = 640, 400, 60, 350
    whole = max(level.figures.step_cost for level in levels)
    floor = min(level.low for level in levels)
    top = max(level.high for level in levels)

    def place(cost: float, accuracy: float) -> tuple[float, float]:
        return (
            left + 540 * cost / whole,
            low - 310 * (accuracy - floor) / ((top - floor) or 1.0),
        )

    points = [place(level.figures.step_cost, level.accuracy) for level in levels]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<path d="M{left} 30V{low}H620" fill="none" stroke="#888"/>',
        f'<text x="{left}" y="20">accuracy on held-out recordings, % (95 % intervals)</text>',
        f'<text x="330" y="390">a step: {levels[0].figures.unit}, 0 to {whole:,.6g}</text>',
        f'<polyline points="{line}" fill="none" stroke="#36c"/>',
    ]
    for level, (x, y) in zip(levels, points, strict=True):
        (_, bottom), (_, upper) = (place(0, share) for share in (level.low, level.high))
        fill = "#36c" if level.name == chosen else "#fff"
        parts += [
            f'<path d="M{x:.1f} {bottom:.1f}V{upper:.1f}" stroke="#36c" opacity="0.4"/>',
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="#36c"/>',
            f'<text x="{x + 6:.1f}" y="{y + 14:.1f}">{100 * level.accuracy:.1f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _curve_json(
    levels: Sequence[Level], chosen: str, split: Split, drop: float, steps: int
) -> dict[str, object]:
    return {
        "steps": steps,
        "max_accuracy_drop": drop,
        "levels": [dataclasses.asdict(level) for level in levels],
        "recordings": {
            name: [str(one.path) for one in getattr(split, name)]
            for name in ("calibration", "validation", "judged")
        },
        "left_out": list(split.notes),
    }


def _progress() -> _Say:
    """Tells on a terminal's standard error which level is at work, and nothing elsewhere."""

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"... {text}", file=sys.stderr, flush=True)

    return say


def _points(text: str) -> float:
    """A number of at least 0 on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
