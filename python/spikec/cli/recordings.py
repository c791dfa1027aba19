# SPDX-License-Identifier: Apache-2.0
"""The recordings that a verb's options name, as frames for its network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec.cli.model_argument import load_model
from spikec.cli.options import DEFAULT_STEPS
from spikec.errors import SpikecError
from spikec.frontends.load import Loaded
from spikec.ir import network as ir
from spikec.recordings import dataset
from spikec.recordings import frames as frame_file
from spikec.recordings.dataset import Labelled, event_map
from spikec.recordings.events import bin_events, read_nmnist


def load_recorded(options: argparse.Namespace) -> tuple[ir.Network, list[Path], int]:
    """The network, the recordings of ``--events`` and how many time steps each has.

    Raises:
        SpikecError: one of them cannot be read, or they do not fit one another.
    """
    of_events = any(frame_file.file_of(path) is None for path in options.events)
    if options.input is not None and of_events:
        event_map(options.input, "--input")
    loaded = load_model(options)
    steps = choose_steps(loaded, options.events, options.time_steps)
    return loaded.network, list_recordings(options.events, loaded.network), steps


def choose_steps(loaded: Loaded, paths: Sequence[Path], asked: int | None) -> int:
    """The time steps of recordings in frames, or how many to bin recordings of events into."""
    known = find_steps(paths, loaded.network, asked)
    return known if known is not None else loaded.steps or DEFAULT_STEPS


def find_steps(paths: Sequence[Path], network: ir.Network, asked: int | None) -> int | None:
    """How many time steps recordings have; None for events, which are binned into any number.

    Raises:
        SpikecError: files of frames do not have the steps that were ``asked`` for, or not the same.
    """
    axes = network.input.axes
    files = [file for path in paths if (file := frame_file.file_of(path)) is not None]
    counts = {frame_file.steps(path, axes) for path in files}
    if asked is not None:
        counts.add(asked)
    if files and len(counts) > 1:
        raise SpikecError(
            f"{files[0]}: recordings in frames have the time steps that they have, and these are "
            f"not all one number: {', '.join(map(str, sorted(counts)))}."
        )
    return counts.pop() if files else asked


def list_recordings(paths: Sequence[Path], network: ir.Network) -> list[Path]:
    """Files of events as they are, and each recording in a file of frames.

    Raises:
        SpikecError: a file of frames cannot be read or does not fit the network.
    """
    found: list[Path] = []
    for path in paths:
        one = not frame_file.is_file(path)
        found += [path] if one else frame_file.recordings(path, network.input.axes)
    return found


def read_frames(
    options: argparse.Namespace, network: ir.Network, path: Path, steps: int
) -> tuple[npt.NDArray[np.float32], int]:
    """One recording's frames ``[T, *axes]``, and how many events it has.

    Raises:
        SpikecError: it cannot be read or does not fit the network.
    """
    axes, window = network.input.axes, getattr(options, "window_us", None)
    if frame_file.is_recording(path):
        if window is not None:
            raise SpikecError(f"--window-us: {path.parent} holds frames; leave it out.")
        frames = frame_file.read(path, axes)
        return frames, int(np.count_nonzero(frames))
    height, width = event_map(axes, f"{options.model}: its input")
    recording = read_nmnist(path, width, height)
    return bin_events(recording, steps=steps, window_us=window), len(recording.x)


def read_labelled(options: argparse.Namespace, network: ir.Network) -> tuple[Labelled, ...]:
    """The recordings of ``--data``, with their labels.

    Raises:
        SpikecError: they cannot be read or do not fit the network.
    """
    shape = network.output.shape
    what = f"{options.model}: its input"
    return dataset.fitting(options.data, network.input.axes, shape.size, what)
