# SPDX-License-Identifier: Apache-2.0
"""Lowers a network to the operations of a time step, and plans where their buffers lie."""

from __future__ import annotations

import dataclasses
from typing import assert_never

import numpy as np

from spikec.ir import network as ir
from spikec.ir.operations import (
    SIZES,
    ActiveInputs,
    Buffer,
    Choice,
    CType,
    DenseArray,
    DenseSum,
    Expand,
    Fire,
    Gather,
    Join,
    Number,
    Operation,
    Part,
    Place,
    Plan,
    PoolDense,
    PoolSpikes,
    Scale,
    Scatter,
    SpikeList,
    Update,
    Value,
)
from spikec.passes import choose
from spikec.passes.bands import join_bands
from spikec.passes.memory import find_lifetimes, share_memory
from spikec.semantics import bounds


def plan(network: ir.Network, kernels: choose.Kernels = choose.AUTO) -> Plan:
    """Chooses kernels and plans the memory of ``network``; ``kernels`` is what is asked for."""
    builder = _Builder(network, kernels)
    for layer in network.layers:
        builder.add(layer)
    value = builder.values[network.output.name]
    assert not isinstance(value, ActiveInputs), "the importer refuses networks without neurons"
    readout = network.readout
    silent = isinstance(readout, ir.Cell) and readout.fires is None
    output = None if silent else value
    operations = _input_first(join_bands(network, builder.operations))
    membranes = tuple(
        buffer
        for part in builder.operations
        if isinstance(part, Fire | Update)
        for buffer in ((part.membrane,) if isinstance(part, Fire) else part.states)
    )
    handed_on = tuple(builder.handed_on)
    scratch = find_lifetimes(
        operations, output, {buffer.name for buffer in (*membranes, *handed_on)}
    )
    return Plan(
        network,
        operations,
        membranes,
        handed_on,
        share_memory(scratch),
        output,
        builder.index,
        builder.step,
    )


def reads_of(operation: Scatter | Gather) -> choose.Reads:
    """How an event-driven layer reads its input."""
    if isinstance(operation, Gather):
        return "gathered list"
    return "array" if isinstance(operation.reads, DenseArray) else "list"


def crossovers(network: ir.Network) -> dict[str, float | None]:
    """From which share of active inputs on a layer's dense kernel is cheaper, by the layer's name.

    None: it never is. Of every convolution and linear layer of a network as it is compiled.
    """
    return {
        operation.layer.name: choose.crossover(
            operation.layer, operation.before, reads_of(operation)
        )
        for operation in plan(network, choose.Kernels("event")).parts
        if isinstance(operation, Scatter | Gather)
    }


