# SPDX-License-Identifier: Apache-2.0
"""Runs a compiled network on this machine, through the very C that ships."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.semantics import reference
from spikec.semantics.readout import Decision, Readout

if TYPE_CHECKING:
    from spikec.ir.operations import Plan

ACTIVE = np.dtype([("index", "<u4"), ("value", "<f4")])
"""One entry of a list of active inputs: C's ``spk_active``."""

Cells: TypeAlias = ir.Floats | ir.Integers
"""Membranes as C hands them over, four bytes each."""

_ALIGNMENT = 64  # of the state: a line of the cache
_CACHE_LINES = (4, 32, 64)  # what a state may have been laid out for

_STATUS = (
    "no error", "a pointer is NULL", "there are more active inputs than inputs",
    "an input index is out of range", "active inputs are not sorted by index",
    "an input value is NaN or infinite", "an event is too old", "an event is too new",
    "an input value is out of range", "there are more time steps than it has parameters for",
)  # fmt: skip
_NOT_FINITE, _OUT_OF_RANGE = 5, 8
_FINITE = "frames hold NaN, infinity or values beyond float32; give finite values."


class _SpkModel(ctypes.Structure):
    """The start of C's ``spk_model``, as far as it is read here."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("inputs", ctypes.c_uint32),
        ("outputs", ctypes.c_uint32),
        ("layers", ctypes.c_uint32),
        ("neurons", ctypes.POINTER(ctypes.c_uint32)),
        ("state_bytes", ctypes.c_size_t),
    )


_OTHER = (
    "{library}: was built from another network than {name!r} here: build it again from the files "
    "that this network's model.write() gives."
)


def _state_sizes(plan: Plan) -> set[int]:
    """The bytes of a state, by the cache line that its large buffers are filled up to."""
    return {dataclasses.replace(plan, cache_line=line).state_bytes for line in _CACHE_LINES}


class _Scratch(threading.local):
    """Memory that each thread keeps from run to run, because new memory is not in the caches."""

    def __init__(self, plan: Plan) -> None:
        self._state = np.empty(max(_state_sizes(plan)) + 2 * _ALIGNMENT, np.uint8)
        self._active = np.empty(plan.network.input.size, ACTIVE)
        self.state_address = self._state.ctypes.data + -self._state.ctypes.data % _ALIGNMENT
        self.active_address = self._active.ctypes.data


class Host:
    """A compiled network, loaded. Each run starts from the reset state with a state of its own.

    Made by ``Model.build()`` or ``Model.load(library)``. Frames are ``[T, C, H, W]`` or
    ``[T, N]`` as the network was compiled for: time step first, then snnTorch's axes without the
    batch; event counts or other finite numbers.
    """

    def __init__(
        self, plan: Plan, name: str, library: Path, digest: int, readout: Readout | None = None
    ) -> None:
        self._plan = plan
        self._name = name
        self._decides = readout
        try:
            # A path that is not absolute would be looked for where the system's libraries are.
            self._library = ctypes.CDLL(str(library.absolute()))
            self._library[f"{name}_step_frame"]  # every library of the network has it
        except (AttributeError, OSError) as error:
            raise SpikecError(
                f"{library}: is no shared library of the network {name!r} ({error}); build "
                "every C file that goes with it into one."
            ) from error
        self._scratch = _Scratch(plan)
        network = plan.network
        shape = network.output.shape
        self._sizes = _sizes(network, network.output)
        plain = bool(np.all(self._sizes == 1.0))
        self._plain = plain and shape.height == shape.width == 1  # as C gives them
        self._model = self._driven(library)
        decides = readout is None or hasattr(self._library, f"{name}_readout_add")
        if not decides or self._digest() != digest:
            raise SpikecError(_OTHER.format(library=library, name=name))

    def _digest(self) -> int | None:
        """What tells the library's network from others; None of one that does not say."""
        try:
            return ctypes.c_uint32.in_dll(self._library, f"{self._name}_digest").value
        except ValueError:
            return None

    def _driven(self, library: Path) -> _SpkModel | None:
        """The handle for drivers, if the library has one: then it is checked and can be driven.

        Raises:
            SpikecError: it is that of another network.
        """
        try:
            model = _SpkModel.in_dll(self._library, f"{self._name}_model")
            drive = self._library.spk_drive_frames
        except (AttributeError, ValueError):
            return None
        drive.restype = ctypes.c_int
        drive.argtypes = (
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_size_t,
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
        )  # fmt: skip
        network = self._plan.network
        neurons = tuple(layer.shape.size for layer in network.spiking)
        built = (model.inputs, model.outputs, tuple(model.neurons[: model.layers]))
        expected = (network.input.size, network.output.shape.size, neurons)
        if built != expected or model.state_bytes not in _state_sizes(self._plan):
            raise SpikecError(_OTHER.format(library=library, name=self._name))
        return model

    def run(self, frames: npt.ArrayLike) -> npt.NDArray[np.generic]:
        """The output spikes ``[T, outputs]`` of a recording, in snnTorch's order.

        Raises:
            SpikecError: the frames do not fit the network or are not finite.
        """
        network = self._plan.network
        given = _in_time(network, frames)
        spikes = np.empty((len(given), network.output.shape.size), np.uint8)
        self._drive(given, spikes, None, None)
        if self._plain:
            return spikes
        graded = spikes if np.all(self._sizes == 1.0) else spikes * self._sizes.reshape(1, -1)
        return network.output.shape.to_axes(graded).reshape(spikes.shape)

    def trace(self, frames: npt.ArrayLike) -> dict[str, npt.NDArray[np.generic]]:
        """Every spiking layer's spikes ``[T, ...]``, by its torch name, in snnTorch's own axes.

        Raises:
            SpikecError: the frames do not fit the network or are not finite.
        """
        network = self._plan.network
        parts = network.split(self._record(frames)[0])
        return {
            layer.source: layer.shape.to_axes(_graded(layer, parts[layer.name]))
            for layer in network.spiking
        }

    def spikes(self, frames: npt.ArrayLike) -> dict[str, npt.NDArray[np.uint8]]:
        """Every spiking layer's spikes ``[T, H, W, C]``, 0 or 1, by its name, in memory order.

        Raises:
            SpikecError: the frames do not fit the network or are not finite.
        """
        network = self._plan.network
        given = _in_time(network, frames)
        neurons = sum(layer.shape.size for layer in network.spiking)
        outputs = np.empty((len(given), network.output.shape.size), np.uint8)
        spikes = np.empty((len(given), neurons), np.uint8)
        self._drive(given, outputs, spikes, None)
        return network.split(spikes)

    def membranes(self, frames: npt.ArrayLike) -> dict[str, npt.NDArray[np.generic]]:
        """Every spiking layer's membranes ``[T, ...]`` after each step, as ``trace`` gives spikes.

        With ``numbers="int8"`` they are int32, counts of what the layer's ``unit`` says.

        Raises:
            SpikecError: the frames do not fit the network or are not finite.
        """
        network = self._plan.network
        parts = network.split(self._record(frames)[1])
        return {layer.source: layer.shape.to_axes(parts[layer.name]) for layer in network.spiking}

    def classify(self, frames: npt.ArrayLike) -> Decision:
        """The class of a recording, and how many of its time steps the network ran to decide it.

        Raises:
            SpikecError: the network was compiled without a readout, or the frames do not fit the
                network or are not finite.
        """
        if self._decides is None:
            raise SpikecError(
                "this network was compiled without a readout, so nothing decides its class; give "
                "spikec.compile one, such as readout='count'."
            )
        network = self._plan.network
        frames_in_memory = np.ascontiguousarray(network.input.to_memory(_in_time(network, frames)))
        outputs = network.output.shape.size
        spikes = np.empty(outputs, np.uint8)
        readout = np.empty(self._decides.state_bytes(outputs), np.uint8)
        state, to, votes = self._scratch.state_address, spikes.ctypes.data, readout.ctypes.data
        step = self._function("step_frame", ctypes.c_int, 3)
        add = self._function("readout_add", ctypes.c_bool, 3)
        self._function("reset", ctypes.c_int, 1)(state)
        self._function("readout_reset", ctypes.c_int, 1)(votes)
        used = 0
        for frame in frames_in_memory:
            self._check(step(state, frame.ctypes.data, to))
            used += 1
            if add(votes, state, to):
                break
        found = self._function("readout_class", ctypes.c_int32, 1)(votes)
        return Decision(None if found < 0 else found, used)

    def _function(self, what: str, result: type, arguments: int) -> Callable[..., int]:
        """The function NAME_what of the generated C, which takes so many pointers."""
        function = self._library[f"{self._name}_{what}"]
        function.restype, function.argtypes = result, (ctypes.c_void_p,) * arguments
        return function

    def _record(self, frames: npt.ArrayLike) -> tuple[npt.NDArray[np.uint8], Cells]:
        """Spikes and membranes of all spiking layers, rows ``[T, neurons]``."""
        network = self._plan.network
        given = _in_time(network, frames)
        neurons = sum(layer.shape.size for layer in network.spiking)
        outputs = np.empty((len(given), network.output.shape.size), np.uint8)
        spikes = np.empty((len(given), neurons), np.uint8)
        membranes: Cells = np.empty((len(given), neurons), np.float32)
        if network.numbers == "int8":
            membranes = membranes.view(np.int32)
        self._drive(given, outputs, spikes, membranes)
        return spikes, membranes

    def _drive(
        self,
        frames: ir.Floats,
        spikes: npt.NDArray[np.uint8],
        layer_spikes: npt.NDArray[np.uint8] | None,
        membranes: Cells | None,
    ) -> None:
        """Runs the network over frames that have its shape and fills the arrays that are given."""
        if self._model is None:
            if layer_spikes is not None or membranes is not None:
                raise SpikecError(
                    f"the library of {self._name!r} was built from the files that model.write() "
                    "gives, which show output spikes only; model.build() makes one that shows "
                    "every layer."
                )
            self._run_steps(frames, spikes)
            return
        status = self._library.spk_drive_frames(
            ctypes.addressof(self._model),
            self._scratch.state_address,
            frames.ctypes.data,
            self._plan.network.input.channels,
            len(frames),
            self._scratch.active_address,
            spikes.ctypes.data,
            None if layer_spikes is None else layer_spikes.ctypes.data,
            None if membranes is None else membranes.ctypes.data,
        )
        self._check(status)

    def _run_steps(self, frames: ir.Floats, spikes: npt.NDArray[np.uint8]) -> None:
        """Fills ``spikes`` step by step, through the functions that every network has."""
        in_memory = np.ascontiguousarray(self._plan.network.input.to_memory(frames))
        state = self._scratch.state_address
        step = self._function("step_frame", ctypes.c_int, 3)
        self._function("reset", ctypes.c_int, 1)(state)
        for frame, out in zip(in_memory, spikes, strict=True):
            self._check(step(state, frame.ctypes.data, out.ctypes.data))

    def _check(self, status: int) -> None:
        """Raises what a status of the generated C means, if it is an error."""
        if status == _NOT_FINITE:
            raise SpikecError(_FINITE)
        if status == _OUT_OF_RANGE:
            raise SpikecError(_range(self._plan.network))
        if status:
            raise SpikecError(f"the compiled network refused its input: {_STATUS[status]}.")


