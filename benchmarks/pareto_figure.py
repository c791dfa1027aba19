# SPDX-License-Identifier: Apache-2.0
"""Draws the points of ``benchmarks/pareto.py``; the same bytes for the same.

Apart, because only this needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from benchmarks.pareto import Point, best

_LOOKS = {"f32": ("#0b5fa5", "o", "float", 1), "int8": ("#c2571a", "s", "int8", -1)}


def draw(points: Sequence[Point], path: Path) -> None:
    """Writes an SVG: accuracy with its interval over instructions, and the best as a line."""
    matplotlib.use("svg")
    from matplotlib import pyplot

    # Without a salt the names inside are random; text stays text.
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "spikec", "svg.fonttype": "none", "font.family": "sans-serif",
            "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
        }
    )  # fmt: skip
    figure, axes = pyplot.subplots(figsize=(8, 4.6), layout="constrained")
    front = best(points)
    axes.plot(
        [one.instructions / 1e6 for one in front], [100 * one.accuracy for one in front],
        color="#999999", linewidth=1, drawstyle="steps-post", zorder=1,
    )  # fmt: skip
    for numbers, (color, marker, label, tilt) in _LOOKS.items():
        of = [one for one in points if one.numbers == numbers]
        axes.errorbar(
            [one.instructions / 1e6 for one in of], [100 * one.accuracy for one in of],
            yerr=[
                [100 * (one.accuracy - one.low) for one in of],
                [100 * (one.high - one.accuracy) for one in of],
            ],
            fmt=marker, color=color, label=label, markersize=5, elinewidth=0.5, capsize=2,
        )  # fmt: skip
        for one in of:
            axes.annotate(
                one.network, (one.instructions / 1e6, 100 * one.accuracy), color=color,
                xytext=(4, 4 * tilt), textcoords="offset points", fontsize=8, rotation=35 * tilt,
                rotation_mode="anchor",
            )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("Cortex-M7: million instructions a recording")
    axes.set_ylabel("right, % of the held-out recordings")
    axes.legend(frameon=False, loc="lower left")
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
