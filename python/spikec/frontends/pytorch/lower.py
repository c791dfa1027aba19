# SPDX-License-Identifier: Apache-2.0
"""Lowers what a forward was recorded as to the layers of a network."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast

import numpy as np
import snntorch
import torch
from torch import nn

from spikec.frontends.pytorch.calling import Graph, Place
from spikec.frontends.pytorch.layers import IDENTITIES, LAYERS, RefusedError, affine_tt
from spikec.frontends.pytorch.neurons import NEURONS, Names
from spikec.frontends.pytorch.values import NEURON_TYPES, SEQUENCE
from spikec.ir import network as ir
from spikec.ir.program import Program
from spikec.ir.soundness import LARGEST, LONGEST

READERS = {**LAYERS, **NEURONS}

SUPPORTED = ", ".join(
    [
        *(kind.__name__ for kind in (*LAYERS, *IDENTITIES)),
        *(f"snntorch.{kind.__name__}" for kind in NEURONS),
    ]
)
"""The layers that can be compiled, as an error message lists them."""


Refuse: TypeAlias = Callable[[str, str, str, str], None]
"""Lists a problem: the layer, its kind, what was found, what to do."""


class Lowering:
    """Makes layers of the graph of one time step."""

    def __init__(self, graph: Graph, shape: ir.Shape, kind: str, refuse: Refuse) -> None:
        self.graph = graph
        self.refuse = refuse
        self.names = Names()
        self.layers: list[ir.Layer] = []
        self.values: dict[int, tuple[str, ir.Shape]] = {}
        self.copied: set[int] = set()
        loops: list[tuple[int, int]] = []  # where a Previous stands in layers, and what it reads
        refused = False
        for number in self._order():
            place = graph.places[number]
            if place.kind == "input":
                self.values[number] = (ir.INPUT, shape)
                continue
            if place.kind == "previous":
                loops.append((len(self.layers), place.inputs[0]))
            try:
                self.values[number] = self._lowered(place)
            except RefusedError as error:
                kind_of = type(place.modules[0]).__name__ if place.modules else place.kind
                refuse(place.source, kind_of, error.found, error.fix)
                refused = True
                try:
                    self.values[number] = ("", shape_of_axes(place.axes))
                except RefusedError:
                    return
            if number in self.copied:
                self.values[number] = self._copy(number)
        if refused:
            return
        for at, source in loops:
            name = self.values[source][0]
            if not any(isinstance(x, ir.Spiking) and x.name == name for x in self.layers):
                name = self._copy(source)[0]  # only cells are remembered
            self.layers[at] = dataclasses.replace(self.layers[at], inputs=(name,))
        self._finish()
        ends_in_spikes(self.layers, kind, refuse)

    def _order(self) -> list[int]:
        """Places in an order in which each comes after what it reads, and loops can be closed.

        Who reads a value of the step before comes before its source. Where that cannot be, the
        value is copied first, and the copy is read.
        """
        places = self.graph.places
        loops = [n for n, place in enumerate(places) if place.kind == "previous"]
        for loop in loops:
            if places[loop].inputs[0] in loops:  # a delay by several steps
                self.copied.add(places[loop].inputs[0])
            if any(loop in p.inputs and self._needs(n, places[loop].inputs[0])
                   for n, p in enumerate(places)):  # fmt: skip
                self.copied.add(loop)
        while True:
            after: dict[int, set[int]] = {n: set() for n in range(len(places))}
            for n, place in enumerate(places):
                if place.kind != "previous":
                    after[n].update(place.inputs)
            for loop in loops:
                source = places[loop].inputs[0]
                after[source].add(loop)
                if loop not in self.copied:
                    after[source].update(n for n, p in enumerate(places) if loop in p.inputs)
                after[source].discard(source)
            order: list[int] = []
            left = dict(after)
            while left:
                ready = [n for n, needs in left.items() if needs.isdisjoint(left)]
                if not ready:
                    break
                order.append(min(ready))
                del left[min(ready)]
            if not left:
                return order
            self.copied.add(next(loop for loop in loops if loop not in self.copied))

    def _needs(self, number: int, source: int) -> bool:
        """Whether a place needs another one in the same step."""
        asked, left = set(), [number]
        while left:
            at = left.pop()
            if at == source:
                return True
            if at not in asked and self.graph.places[at].kind != "previous":
                left += self.graph.places[at].inputs
            asked.add(at)
        return False

    def _base(self, prefix: str, source: str, inputs: tuple[str, ...], shape: ir.Shape) -> ir.Node:
        return ir.Node(self.names.fresh(prefix), source, inputs, shape)

    def _add(self, *layers: ir.Layer) -> tuple[str, ir.Shape]:
        self.layers += layers
        return layers[-1].name, layers[-1].shape

    def _copy(self, number: int) -> tuple[str, ir.Shape]:
        """A layer that hands on what another does, at a place of its own."""
        name, shape = self.values[number]
        program = Program()
        base = self._base("copy", self.graph.places[number].source, (name,), shape)
        return self._add(program.cell(base, "torch.clone", value=program.current("current")))

    def _lowered(self, place: Place) -> tuple[str, ir.Shape]:
        """The layer of one place: its name and the shape of its output."""
        given = [self.values[number] for number in place.inputs if number in self.values]
        match place.kind:
            case "layer" | "neuron":
                module = place.modules[0]
                if type(module) not in READERS:
                    raise RefusedError(*describe_unknown(module))
                check_sound(module)
                name, before = given[0]
                made = list_layers(module, self.names, place.source, (name,), before)
                if made[-1].shape.axes != place.axes:
                    raise RefusedError(
                        f"gives {place.axes} in torch and {made[-1].shape.axes} by its options",
                        "check that its tensors are those that its options ask for",
                    )
                return self._add(*made)
            case "layers":
                name, before = given[0]
                base = self._base("norm", place.source, (name,), before)
                return self._add(affine_tt(place.modules, base))
            case "elementwise":
                return self._elementwise(place, given)
            case "concat":
                return self._concat(place.source, given)
            case "reshape":
                return self._reshape(place, *given[0])
            case "previous":
                base = self._base("previous", place.source, (), shape_of_axes(place.axes))
                return self._add(ir.Previous(base.name, base.source, (), base.shape))
            case _:
                raise RefusedError(
                    f"reads zeros that never change (made at {place.where})",
                    "leave them out, or carry over what the step before gave",
                )

    def _elementwise(self, place: Place, given: list[tuple[str, ir.Shape]]) -> tuple[str, ir.Shape]:
        """Arithmetic on numbers one by one, in the order in which torch does it."""
        if len({shape for _, shape in given}) > 1:
            if any(not shape.flat for _, shape in given):
                listed = " and ".join(str(shape) for _, shape in given)
                raise RefusedError(f"joins {listed} (at {place.where})", "give both one shape")
            given = [self._concat(place.source, [each]) for each in given]  # in snnTorch's order
        shape = given[0][1]
        inputs = list(dict.fromkeys(name for name, _ in given))
        p = Program()
        currents = ["x", "y"][: len(inputs)]
        values = []
        for operand in place.operands:
            if isinstance(operand, int):
                values.append(p.current(currents[inputs.index(given[operand][0])]))
                continue
            numbers = operand.values
            if place.op == "div":
                with np.errstate(divide="ignore"):
                    numbers = np.float32(1.0) / numbers
            if not np.isfinite(numbers).all():
                raise RefusedError(
                    f"its constant at {place.where} is not finite, or 0 and a divisor",
                    "use another one",
                )
            while numbers.ndim > len(shape.axes):
                numbers = numbers[0]
            values.append(p.parameter("constant", ir.memory_parameter(numbers, shape)))
        match place.op:
            case "add":
                result = values[0] + values[1]
            case "sub":
                result = values[0] - values[1]
            case "mul" | "div":
                result = values[0] * values[1]
            case "maximum":
                result = p.step("maximum", values[0], values[1])
            case "minimum":  # there is no such operation
                values[1] = p.parameter("constant", -p.parameters["constant"])
                result = -p.step("maximum", -values[0], values[1])
            case "neg":
                result = -values[0]
            case _:
                result = abs(values[0])
        base = self._base(place.op, place.op, tuple(inputs), shape)
        cell = p.cell(base, f"torch.{place.op}", tuple((name,) for name in currents), value=result)
        return self._add(cell)

    def _concat(self, source: str, given: list[tuple[str, ir.Shape]]) -> tuple[str, ir.Shape]:
        shapes = [shape for _, shape in given]
        first = shapes[0]
        if all(shape.flat for shape in shapes):
            joined = ir.Shape(1, 1, sum(shape.size for shape in shapes), flat=True)
        elif all(dataclasses.replace(s, channels=first.channels) == first for s in shapes):
            joined = dataclasses.replace(first, channels=sum(s.channels for s in shapes))
        else:
            listed = ", ".join(str(shape) for shape in shapes)
            raise RefusedError(f"joins {listed}", "join maps of one size, or flat values")
        names = tuple(name for name, _ in given)
        base = self._base("concat", source, names, joined)
        return self._add(ir.Concat(base.name, base.source, base.inputs, joined))

    def _reshape(self, place: Place, name: str, before: ir.Shape) -> tuple[str, ir.Shape]:
        """A view is a Flatten, an Unflatten or both: values keep snnTorch's order."""
        source = place.source
        if before.axes == place.axes:
            return name, before
        if not before.flat:
            flat = dataclasses.replace(before, flat=True, line=False)
            base = self._base("flatten", source, (name,), flat)
            name, before = self._add(ir.Flatten(base.name, source, base.inputs, flat))
        if len(place.axes) == 1:
            return name, before
        base = self._base("unflatten", source, (name,), shape_of_axes(place.axes))
        return self._add(ir.Unflatten(base.name, source, base.inputs, base.shape))

    def _finish(self) -> None:
        """Makes the outputs the last layer: one, or all of them flat and joined."""
        given = [self.values[number] for number in self.graph.outputs]
        if len(given) > 1:
            flat = []
            for name, shape in given:
                if not shape.flat:
                    shape = dataclasses.replace(shape, flat=True, line=False)
                    base = self._base("flatten", "outputs", (name,), shape)
                    name, shape = self._add(ir.Flatten(base.name, base.source, (name,), shape))
                flat.append((name, shape))
            self._concat("outputs", flat)
        elif self.layers[-1:] and self.layers[-1].name != given[0][0]:
            name, shape = given[0]
            shape = dataclasses.replace(shape, flat=True, line=False)
            base = self._base("flatten", "outputs", (name,), shape)
            self._add(ir.Flatten(base.name, base.source, (name,), shape))