def checked_frames(network: ir.Network, frames: npt.ArrayLike) -> ir.Floats:
    """Frames as contiguous float32 ``[T, *axes]``, in snnTorch's order.

    Raises:
        SpikecError: they do not fit the network's input or are not finite.
    """
    given = _in_time(network, frames)
    if not np.isfinite(given).all():
        raise SpikecError(_FINITE)
    if network.input_max is not None:
        whole = network.numbers == "f32" or (given == np.rint(given)).all()
        if not whole or given.min(initial=0) < 0 or given.max(initial=0) > network.input_max:
            raise SpikecError(_range(network))
    return given


def _range(network: ir.Network) -> str:
    """What is said of a value outside the range that a network was compiled for."""
    numbers = "integers" if network.numbers == "int8" else "numbers"
    return (
        f"frames hold values that are not {numbers} from 0 to {network.input_max}, for which this "
        "network was compiled; give such counts, or compile it with another input_max."
    )


def _in_time(network: ir.Network, frames: npt.ArrayLike) -> ir.Floats:
    """``_shaped``, for as many time steps as the network can run."""
    given = _shaped(network, frames)
    most = network.max_steps
    if most is not None and len(given) > most:
        raise SpikecError(
            f"frames hold {len(given)} time steps; this network runs for at most {most}, because "
            "a BatchNormTT has parameters for no more. Give shorter recordings, or build the "
            "network with more time steps."
        )
    return given


