# SPDX-License-Identifier: Apache-2.0
"""Reads ST-MNIST's own recordings, MATLAB files. Apart, because only this needs SciPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from models.stmnist.simulate import SIDE
from spikec.errors import SpikecError
from spikec.recordings.events import Recording


def read_stmnist(path: Path) -> Recording:
    """Read one recording: taxel [y][x] is number 10 * y + x of the file, polarity 1 is on.

    The file's ``spiketrain`` is ``[101, N]``: 100 taxels in {-1, 0, 1}, then the time in seconds.
    Raises SpikecError for another file.
    """
    try:
        train = loadmat(str(path))["spiketrain"]
    except (MatReadError, OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise SpikecError(
            f"{path}: cannot be read as an ST-MNIST recording ({error}); give one of its .mat "
            "files, which hold spiketrain, 101 x N."
        ) from error
    if (
        train.ndim != 2
        or train.shape[0] != SIDE * SIDE + 1
        or not np.isin(train[:-1], (-1, 0, 1)).all()
    ):
        raise SpikecError(
            f"{path}: spiketrain is {train.shape} of {train.dtype}; an ST-MNIST recording has 101 "
            "rows, of which the first 100 are -1, 0 or 1."
        )
    event, taxel = np.nonzero(train[:-1].T)  # in the order of time
    return Recording(
        x=(taxel % SIDE).astype(np.int16),
        y=(taxel // SIDE).astype(np.int16),
        polarity=(train[taxel, event] > 0).astype(np.uint8),
        time_us=(train[-1, event] * 1e6).astype(np.int64),
        width=SIDE,
        height=SIDE,
    )
