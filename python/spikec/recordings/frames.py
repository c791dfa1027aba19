# SPDX-License-Identifier: Apache-2.0
"""Recordings that are frames already: NumPy's ``.npz`` and ``.npy`` files.

A file holds ``x [n, T, *axes]``, or of one recording ``[T, *axes]``, in numbers of any type, and
``.npz`` files may hold labels ``y [n]`` beside it. ``FILE.npz/17`` names one recording, from 0.
"""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError

_SUFFIXES = (".npz", ".npy")


def is_file(path: Path) -> bool:
    """Whether a path names a file of frames."""
    return path.suffix in _SUFFIXES


def is_recording(path: Path) -> bool:
    """Whether a path names one recording in a file of frames."""
    return is_file(path.parent) and path.name.isascii() and path.name.isdecimal()


def file_of(path: Path) -> Path | None:
    """The file of frames that a path names, or a recording in; None of anything else."""
    if is_file(path):
        return path
    return path.parent if is_recording(path) else None


def recordings(path: Path, axes: Sequence[int]) -> tuple[Path, ...]:
    """The recordings in a file, for a network whose input has ``axes``.

    Raises:
        SpikecError: the file cannot be read or does not fit the network.
    """
    return tuple(path / str(number) for number in range(len(_frames(path, axes))))


def labels(path: Path, axes: Sequence[int], classes: int) -> tuple[int, ...]:
    """The class of each recording in a file, for a network of so many ``classes``.

    Raises:
        SpikecError: the file cannot be read, has none, or they do not fit the network.
    """
    count = len(_frames(path, axes))
    found = _arrays(path).get("y")
    if found is None or found.shape != (count,) or found.dtype.kind not in "iu":
        raise SpikecError(
            f"{path}: has no labels y, an integer for each of its {count} recordings; save it "
            "with numpy.savez(path, x=frames, y=labels)."
        )
    if count and not 0 <= int(found.min()) <= int(found.max()) < classes:
        raise SpikecError(
            f"{path}: its labels y are {found.min()} to {found.max()}, and the network has "
            f"{classes} outputs, so its classes are 0 to {classes - 1}."
        )
    return tuple(found.tolist())


def steps(path: Path, axes: Sequence[int]) -> int:
    """How many time steps the recordings in a file have.

    Raises:
        SpikecError: the file cannot be read or does not fit the network.
    """
    return int(_frames(path, axes).shape[1])


def read(recording: Path, axes: Sequence[int]) -> npt.NDArray[np.float32]:
    """One recording's frames ``[T, *axes]``.

    Raises:
        SpikecError: the file cannot be read, does not fit the network or has no such recording.
    """
    frames = _frames(recording.parent, axes)
    number = int(recording.name)
    if number >= len(frames):
        raise SpikecError(
            f"{recording}: there is no such recording; {recording.parent} has {len(frames)}, "
            "numbered from 0."
        )
    return np.ascontiguousarray(frames[number], np.float32)


def content(recording: Path) -> bytes:
    """The bytes of one labelled recording's frames, by which it is known under another name.

    Raises:
        SpikecError: the file cannot be read.
    """
    arrays = _arrays(recording.parent)
    many = len(arrays["x"]) == len(arrays["y"])
    return (arrays["x"][int(recording.name)] if many else arrays["x"]).tobytes()


def _frames(path: Path, axes: Sequence[int]) -> npt.NDArray[Any]:
    """All recordings in a file, ``[n, T, *axes]``."""
    x = _arrays(path).get("x")
    wanted = ", ".join(map(str, axes))
    if x is None or x.dtype.kind not in "fiub":
        raise SpikecError(
            f"{path}: has no frames x of numbers; save [n, T, {wanted}] with "
            "numpy.savez(path, x=frames, y=labels), or with numpy.save."
        )
    if x.shape[1:] == tuple(axes):
        x = x[None]
    if x.shape[2:] != tuple(axes) or x.shape[1] < 1:
        raise SpikecError(
            f"{path}: its frames are {x.shape}, and the network takes [n, T, {wanted}] or "
            f"[T, {wanted}], n recordings of T time steps."
        )
    return x


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        return _loaded(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpikecError(
            f"{path}: cannot be read as a file of NumPy's ({reason}); give a .npz or .npy file."
        ) from error


@functools.lru_cache(maxsize=2)
def _loaded(path: Path, changed: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays in a file, that of a .npy file as x. ``changed`` tells the cache of a new file."""
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return {"x": found}
    with found:
        return {name: found[name] for name in found.files}