def _shaped(network: ir.Network, frames: npt.ArrayLike) -> ir.Floats:
    """``checked_frames`` that may still hold what is not finite, which C finds on its way."""
    axes = network.input.axes
    try:
        array = np.asarray(frames)
    except (RuntimeError, TypeError, ValueError) as error:
        raise SpikecError(
            f"frames are no array of numbers ({str(error).splitlines()[0]}); give one."
        ) from error
    if array.dtype.kind not in "buif":
        raise SpikecError(f"frames are of type {array.dtype}; give an array of numbers.")
    if array.ndim != len(axes) + 1 or array.shape[1:] != axes:
        wanted = ", ".join(str(axis) for axis in axes)
        raise SpikecError(
            f"frames have shape {array.shape}; this network takes [T, {wanted}]: time step first, "
            "no batch axis."
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


class Active:
    """A recording as lists of active inputs: step t's are ``entries[offsets[t]:offsets[t + 1]]``.

    ``entries`` are of dtype ``ACTIVE``, sorted by index within each step; ``offsets`` is uint64.
    """

    __slots__ = ("entries", "offsets")

    def __init__(self, entries: npt.NDArray[np.void], offsets: npt.NDArray[np.uint64]) -> None:
        self.entries = entries
        self.offsets = offsets


def active_inputs(network: ir.Network, frames: npt.ArrayLike) -> Active:
    """Turns frames ``[T, *axes]`` in snnTorch's order into lists in memory order.

    Raises:
        SpikecError: the frames do not fit the network or are not finite.
    """
    given = checked_frames(network, frames)
    flat = network.input.to_memory(given).reshape(len(given), network.input.size)
    steps, index = np.nonzero(flat)
    entries = np.empty(len(index), ACTIVE)
    entries["index"] = index
    entries["value"] = flat[steps, index]
    offsets = np.zeros(len(given) + 1, np.uint64)
    np.cumsum(np.bincount(steps, minlength=len(given)), out=offsets[1:])
    return Active(entries, offsets)


def _sizes(network: ir.Network, layer: ir.Layer) -> ir.Floats:
    """How large the spikes are that a layer of a sound network's end hands on, ``[H, W, C]``."""
    shape = (layer.shape.height, layer.shape.width, layer.shape.channels)
    if isinstance(layer, ir.Spiking):
        return np.broadcast_to(layer.grade, shape)
    before = [network.layer(name) for name in layer.inputs]
    match layer:
        case ir.Concat():
            parts = [(one.shape, _sizes(network, one)[None]) for one in before]
            return np.asarray(reference.concat(layer, parts)[0])
        case ir.Unflatten():
            sizes = _sizes(network, before[0])
            return np.asarray(reference.unflatten(layer, before[0].shape, sizes[None])[0])
        case ir.Flatten():
            return _sizes(network, before[0])
        case _:  # a pooling of spikes, which are all of size 1 then
            return np.ones(shape, np.float32)


def _graded(layer: ir.Spiking, spikes: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
    """Spikes ``[T, size]`` of 0 or 1 as snnTorch hands them on: times their grade, if any."""
    if np.all(layer.grade == 1.0):
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
        try:
            command = shlex.split(named)
        except ValueError:
            command = []
        if not command or not shutil.which(command[0]):
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


def build(
    plan: Plan,
    name: str,
    files: Mapping[str, str],
    digest: int,
    flags: tuple[str, ...] = (),
    readout: Readout | None = None,
) -> Host:
    """Compiles the generated ``files`` as a shared library and loads it.

    ``digest`` is what the C says of itself; ``readout`` is the one that is among it, if any.

    Raises:
        SpikecError: there is no C compiler, or it fails.
    """
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        library = _compile(Path(folder), name, files, flags)
        return Host(plan, name, library, digest, readout)


def _compile(folder: Path, name: str, files: Mapping[str, str], flags: tuple[str, ...]) -> Path:
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    start = [*compiler(), "-std=c11", "-O3", "-fPIC", *_this_machine()]
    units = [file for file in files if file.endswith(".c")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # All are waited for, so that nobody writes into a folder that is being removed.
        list(pool.map(lambda unit: _call([*start, "-c", unit, *flags], folder), units))
    library = folder / f"{name}.so"
    objects = [str(Path(unit).with_suffix(".o")) for unit in units]
    _call([*start, "-shared", *objects, "-o", str(library), *flags], folder)
    return library


def _this_machine() -> list[str]:
    """Flags for the CPU at hand: what is built here runs here, so no other level is compiled."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return []
    return ["-march=native", "-mprefer-vector-width=512"]


def _call(command: list[str], folder: Path) -> None:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        message = result.stderr.strip() or "it said nothing"
        raise SpikecError(f"the C compiler failed: {shlex.join(command)}\n{message}")