class _Builder:
    """Walks the layers and keeps where each layer's value is."""

    def __init__(self, network: ir.Network, kernels: choose.Kernels) -> None:
        self.network = network
        self.kernels = kernels
        self.operations: list[Part] = []
        self.values: dict[str, Value] = {ir.INPUT: ActiveInputs()}
        self.numbers = _numbers(network)
        self.fired: dict[str, ir.Spiking] = {}  # value name -> the layer whose spikes it is
        self.pooled: dict[str, ir.MaxPool2d] = {}  # values still to be max pooled by their reader
        self.expanded: dict[Value, Buffer] = {}  # lists that are arrays, too
        self.neurons = 0  # layers of neurons so far
        self.handed_on: list[Buffer] = []
        self.step: Buffer | None = None  # counts time steps, where a layer needs that
        self.looped: dict[
            str, SpikeList | DenseArray
        ] = {}  # what the next time step reads, by the layer's name
        sizes = [network.input.size, *(layer.shape.size for layer in network.layers)]
        self.index: CType = "uint16_t" if max(sizes) <= 1 << 16 else "uint32_t"
        for layer in network.layers:
            if isinstance(layer, ir.Previous):
                self._hand_on(self._neurons_of(layer))

    def add(self, layer: ir.Layer) -> None:
        """Appends the operations of one layer, and says where its value is."""
        source = layer.inputs[0]
        before = self.network.shape_of(source)
        match layer:
            case ir.Flatten():
                self._alias(layer, source)
            case ir.Unflatten():
                self._unflatten(layer)
            case ir.Concat():
                self._concat(layer)
            case ir.Previous():
                neurons = self._neurons_of(layer)
                last = self.looped[neurons.name]
                if isinstance(last, SpikeList):
                    assert last.kept is not None, "_hand_on says so"
                    last = SpikeList(last.buffer, f"s->{last.kept.name}[0]")
                    self.fired[layer.name] = neurons
                self.values[layer.name] = last
            case ir.Conv2d() | ir.Linear():
                current = self._array("current", layer)
                value = self._units(source)
                reads: choose.Reads = "list"
                if isinstance(value, DenseArray):
                    reads = "array"
                elif isinstance(value, SpikeList) and _gathers(layer, before, self.index):
                    reads = "gathered list"
                if layer.weight.dtype == np.int8:
                    choice = Choice(False, "the one kernel of int8")
                else:
                    choice = self.kernels.choose(layer, before, reads)
                if choice.dense:
                    dense = self._dense(source)
                    self.operations.append(DenseSum(layer, before, dense, current, choice))
                elif reads == "gathered list":
                    assert isinstance(layer, ir.Conv2d), "_gathers says so"
                    assert isinstance(value, SpikeList), "only those are collected"
                    scratch = self._scratch(layer, before)
                    self.operations.append(Gather(layer, before, value, scratch, current, choice))
                else:
                    self.operations.append(Scatter(layer, before, value, current, choice))
                self.values[layer.name] = DenseArray(current)
            case ir.MaxPool2d():
                self._max_pool(layer, before)
            case ir.AvgPool2d():
                dense = self._dense(source)
                pooled = self._array("pooled", layer)
                self.operations.append(PoolDense(layer, before, dense, pooled))
                self.values[layer.name] = DenseArray(pooled)
            case ir.Affine() | ir.AffineTT():
                dense = self._dense(source)
                if not self._is_sole_reader(layer):
                    copied = self._array("scaled", layer)
                    self.operations.append(_copy(layer, dense, copied))
                    dense = copied
                step = None
                if isinstance(layer, ir.AffineTT):
                    note = "how many time steps were made"
                    step = self.step or Buffer(f"steps_{layer.name}", "uint32_t", 1, note)
                    self.step = step
                self.operations.append(Scale(layer, dense, step))
                self.values[layer.name] = DenseArray(dense)
            case ir.Leaky() | ir.IntegerLeaky():
                pool = self.pooled.get(source)
                if pool is not None:
                    before = self.network.shape_of(pool.inputs[0])
                dense = self._dense(source)
                spikes = self._spikes(layer)
                self.operations.append(
                    Fire(
                        layer, self.neurons, pool, before.width, dense,
                        self._state(layer, "membrane"), spikes,
                    )
                )  # fmt: skip
                self.neurons += 1
                self.values[layer.name] = spikes
                self.fired[layer.name] = layer
            case ir.Cell():
                reads_all = tuple(self._dense(name) for name in layer.inputs)
                writes = self.looped.get(layer.name) or self._handed_on_by(layer)
                states = self._states(layer)
                index = self.neurons if layer.states else None
                self.neurons += bool(layer.states)
                self.operations.append(Update(layer, index, reads_all, states, writes))
                self.values[layer.name] = writes
                if layer.fires is not None:
                    self.fired[layer.name] = layer
            case _:
                assert_never(layer)

    def _neurons_of(self, layer: ir.Previous) -> ir.Spiking:
        """The neurons whose spikes or values of the step before ``layer`` hands on."""
        found: ir.Layer = layer
        while isinstance(found, ir.Previous | ir.Flatten):
            found = self.network.layer(found.inputs[0])
        assert isinstance(found, ir.Spiking), "the importer closes loops at neurons only"
        return found

    def _hand_on(self, layer: ir.Spiking) -> None:
        """Gives what ``layer`` hands on a place where the next time step finds it."""
        if layer.name in self.looped:
            return
        value = self._handed_on_by(layer)
        if isinstance(value, SpikeList):
            buffer = dataclasses.replace(value.buffer, note=f"{value.buffer.note}; read next, too")
            note = f"how many spikes_{layer.name} there are"
            kept = Buffer(f"count_{layer.name}", "uint32_t", 1, note)
            value = dataclasses.replace(value, buffer=buffer, kept=kept)
            self.handed_on += [buffer, kept]
        elif value.buffer not in self._states(layer):
            self.handed_on.append(value.buffer)
        self.looped[layer.name] = value

    def _handed_on_by(self, layer: ir.Spiking) -> SpikeList | DenseArray:
        """SpikeList, or values: where these are a state, that state's own array."""
        if not isinstance(layer, ir.Cell) or layer.fires is not None:
            return self._spikes(layer)
        for state, buffer in zip(layer.states, self._states(layer), strict=True):
            if state.next == layer.value and buffer.ctype == self.numbers[layer.name]:
                return DenseArray(buffer)
        return DenseArray(self._array("value", layer))

    def _states(self, layer: ir.Spiking) -> tuple[Buffer, ...]:
        if not isinstance(layer, ir.Cell):
            return (self._state(layer, "membrane"),)
        names = [
            f"{state.name}_state" if state.name in _TAKEN else state.name for state in layer.states
        ]
        names[:1] = ["membrane"] * len(names[:1])
        return tuple(self._state(layer, name) for name in names)

    def _state(self, layer: ir.Spiking, name: str) -> Buffer:
        number: Number = self.numbers[layer.name]
        if isinstance(layer, ir.Cell):
            number = "float" if layer.unit is None else "int32_t"
        size = layer.shape.size
        return Buffer(f"{name}_{layer.name}", number, size, f"after the step, of {layer.name}")

    def _alias(self, layer: ir.Layer, source: str) -> None:
        """The same value under another name."""
        self.values[layer.name] = self.values[source]
        if source in self.fired:
            self.fired[layer.name] = self.fired[source]

    def _is_sole_reader(self, layer: ir.Layer) -> bool:
        """Whether nothing but ``layer`` needs the array that it reads, now or in the next step."""
        name = layer.inputs[0]
        while name != ir.INPUT and len(self.network.readers(name)) == 1:
            before = self.network.layer(name)
            if isinstance(before, ir.Previous):
                return False
            if isinstance(before, ir.Cell) and before.fires is None:
                return not before.states
            if not isinstance(before, ir.Flatten | ir.Unflatten):
                return True
            name = before.inputs[0]
        return len(self.network.readers(name)) == 1

    def _unflatten(self, layer: ir.Unflatten) -> None:
        source = layer.inputs[0]
        before, shape = self.network.shape_of(source), layer.shape
        same = before.height * before.width == shape.height * shape.width
        line = 1 in (shape.height * shape.width, shape.channels)
        if same or (line and 1 in (before.height * before.width, before.channels)):
            self._alias(layer, source)
            return
        dense, made = self._dense(source), self._array("map", layer)
        if before.height * before.width > 1:
            features = dataclasses.replace(made, name=f"features_{layer.name}")
            self.operations.append(_in_order(layer, before, dense, features, 0))
            dense = features
        positions = shape.height * shape.width
        self.operations.append(Place(layer, dense, made, positions, 0, 1, shape.channels))
        self.values[layer.name] = DenseArray(made)

    def _concat(self, layer: ir.Concat) -> None:
        shapes = [self.network.shape_of(name) for name in layer.inputs]
        sizes = [s.size if layer.shape.flat else s.channels for s in shapes]
        firsts = tuple(sum(sizes[:at]) for at in range(len(sizes)))
        units = [self._units(name) for name in layer.inputs]
        lists = tuple(value for value in units if isinstance(value, SpikeList))
        in_line = layer.shape.height * layer.shape.width == 1 and all(
            1 in (shape.height * shape.width, shape.channels) for shape in shapes
        )
        if in_line and len(lists) == len(shapes):
            spikes = self._spikes(layer)
            self.operations.append(Join(layer, lists, firsts, spikes))
            self.values[layer.name] = spikes
            self.fired[layer.name] = self.fired[layer.inputs[0]]
            return
        made = self._array("joined", layer)
        for name, shape, first in zip(layer.inputs, shapes, firsts, strict=True):
            dense = self._dense(name)
            if layer.shape.flat:
                self.operations.append(_in_order(layer, shape, dense, made, first))
            else:
                step = layer.shape.channels
                self.operations.append(Place(layer, dense, made, shape.channels, first, step, 1))
        self.values[layer.name] = DenseArray(made)

    def _max_pool(self, layer: ir.MaxPool2d, before: ir.Shape) -> None:
        source = layer.inputs[0]
        value = self._units(source)
        if isinstance(value, SpikeList):
            marks = Buffer(
                f"map_{layer.name}",
                "uint8_t",
                before.size,
                f"which inputs {layer.name} reads spiked",
            )
            spikes = self._spikes(layer)
            self.operations.append(PoolSpikes(layer, before, value, marks, spikes))
            self.values[layer.name] = spikes
            self.fired[layer.name] = self.fired[source]
            return
        dense = self._dense(source)
        readers = self.network.readers(layer.name)
        fuses = len(readers) == 1 and isinstance(readers[0], ir.Leaky | ir.IntegerLeaky)
        if fuses and _tiles(layer):
            self.values[layer.name] = DenseArray(dense)
            self.pooled[layer.name] = layer
            return
        pooled = self._array("pooled", layer)
        self.operations.append(PoolDense(layer, before, dense, pooled))
        self.values[layer.name] = DenseArray(pooled)

    def _units(self, source: str) -> Value:
        """The value as it is, unless it is spikes that are not all of size 1: those made dense."""
        fired = self.fired.get(source)
        if fired is not None and not fired.unit_spikes:
            return DenseArray(self._dense(source))
        return self.values[source]

    def _dense(self, source: str) -> Buffer:
        """The value as an array, expanding a list where it is one."""
        value = self.values[source]
        if isinstance(value, DenseArray):
            return value.buffer
        if value not in self.expanded:
            length = self.network.shape_of(source).size
            number: Number = "int16_t" if self.network.numbers == "int8" else "float"
            buffer = Buffer(f"dense_{source}", number, length, f"the values of {source}")
            self.operations.append(Expand(value, buffer, self.fired.get(source)))
            self.expanded[value] = buffer
        return self.expanded[value]

    def _scratch(self, layer: ir.Conv2d, before: ir.Shape) -> Buffer:
        """The lists that gathering works with: see ``spk_collect_spikes_f32``."""
        strip = before.height * layer.weight.shape[1] * before.channels
        length = before.height * before.width + 1 + 2 * (before.height + 1 + strip)
        note = f"where the spikes that {layer.name} reads stand"
        return Buffer(f"scratch_{layer.name}", self.index, length, note)

    def _array(self, what: str, layer: ir.Layer) -> Buffer:
        axes = f"[{layer.shape.height}][{layer.shape.width}][{layer.shape.channels}]"
        return Buffer(
            f"{what}_{layer.name}", self.numbers[layer.name], layer.shape.size,
            f"{axes} of {layer.name}",
        )  # fmt: skip

    def _spikes(self, layer: ir.Layer) -> SpikeList:
        looped = self.looped.get(layer.name)
        if isinstance(looped, SpikeList):
            return looped
        note = f"positions in {layer.name} that spiked, rising"
        buffer = Buffer(f"spikes_{layer.name}", self.index, layer.shape.size, note)
        return SpikeList(buffer, f"count_{layer.name}")