def list_layers(
    module: nn.Module, names: Names, source: str, inputs: tuple[str, ...], before: ir.Shape
) -> tuple[ir.Layer, ...]:
    """Reads a module; what no reader expects, such as a stride of 0, is refused as well."""
    kind = type(module)
    prefix = READERS[kind][0]
    base = ir.Node(names.fresh(prefix), source, inputs, before)
    try:
        if kind in NEURONS:
            made = NEURONS[kind][1](module, base, names)
        else:
            made = (LAYERS[kind][1](module, base),)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise RefusedError(
            f"cannot be read ({first_line(error)})", "check its sizes and options"
        ) from error
    for layer in made:
        _bounded(layer.shape)
    return (*made[:-1], _agreed(module, made[-1], before))


def _agreed(module: nn.Module, layer: ir.Layer, before: ir.Shape) -> ir.Layer:
    """Returns ``layer`` if torch, too, can run it and gets the same shape."""
    if isinstance(module, NEURON_TYPES):
        return layer  # it may hold a membrane that cannot be copied
    try:
        axes = _axes_after(module, before)
    except Exception as error:  # whatever torch raises
        raise RefusedError(
            f"torch itself cannot run it on an input {before} ({first_line(error)})",
            "make the layers fit each other and the input shape",
        ) from error
    if axes != layer.shape.axes:
        raise RefusedError(
            f"gives {axes} in torch and {layer.shape.axes} by its options",
            "check that its tensors are those that its options ask for",
        )
    return layer


