# SPDX-License-Identifier: Apache-2.0
"""Labelled recordings in N-MNIST's layout, ``FOLDER/<label>/*.bin``, and how they are split.

The split is by file name, so that it is the same on every machine and whatever else is in the
folder: the held-out part judges, the other part may train, calibrate or choose.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.recordings import frames as frame_file
from spikec.recordings.events import bin_events, read_nmnist

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One recording on disk and the class that it shows. Nothing is read before it is asked for."""

    path: Path
    label: int

    @property
    def held_out(self) -> bool:
        """Whether it judges: see ``held_out``."""
        return held_out(self.path.name)

    @property
    def empty(self) -> bool:
        """Whether the file holds no event at all; not asked of one that holds frames.

        Raises:
            SpikecError: there is no such file.
        """
        try:
            return self.path.stat().st_size == 0
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def frames(self, axes: Sequence[int], steps: int) -> npt.NDArray[np.float32]:
        """Event counts ``[T, 2, H, W]`` for a network of input ``axes``, T = ``steps``.

        A file without an event gives zeros. A recording in a file of frames gives these,
        ``[T, *axes]`` with a T of its own.

        Raises:
            SpikecError: the file cannot be read or is damaged, or the network's input is no map of
                two polarities, or not that of the frames.
        """
        if frame_file.is_recording(self.path):
            return frame_file.read(self.path, axes)
        height, width = event_map(axes, f"{self.path}: the network's input")
        if self.empty:
            return np.zeros((steps, 2, height, width), np.float32)
        return bin_events(read_nmnist(self.path, width, height), steps=steps)

    def sha256(self) -> str:
        """A digest of the file's (or its frames') bytes, to know it by under two names.

        Raises:
            SpikecError: the file cannot be read.
        """
        if frame_file.is_recording(self.path):
            return hashlib.sha256(frame_file.content(self.path)).hexdigest()
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise _unreadable(self.path, error) from error


def fitting(
    data: Path, axes: Sequence[int], classes: int, what: str = "the network's input"
) -> tuple[Labelled, ...]:
    """All recordings of ``data``, for a network of ``classes`` whose input, ``what``, has ``axes``.

    ``data`` is a folder of events, or a file of frames with labels.

    Raises:
        SpikecError: they cannot be found, or do not fit the network.
    """
    if not frame_file.is_file(data):
        event_map(axes, what)
        return find(data, classes)
    labels = frame_file.labels(data, axes, classes)
    paths = frame_file.recordings(data, axes)
    return tuple(Labelled(path, label) for path, label in zip(paths, labels, strict=True))


def find(folder: Path, classes: int) -> tuple[Labelled, ...]:
    """All recordings of ``folder``, in the order of their paths, for a network of ``classes``.

    Folders in it that are no number, and files that are no ``.bin``, are passed over.

    Raises:
        SpikecError: there is no such folder, it has no folders of labels or no recordings in them,
            or a label is no class of the network.
    """
    if not folder.is_dir():
        raise SpikecError(
            f"{folder}: there is no such folder; give one that holds a folder for each class, "
            "0/*.bin, 1/*.bin and so on."
        )
    labels = sorted(
        path for path in folder.iterdir()
        if path.is_dir() and path.name.isascii() and path.name.isdecimal()
    )  # fmt: skip
    if not labels:
        inside = [name for name in ("Train", "Test") if (folder / name).is_dir()]
        hint = f" Did you mean {folder / inside[0]}?" if inside else ""
        raise SpikecError(
            f"{folder}: has no folders of labels; recordings are looked for in 0/*.bin, 1/*.bin "
            f"and so on, a folder for each class.{hint}"
        )
    found = [
        Labelled(path, int(label.name)) for label in labels for path in sorted(label.glob("*.bin"))
    ]
    if not found:
        raise SpikecError(
            f"{folder}: its folders of labels hold no recordings (.bin); fetch the data again."
        )
    for one in found:
        if one.label >= classes:
            raise SpikecError(
                f"{one.path.parent}: is label {one.label}, and the network has {classes} outputs, "
                f"so its classes are 0 to {classes - 1}; give the data that it was trained for."
            )
    return tuple(found)


def held_out(name: str) -> bool:
    """Whether the recording of this file name is held out: about a quarter of them are."""
    return zlib.crc32(name.encode()) % 4 == 0


def split(recordings: Sequence[Labelled]) -> tuple[tuple[Labelled, ...], tuple[Labelled, ...]]:
    """What may be learnt from, and what judges; no recording is in both."""
    held = tuple(one for one in recordings if one.held_out)
    return tuple(one for one in recordings if not one.held_out), held


def spaced(recordings: Sequence[Item], limit: int) -> tuple[Item, ...]:
    """At most ``limit`` of the recordings, evenly spaced, so that every class has its share."""
    count = min(limit, len(recordings))
    return tuple(recordings[i * len(recordings) // count] for i in range(count))


def event_map(axes: Sequence[int], what: str) -> tuple[int, int]:
    """Height and width of a map of events; ``what`` has ``axes``, for the message.

    Raises:
        SpikecError: it is no map of two polarities.
    """
    text = ",".join(map(str, axes))
    if len(axes) != 3 or axes[0] != 2:
        raise SpikecError(
            f"{what} {text}: recordings have two polarities, so the network needs input 2,H,W."
        )
    if min(axes) < 1:
        raise SpikecError(f"{what} {text}: a frame has at least one pixel.")
    return axes[1], axes[2]


def _unreadable(path: Path, error: OSError) -> SpikecError:
    return SpikecError(
        f"{path}: the recording cannot be read ({error.strerror or error}); "
        "give the path of an N-MNIST .bin file."
    )