_TAKEN = frozenset(("count", "dense", "membrane", "spikes", "value"))
"""What the names of other buffers of neurons start with."""


def _copy(layer: ir.Layer, reads: Buffer, writes: Buffer) -> Place:
    return Place(layer, reads, writes, layer.shape.size, 0, 0, 1)


def _in_order(
    layer: ir.Layer, before: ir.Shape, reads: Buffer, writes: Buffer, first: int
) -> Place:
    """Features in snnTorch's order: of a flattened map channel by channel."""
    positions = before.height * before.width
    if positions == 1:
        return Place(layer, reads, writes, before.size, first, 0, 1)
    return Place(layer, reads, writes, before.channels, first, 1, positions)


def _numbers(network: ir.Network) -> dict[str, Number]:
    """The type of what each layer makes, and of the membranes of those that spike, by name.

    Of a network in integers all that lies between weights and neurons has one type, as wide as
    the widest of it needs; counts and spikes made dense fit 16 bits.
    """
    if network.numbers == "f32":
        return {layer.name: "float" for layer in network.layers}
    found: dict[str, Number] = {}
    values = bounds.of(network).values
    currents: list[set[str]] = []  # layers whose arrays are read together, from weights on
    for layer in network.layers:
        found[layer.name] = "int16_t"
        if isinstance(layer, ir.IntegerLeaky):
            found[layer.name] = "int16_t" if layer.bits == 16 else "int32_t"
        elif isinstance(layer, ir.Cell) and layer.states:
            if layer.fires is None and values[layer.name].largest >= 1 << 15:
                found[layer.name] = "int32_t"
        elif not isinstance(layer, ir.Previous):
            read = [group for group in currents if group & set(layer.inputs)]
            if read or isinstance(layer, ir.Conv2d | ir.Linear):
                currents = [group for group in currents if group not in read]
                currents.append({layer.name}.union(*read))
    for group in currents:
        if max(values[name].largest for name in group) >= 1 << 15:
            found |= dict.fromkeys(group, "int32_t")
    return found


