# SPDX-License-Identifier: Apache-2.0
"""The recordings' parser, writer and binning, on bytes made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikec.errors import SpikecError
from spikec.recordings.events import Recording, bin_events, read_nmnist, write_nmnist


def make(events: list[tuple[int, int, int, int]], width: int = 34, height: int = 34) -> Recording:
    """A recording from (x, y, polarity, microseconds) rows."""
    x, y, polarity, time = (np.array(column) for column in zip(*events, strict=True))
    return Recording(
        x.astype(np.int16),
        y.astype(np.int16),
        polarity.astype(np.uint8),
        time.astype(np.int64),
        width,
        height,
    )


def put(folder: Path, data: bytes) -> Path:
    path = folder / "00001.bin"
    path.write_bytes(data)
    return path


def test_bytes_made_by_hand_are_read_bit_for_bit(tmp_path: Path) -> None:
    data = bytes([3, 4, 0x00, 0x00, 0x00, 33, 0, 0x80, 0x01, 0x02, 0, 33, 0x7F, 0xFF, 0xFF])
    got = read_nmnist(put(tmp_path, data))
    assert got.x.tolist() == [3, 33, 0]
    assert got.y.tolist() == [4, 0, 33]
    assert got.polarity.tolist() == [0, 1, 0]
    assert got.time_us.tolist() == [0, 0x0102, 0x7FFFFF]
    assert (got.width, got.height, len(got)) == (34, 34, 3)


def test_an_overflow_mark_is_dropped_and_moves_later_times_by_8192_us(tmp_path: Path) -> None:
    data = bytes([1, 1, 0, 0, 9, 0, 240, 0, 0, 0, 2, 2, 0x80, 0, 1, 0, 240, 0, 0, 0, 3, 3, 0, 0, 0])
    got = read_nmnist(put(tmp_path, data))
    assert got.x.tolist() == [1, 2, 3]
    assert got.time_us.tolist() == [9, 8193, 16384]


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        (int(x), int(y), int(p), int(t))
        for x, y, p, t in zip(
            rng.integers(0, 34, 500),
            rng.integers(0, 34, 500),
            rng.integers(0, 2, 500),
            np.sort(rng.integers(0, 1 << 23, 500)),
            strict=True,
        )
    ]
    recording = make(rows)
    path = tmp_path / "out.bin"
    write_nmnist(path, recording)
    got = read_nmnist(path)
    for name in ("x", "y", "polarity", "time_us"):
        assert np.array_equal(getattr(got, name), getattr(recording, name)), name
    assert path.stat().st_size == 2500
    assert [p.name for p in tmp_path.iterdir()] == ["out.bin"]


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SpikecError, match=r"00001\.bin: the file is empty"):
        read_nmnist(put(tmp_path, b""))


def test_a_file_of_overflow_marks_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpikecError, match=r"00001\.bin: .*overflow marks .*no events"):
        read_nmnist(put(tmp_path, bytes([0, 240, 0, 0, 0])))


@pytest.mark.parametrize("size", [1, 4, 6, 14])
def test_a_truncated_file_is_refused_with_its_size(tmp_path: Path, size: int) -> None:
    with pytest.raises(SpikecError, match=rf"00001\.bin: {size} bytes is not a multiple of 5"):
        read_nmnist(put(tmp_path, bytes(size)))


@pytest.mark.parametrize(("x", "y"), [(34, 0), (0, 34), (255, 255)])
def test_a_pixel_outside_the_sensor_is_refused_by_event(tmp_path: Path, x: int, y: int) -> None:
    path = put(tmp_path, bytes([1, 1, 0, 0, 0, x, y, 0, 0, 1]))
    with pytest.raises(SpikecError, match=rf"00001\.bin: event 1 .* x = {x}, y = {y}, outside"):
        read_nmnist(path)


def test_a_larger_sensor_may_be_named(tmp_path: Path) -> None:
    got = read_nmnist(put(tmp_path, bytes([39, 20, 0, 0, 0])), width=40, height=21)
    assert (got.width, got.height, got.x.tolist()) == (40, 21, [39])


def test_time_running_backwards_is_refused_by_event(tmp_path: Path) -> None:
    path = put(tmp_path, bytes([1, 1, 0, 0, 7, 1, 1, 0, 0, 7, 1, 1, 0, 0, 6]))
    with pytest.raises(
        SpikecError, match=r"00001\.bin: time runs backwards at event 2 .* 6 us comes after 7 us"
    ):
        read_nmnist(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SpikecError, match=r"absent\.bin: the recording cannot be read"):
        read_nmnist(tmp_path / "absent.bin")


@pytest.mark.parametrize(
    ("recording", "message"),
    [
        (make([(34, 0, 0, 0)]), "event 0 .* outside"),
        (make([(0, -1, 0, 0)]), "event 0 .* outside"),
        (make([(0, 0, 0, 1 << 23)]), "event 0 .* 8388608 us"),
        (make([(0, 0, 0, -1)]), "event 0 .* -1 us"),
        (make([(0, 0, 0, 5), (0, 0, 0, 4)]), "backwards at event 1"),
        (make([(0, 0, 0, 0)], width=300), "300 x 34"),
        (make([(0, 0, 0, 0)], height=241), "34 x 241"),
    ],
)
def test_what_the_format_cannot_hold_is_not_written(
    tmp_path: Path, recording: Recording, message: str
) -> None:
    with pytest.raises(SpikecError, match=rf"out\.bin: .*{message}"):
        write_nmnist(tmp_path / "out.bin", recording)
    assert not list(tmp_path.iterdir())


def test_a_recording_without_events_is_neither_written_nor_binned(tmp_path: Path) -> None:
    whole = make([(0, 0, 0, 0)])
    none = Recording(whole.x[:0], whole.y[:0], whole.polarity[:0], whole.time_us[:0], 34, 34)
    with pytest.raises(SpikecError, match="no events"):
        write_nmnist(tmp_path / "out.bin", none)
    with pytest.raises(SpikecError, match="no events"):
        bin_events(none, steps=4)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_told_and_left_so(tmp_path: Path) -> None:
    with pytest.raises(SpikecError, match=r"out\.bin: the recording cannot be written"):
        write_nmnist(tmp_path / "absent" / "out.bin", make([(0, 0, 0, 0)]))
    assert not list(tmp_path.iterdir())


def test_equal_windows_keep_every_event_and_end_at_the_last() -> None:
    frames = bin_events(make([(2, 3, 1, t) for t in range(100, 110)]), steps=5)
    assert frames.shape == (5, 2, 34, 34)
    assert frames.dtype == np.float32
    assert frames[:, 1, 3, 2].tolist() == [2, 2, 2, 2, 2]
    assert frames.sum() == 10


def test_equal_windows_are_cut_by_integer_arithmetic() -> None:
    times = [0, 1, 2, 3, 4, 5, 6]
    frames = bin_events(make([(t, 0, 0, t) for t in times]), steps=3)
    want = [t * 3 // 7 for t in times]
    assert [int(np.flatnonzero(frames[:, 0, 0, t])[0]) for t in times] == want


def test_one_event_falls_into_the_first_step() -> None:
    frames = bin_events(make([(5, 6, 1, 777)]), steps=4)
    assert np.argwhere(frames).tolist() == [[0, 1, 6, 5]]


def test_fixed_windows_drop_what_comes_too_late() -> None:
    events = [(0, 0, 0, 50), (1, 0, 1, 149), (2, 0, 0, 150), (3, 0, 0, 249), (4, 0, 0, 250)]
    frames = bin_events(make(events), steps=2, window_us=100)
    assert np.argwhere(frames).tolist() == [[0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 2], [1, 0, 0, 3]]


@pytest.mark.parametrize(("steps", "window_us"), [(0, None), (-1, None), (3, 0)])
def test_windows_that_make_no_sense_are_refused(steps: int, window_us: int | None) -> None:
    with pytest.raises(SpikecError, match="bin_events"):
        bin_events(make([(0, 0, 0, 0)]), steps=steps, window_us=window_us)
