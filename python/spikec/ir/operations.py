# SPDX-License-Identifier: Apache-2.0
"""What a time step does: operations in order, the buffers they touch, and where these lie."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, TypeAlias

from spikec.ir import network as ir

Number: TypeAlias = Literal["float", "int16_t", "int32_t"]
"""What currents, membranes and dense values are made of."""
CType: TypeAlias = Number | Literal["uint8_t", "uint16_t", "uint32_t"]
SIZES: dict[CType, int] = {
    "float": 4, "int16_t": 2, "int32_t": 4, "uint8_t": 1, "uint16_t": 2, "uint32_t": 4,
}  # fmt: skip
ALIGNMENTS: dict[CType, int] = SIZES | {"int16_t": 4}
"""Kernels read and write two int16 at a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Buffer:
    """An array in the state struct."""

    name: str
    ctype: CType
    length: int
    note: str

    @property
    def bytes(self) -> int:
        """Its size."""
        return SIZES[self.ctype] * self.length


@dataclasses.dataclass(frozen=True, slots=True)
class ActiveInputs:
    """A value that is the caller's list of active inputs."""


@dataclasses.dataclass(frozen=True, slots=True)
class SpikeList:
    """A value that is a list of positions; each spike is 1. ``count`` is a C variable.

    It is also in ``kept`` if the next time step reads the list.
    """

    buffer: Buffer
    count: str
    kept: Buffer | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class DenseArray:
    """A value that is an array in memory order."""

    buffer: Buffer


Value: TypeAlias = ActiveInputs | SpikeList | DenseArray


def _buffers_of(value: Value) -> tuple[Buffer, ...]:
    """Where a value is; the caller's list is in no buffer."""
    return () if isinstance(value, ActiveInputs) else (value.buffer,)


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The kernel of a layer, and why in a few words."""

    dense: bool
    why: str

    def __str__(self) -> str:
        return f"{'dense' if self.dense else 'event-driven'} ({self.why})"


@dataclasses.dataclass(frozen=True, slots=True)
class Scatter:
    """Conv2d or Linear, event-driven: every active value of ``reads`` adds its weights."""

    layer: ir.Conv2d | ir.Linear
    before: ir.Shape
    reads: Value
    writes: Buffer
    choice: Choice

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (*_buffers_of(self.reads), self.writes)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class Gather:
    """Conv2d, event-driven: every output adds up the weights of the spikes that it reads."""

    layer: ir.Conv2d
    before: ir.Shape
    reads: SpikeList
    scratch: Buffer
    writes: Buffer
    choice: Choice

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (self.reads.buffer, self.scratch, self.writes)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class DenseSum:
    """Conv2d or Linear, dense: every output sums over all inputs that it reads, zeros included."""

    layer: ir.Conv2d | ir.Linear
    before: ir.Shape
    reads: Buffer
    writes: Buffer
    choice: Choice

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (self.reads, self.writes)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class Fire:
    """Leaky, reading its current through ``pool`` when that is fused; writes spikes.

    ``index`` counts the spiking layers from 0.
    """

    layer: ir.Leaky | ir.IntegerLeaky
    index: int
    pool: ir.MaxPool2d | None
    in_width: int
    reads: Buffer
    membrane: Buffer
    writes: SpikeList

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (self.reads, self.writes.buffer)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,) if self.pool is None else (self.pool, self.layer)


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """Cells, each reading one array an input; writes spikes, values or just its ``states``.

    ``index`` counts the spiking layers from 0; None of cells without a state.
    """

    layer: ir.Cell
    index: int | None
    reads: tuple[Buffer, ...]
    states: tuple[Buffer, ...]
    writes: SpikeList | DenseArray

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (*self.reads, self.writes.buffer)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class PoolSpikes:
    """Max pooling of spikes into spikes, by way of a byte ``map`` of the input."""

    layer: ir.MaxPool2d
    before: ir.Shape
    reads: SpikeList
    map: Buffer
    writes: SpikeList

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (self.reads.buffer, self.map, self.writes.buffer)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class PoolDense:
    """Max or average pooling of dense values."""

    layer: ir.MaxPool2d | ir.AvgPool2d
    before: ir.Shape
    reads: Buffer
    writes: Buffer

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (self.reads, self.writes)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """An affine layer, in place; ``step`` counts the time steps where each has its own."""

    layer: ir.Affine | ir.AffineTT
    buffer: Buffer
    step: Buffer | None

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (self.buffer,)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Copies ``reads``, rows of ``columns`` values, to where they belong in ``writes``.

    Value ``[row][column]`` goes to ``first + row * row_step + column * column_step``.
    """

    layer: ir.Layer
    reads: Buffer
    writes: Buffer
    columns: int
    first: int
    row_step: int
    column_step: int

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (self.reads, self.writes)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class Join:
    """Concatenates lists of spikes; the positions of each are moved by its ``offset``."""

    layer: ir.Concat
    reads: tuple[SpikeList, ...]
    offsets: tuple[int, ...]
    writes: SpikeList

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (*(spikes.buffer for spikes in self.reads), self.writes.buffer)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (self.layer,)