GATHER_FROM = 128
"""Inputs in a receptive field from which gathering beats scattering at usual rates."""


def _gathers(layer: ir.Layer, before: ir.Shape, index: CType) -> bool:
    """Whether a layer that reads a list of spikes gathers, where it would scatter otherwise."""
    if not isinstance(layer, ir.Conv2d):
        return False
    _, kernel_width, group_in, channels = layer.weight.shape
    strip = before.height * kernel_width * group_in
    return (
        layer.weight.dtype != np.int8
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and channels % 4 == 0
        and max(strip, before.size) < 1 << (8 * SIZES[index])
        and layer.weight[..., 0].size >= GATHER_FROM
    )


def _input_first(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """Moves what just reads the caller's input to the front: it stands twice in the C."""
    return tuple(sorted(operations, key=lambda op: not _needs_input_only(op)))


def _needs_input_only(operation: Operation) -> bool:
    return isinstance(operation, Scatter | Expand) and isinstance(operation.reads, ActiveInputs)


def _tiles(pool: ir.MaxPool2d) -> bool:
    """Whether windows lie side by side inside the input, so that a neuron can read its own."""
    return (
        pool.kernel == pool.stride
        and pool.padding == (0, 0)
        and pool.dilation == (1, 1)
        and not pool.clipped
    )
