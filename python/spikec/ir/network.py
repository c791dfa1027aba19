# SPDX-License-Identifier: Apache-2.0
"""The intermediate representation: a network as frozen layers with NumPy weights.

Everything after the importers works on these classes and on nothing of torch. Arrays are float32
and in *memory order*: maps are ``[y, x, c]`` (channel last), convolution weights
``[ky, kx, ic, oc]``, linear weights ``[in, out]``, so that one spike adds one contiguous row.

A network in integers, which ``passes/quantize.py`` makes, has int8 weights without biases,
``AvgPool2d`` whose divisors are 1, neurons that are ``IntegerLeaky`` or a ``Cell`` with a
``unit``, and no ``Affine``.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Integers: TypeAlias = npt.NDArray[np.int32]
Weights: TypeAlias = Floats | npt.NDArray[np.int8]
Scalar = TypeVar("Scalar", bound=np.generic)
ResetMechanism: TypeAlias = Literal["subtract", "zero", "none"]
Numbers: TypeAlias = Literal["f32", "int8"]

INPUT = "input"
"""The name under which layers refer to the network's input."""


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """The shape of one value: a map of ``height`` x ``width`` positions with ``channels`` each.

    ``flat`` says that snnTorch sees one axis of ``size`` features. Memory order does not change
    when a map is flattened; only the order in which snnTorch counts does. ``line`` says that
    snnTorch sees a row of ``width`` positions, as Conv1d does; ``height`` is 1.
    """

    height: int
    width: int
    channels: int
    flat: bool
    line: bool = False

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.height * self.width * self.channels

    @property
    def axes(self) -> tuple[int, ...]:
        """snnTorch's own axes: ``(C, H, W)``, ``(C, L)`` of a line, or ``(N,)`` when flat."""
        if self.flat:
            return (self.size,)
        if self.line:
            return (self.channels, self.width)
        return (self.channels, self.height, self.width)

    def to_memory(self, values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Reorders ``[..., *axes]`` in snnTorch's order into ``[..., H, W, C]`` in memory order."""
        lead = values.shape[: values.ndim - len(self.axes)]
        maps = values.reshape(*lead, self.channels, self.height, self.width)
        return np.moveaxis(maps, -3, -1)

    def to_axes(self, values: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """Reorders ``[T, size]`` (or ``[T, H, W, C]``) in memory order into ``[T, *axes]``."""
        maps = values.reshape(len(values), self.height, self.width, self.channels)
        return np.ascontiguousarray(np.moveaxis(maps, -1, -3).reshape(len(values), *self.axes))

    def __str__(self) -> str:
        """The shape as people write it: ``2x34x34`` or ``800``."""
        return "x".join(str(axis) for axis in self.axes)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Node:
    """What every layer has.

    ``name`` is unique in the network and a C identifier, ``source`` the name (or names) of the
    torch modules it stands for, ``inputs`` the names of the layers it reads, ``shape`` its output.
    """

    name: str
    source: str
    inputs: tuple[str, ...]
    shape: Shape


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Conv2d(Node):
    """Convolution, ``torch.nn.Conv2d``: ``weight [ky, kx, ic/groups, oc]``, ``bias [oc]``.

    ``padding`` is (top, left); at the bottom and right, what the output's size asks for.
    """

    weight: Weights
    bias: Floats
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Linear(Node):
    """Fully connected layer, ``torch.nn.Linear``: ``weight [in, out]``, ``bias [out]``."""

    weight: Weights
    bias: Floats


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class MaxPool2d(Node):
    """Maximum over windows, ``torch.nn.MaxPool2d``; windows are clipped to the map."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    clipped: bool  # whether ceil_mode lets the last windows reach beyond the map


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class AvgPool2d(Node):
    """Mean over windows, ``torch.nn.AvgPool2d``: a window's sum divided by ``divisors [y, x]``."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    divisors: Floats


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Affine(Node):
    """Scale and shift a channel, what ``torch.nn.BatchNorm1d/2d`` does in eval mode.

    ``scale`` and ``shift`` are ``[1, 1, 1]``, ``[1, 1, c]`` or, after a flattened map,
    ``[y, x, c]``.
    """

    scale: Floats
    shift: Floats


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Flatten(Node):
    """``torch.nn.Flatten``: nothing moves in memory, snnTorch counts differently from here on."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Leaky(Node):
    """Leaky integrate-and-fire neurons, ``snntorch.Leaky``.

    ``beta`` (decay a step, already clamped to 0..1), ``threshold`` and ``grade`` (the size of one
    spike, ``graded_spikes_factor``) are ``[1, 1, 1]``, ``[1, 1, c]`` or ``[y, x, c]``.
    """

    beta: Floats
    threshold: Floats
    grade: Floats
    reset: ResetMechanism
    reset_delay: bool

    @property
    def unit_spikes(self) -> bool:
        """Whether every spike is exactly 1, so that a list of positions says it all."""
        return bool(np.all(self.grade == 1.0))


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class IntegerLeaky(Node):
    """``Leaky`` neurons in integers; see ``docs/numbers.md`` for what they compute.

    ``decay`` (a step's, times 2**15), ``threshold`` and ``bias`` are ``[1, 1, 1]``, ``[1, 1, c]``
    or ``[y, x, c]``; a current is added times 2**``shift``. The membrane has ``bits`` bits, which
    its bound fits; one count of it is worth ``unit`` of the network's own membrane, ``[1, 1, 1]``,
    ``[1, 1, c]`` or ``[y, x, c]``. A spike counts 1: its size, ``grade``, is in the weights of what
    reads it.
    """

    decay: Integers
    threshold: Integers
    bias: Integers
    shift: int
    bits: Literal[16, 32]
    unit: Floats
    grade: Floats
    reset: ResetMechanism
    reset_delay: bool

    @property
    def unit_spikes(self) -> bool:
        """A list of positions says it all."""
        return True


Op: TypeAlias = Literal[
    "add", "sub", "mul", "neg", "abs", "maximum", "greater", "at_least", "select", "number",
    "sigmoid", "tanh", "nearest", "decay", "shift",
]  # fmt: skip
"""What one step of a program does, its arguments in order:

``add``, ``sub``, ``mul``, ``neg``, ``abs``, ``maximum``
    of numbers; each is rounded by itself. The maximum is the second one if that is ``>`` the first.
``greater``, ``at_least``
    a flag: the first number ``>``, or ``>=``, the second.
``select``
    of a flag and two numbers: the first number where the flag is set, the second elsewhere.
``number``
    a flag as 1 or 0.
``sigmoid``, ``tanh``
    of a float, as ``reference.py`` computes them.
``nearest``
    of a float and a parameter ``[n]``, a table of levels: the nearest level, of equally near ones
    the first.
``decay``
    of integers: ``(a * b + 2**14) >> 15``.
``shift``
    of integers: ``a << b``, where b is a parameter of one value.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One statement of a program, ``name = op(arguments)``.

    An argument names a current, a parameter, a state (its value before the time step) or an
    earlier statement.
    """

    name: str
    op: Op
    arguments: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A constant of a program: ``[1, 1, 1]``, ``[1, 1, c]`` or ``[y, x, c]``; levels ``[n]``."""

    name: str
    values: Floats | Integers


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """What a program remembers from step to step: 0 at first, then what ``next`` names."""

    name: str
    next: str


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Cell(Node):
    """Neurons, or other cells, of any kind: one program that each of them runs in a time step.

    ``kind`` says what they were, such as ``snntorch.Synaptic``. ``currents`` names what each of
    ``inputs`` gives: one name, or several for an input that has as many channels for every channel
    here, as the gates of an LSTM: ``[y][x][gate][c]``. ``fires`` names the statement that is the
    spike, a ``greater`` or ``at_least`` of the potential and a threshold, which is a parameter; a
    spike counts ``grade``. With ``winner`` only that cell of all fires whose statement of this name
    is the largest (of equal ones the first in snnTorch's order), if it would fire anyway; what
    follows in the program sees this spike. Without ``fires`` a cell hands on what ``value`` names.
    The first of ``states`` is what is called the membrane; a cell that fires has one.

    A program in integers (32 bits, which never overflow) has a ``unit``: what one count of the
    membrane is worth of the network's own.
    """

    kind: str
    currents: tuple[tuple[str, ...], ...]
    parameters: tuple[Parameter, ...]
    states: tuple[State, ...]
    program: tuple[Step, ...]
    fires: str | None
    winner: str | None
    value: str | None
    grade: Floats
    unit: Floats | None

    @property
    def unit_spikes(self) -> bool:
        """Whether it hands on spikes of size 1, so that a list of positions says it all."""
        whole = self.unit is not None
        return self.fires is not None and (whole or bool(np.all(self.grade == 1.0)))

    @property
    def threshold(self) -> Floats | Integers:
        """What a potential must exceed; infinite if it never fires."""
        for step in self.program:
            if step.name == self.fires:
                return self.parameter(step.arguments[1])
        return np.full((1, 1, 1), np.inf, np.float32)

    def parameter(self, name: str) -> Floats | Integers:
        """The values of the parameter ``name``."""
        return next(each.values for each in self.parameters if each.name == name)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Previous(Node):
    """What the layer it reads handed on in the time step before, 0 in the first one.

    That layer comes later in the network, and after all that read this one: a loop is closed.
    """


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Concat(Node):
    """Joins what its inputs hand on, ``torch.cat``: channels of maps, features of flat values.

    Features are in snnTorch's order, so that the result has one position, ``(1, 1, N)``.
    """


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Unflatten(Node):
    """Flat features become a map ``(C, H, W)`` or a line ``(C, L)``, ``torch.nn.Unflatten``."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class AffineTT(Node):
    """A scale and a shift for every time step, what ``snntorch.BatchNormTT1d/2d`` does.

    ``scale`` and ``shift`` are ``[T, 1, 1, 1]``, ``[T, 1, 1, c]`` or ``[T, y, x, c]``, of the same
    shape; the network runs for at most ``T`` time steps.
    """

    scale: Floats
    shift: Floats


Spiking: TypeAlias = Leaky | IntegerLeaky | Cell
"""What has neurons; of cells, those that have a state."""
Layer: TypeAlias = (
    Conv2d | Linear | MaxPool2d | AvgPool2d | Affine | AffineTT | Flatten | Unflatten | Concat
    | Previous | Spiking
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network: layers in an order that can be run, each after all that it reads.

    Only a ``Previous`` reads a later layer. The last layer's spikes are the network's outputs.

    ``source`` and ``sha256`` say what it was made from; they are printed in the generated files.
    ``input_max`` declares the range of every input value, 0 to that; None: any number. What is
    proven of a network is proven for that range, and the generated C refuses other values.
    """

    input: Shape
    layers: tuple[Layer, ...]
    source: str
    sha256: str
    input_max: int | None = None

    @property
    def spiking(self) -> tuple[Spiking, ...]:
        """The layers of neurons, first to last: what a trace shows."""
        return tuple(
            layer
            for layer in self.layers
            if isinstance(layer, Leaky | IntegerLeaky) or (isinstance(layer, Cell) and layer.states)
        )

    @property
    def numbers(self) -> Numbers:
        """The format of weights and membranes."""
        whole = any(
            isinstance(layer, IntegerLeaky) or (isinstance(layer, Cell) and layer.unit is not None)
            for layer in self.layers
        )
        return "int8" if whole else "f32"

    @property
    def output(self) -> Layer:
        """The last layer; its spikes are the network's outputs."""
        return self.layers[-1]

    @property
    def readout(self) -> Spiking | None:
        """The neurons that are the outputs, one for one; None if there are not just those."""
        layer = self.output
        while isinstance(layer, Flatten):
            layer = self.layer(layer.inputs[0])
        return next((neurons for neurons in self.spiking if neurons is layer), None)

    @property
    def max_steps(self) -> int | None:
        """For how many time steps it can run; None: for any number."""
        steps = [len(layer.scale) for layer in self.layers if isinstance(layer, AffineTT)]
        return min(steps, default=None)

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        return next(layer for layer in self.layers if layer.name == name)

    def shape_of(self, name: str) -> Shape:
        """The shape of a layer's output, or of the input."""
        if name == INPUT:
            return self.input
        return self.layer(name).shape

    def split(self, rows: npt.NDArray[Scalar]) -> dict[str, npt.NDArray[Scalar]]:
        """Rows ``[T, neurons]`` of all spiking layers, cut into ``[T, H, W, C]`` by layer name."""
        parts = {}
        start = 0
        for layer in self.spiking:
            shape = layer.shape
            part = rows[:, start : start + shape.size]
            parts[layer.name] = part.reshape(len(rows), shape.height, shape.width, shape.channels)
            start += shape.size
        return parts

    def readers(self, name: str) -> tuple[Layer, ...]:
        """The layers that read ``name``, in this time step or the next."""
        return tuple(layer for layer in self.layers if name in layer.inputs)


def memory_parameter(values: npt.NDArray[np.generic], shape: Shape) -> Floats:
    """Puts a neuron parameter into memory order, as small as it goes.

    ``values`` broadcasts against snnTorch's axes of ``shape``; the result is ``[1, 1, 1]``,
    ``[1, 1, c]`` or ``[y, x, c]``.
    """
    if values.size == 1:
        return np.asarray(values, np.float32).reshape(1, 1, 1)
    full = np.broadcast_to(np.asarray(values, dtype=np.float32), shape.axes)
    return smallest(np.ascontiguousarray(shape.to_memory(full), dtype=np.float32))


def smallest(maps: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
    """Values ``[y, x, c]`` as ``[1, 1, 1]`` or ``[1, 1, c]`` where these say the same."""
    if np.all(maps == maps[0, 0, 0]):
        return maps[:1, :1, :1]
    if np.all(maps == maps[0, 0]):
        return maps[:1, :1]
    return maps


def extents(
    out: int, size: int, kernel: int, stride: int, padding: int, dilation: int
) -> list[tuple[int, int]]:
    """For each of ``out`` pooling windows: the first input inside it and how many taps are."""
    result = []
    for at in range(out):
        inside = [
            place
            for tap in range(kernel)
            if 0 <= (place := at * stride - padding + tap * dilation) < size
        ]
        result.append((inside[0], len(inside)))
    return result