def _axes_after(module: nn.Module, shape: ir.Shape) -> tuple[int, ...]:
    """What a layer hands on, found by running a copy of it."""
    with torch.no_grad():
        result = copy.deepcopy(module)(torch.zeros(1, *shape.axes))
    result = result[0] if isinstance(result, tuple) else result
    return tuple(result.shape[1:])


def find_shape_after(module: nn.Module, shape: ir.Shape) -> ir.Shape | None:
    """What a refused layer hands on, so that what follows is read as well; None if unknown."""
    try:
        return shape_of_axes(_axes_after(module, shape))
    except Exception:  # whatever an unknown layer raises: it stays unknown
        return None


def _bounded(shape: ir.Shape) -> None:
    if shape.size > LARGEST or max(shape.height, shape.width) > LONGEST:
        raise RefusedError(
            f"its size {shape} is too large",
            f"at most {LONGEST:,} rows or columns and {LARGEST:,} values are supported: use a "
            "smaller input or layer",
        )


def shape_of_axes(axes: tuple[int, ...]) -> ir.Shape:
    """The shape of a value whose torch axes, without the batch, have these sizes."""
    match axes:
        case (size,):
            shape = ir.Shape(1, 1, size, flat=True)
        case (channels, length):
            shape = ir.Shape(1, length, channels, flat=False, line=True)
        case (channels, height, width):
            shape = ir.Shape(height, width, channels, flat=False)
        case _:
            raise RefusedError(
                f"has a value of {len(axes)} axes, {axes}",
                "use maps (C, H, W), lines (C, L) and flat values (N,)",
            )
    _bounded(shape)
    return shape


