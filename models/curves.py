# SPDX-License-Identifier: Apache-2.0
"""Draws how trainings went, from the curves.csv that each left: the same bytes for the same.

Apart from the training programs, because only this needs matplotlib.

    python -m models.curves curves.svg training/seed1 training/seed2 training/seed3
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

_PANELS = (
    ("loss", "training loss"),
    ("validation_loss", "validation loss"),
    ("validation_right", "validation recordings right"),
    ("hidden_rate", "spikes a hidden neuron and step"),
)


def draw(folders: Sequence[Path], path: Path) -> None:
    """Writes an SVG, a panel a quantity and a line a training."""
    matplotlib.use("svg")
    from matplotlib import pyplot

    # Without a salt the names inside are random; text stays text.
    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "spikec", "svg.fonttype": "none", "font.family": "sans-serif",
            "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
        }
    )  # fmt: skip
    figure, axes = pyplot.subplots(1, len(_PANELS), figsize=(13, 3), layout="constrained")
    for folder in folders:
        curves = np.genfromtxt(folder / "curves.csv", delimiter=",", names=True)
        for panel, (column, title) in zip(axes, _PANELS, strict=True):
            panel.plot(curves["epoch"], curves[column], linewidth=1, label=folder.name)
            panel.set_title(title, fontsize=9)
            panel.set_xlabel("epoch")
    axes[0].legend(frameon=False)
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: curves FILE.svg FOLDER...")
    draw([Path(folder) for folder in sys.argv[2:]], Path(sys.argv[1]))
