# SPDX-License-Identifier: Apache-2.0
"""Our parser against tonic's, on simulated recordings always and on real ones where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tonic.datasets import NMNIST
from tonic.io import read_mnist_file

from models.nmnist.simulate import simulate
from spikec.recordings.events import read_nmnist, write_nmnist
from spikec.recordings.shared import shared_folder


def same_as_tonic(path: Path) -> int:
    """Compare every event of one recording; returns how many there are."""
    ours, theirs = read_nmnist(path), read_mnist_file(str(path), dtype=NMNIST.dtype)
    assert len(ours) == len(theirs)
    for name, column in (("x", ours.x), ("y", ours.y), ("p", ours.polarity), ("t", ours.time_us)):
        assert np.array_equal(column, theirs[name]), f"{path}: column {name}"
    return len(ours)


def test_simulated_recordings_read_as_tonic_reads_them(tmp_path: Path) -> None:
    digits = np.zeros((3, 28, 28), dtype=np.uint8)
    digits[0, 4:24, 12:16] = 255
    digits[1, 5:9, 5:23] = 200
    digits[2, 6:22, 6:22] = np.arange(16) * 16
    for number, recording in enumerate(simulate(digits, np.random.default_rng(1))):
        path = tmp_path / f"{number}.bin"
        write_nmnist(path, recording)
        assert same_as_tonic(path) > 500


def test_overflow_marks_read_as_tonic_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "overflow.bin"
    path.write_bytes(
        bytes([1, 2, 0, 0, 9, 0, 240, 0, 0, 0, 3, 4, 0x80, 0, 1, 0, 240, 0, 0, 0, 5, 6, 0, 0, 2])
    )
    assert same_as_tonic(path) == 3


def test_real_recordings_read_as_tonic_reads_them() -> None:
    folder = shared_folder("data", "nmnist", "Train")
    if folder is None:
        pytest.skip("no real recordings: neither SPIKEC_SHARED nor ../shared has data/nmnist/Train")
    files = sorted(folder.glob("[0-9]/*.bin"))
    assert files
    assert all(same_as_tonic(path) > 0 for path in files)
