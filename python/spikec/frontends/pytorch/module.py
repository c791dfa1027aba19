# SPDX-License-Identifier: Apache-2.0
"""Reads a snnTorch network into the intermediate representation. Imports torch.

What is read is what *executes*: the modules of an ``nn.Sequential`` one after the other, and of any
other module what its forward does, which ``import_trace`` finds out. Where a module disagrees with
itself it is refused.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import snntorch
import torch
from torch import nn

from spikec.errors import SpikecError
from spikec.frontends.pytorch import execute as snntorch_trace
from spikec.frontends.pytorch import trace as import_trace
from spikec.frontends.pytorch.layers import IDENTITIES, LAYERS, RefusedError, affine_tt
from spikec.frontends.pytorch.neurons import NEURONS, Names
from spikec.frontends.pytorch.record import NEURON_TYPES, SEQUENCE, UntraceableError
from spikec.frontends.pytorch.trace import Calling, Graph, Place
from spikec.ir import network as ir
from spikec.ir import soundness
from spikec.ir.program import Program
from spikec.ir.soundness import LARGEST, LONGEST
from spikec.semantics import parity

_READERS = {**LAYERS, **NEURONS}
_KNOWN: tuple[type[nn.Module], ...] = (*_READERS, *IDENTITIES)

SUPPORTED = ", ".join(
    [
        *(kind.__name__ for kind in (*LAYERS, *IDENTITIES)),
        *(f"snntorch.{kind.__name__}" for kind in NEURONS),
    ]
)
"""The layers that can be compiled, as an error message lists them."""

_STEPS = 6
"""For how many time steps a compiled network is at least compared with its module."""
_MORE_STEPS = 64
"""For how many, if its forward is its own: steps after those that were traced may differ."""
_MORE_VALUES = 200_000
"""How many values all layers together may take in so many steps."""
_ROUNDING = 1e-4
"""How near its threshold, relative to the largest of its layer, a membrane may differ there: what
summing in another order makes of sums that are much larger than the threshold."""


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One thing that cannot be compiled: where, what was found, why not, and what to do."""

    layer: str
    kind: str
    found: str
    fix: str

    def __str__(self) -> str:
        """One sentence or two."""
        where = (
            f"layer {self.layer!r} ({self.kind})" if self.layer else f"the network ({self.kind})"
        )
        return f"{where}: {self.found}; {self.fix}."


def is_module(net: object) -> bool:
    """Whether something is a torch module."""
    return isinstance(net, nn.Module)


def load_checkpoint(net: nn.Module, path: Path) -> None:
    """Loads the weights in ``path``, a ``state_dict`` saved by ``torch.save``, into ``net``.

    Raises:
        SpikecError: the file cannot be read, holds more than tensors, or its tensors are not
            the network's.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SpikecError(f"{path}: there is no such file; name a checkpoint.") from error
    except pickle.UnpicklingError as error:
        raise SpikecError(
            f"{path}: this pickle holds more than tensors (or is no checkpoint at all), and "
            "loading it could run code, so it is refused; save the weights alone with "
            "torch.save(net.state_dict(), path)."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpikecError(
            f"{path}: cannot be read as a torch checkpoint ({reason}); it may be truncated: "
            "save it again with torch.save(net.state_dict(), path)."
        ) from error
    if isinstance(state, Mapping):
        for key in ("state_dict", "model_state_dict"):
            if isinstance(state.get(key), Mapping):
                state = state[key]
    tensors = isinstance(state, Mapping) and all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in state.items()
    )
    if not tensors:
        raise SpikecError(
            f"{path}: holds a {type(state).__name__} where a state_dict (names to tensors) is "
            "needed; save it with torch.save(net.state_dict(), path)."
        )
    expected = net.state_dict()
    missing = sorted(set(expected) - set(state))
    extra = sorted(set(state) - set(expected))
    wrong = [
        f"{name} is {tuple(state[name].shape)} in the file and {tuple(tensor.shape)} in the network"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    other = [
        f"{name} is {_type(state[name])} in the file and {_type(tensor)} in the network"
        for name, tensor in expected.items()
        if name in state and _type(state[name]) != _type(tensor)
    ]
    faults = []
    if missing:
        faults.append(f"tensors are missing: {', '.join(missing)}")
    if extra:
        faults.append(f"tensors are not in the network: {', '.join(extra)}")
    if wrong:
        faults.append(f"shapes differ: {', '.join(wrong)}")
    if other:
        faults.append(f"types differ: {', '.join(other)}")
    if faults:
        raise SpikecError(
            f"{path}: does not fit the network that --net builds: {'; '.join(faults)}; use the "
            "function that built the network which was saved."
        )
    net.load_state_dict(dict(state))


def _type(tensor: torch.Tensor) -> str:
    """A tensor's type in a word or two: ``float32``, ``sparse float32``."""
    layout = "" if tensor.layout == torch.strided else "sparse "
    return f"{layout}{str(tensor.dtype).removeprefix('torch.')}"


