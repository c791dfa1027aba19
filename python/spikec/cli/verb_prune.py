# SPDX-License-Identifier: Apache-2.0
"""``spikec prune``: a smaller network, and what it costs and loses."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from spikec.backend.c.names import describe_network
from spikec.cli.model_argument import add_model, load_model
from spikec.cli.options import DEFAULT_STEPS, add_examples, add_target, add_time_steps, positive
from spikec.cli.progress import say
from spikec.cli.recordings import find_steps
from spikec.errors import SpikecError
from spikec.files import write_whole
from spikec.ir import network_file
from spikec.measure.prune_search import (
    Asked,
    Level,
    Split,
    Stage,
    choose_level,
    find_levels,
    judge_stage,
    learn_from_all,
    split_recordings,
)
from spikec.model import declared
from spikec.passes import prune as passes
from spikec.passes.fold import fold
from spikec.passes.quantize import INPUT_MAX

_PRINTED = Path("-")  # where JSON goes that is not written into a file


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    add_model(parser)
    parser.add_argument(
        "-o", "--out", required=True, type=Path, metavar="FILE",
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
        "--input-max", type=positive, metavar="N",
        help="the most events that one input counts in one time step, for which the network that "
        f"is written is valid: inputs are 0 to N; default: {INPUT_MAX}",
    )  # fmt: skip
    add_time_steps(parser, "--bins", "--steps")
    parser.add_argument(
        "--updates", type=positive, default=400,
        help="how often a pruned network's weights are corrected; default: 400",
    )  # fmt: skip
    add_target(parser)
    parser.add_argument(
        "--json", nargs="?", type=Path, const=_PRINTED, metavar="FILE",
        help="print the whole report as JSON instead of text, or write it into FILE",
    )  # fmt: skip
    parser.add_argument("--figure", type=Path, metavar="FILE.svg", help="draw the curve here")
    add_examples(
        parser,
        "spikec prune nmnist.spikec --exact -o smaller.spikec",
        "spikec prune nmnist.spikec --data recordings --max-accuracy-drop 1 -o smaller.spikec",
    )


def run(options: argparse.Namespace) -> int:
    """Prunes the network, writes it and prints what came of it.

    Raises:
        SpikecError: a network or a recording cannot be loaded, or a file cannot be written.
    """
    if options.data is None and not options.exact:
        raise SpikecError(
            "prune needs --data DIR, recordings to calibrate by and to judge on, or --exact, which "
            "removes only what changes no spike."
        )
    _check_outputs(options)
    loaded = load_model(options)
    network = loaded.network
    data = [options.data] if options.data else []
    own_steps = find_steps(data, network, options.time_steps) or loaded.steps
    asked = Asked(options.max_accuracy_drop, options.min_rate, options.updates, options.target)
    most = options.input_max or network.input_max or INPUT_MAX
    original = fold(declared(network, most))
    exact = passes.prune(original)
    start = Stage("exact", exact.network, exact.kept, exact.removed, {})
    report: dict[str, object] = {"input_max": most, "notes": list(exact.notes)}
    if options.exact:
        chosen, steps = start, own_steps
        text = []
    else:
        steps = own_steps or DEFAULT_STEPS
        split = split_recordings(options.data, original)
        levels, stages = find_levels(asked, original, start, split, steps, say)
        chosen = choose_level(levels, stages, options.max_accuracy_drop)
        if chosen.learnt:
            last = learn_from_all(asked, original, chosen, split, steps)
            levels.append(judge_stage(last, split, steps, options.target, validates=False))
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
    if options.json == _PRINTED:
        print(json.dumps(report, indent=2))
        return 0
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
    written = (options.out, None if options.json == _PRINTED else options.json, options.figure)
    for path in written:
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise SpikecError(
                f"{path}: is a folder, or stands in none that there is; name a file in a folder."
            )


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


def _points(text: str) -> float:
    """A number of at least 0 on the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value