def take_apart(net: nn.Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules of nested Sequentials in order, with their dotted names."""
    for name, module in net._modules.items():  # named_children leaves out a module's second use
        if module is None:
            continue
        if type(module) is nn.Sequential:
            yield from take_apart(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def first_line(error: Exception) -> str:
    """The first line of what an exception says, or else its name."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def describe_unknown(module: nn.Module) -> tuple[str, str]:
    """What is wrong with a module that nothing here reads, and what to do."""
    for known in READERS:
        if isinstance(module, known):
            return (
                f"is a subclass of {known.__name__}, whose forward may compute something else",
                f"use {known.__name__} itself (for torch's parametrizations, remove them first)",
            )
    return "is not supported", f"supported are {SUPPORTED}"


def check_sound(module: nn.Module) -> None:
    """Refuses tensors that are not finite float32."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if not tensor.is_floating_point() or name in module._non_persistent_buffers_set:
            continue  # what is not saved is a state
        if tensor.dtype == torch.float64 and tensor.ndim == 0:
            continue  # a Python scalar to torch: it takes the membrane's float32
        if tensor.is_meta or tensor.layout != torch.strided:
            raise RefusedError(
                f"its {name} is a {'meta' if tensor.is_meta else 'sparse'} tensor",
                "load its values as an ordinary tensor",
            )
        if tensor.dtype != torch.float32:
            raise RefusedError(
                f"its {name} is {str(tensor.dtype).removeprefix('torch.')}, not float32",
                "call net.float()",
            )
        if not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise RefusedError(
                f"its {name} holds {bad} value(s) that are NaN or infinite",
                "train it again or load another checkpoint",
            )


def passes_on_spikes(module: nn.Module, last: bool) -> None:
    """Refuses neurons that hand on more than spikes to another layer of an ``nn.Sequential``."""
    if last or isinstance(module, snntorch.LeakyParallel | snntorch.AssociativeLeaky):
        return
    if isinstance(module, (snntorch.DeltaLeaky, *SEQUENCE)):
        raise RefusedError(
            "returns the pair (spikes, membrane), which the next layer cannot read",
            "write a module with a forward of its own, which takes the pair apart",
        )
    neurons = cast(Any, module)
    if neurons.output or not neurons.init_hidden:
        raise RefusedError(
            "returns the pair (spikes, membrane), which the next layer cannot read",
            "build it with init_hidden=True and output=False",
        )


def ends_in_spikes(layers: list[ir.Layer], kind: str, refuse: Refuse) -> None:
    """The outputs are spikes: nothing after the last neurons may turn them into other numbers."""
    fix = "end it with snntorch.Leaky"
    if not any(isinstance(layer, ir.Leaky | ir.Cell) and _spikes(layer) for layer in layers):
        refuse("", kind, "has no spiking layer", fix)
        return
    by_name = {layer.name: layer for layer in layers}
    ends: list[tuple[str, bool]] = [(layers[-1].name, False)]
    while ends:
        name, pooled = ends.pop(0)
        layer = by_name.get(name)
        match layer:
            case ir.Flatten() | ir.Unflatten() | ir.Concat():
                ends += [(each, pooled) for each in layer.inputs]
            case ir.MaxPool2d():
                ends += [(each, True) for each in layer.inputs]
            case ir.Leaky() | ir.Cell() if _spikes(layer) and (layer.unit_spikes or not pooled):
                continue
            case _:
                found = "stands after the last spiking layer, so the outputs are not spikes"
                if kind != "Sequential":
                    found = "what it makes is returned, and is neither spikes nor a neuron's state"
                    fix = (
                        "return spikes or membranes; a snntorch.Leaky(beta=0, reset_mechanism="
                        "'none') after a layer has its numbers as the membrane, which "
                        "host.membranes gives"
                    )
                source = layer.source if layer else "input"
                refuse(source, type(layer).__name__ if layer else "input", found, fix)
                return


def _spikes(layer: ir.Leaky | ir.Cell) -> bool:
    return isinstance(layer, ir.Leaky) or bool(layer.states)
