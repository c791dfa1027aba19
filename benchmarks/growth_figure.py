# SPDX-License-Identifier: Apache-2.0
"""Draws the sweeps of ``benchmarks/growth.py``: points, fitted lines; the same bytes for the same.

Apart, because only this needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from benchmarks.growth import Sweep

_ROWS = (
    ("us", "dense_us", "host: us", 1.0),
    ("instructions", "dense_instructions", "Cortex-M7: 1000 instructions", 1000.0),
)
_EVENT, _DENSE = "#0b5fa5", "#c2571a"


def draw(sweeps: Sequence[Sweep], path: Path) -> None:
    """Writes an SVG: a column a sweep, the host above, the Cortex-M7 below."""
    matplotlib.use("svg")
    from matplotlib import pyplot

    # Without a salt the names inside are random; text stays text.
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "spikec", "svg.fonttype": "none", "font.family": "sans-serif",
            "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
        }
    )  # fmt: skip
    figure, axes = pyplot.subplots(2, len(sweeps), figsize=(13, 5.6), layout="constrained")
    for row, (cost, dense, label, unit) in zip(axes, _ROWS, strict=True):
        for panel, sweep in zip(row, sweeps, strict=True):
            x = [point.x for point in sweep.points]
            for name, color, kernels in (
                (cost, _EVENT, "event-driven"),
                (dense, _DENSE, "dense"),
            ):
                if name not in sweep.lines:
                    continue
                line = sweep.lines[name]
                ends = [0.0, x[-1]]
                panel.plot(ends, [line.at(end) / unit for end in ends], color=color, linewidth=1)
                panel.plot(
                    x, [getattr(point, name) / unit for point in sweep.points], "o", color=color,
                    markersize=4, label=kernels,
                )  # fmt: skip
            fitted = sweep.lines[cost]
            panel.set_title(
                f"R² {fitted.r_squared:.4f}, residual ≤ {100 * fitted.largest_residual:.1f} %",
                fontsize=9,
            )
            panel.set_xlabel(sweep.x)
            panel.set_ylabel(f"{label} a {sweep.per}")
            panel.set_ylim(bottom=0)
            panel.set_xlim(left=0)
            if dense in sweep.lines:
                panel.legend(frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