def check(net: nn.Module, input_shape: tuple[int, ...]) -> tuple[Problem, ...]:
    """Lists everything in ``net`` that cannot be compiled; empty when it can be."""
    return _read(net, input_shape).problems


def import_network(
    net: nn.Module, input_shape: tuple[int, ...], source: str, sha256: str | None = None
) -> ir.Network:
    """Reads ``net`` in eval mode for inputs of ``(C, H, W)``, ``(C, L)`` or ``(N,)``.

    An ``nn.Sequential`` is read as it stands. A module with a forward of its own, or with a part
    that has one, is run on random frames of batch 1, and what it does is read (``import_trace``).
    Its outputs are the spikes that it returns, several of them one after the other; states that it
    returns are no outputs: of a module that returns nothing else, the spikes of those neurons are,
    and ``Host.membranes`` gives the states. The network that was read is compared with the module
    on random frames.

    ``source`` and ``sha256`` are printed in the generated files; without ``sha256`` the digest of
    the network's own tensors is used.

    Raises:
        SpikecError: the network cannot be compiled; every reason is listed.
    """
    read = _read(net, input_shape)
    if read.problems:
        listed = "\n".join(f"  {problem}" for problem in read.problems)
        raise SpikecError(f"{source} cannot be compiled:\n{listed}")
    assert read.shape is not None
    assert read.calling is not None
    network = ir.Network(read.shape, read.layers, source, sha256 or _digest(net))
    _verify(net, network, read.calling)
    if read.calling.membranes_only:
        names = ", ".join(read.calling.membranes_only)
        warnings.warn(
            f"{source}: its forward returns membranes and no spikes. The outputs of the compiled "
            f"network are the spikes of {names}; read membranes with host.membranes(frames), or in "
            "C with NAME_membranes().",
            stacklevel=2,
        )
    return network


