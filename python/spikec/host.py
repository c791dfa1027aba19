# SPDX-License-Identifier: Apache-2.0
"""Runs a compiled network on this machine, through the very C that ships."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spikec import ir
from spikec.errors import SpikecError

if TYPE_CHECKING:
    from spikec.passes.plan import Plan

ACTIVE = np.dtype([("index", "<u4"), ("value", "<f4")])
"""One entry of a list of active inputs: C's ``spk_active``."""

_STATUS = (
    "no error", "a pointer is NULL", "there are more active inputs than inputs",
    "an input index is out of range", "active inputs are not sorted by index",
    "an input value is NaN or infinite",
)  # fmt: skip


class Host:
    """A compiled network, loaded. Each run starts from the reset state with a state of its own.

    Made by ``Model.build()`` or ``Model.load(library)``. Frames are ``[T, C, H, W]`` or
    ``[T, N]`` as the network was compiled for: time step first, then snnTorch's axes without the
    batch; event counts or other finite numbers.
    """

    def __init__(self, plan: Plan, name: str, library: Path) -> None:
        self._plan = plan
        try:
            self._library = ctypes.CDLL(str(library))
            self._model = ctypes.c_char.in_dll(self._library, f"{name}_model")
        except (OSError, ValueError) as error:
            raise SpikecError(
                f"{library}: is no shared library of the network {name!r} ({error}); build "
                f"{name}.c, {name}_model.c and spk_drive.c into one."
            ) from error
        for function in ("spk_drive", "spk_drive_recorded"):
            getattr(self._library, function).restype = ctypes.c_int

    def run(self, frames: npt.ArrayLike) -> npt.NDArray[np.generic]:
        """The output spikes ``[T, outputs]`` of a recording, in snnTorch's order.

        Raises:
            SpikecError: the frames do not fit the network or are not finite.
        """
        spikes, _, _ = self._drive(active_inputs(self._plan, frames), record=False)
        return self._outputs(spikes)

    def trace(self, frames: npt.ArrayLike) -> dict[str, npt.NDArray[np.generic]]:
        """Every spiking layer's spikes ``[T, ...]``, by its torch name, in snnTorch's own axes.

        Raises:
            SpikecError: the frames do not fit the network or are not finite.
        """
        _, spikes, _ = self._drive(active_inputs(self._plan, frames), record=True)
        assert spikes is not None
        network = self._plan.network
        parts = network.split(spikes)
        return {
            layer.source: layer.shape.to_axes(_graded(layer, parts[layer.name]))
            for layer in network.spiking
        }

    def membranes(self, frames: npt.ArrayLike) -> dict[str, npt.NDArray[np.generic]]:
        """Every spiking layer's membranes ``[T, ...]`` after each step, as ``trace`` gives spikes.

        Raises:
            SpikecError: the frames do not fit the network or are not finite.
        """
        _, _, membranes = self._drive(active_inputs(self._plan, frames), record=True)
        assert membranes is not None
        parts = self._plan.network.split(membranes)
        return {
            layer.source: layer.shape.to_axes(parts[layer.name])
            for layer in self._plan.network.spiking
        }

    def _outputs(self, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
        network = self._plan.network
        last = network.spiking[-1]
        return network.output.shape.to_axes(_graded(last, spikes)).reshape(len(spikes), -1)

    def _drive(
        self, active: Active, record: bool
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None, npt.NDArray[np.float32] | None]:
        steps = len(active.offsets) - 1
        network = self._plan.network
        spikes = np.empty((steps, network.output.shape.size), np.uint8)
        state = ctypes.create_string_buffer(self._plan.state_bytes + 64)
        start = -ctypes.addressof(state) % 64
        common = (
            ctypes.byref(self._model),
            ctypes.byref(state, start),
            active.entries.ctypes.data_as(ctypes.c_void_p),
            active.offsets.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(steps),
            spikes.ctypes.data_as(ctypes.c_void_p),
        )
        layers: npt.NDArray[np.uint8] | None = None
        membranes: npt.NDArray[np.float32] | None = None
        if record:
            neurons = sum(layer.shape.size for layer in network.spiking)
            layers = np.empty((steps, neurons), np.uint8)
            membranes = np.empty((steps, neurons), np.float32)
            status = self._library.spk_drive_recorded(
                *common,
                layers.ctypes.data_as(ctypes.c_void_p),
                membranes.ctypes.data_as(ctypes.c_void_p),
            )
        else:
            status = self._library.spk_drive(*common)
        if status:
            raise SpikecError(f"the compiled network refused its input: {_STATUS[status]}.")
        return spikes, layers, membranes


class Active:
    """A recording as lists of active inputs: step t's are ``entries[offsets[t]:offsets[t + 1]]``.

    ``entries`` are of dtype ``ACTIVE``, sorted by index within each step; ``offsets`` is uint64.
    """

    __slots__ = ("entries", "offsets")

    def __init__(self, entries: npt.NDArray[np.void], offsets: npt.NDArray[np.uint64]) -> None:
        self.entries = entries
        self.offsets = offsets


def active_inputs(plan: Plan, frames: npt.ArrayLike) -> Active:
    """Turns frames ``[T, *axes]`` in snnTorch's order into lists in memory order.

    Raises:
        SpikecError: the frames do not fit the network or are not finite.
    """
    shape = plan.network.input
    array = np.asarray(frames)
    if array.dtype.kind not in "buif":
        raise SpikecError(f"frames are of type {array.dtype}; give an array of numbers.")
    if array.ndim != len(shape.axes) + 1 or array.shape[1:] != shape.axes:
        wanted = ", ".join(str(axis) for axis in shape.axes)
        raise SpikecError(
            f"frames have shape {array.shape}; this network takes [T, {wanted}]: time step first, "
            "no batch axis."
        )
    if not np.isfinite(array).all():
        raise SpikecError("frames hold NaN or infinity; give finite values.")
    flat = shape.to_memory(array).reshape(len(array), -1)
    steps, index = np.nonzero(flat)
    entries = np.empty(len(index), ACTIVE)
    entries["index"] = index
    entries["value"] = flat[steps, index]
    if not np.isfinite(entries["value"]).all():
        raise SpikecError("frames hold values beyond float32; give smaller ones.")
    offsets = np.zeros(len(array) + 1, np.uint64)
    np.cumsum(np.bincount(steps, minlength=len(array)), out=offsets[1:])
    return Active(entries, offsets)


def _graded(layer: ir.Leaky, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
    """Spikes ``[T, size]`` of 0 or 1 as snnTorch hands them on: times their grade, if any."""
    if layer.unit_spikes:
        return spikes
    shape = layer.shape
    return spikes.reshape(len(spikes), shape.height, shape.width, shape.channels) * layer.grade


def compiler() -> list[str]:
    """This machine's C compiler, as the start of a command line.

    Raises:
        SpikecError: there is none.
    """
    named = os.environ.get("CC")
    if named:
        command = shlex.split(named)
        if not shutil.which(command[0]):
            raise SpikecError(
                f"CC names {named!r}, which is not on the PATH; set it to a compiler."
            )
        return command
    for candidate in ("cc", "gcc", "clang"):
        if shutil.which(candidate):
            return [candidate]
    raise SpikecError(
        "there is no C compiler on the PATH (looked for cc, gcc, clang); install one, or set CC."
    )


def build(plan: Plan, name: str, files: Mapping[str, str], flags: tuple[str, ...] = ()) -> Host:
    """Compiles the generated ``files`` as a shared library and loads it.

    Raises:
        SpikecError: there is no C compiler, or it fails.
    """
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        return Host(plan, name, _compile(Path(folder), name, files, flags))


def _compile(folder: Path, name: str, files: Mapping[str, str], flags: tuple[str, ...]) -> Path:
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    library = folder / f"{name}.so"
    command = [
        *compiler(), "-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-shared",
        f"{name}.c", f"{name}_model.c", "spk_drive.c", "-o", str(library), *flags,
    ]  # fmt: skip
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        message = result.stderr.strip() or "it said nothing"
        raise SpikecError(f"the C compiler failed: {shlex.join(command)}\n{message}")
    return library
