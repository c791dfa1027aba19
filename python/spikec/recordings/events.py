# SPDX-License-Identifier: Apache-2.0
"""Event recordings: reading and writing N-MNIST's format, and binning events into frames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.files import write_whole

_EVENT_BYTES = 5
_LARGEST = 1 << 28  # values in the frames of one recording: a gigabyte
_MAX_TIME_US = (1 << 23) - 1
# The ATIS camera has 240 rows, 0 to 239. It writes row 240 to say that its clock wrapped: such an
# event carries no pixel, and it and all later times are 2^13 us later than their own bits say.
_OVERFLOW_ROW = 240
_OVERFLOW_US = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What an event camera saw: N events in order of time, and the size of its sensor.

    x, y: [N] int16, pixels, x to the right and y down, from 0.
    polarity: [N] uint8, the camera's bit: 1 for ON, 0 for OFF.
    time_us: [N] int64, microseconds, never decreasing.
    width, height: pixels.
    """

    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.int16]
    polarity: npt.NDArray[np.uint8]
    time_us: npt.NDArray[np.int64]
    width: int
    height: int

    def __len__(self) -> int:
        """The number of events, N."""
        return int(self.time_us.size)


def read_nmnist(path: str | os.PathLike[str], width: int = 34, height: int = 34) -> Recording:
    """Read one N-MNIST recording (a `.bin` file) of a sensor of width x height pixels.

    Five bytes an event: x, y, then one bit of polarity and 23 bits of microseconds, big-endian.
    Raises SpikecError for a file that cannot be read, holds no events, is cut within an event, or
    has an event outside the sensor or earlier than the one before it.
    Source: the dataset's own `Read_Ndataset.m`, Orchard et al. 2015.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpikecError(
            f"{path}: the recording cannot be read ({error.strerror or error}); "
            "give the path of an N-MNIST .bin file."
        ) from error
    if not data:
        raise SpikecError(
            f"{path}: the file is empty; an N-MNIST recording holds 5 bytes for each event "
            "and at least one event. Fetch or record the file again."
        )
    if len(data) % _EVENT_BYTES:
        raise SpikecError(
            f"{path}: {len(data)} bytes is not a multiple of 5, so the last event is cut short; "
            "an N-MNIST recording holds exactly 5 bytes for each event. "
            "Fetch the file again, or check that it is in N-MNIST's format."
        )
    raw = np.frombuffer(data, dtype=np.uint8).reshape(-1, _EVENT_BYTES).astype(np.int64)
    time = (raw[:, 2] & 0x7F) << 16 | raw[:, 3] << 8 | raw[:, 4]
    overflow = raw[:, 1] == _OVERFLOW_ROW
    time += _OVERFLOW_US * np.cumsum(overflow)
    number = np.flatnonzero(~overflow)  # an event's place in the file, for the messages
    raw, time = raw[number], time[number]
    if not number.size:
        raise SpikecError(
            f"{path}: the file holds clock-overflow marks (y = {_OVERFLOW_ROW}) and no events; "
            "there is nothing to classify. Fetch or record the file again."
        )
    x, y = raw[:, 0], raw[:, 1]
    outside = np.flatnonzero((x >= width) | (y >= height))
    if outside.size:
        first = outside[0]
        raise SpikecError(
            f"{path}: event {number[first]} (from 0) is at x = {x[first]}, y = {y[first]}, "
            f"outside the sensor of {width} x {height} pixels; "
            "give the sensor's true size, or check that the file is in N-MNIST's format."
        )
    _refuse_time_running_backwards(f"{path}", time, number)
    return Recording(
        x=x.astype(np.int16),
        y=y.astype(np.int16),
        polarity=(raw[:, 2] >> 7).astype(np.uint8),
        time_us=time,
        width=width,
        height=height,
    )


def write_nmnist(path: str | os.PathLike[str], recording: Recording) -> None:
    """Write one recording in N-MNIST's format, five bytes an event; the file appears whole or not.

    Raises SpikecError, and writes nothing, for what the format cannot hold or `read_nmnist` would
    refuse: no events, a pixel outside the sensor, a sensor larger than 256 x 240, a time below 0 or
    over 2^23 - 1 us, time running backwards; and for a place that cannot be written.
    """
    path = Path(path)
    x, y, time = (a.astype(np.int64) for a in (recording.x, recording.y, recording.time_us))
    width, height = recording.width, recording.height
    if not time.size:
        raise SpikecError(f"{path}: the recording to write has no events; give at least one.")
    if width > 256 or height > _OVERFLOW_ROW:
        raise SpikecError(
            f"{path}: N-MNIST's format holds sensors of up to 256 x {_OVERFLOW_ROW} pixels, "
            f"and this recording's is {width} x {height}; crop it first."
        )
    wrong = np.flatnonzero((x < 0) | (x >= width) | (y < 0) | (y >= height))
    if wrong.size:
        first = wrong[0]
        raise SpikecError(
            f"{path}: event {first} (from 0) is at x = {x[first]}, y = {y[first]}, outside the "
            f"recording's sensor of {width} x {height} pixels; drop it, or give the true size."
        )
    wrong = np.flatnonzero((time < 0) | (time > _MAX_TIME_US))
    if wrong.size:
        first = wrong[0]
        raise SpikecError(
            f"{path}: event {first} (from 0) is at {time[first]} us, and N-MNIST's format holds "
            f"0 to {_MAX_TIME_US}; shift or cut the recording first."
        )
    _refuse_time_running_backwards(f"{path}", time, np.arange(time.size))
    raw = np.empty((time.size, _EVENT_BYTES), dtype=np.uint8)
    raw[:, 0] = x
    raw[:, 1] = y
    raw[:, 2] = (recording.polarity != 0).astype(np.int64) << 7 | time >> 16
    raw[:, 3] = time >> 8 & 0xFF
    raw[:, 4] = time & 0xFF
    write_whole(path, raw.tobytes(), "recording")


def bin_events(
    recording: Recording, steps: int, window_us: int | None = None
) -> npt.NDArray[np.float32]:
    """Count events into frames [T, C, H, W]: T = steps, C = 2 polarities (0 OFF, 1 ON).

    Without window_us the recording's own span is cut into `steps` equal windows and no event is
    lost: step = (t - t_first) * T // (t_last - t_first + 1), in integers.
    With window_us the windows have that length in microseconds, as on a device that cannot know
    when a recording ends: step = (t - t_first) // window_us, and later events are dropped.
    Raises SpikecError for fewer than one step, a window below 1 us, or no events.
    """
    if steps < 1:
        raise SpikecError(f"bin_events: steps is {steps}; give at least 1 step.")
    if window_us is not None and window_us < 1:
        raise SpikecError(
            f"bin_events: window_us is {window_us}; a window lasts at least 1 microsecond."
        )
    if not len(recording):
        raise SpikecError("bin_events: the recording has no events; give at least one.")
    height, width = recording.height, recording.width
    if steps * 2 * height * width > _LARGEST:
        raise SpikecError(
            f"bin_events: {steps} steps of 2 x {height} x {width} values are more than "
            f"{_LARGEST:,}; give fewer steps."
        )
    elapsed = recording.time_us - recording.time_us[0]
    step = elapsed * steps // (elapsed[-1] + 1) if window_us is None else elapsed // window_us
    kept = step < steps
    row = step[kept] * 2 + (recording.polarity[kept] != 0)
    index = (row * height + recording.y[kept]) * width + recording.x[kept]
    counts = np.bincount(index, minlength=steps * 2 * height * width)
    return counts.reshape(steps, 2, height, width).astype(np.float32)


def _refuse_time_running_backwards(
    where: str, time: npt.NDArray[np.int64], number: npt.NDArray[np.int64]
) -> None:
    """Raise SpikecError at the first event earlier than the one before it; number names events."""
    back = np.flatnonzero(np.diff(time) < 0)
    if back.size:
        before, after = back[0], back[0] + 1
        raise SpikecError(
            f"{where}: time runs backwards at event {number[after]} (from 0): {time[after]} us "
            f"comes after {time[before]} us; sort the events by time, or check that the file is "
            "in N-MNIST's format."
        )
