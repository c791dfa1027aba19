# SPDX-License-Identifier: Apache-2.0
"""ST-MNIST's recordings as the seed network reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.stmnist.recordings import read_stmnist

WINDOW_S = 0.01
"""How long a step of the seed network is."""


def taxel_frames(path: Path) -> npt.NDArray[np.float32]:
    """An ST-MNIST recording as counts ``[T, C=2 (on, off), H=10, W=10]`` in windows of 10 ms."""
    found = read_stmnist(path)
    step = found.time_us // round(1e6 * WINDOW_S)
    frames = np.zeros((step.max() + 1, 2, found.height, found.width), np.float32)
    np.add.at(frames, (step, (found.polarity == 0).astype(int), found.y, found.x), 1)
    return frames
