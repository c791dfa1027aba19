# SPDX-License-Identifier: Apache-2.0
"""Recordings in frames: NumPy's files, what is in them, and how they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikec.errors import SpikecError
from spikec.recordings import dataset
from spikec.recordings import frames as frame_file

AXES = (2, 3, 4)
X = np.random.default_rng(0).integers(0, 3, (5, 7, *AXES)).astype(np.uint8)
Y = np.array([0, 2, 1, 1, 0])


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def test_recordings_of_a_file_have_its_frames_and_labels(tmp_path: Path) -> None:
    path = saved(tmp_path, x=X, y=Y)
    found = dataset.fitting(path, AXES, 3)
    assert [one.label for one in found] == Y.tolist()
    assert [one.path for one in found] == [path / str(number) for number in range(5)]
    for number, one in enumerate(found):
        frames = one.frames(AXES, 50)
        assert frames.dtype == np.float32
        np.testing.assert_array_equal(frames, X[number])
    assert frame_file.steps(path, AXES) == 7
    assert {frame_file.file_of(path), frame_file.file_of(path / "3")} == {path}
    assert frame_file.file_of(tmp_path / "3.bin") is None


@pytest.mark.parametrize("many", [False, True])
def test_an_npy_file_holds_one_recording_or_several(tmp_path: Path, many: bool) -> None:
    path = tmp_path / "data.npy"
    np.save(path, X if many else X[3])
    assert len(frame_file.recordings(path, AXES)) == (5 if many else 1)
    number = 3 if many else 0
    np.testing.assert_array_equal(frame_file.read(path / str(number), AXES), X[3])


def test_the_same_frames_under_two_names_are_known_by_their_digest(tmp_path: Path) -> None:
    path = saved(tmp_path, x=X[[0, 1, 0]], y=Y[:3])
    first, second, third = (one.sha256() for one in dataset.fitting(path, AXES, 3))
    assert first == third != second


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = saved(tmp_path, x=X, y=Y)
    assert len(frame_file.recordings(path, AXES)) == 5
    saved(tmp_path, x=X[:2], y=Y[:2])
    assert len(frame_file.recordings(path, AXES)) == 2


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"y": Y}, "has no frames x of numbers"),
        ({"x": X.astype(str), "y": Y}, "has no frames x of numbers"),
        ({"x": np.array([None]), "y": Y}, "cannot be read as a file of NumPy's"),
        ({"x": X[:, :, 0], "y": Y}, "its frames are (5, 7, 3, 4), and the network takes"),
        ({"x": X[:, :0], "y": Y}, "its frames are (5, 0, 2, 3, 4)"),
        ({"x": X}, "has no labels y, an integer for each of its 5 recordings"),
        ({"x": X, "y": Y[:3]}, "has no labels y"),
        ({"x": X, "y": Y / 2}, "has no labels y"),
        ({"x": X, "y": Y + 1}, "its labels y are 1 to 3, and the network has 3 outputs"),
        ({"x": X, "y": Y - 1}, "its labels y are -1 to 1"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_a_sentence(
    tmp_path: Path, arrays: dict[str, Any], part: str
) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(SpikecError) as refused:
        dataset.fitting(path, AXES, 3)
    assert str(refused.value).startswith(f"{path}: ")
    assert part in str(refused.value)


def test_a_file_that_is_damaged_or_missing_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path, x=X, y=Y)
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[: len(whole) // 2], b"\x93NUMPY" + whole):
        path.write_bytes(content)
        with pytest.raises(SpikecError, match="cannot be read as a file of NumPy's"):
            frame_file.recordings(path, AXES)
    path.unlink()
    with pytest.raises(SpikecError, match="cannot be read as a file of NumPy's"):
        frame_file.recordings(path, AXES)


def test_a_recording_that_is_not_there_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = saved(tmp_path, x=X, y=Y)
    with pytest.raises(SpikecError, match=r"5: there is no such recording; .* has 5, numbered"):
        frame_file.read(path / "5", AXES)