@dataclasses.dataclass(frozen=True, slots=True)
class Expand:
    """A list becomes dense values; ``fired`` is the layer whose spikes they are, if any."""

    reads: ActiveInputs | SpikeList
    writes: Buffer
    fired: ir.Spiking | None

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (*_buffers_of(self.reads), self.writes)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return ()


@dataclasses.dataclass(frozen=True, slots=True)
class Band:
    """A Scatter and the Fire that reads it, ``rows`` rows of neurons at a time.

    ``scatter.writes`` holds what these rows read.
    """

    scatter: Scatter
    fire: Fire
    rows: int

    @property
    def reads(self) -> Value:
        """What the Scatter reads."""
        return self.scatter.reads

    @property
    def writes(self) -> SpikeList:
        """What the Fire writes."""
        return self.fire.writes

    @property
    def touched(self) -> tuple[Buffer, ...]:
        """The buffers that it reads or writes, states of neurons apart."""
        return (*self.scatter.touched, self.fire.writes.buffer)

    @property
    def layers(self) -> tuple[ir.Layer, ...]:
        """The layers that it computes, in order."""
        return (*self.scatter.layers, *self.fire.layers)


Part: TypeAlias = (
    Scatter | Gather | DenseSum | Fire | Update | PoolSpikes | PoolDense | Scale | Expand | Place
    | Join
)  # fmt: skip
Operation: TypeAlias = Part | Band


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What a step does, in order, and where everything lies.

    ``membranes``, and other states of neurons, persist between steps, and so does what is
    ``handed_on`` to the next one. Each of ``slots`` is memory shared by scratch buffers that are
    never alive together. ``output`` is what the last layer hands on; None: it never spikes.
    ``index`` is the type of positions in lists. ``cache_line`` is the target's, in bytes.
    """

    network: ir.Network
    operations: tuple[Operation, ...]
    membranes: tuple[Buffer, ...]
    handed_on: tuple[Buffer, ...]
    slots: tuple[tuple[Buffer, ...], ...]
    output: SpikeList | DenseArray | None
    index: CType
    step: Buffer | None
    cache_line: int = 64

    @property
    def parts(self) -> tuple[Part, ...]:
        """The operations, bands taken apart."""
        return tuple(part for operation in self.operations for part in parts_of(operation))

    @property
    def choices(self) -> dict[str, Choice]:
        """The kind of kernel of every convolution and linear layer, by the layer's name."""
        return {
            operation.layer.name: operation.choice
            for operation in self.parts
            if isinstance(operation, Scatter | Gather | DenseSum)
        }

    @property
    def persistent(self) -> tuple[Buffer, ...]:
        """What persists between steps: a reset makes it 0."""
        step = () if self.step is None else (self.step,)
        return (*self.membranes, *self.handed_on, *step)

    @property
    def members(self) -> tuple[tuple[tuple[Buffer, ...], int], ...]:
        """The members of the state struct: buffers that share one place, and bytes of fill after.

        What has a kilobyte or more comes first and starts a cache line, if the state does: vectors
        that straddle two lines cost twice.
        """
        places = [*((buffer,) for buffer in self.persistent), *self.slots]
        large = [place for place in places if _size(place) >= _LARGE]
        small = [place for place in places if _size(place) < _LARGE]
        fill = [(place, -_size(place) % self.cache_line) for place in large]
        return tuple(fill + [(place, 0) for place in small])

    @property
    def state_bytes(self) -> int:
        """``sizeof`` of the state struct."""
        offset = 0
        for place, fill in self.members:
            offset = _up(offset, _alignment(place)) + _size(place) + fill
        return _up(offset, max(_alignment(place) for place, _ in self.members))


_LARGE = 1024


def _size(place: tuple[Buffer, ...]) -> int:
    """``sizeof`` of a union of buffers; of one buffer alone what it takes, fill included."""
    return _up(max(buffer.bytes for buffer in place), _alignment(place) if len(place) > 1 else 1)


def _alignment(place: tuple[Buffer, ...]) -> int:
    return max(ALIGNMENTS[buffer.ctype] for buffer in place)


def _up(value: int, align: int) -> int:
    return math.ceil(value / align) * align


def parts_of(operation: Operation) -> tuple[Part, ...]:
    """The operations of a band, or the one that it is."""
    return (operation.scatter, operation.fire) if isinstance(operation, Band) else (operation,)