def _verify(net: nn.Module, network: ir.Network, calling: Calling) -> None:
    """Compares the reference with the module itself on random frames.

    Raises:
        SpikecError: they do not spike alike.
    """
    steps = _STEPS
    if not import_trace.walkable(net):
        values = sum(layer.shape.size for layer in network.layers)
        steps = min(max(_MORE_VALUES // values, _STEPS), _MORE_STEPS)
    steps = calling.steps or min(steps, network.max_steps or steps)
    random = np.random.default_rng(0)
    shape = (steps, *network.input.axes)
    frames = np.where(random.random(shape) < 0.4, random.integers(1, 4, shape), 0)
    if calling.style == "held":
        frames[:] = frames[0]
    try:
        theirs = snntorch_trace.called(net, calling, frames)[0]
    except Exception as error:  # whatever the user's own code raises
        raise SpikecError(
            f"{network.source}: its forward ran for {import_trace.STEPS} time steps, but not for "
            f"{steps} ({_first_line(error)}); make it run for any number of time steps."
        ) from error
    fault = "" if import_trace.walkable(net) else soundness.fault(network)
    if not fault:
        with np.errstate(all="ignore"):  # weights may be as large as they like
            ours = snntorch_trace.reference_run(network, frames)
        found = parity.compare(network, ours.spikes, theirs.spikes, theirs.potentials)
        largest = {
            name: float(np.abs(potentials).max(initial=0.0))
            for name, potentials in theirs.potentials.items()
        }
        differ = [
            str(each)
            for each in found.failures
            if not abs(each.distance) <= _ROUNDING * max(largest[each.layer], abs(each.threshold))
        ]
        if not found.differing:
            differ += _unlike(network, ours.membranes, theirs.membranes)
        fault = differ[0] if differ else ""
    if fault:
        raise SpikecError(
            f"{network.source}: what spikec read does not do what the module does: "
            f"{fault.removesuffix('.')}. Does its forward depend on the time step, on more than "
            "its input, or change what it is given? Otherwise this is a fault of spikec; please "
            "report it, with the network."
        )


def _unlike(
    network: ir.Network,
    ours: Mapping[str, np.ndarray[Any, Any]],
    theirs: Mapping[str, np.ndarray[Any, Any]],
) -> list[str]:
    """Layers of Leaky whose membranes are not alike, though their spikes are."""
    found = []
    for layer in network.layers:
        if not isinstance(layer, ir.Leaky):
            continue
        mine, other = ours[layer.source], theirs[layer.source]
        if not (np.isfinite(mine).all() and np.isfinite(other).all()):
            continue
        size = max(float(np.abs(other).max(initial=0)), float(np.abs(layer.threshold).max()))
        apart = np.abs(mine - other)
        if not (apart <= 1e-3 * size).all():
            step = int(np.argmax((apart > 1e-3 * size).reshape(len(apart), -1).any(1)))
            found.append(f"layer {layer.source!r}, step {step}: membranes differ.")
    return found


def _digest(net: nn.Module) -> str:
    """The sha256 of the network's tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class _Reading:
    """What was read of a module; the layers mean something if there are no problems."""

    layers: tuple[ir.Layer, ...]
    problems: tuple[Problem, ...]
    shape: ir.Shape | None = None
    calling: Calling | None = None


def _read(net: nn.Module, input_shape: tuple[int, ...]) -> _Reading:
    """Reads the network once; goes on after a problem, so that all are listed."""
    problems: list[Problem] = []

    def refuse(name: str, kind: str, found: str, fix: str) -> None:
        problems.append(Problem(name, kind, found, fix))

    if not isinstance(net, nn.Module):
        refuse("", type(net).__name__, "is not a torch nn.Module", "pass the network itself")
        return _Reading((), tuple(problems))
    kind = type(net).__name__
    if net.training or any(module.training for module in net.modules()):
        refuse("", kind, "is in train mode", "call net.eval() first")
    for name, module in net.named_modules():
        if hasattr(module, "_orig_mod"):
            refuse(name, kind, "was made by torch.compile", "give its _orig_mod, the module itself")
            return _Reading((), tuple(problems))
    shape: ir.Shape | None = None
    try:
        shape = _input_shape(input_shape)
    except RefusedError as error:
        refuse("", kind, error.found, error.fix)
    if import_trace.walkable(net):
        layers = _walked(cast(nn.Sequential, net), shape, refuse)
        calling: Calling | None = import_trace.of_sequential(net)
    else:
        layers, calling = _traced(net, shape, refuse)
    return _Reading(tuple(layers), tuple(problems), shape, calling)


def _walked(net: nn.Sequential, shape: ir.Shape | None, refuse: _Refuse) -> list[ir.Layer]:
    """Reads an ``nn.Sequential`` module by module; the shape is that of the input, if known."""
    current = shape
    layers: list[ir.Layer] = []
    names = Names()
    readable = True
    modules = list(_flattened(net, ""))
    whole = any(isinstance(module, SEQUENCE) for _, module in modules)
    for name, module in net.named_modules():
        if type(module) is nn.Sequential:
            try:
                _no_hooks(module)
            except RefusedError as error:
                refuse(name, "Sequential", error.found, error.fix)
    for position, (name, module) in enumerate(modules):
        try:
            _readable(module)
            if type(module) in IDENTITIES:
                continue
            if isinstance(module, NEURON_TYPES):
                if any(module is other for _, other in modules[:position]):
                    raise RefusedError(
                        "stands twice in the network, so both places share one membrane",
                        f"build one {type(module).__name__} for each place",
                    )
                _passes_on_spikes(module, last=position == len(modules) - 1)
            if whole and not isinstance(module, (*SEQUENCE, nn.Linear, nn.ReLU)):
                raise RefusedError(
                    "stands in one nn.Sequential with neurons that take all time steps at once",
                    "write a module with a forward of its own, which calls it step by step",
                )
            if current is None:
                continue
            inputs = (layers[-1].name if layers else ir.INPUT,)
            made = _layers_of(module, names, name, inputs, current)
        except RefusedError as error:
            refuse(name, type(module).__name__, error.found, error.fix)
            readable = False
            if current is not None and not isinstance(module, NEURON_TYPES):
                current = _shape_after(module, current)
            continue
        layers += made
        current = made[-1].shape
    if shape is not None and readable:
        _ends_in_spikes(layers, "Sequential", refuse)
    return layers


def _traced(
    net: nn.Module, shape: ir.Shape | None, refuse: _Refuse
) -> tuple[list[ir.Layer], Calling | None]:
    """Reads a module with a forward of its own by running it."""
    spoiled = False
    for name, module in net.named_modules():
        if not isinstance(module, _KNOWN):
            continue
        try:
            _readable(module)
        except RefusedError as error:
            refuse(name, type(module).__name__, error.found, error.fix)
            spoiled = True
    if shape is None or spoiled or any(module.training for module in net.modules()):
        return [], None
    try:
        graph = import_trace.trace(net, shape.axes)
    except UntraceableError as error:
        refuse(error.layer, error.kind or type(net).__name__, error.found, error.fix)
        # Name what else stands in the way, though nobody knows where it is used.
        for name, module in net.named_modules():
            leaf = not list(module.children()) and type(module).__module__.startswith("torch.nn")
            if leaf and not isinstance(module, _KNOWN):
                refuse(name, type(module).__name__, *_unknown(module))
        return [], None
    return _Lowering(graph, shape, type(net).__name__, refuse).layers, graph.calling


_Refuse: TypeAlias = Callable[[str, str, str, str], None]
"""Lists a problem: the layer, its kind, what was found, what to do."""


class _Lowering:
    """Makes layers of the graph of one time step."""

    def __init__(self, graph: Graph, shape: ir.Shape, kind: str, refuse: _Refuse) -> None:
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
                    self.values[number] = ("", _shape_of(place.axes))
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
        _ends_in_spikes(self.layers, kind, refuse)

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
        given = [self.values[number] for number in place.inputs if number in self.values]
        match place.kind:
            case "layer" | "neuron":
                module = place.modules[0]
                if type(module) not in _READERS:
                    raise RefusedError(*_unknown(module))
                _sound(module)
                name, before = given[0]
                made = _layers_of(module, self.names, place.source, (name,), before)
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
                base = self._base("previous", place.source, (), _shape_of(place.axes))
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
        base = self._base("unflatten", source, (name,), _shape_of(place.axes))
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


def _layers_of(
    module: nn.Module, names: Names, source: str, inputs: tuple[str, ...], before: ir.Shape
) -> tuple[ir.Layer, ...]:
    """Reads a module; what no reader expects, such as a stride of 0, is refused as well."""
    kind = type(module)
    prefix = _READERS[kind][0]
    base = ir.Node(names.fresh(prefix), source, inputs, before)
    try:
        if kind in NEURONS:
            made = NEURONS[kind][1](module, base, names)
        else:
            made = (LAYERS[kind][1](module, base),)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise RefusedError(
            f"cannot be read ({_first_line(error)})", "check its sizes and options"
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
            f"torch itself cannot run it on an input {before} ({_first_line(error)})",
            "make the layers fit each other and the input shape",
        ) from error
    if axes != layer.shape.axes:
        raise RefusedError(
            f"gives {axes} in torch and {layer.shape.axes} by its options",
            "check that its tensors are those that its options ask for",
        )
    return layer


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _axes_after(module: nn.Module, shape: ir.Shape) -> tuple[int, ...]:
    """What a layer hands on, found by running a copy of it."""
    with torch.no_grad():
        result = copy.deepcopy(module)(torch.zeros(1, *shape.axes))
    result = result[0] if isinstance(result, tuple) else result
    return tuple(result.shape[1:])


def _shape_after(module: nn.Module, shape: ir.Shape) -> ir.Shape | None:
    """What a refused layer hands on, so that what follows is read as well; None if unknown."""
    try:
        return _shape_of(_axes_after(module, shape))
    except Exception:  # whatever an unknown layer raises: it stays unknown
        return None


def _bounded(shape: ir.Shape) -> None:
    if shape.size > LARGEST or max(shape.height, shape.width) > LONGEST:
        raise RefusedError(
            f"its size {shape} is too large",
            f"at most {LONGEST:,} rows or columns and {LARGEST:,} values are supported: use a "
            "smaller input or layer",
        )


def _input_shape(input_shape: tuple[int, ...]) -> ir.Shape:
    axes = tuple(input_shape) if isinstance(input_shape, Iterable) else (input_shape,)
    if len(axes) not in (1, 2, 3) or not all(isinstance(a, int) and a > 0 for a in axes):
        raise RefusedError(
            f"the input shape {axes} is none of (C, H, W), (C, L) and (N,)",
            "give one frame's shape without time and batch, such as 2,34,34",
        )
    return _shape_of(axes)


def _shape_of(axes: tuple[int, ...]) -> ir.Shape:
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


def _flattened(net: nn.Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules of nested Sequentials in order, with their dotted names."""
    for name, module in net._modules.items():  # named_children leaves out a module's second use
        if module is None:
            continue
        if type(module) is nn.Sequential:
            yield from _flattened(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _unknown(module: nn.Module) -> tuple[str, str]:
    for known in _READERS:
        if isinstance(module, known):
            return (
                f"is a subclass of {known.__name__}, whose forward may compute something else",
                f"use {known.__name__} itself (for torch's parametrizations, remove them first)",
            )
    return "is not supported", f"supported are {SUPPORTED}"


def _readable(module: nn.Module) -> None:
    """Refuses a module that is not what its type says, and one that has no reader."""
    _no_hooks(module)
    _sound(module)
    if type(module) not in _KNOWN:
        raise RefusedError(*_unknown(module))


def _no_hooks(module: nn.Module) -> None:
    replaced = [name for name in vars(module) if callable(getattr(type(module), name, None))]
    if replaced:
        raise RefusedError(
            f"its {replaced[0]} was replaced on this one module, so it may compute something else",
            "build the layer anew",
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise RefusedError(
            "has forward hooks, which may change what it computes",
            "remove them (for torch.nn.utils.prune, call prune.remove)",
        )


def _sound(module: nn.Module) -> None:
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


def _passes_on_spikes(module: nn.Module, last: bool) -> None:
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


def _ends_in_spikes(layers: list[ir.Layer], kind: str, refuse: _Refuse) -> None:
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
