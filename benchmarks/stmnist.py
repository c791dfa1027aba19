# SPDX-License-Identifier: Apache-2.0
"""Reads ST-MNIST's recordings of a tactile sensor, 10 x 10 taxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

WINDOW_S = 0.01
"""How long a step of the seed network is."""


def taxel_frames(path: Path) -> npt.NDArray[np.float32]:
    """An ST-MNIST recording as counts ``[T, C=2 (on, off), H=10, W=10]`` in windows of 10 ms.

    The file's ``spiketrain`` is ``[101, N]``: 100 taxels in {-1, 0, 1}, then the time in seconds.
    """
    train = loadmat(str(path))["spiketrain"]
    step = (train[100] / WINDOW_S).astype(int)
    frames = np.zeros((step.max() + 1, 2, 100), np.float32)
    taxel, event = np.nonzero(train[:100])
    np.add.at(frames, (step[event], (train[taxel, event] < 0).astype(int), taxel), 1)
    return frames.reshape(len(frames), 2, 10, 10)
