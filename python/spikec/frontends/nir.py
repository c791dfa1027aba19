# SPDX-License-Identifier: Apache-2.0
"""Reads graphs of the Neuromorphic Intermediate Representation (NIR) from ``.nir`` files.

NIR, https://neuroir.org, gives differential equations. It says nothing of the length of a time
step, of how to compute one, or of when a reset happens. That is our choice, in ``Steps``, and is
forward Euler. With a step of ``dt`` seconds a ``LIF`` computes::

    v = v + dt / tau * ((v_leak - v) + r * I)

and a ``CubaLIF`` its synaptic current first, and then its membrane from the new current, as
snnTorch's ``Synaptic`` does::

    I = I + dt / tau_syn * (w_in * S - I)
    v = v + dt / tau_mem * ((v_leak - v) + r * I)

Then it spikes where ``v > v_threshold`` and is set to ``v_reset`` at once, as NIR's own equation
says. Everything is 0 at first. Where nodes form a loop, the neurons nearest to the input see what
came round in the time step before. Several edges into a node are summed, in the order of the file,
what came round last.

The decay that is computed with, ``1 - dt / tau``, is worked out in double from ``tau`` and ``dt``.
A ``tau`` that is a float32 number leaves it uncertain, so that of all decays that might have been
meant the one with the fewest decimals is taken: what was exported from ``beta=0.75`` is 0.75
again. The gains ``r * dt / tau`` and ``w_in * dt / tau_syn`` are treated alike; one of 1 is left
out.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.ir.program import Program, Value
from spikec.ir.soundness import LARGEST, LONGEST, fault

SUFFIX = ".nir"
"""What NIR files are named."""
_KNOWN_TO_FLOAT32 = 2.0**-21
"""Of a quotient of float32 numbers, each rounded a few times: how far off it may be."""
_KNOWN_TO_FLOAT64 = 2.0**-50

Graph: TypeAlias = Mapping[str, Any]
"""A node as ``nir.NIRNode.to_dict`` gives it and files hold it: ``type`` and its fields."""
Array: TypeAlias = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Steps:
    """What NIR leaves open: a time step of ``dt`` seconds, and the reset.

    With ``zero`` a neuron that fired is set to its ``v_reset``; with ``subtract`` its
    ``v_threshold`` is subtracted. ``reset_delay`` puts that off to the next time step, as snnTorch
    does: ``zero`` sets the membrane before it decays, ``subtract`` subtracts after the current has
    been added. snnTorch's exporter uses a ``dt`` of 0.0001 and keeps neither reset nor delay.
    """

    dt: float = 1e-4
    reset: ir.ResetMechanism = "zero"
    reset_delay: bool = False

    def __str__(self) -> str:
        """One sentence."""
        what = {
            "zero": "is set to v_reset",
            "subtract": "has v_threshold subtracted",
            "none": "is left as it is",
        }[self.reset]
        when = "" if self.reset == "none" else ", at once"
        if self.reset != "none" and self.reset_delay:
            when = ", in the next time step"
        return f"forward Euler, time steps of {self.dt:g} s; a neuron that fires {what}{when}"


class _RefusedError(Exception):
    """Says what is wrong with a node, and what to do."""


def read_nir(path: Path, steps: Steps = Steps()) -> ir.Network:
    """Reads the network in a ``.nir`` file.

    Raises:
        SpikecError: the file cannot be read, or what is in it cannot be compiled.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise SpikecError(
            f"reading {path} needs the package {error.name!r}, which is not here: pip install nir."
        ) from error
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpikecError(
            f"{path}: cannot be read ({error.strerror or error}); name a NIR file."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            graph = _loaded(file["node"], h5py.Group)
    except _RefusedError as error:
        raise SpikecError(f"{path}: {error}.") from error
    except Exception as error:  # whatever h5py raises on a file that is damaged, or no HDF5 at all
        raise SpikecError(
            f"{path}: cannot be read as a NIR file ({_first_line(error)}); it may be cut short: "
            "write it again with nir.write."
        ) from error
    return import_nir(graph, path.name, hashlib.sha256(data).hexdigest(), steps)


def _loaded(group: Any, branch: type) -> dict[str, Any]:
    """The fields and nodes of an HDF5 group."""
    result: dict[str, Any] = {}
    for name, item in group.items():
        if isinstance(item, branch):
            result[name] = _loaded(item, branch)
        elif item.size is not None and item.size > LARGEST:
            raise _RefusedError(f"{item.name} has {item.size:,} values; {LARGEST:,} are supported")
        else:
            value = item[()]
            result[name] = value.decode("utf8") if isinstance(value, bytes) else value
    return result


def import_nir(graph: Graph, source: str, sha256: str, steps: Steps) -> ir.Network:
    """Reads ``graph``, which came from ``source``, a file with the digest ``sha256``.

    Raises:
        SpikecError: it cannot be compiled.
    """
    if not (math.isfinite(steps.dt) and steps.dt > 0.0):
        raise SpikecError(
            f"a time step of {steps.dt:g} s: give a positive number of seconds, such as 0.0001."
        )
    try:
        nodes, edges = _flattened(graph, "")
        wires = _Wires(nodes, edges)
        network = _Reader(wires, steps).network(source, sha256)
    except _RefusedError as error:
        raise SpikecError(f"{source} cannot be compiled: {error}.") from error
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise SpikecError(
            f"{source} cannot be compiled: it holds what no NIR graph does "
            f"({_first_line(error)}); write it again with nir.write."
        ) from error
    found = fault(network)
    if found:
        raise SpikecError(f"{source} cannot be compiled: {found}.")
    return network


Edges: TypeAlias = list[tuple[str, str]]


def _flattened(graph: Graph, prefix: str) -> tuple[dict[str, Graph], Edges]:
    """The nodes of a graph and of the graphs in it by their dotted names, and their edges.

    An inner graph's Input and Output become nodes of type ``Identity``; the inner graph's own
    name stands for the first as an edge's end and for the second as its start.
    """
    what = f"the graph {prefix[:-1]!r}" if prefix else "the graph"
    if str(graph.get("type", "NIRGraph")) != "NIRGraph":
        raise _RefusedError(
            f"it holds a single {graph['type']}, not a graph: wrap it in a NIRGraph"
        )
    own, listed = graph.get("nodes"), graph.get("edges")
    if not isinstance(own, Mapping) or listed is None:
        raise _RefusedError(f"{what} has no nodes or no edges: write it again with nir.write")
    nodes: dict[str, Graph] = {}
    edges: Edges = []
    starts: dict[str, str] = {}
    ends: dict[str, str] = {}
    for name, node in own.items():
        kind = node.get("type") if isinstance(node, Mapping) else None
        full = f"{prefix}{name}"
        if kind == "NIRGraph":
            inner, inner_edges = _flattened(node, f"{full}.")
            edges += inner_edges
            ends[full] = _only(inner, f"{full}.", "Input")
            starts[full] = _only(inner, f"{full}.", "Output")
            for each in (ends[full], starts[full]):
                inner[each] = {"type": "Identity"}
        elif isinstance(kind, str):
            inner = {full: node}
        else:
            raise _RefusedError(f"the node {full!r} has no type: write it again with nir.write")
        if set(inner) & set(nodes):
            raise _RefusedError(f"there are two nodes {full!r}: give each a name of its own")
        nodes |= inner
    pairs = np.asarray(listed)
    if pairs.size and (pairs.ndim != 2 or pairs.shape[1] != 2):
        raise _RefusedError(f"{what} has edges that are no pairs: write it again with nir.write")
    for edge in pairs.tolist() if pairs.size else []:
        names = [
            end.decode("utf8", "replace") if isinstance(end, bytes) else str(end) for end in edge
        ]
        for name in names:
            if name not in own:
                raise _RefusedError(
                    f"{what} has an edge {' -> '.join(names)}, but no node {name!r}"
                )
        start, end = (f"{prefix}{name}" for name in names)
        pair = (starts.get(start, start), ends.get(end, end))
        if pair in edges:
            raise _RefusedError(f"{what} has the edge {' -> '.join(names)} twice")
        edges.append(pair)
    return nodes, edges


def _only(nodes: Mapping[str, Graph], prefix: str, kind: str) -> str:
    """The only Input, or Output, that a graph itself has."""
    found = [
        name for name, node in nodes.items()
        if node["type"] == kind and "." not in name.removeprefix(prefix)
    ]  # fmt: skip
    if len(found) != 1:
        what = f"the graph {prefix[:-1]!r}" if prefix else "the graph"
        listed = f" ({', '.join(found)})" if found else ""
        raise _RefusedError(
            f"{what} has {len(found)} nodes of type {kind}{listed}; exactly one is supported"
        )
    return found[0]


class _Wires:
    """Who reads whom, in what order nodes run, and which edges are read a time step late."""

    def __init__(self, nodes: dict[str, Graph], edges: Edges) -> None:
        self.nodes = nodes
        self.input = _only_top(nodes, "Input")
        self.output = _only_top(nodes, "Output")
        for name, node in nodes.items():
            if node["type"] not in (*_READERS, *_NO_LAYER):
                raise _RefusedError(_unknown(name, node["type"]))
        for name in [name for name, node in nodes.items() if node["type"] == "Identity"]:
            into = [start for start, end in edges if end == name]
            out = [end for start, end in edges if start == name]
            edges = [edge for edge in edges if name not in edge]
            edges += [(start, end) for start in into for end in out]
            del nodes[name]
        self.edges = edges
        self.late: set[tuple[str, str]] = set()
        ahead, behind = self._reached(self.input, 0), self._reached(self.output, 1)
        lost = [name for name in nodes if name not in ahead or name not in behind]
        if lost:
            raise _RefusedError(
                f"the node {lost[0]!r} ({nodes[lost[0]]['type']}) is on no way from "
                f"{self.input!r} to {self.output!r}: an edge is missing, or the node is left over"
            )
        self._near = {name: place for place, name in enumerate(ahead)}
        while loop := self._loop():
            self._cut(loop)
        self._prompt = self._reached(self.input, 0)
        self.order = self._sorted()

    def sources(self, name: str) -> list[str]:
        """What a node reads; what came round a loop comes last."""
        return sorted(self._before(name, late=True), key=lambda start: self.came_round(start, name))

    def came_round(self, start: str, end: str) -> bool:
        """Whether an edge brings nothing but what neurons did in the time step before."""
        return (start, end) in self.late or start not in self._prompt

    def _reached(self, first: str, side: int) -> list[str]:
        """All nodes that are reached along edges (or, from side 1, against them), nearest first."""
        found = [first]
        for name in found:
            found += dict.fromkeys(
                edge[1 - side] for edge in self.edges
                if edge[side] == name and edge not in self.late and edge[1 - side] not in found
            )  # fmt: skip
        return found

    def _before(self, name: str, late: bool = False) -> list[str]:
        """What a node reads in the same time step, or ``late`` ones included."""
        return [
            start for start, end in self.edges
            if end == name and (late or (start, end) not in self.late)
        ]  # fmt: skip

    def _loop(self) -> set[str]:
        """Nodes each of which is in a loop or between loops; empty when there is no loop."""
        left = set(self.nodes)
        while True:
            done = {name for name in left if not left.intersection(self._before(name))}
            if not done:
                break
            left -= done
        while True:
            ends = {name for name in left if not any(name in self._before(each) for each in left)}
            if not ends:
                return left
            left -= ends

    def _cut(self, loop: set[str]) -> None:
        """Makes late what comes round to the neurons nearest to the input.

        The edge that is made late is that of the neurons before them in the loop: what computes
        without memory, such as a Linear, runs on what those did in the time step before.
        """
        neurons = [
            name
            for name in sorted(loop, key=self._near.__getitem__)
            if self.nodes[name]["type"] in _NEURONS and name in self._earlier(name)
        ]
        if not neurons:
            raise _RefusedError(
                f"the nodes {', '.join(sorted(loop))} form a loop without neurons, so that each "
                "would have to run before the other: put neurons into it"
            )
        todo = neurons[:1]
        for name in todo:
            for start in self._before(name):
                if neurons[0] not in self._earlier(start):
                    continue  # it is no part of the loop, but leads to it
                if start in neurons:
                    self.late.add((start, name))
                elif start not in todo:
                    todo.append(start)

    def _earlier(self, name: str) -> list[str]:
        """All nodes that a node depends on in the same time step; itself if it is in a loop."""
        found = self._before(name)
        for each in found:
            found += [start for start in self._before(each) if start not in found]
        return found

    def _sorted(self) -> list[str]:
        """All nodes, each after what it reads, and after those that read it a time step late."""
        order: list[str] = []
        left = sorted(self.nodes, key=self._near.__getitem__)
        while left:
            for name in left:
                waits = [*self._before(name), *(end for start, end in self.late if start == name)]
                if not any(each in left and each != name for each in waits):
                    break
            else:
                raise _RefusedError(
                    f"the loops of {', '.join(left)} cross, so that there is no order to run them "
                    "in: give each loop one node that closes it"
                )
            left.remove(name)
            order.append(name)
        return order


def _only_top(nodes: Mapping[str, Graph], kind: str) -> str:
    return _only({name: node for name, node in nodes.items() if node["type"] == kind}, "", kind)


def _unknown(name: str, kind: str) -> str:
    found = f"the node {name!r} is of type {kind!r}, which is not supported"
    if kind == "Delay":
        return f"{found}: a network keeps no values of earlier time steps but the last; remove it"
    return f"{found}; supported are {', '.join(_READERS)}"


class _Reader:
    """Makes the layers of a graph, one node after the other."""

    def __init__(self, wires: _Wires, steps: Steps) -> None:
        self._wires = wires
        self._steps = steps
        self._layers: list[ir.Layer] = []
        self._counts: dict[str, int] = {}
        self._made: dict[str, str] = {}  # the name of each node's last layer
        self._planned: dict[str, tuple[str, ir.Shape]] = {}  # of what is read a time step late
        self._late: dict[str, str] = {}  # the Previous of a node

    def network(self, source: str, sha256: str) -> ir.Network:
        """The whole network."""
        wires = self._wires
        try:
            self._input = _shape(_integers(wires.nodes[wires.input], "shape", None))
        except _RefusedError as error:
            raise _RefusedError(f"the node {wires.input!r} (Input): {error}") from error
        self._made[wires.input] = ir.INPUT
        for name in wires.order:
            if name in (wires.input, wires.output):
                continue
            try:
                self._read(name)
            except _RefusedError as error:
                kind = wires.nodes[name]["type"]
                raise _RefusedError(f"the node {name!r} ({kind}): {error}") from error
        self._end()
        return ir.Network(self._input, tuple(self._layers), source, sha256)

    def _fresh(self, prefix: str) -> str:
        self._counts[prefix] = self._counts.get(prefix, 0) + 1
        return f"{prefix}{self._counts[prefix]}"

    def _shape_of(self, name: str) -> ir.Shape:
        if name == ir.INPUT:
            return self._input
        return next(layer.shape for layer in self._layers if layer.name == name)

    def _read(self, name: str) -> None:
        node = self._wires.nodes[name]
        prefix, reader = _READERS[node["type"]]
        sources = self._wires.sources(name)
        inputs = [
            self._previous(start) if (start, name) in self._wires.late else self._made[start]
            for start in sources
        ]
        shapes = [self._shape_of(each) for each in inputs]
        if any(shape != shapes[0] for shape in shapes):
            raise _RefusedError(
                f"sums {' and '.join(map(str, shapes))}: make what its edges bring of one shape"
            )
        if len(inputs) > 1 and node["type"] not in _NEURONS:
            inputs = [self._sum(name, inputs, shapes[0])]
        made, shape = self._planned.get(name, ("", shapes[0]))
        base = ir.Node(made or self._fresh(prefix), name, tuple(inputs), shapes[0])
        round_ = tuple(self._wires.came_round(start, name) for start in sources)
        layer = reader(_Fields(node, shapes[0]), base, self._steps, round_)
        if layer.shape.size > LARGEST or max(layer.shape.height, layer.shape.width) > LONGEST:
            raise _RefusedError(f"its size {layer.shape} is too large")
        if made and layer.shape != shape:
            raise _RefusedError(
                f"its parameters are of shape {shape}, and what it reads is {layer.shape}: make "
                "them one"
            )
        self._layers.append(layer)
        self._made[name] = layer.name

    def _previous(self, name: str) -> str:
        """The layer that hands on what the neurons of a node, which come later, did before.

        Their shape is not known from what they read, so it is that of their parameters.
        """
        if name not in self._late:
            node = self._wires.nodes[name]
            axes = np.shape(node.get(_NEURONS[node["type"]], ()))
            if not axes:
                raise _RefusedError(
                    f"is in a loop with {name!r}, whose parameters are single numbers, so that "
                    "its shape is not known in time: write one for each neuron"
                )
            shape = _shape(axes)
            self._planned[name] = (self._fresh(_READERS[node["type"]][0]), shape)
            made = ir.Previous(self._fresh("previous"), name, (self._planned[name][0],), shape)
            self._layers.append(made)
            self._late[name] = made.name
        return self._late[name]

    def _sum(self, name: str, inputs: Sequence[str], shape: ir.Shape) -> str:
        """What several edges bring, added up."""
        program = Program()
        names = [f"current{number}" for number in range(1, len(inputs) + 1)]
        total = program.current(names[0])
        for each in names[1:]:
            total = total + program.current(each)
        base = ir.Node(self._fresh("sum"), name, tuple(inputs), shape)
        made = program.cell(base, "nir sum", tuple((each,) for each in names), value=total)
        self._layers.append(made)
        return made.name

    def _end(self) -> None:
        """The last layer is what the graph's Output reads, and must be neurons."""
        output = self._wires.output
        starts = self._wires.sources(output)
        if len(starts) != 1:
            raise _RefusedError(
                f"the node {output!r} (Output) sums {', '.join(starts)}; one edge is supported"
            )
        kind = self._wires.nodes[starts[0]]["type"]
        last = self._layers[-1] if self._layers else None
        name = self._made[starts[0]]
        made = next((layer for layer in self._layers if layer.name == name), None)
        while isinstance(made, ir.Flatten):
            made = next((layer for layer in self._layers if layer.name == made.inputs[0]), None)
        if not isinstance(made, ir.Leaky | ir.Cell) or (
            isinstance(made, ir.Cell) and not made.states
        ):
            raise _RefusedError(
                f"the node {output!r} (Output) reads {starts[0]!r} ({kind}), which has no neurons: "
                f"end the graph with one of {', '.join(_NEURONS)}"
            )
        if last is not None and name != last.name:  # the last layer is the output
            shape = dataclasses.replace(self._shape_of(name), flat=True, line=False)
            self._layers.append(ir.Flatten(self._fresh("flatten"), output, (name,), shape))


@dataclasses.dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of one node, and the shape of what it reads."""

    node: Graph
    shape: ir.Shape

    def floats(self, name: str, default: float | None = None) -> Array:
        """A field of finite numbers, whatever its shape."""
        value = self.node.get(name, default)
        if value is None:
            raise _RefusedError(f"it has no {name}: write the file again with nir.write")
        values = np.asarray(value)
        if values.dtype.kind not in "fiu":
            raise _RefusedError(f"its {name} is of type {values.dtype}, not of numbers")
        values = values.astype(np.float64)
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32)).all()
        if not finite:
            raise _RefusedError(
                f"its {name} holds NaN, infinity or a number that does not fit float32: train or "
                "export it again"
            )
        return values

    def neurons(self, name: str, default: float | None = None) -> Array:
        """A field of one number for all neurons, or one for each: ``[1]`` or ``[*axes]``."""
        values = self.floats(name, default)
        if values.size == 1:
            return values.reshape(1)
        if values.shape != self.shape.axes:
            raise _RefusedError(
                f"its {name} is of shape {values.shape} and what it reads of {self.shape.axes}: "
                "make it one number, or one for each neuron"
            )
        return values

    def parameter(self, values: Array) -> ir.Floats:
        """Numbers, as ``neurons`` gives them, in memory order."""
        with np.errstate(over="ignore"):
            found = ir.memory_parameter(values, self.shape)
        if not np.isfinite(found).all():
            raise _RefusedError("a decay or a gain does not fit float32: check r, tau and w_in")
        return found


Layers: TypeAlias = Callable[[_Fields, ir.Node, Steps, tuple[bool, ...]], ir.Layer]
"""Makes the layer of a node; what all layers have is given, but its shape is that of the input. The
last argument says of each input whether it brings what came round a loop."""


def _integers(node: Graph, name: str, count: int | None, default: int | None = None) -> list[int]:
    """A field of whole numbers; one stands for ``count``."""
    value = node.get(name, default)
    array = np.asarray(value)
    if value is None or array.dtype.kind not in "iu" or array.ndim > 1:
        raise _RefusedError(f"its {name} is {_short(value)} where whole numbers are needed")
    numbers = [int(each) for each in array.reshape(-1)]
    if count is not None and len(numbers) == 1:
        numbers *= count
    if count is not None and len(numbers) != count:
        raise _RefusedError(f"its {name} is {_short(value)} where {count} numbers are needed")
    return numbers


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) < 40 else f"{text[:37]}..."


def _shape(axes: Sequence[int]) -> ir.Shape:
    """The shape of a value with the axes ``(N,)``, ``(C, L)`` or ``(C, H, W)``."""
    if min(axes, default=0) < 1 or math.prod(axes) > LARGEST or max(axes) > LARGEST:
        raise _RefusedError(f"its shape {tuple(axes)} is empty or too large")
    match tuple(axes):
        case (features,):
            return ir.Shape(1, 1, features, flat=True)
        case (channels, length):
            return ir.Shape(1, length, channels, flat=False, line=True)
        case (channels, height, width):
            return ir.Shape(height, width, channels, flat=False)
        case _:
            raise _RefusedError(
                f"its shape {tuple(axes)} is none of (N,), (C, L) and (C, H, W): leave out the "
                "axes of batch and time"
            )


def _linear(fields: _Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    weight = fields.floats("weight").astype(np.float32)
    if not base.shape.flat:
        raise _RefusedError(f"reads a map {base.shape}: put a Flatten before it")
    if weight.ndim != 2 or weight.shape[1] != base.shape.size:
        raise _RefusedError(
            f"its weight is of shape {weight.shape}, and it reads {base.shape.size} values: make "
            "the nodes fit each other"
        )
    rows = base.shape.to_memory(weight).reshape(len(weight), -1)
    shape = _shape((len(weight),))
    bias = _bias(fields, len(weight), fields.node["type"] == "Affine")
    return ir.Linear(
        base.name, base.source, base.inputs, shape, np.ascontiguousarray(rows.T), bias
    )  # fmt: skip


def _bias(fields: _Fields, channels: int, needed: bool) -> ir.Floats:
    if not needed and fields.node.get("bias") is None:
        return np.zeros(channels, np.float32)
    bias = fields.floats("bias").astype(np.float32)
    if bias.shape != (channels,):
        raise _RefusedError(f"its bias is of shape {bias.shape} where {(channels,)} is needed")
    return bias + np.float32(0.0)  # a sum that starts from -0.0 would tell a skipped zero


def _conv(fields: _Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    line = fields.node["type"] == "Conv1d"
    axes = 1 if line else 2
    if base.shape.flat or base.shape.line != line:
        wanted = "(C, L)" if line else "(C, H, W)"
        raise _RefusedError(f"reads {base.shape}, and needs {wanted}")
    weight = fields.floats("weight").astype(np.float32)
    if weight.ndim != axes + 2 or 0 in weight.shape:
        raise _RefusedError(f"its weight has the shape {weight.shape}")
    groups = _integers(fields.node, "groups", 1, 1)[0]
    stride = _integers(fields.node, "stride", axes)
    dilation = _integers(fields.node, "dilation", axes)
    kernel = list(weight.shape[2:])
    reach = [dilation[i] * (kernel[i] - 1) for i in range(axes)]
    if min(*stride, *dilation, groups) < 1 or max(*stride, *dilation, *kernel) > LONGEST:
        raise _RefusedError("its stride, dilation or groups are not positive, or too large")
    channels = len(weight)
    if weight.shape[1] * groups != base.shape.channels or channels % groups:
        raise _RefusedError(
            f"its weight {weight.shape} in {groups} group(s) does not fit what it reads, "
            f"{base.shape}: make the nodes fit each other"
        )
    padding = fields.node.get("padding")
    match padding if isinstance(padding, str) else None:
        case "same" if max(stride) == 1:
            before, total = [each // 2 for each in reach], reach
        case "valid":
            before, total = [0] * axes, [0] * axes
        case _:
            before = _integers(fields.node, "padding", axes)
            total = [2 * each for each in before]
    if line:
        weight = weight[:, :, None]
        reach, stride, dilation = [0, *reach], [1, *stride], [1, *dilation]
        before, total = [0, *before], [0, *total]
    shape = _windows(base.shape, reach, stride, total, channels)
    return ir.Conv2d(
        base.name, base.source, base.inputs, shape,
        np.ascontiguousarray(weight.transpose(2, 3, 1, 0)), _bias(fields, channels, needed=False),
        (stride[0], stride[1]), (before[0], before[1]), (dilation[0], dilation[1]), groups,
    )  # fmt: skip


def _windows(
    before: ir.Shape, reach: Sequence[int], stride: Sequence[int], total: Sequence[int],
    channels: int,
) -> ir.Shape:  # fmt: skip
    """The shape that windows make which reach ``reach`` further, with ``total`` padding."""
    sides = (before.height, before.width)
    out = [(sides[i] + total[i] - reach[i] - 1) // stride[i] + 1 for i in (0, 1)]
    if min(out) < 1 or min(total) < 0 or max(total) > LONGEST:
        raise _RefusedError(f"its kernel or padding does not fit what it reads, {before}")
    return dataclasses.replace(before, height=out[0], width=out[1], channels=channels)


def _pool(fields: _Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    if base.shape.flat or base.shape.line:
        raise _RefusedError(f"reads {base.shape}, and needs (C, H, W)")
    kernel = _integers(fields.node, "kernel_size", 2)
    stride = _integers(fields.node, "stride", 2)
    padding = _integers(fields.node, "padding", 2, 0)
    if min(*kernel, *stride) < 1 or max(*kernel, *stride) > LONGEST or min(padding) < 0:
        raise _RefusedError("its kernel_size, stride or padding is too small or too large")
    if any(2 * padding[i] > kernel[i] for i in (0, 1)):
        raise _RefusedError("its padding is more than half its kernel_size")
    reach = [kernel[0] - 1, kernel[1] - 1]
    total = [2 * padding[0], 2 * padding[1]]
    shape = _windows(base.shape, reach, stride, total, base.shape.channels)
    divisor = 1 if fields.node["type"] == "SumPool2d" else kernel[0] * kernel[1]
    return ir.AvgPool2d(
        base.name, base.source, base.inputs, shape, (kernel[0], kernel[1]), (stride[0], stride[1]),
        (padding[0], padding[1]), np.full((shape.height, shape.width), divisor, np.float32),
    )  # fmt: skip


def _flatten(fields: _Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    axes = len(base.shape.axes)
    start = _integers(fields.node, "start_dim", 1, 1)[0]
    end = _integers(fields.node, "end_dim", 1, -1)[0]
    if axes > 1 and (start % axes, end % axes) != (0, axes - 1):
        raise _RefusedError(
            f"flattens the axes {start} to {end} of {base.shape}; only all of them are supported: "
            "start_dim=0, end_dim=-1"
        )
    shape = dataclasses.replace(base.shape, flat=True, line=False)
    return ir.Flatten(base.name, base.source, base.inputs, shape)


def _scale(fields: _Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    scale = fields.parameter(fields.neurons("scale"))
    shift = np.zeros((1, 1, 1), np.float32)
    return ir.Affine(base.name, base.source, base.inputs, base.shape, scale, shift)


def _neurons(fields: _Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    """Neurons: the equations at the top of this file."""
    leaky = _as_leaky(fields, base, steps) if round_ == (False,) else None
    if leaky is not None:
        return leaky
    kind = fields.node["type"]
    reset = steps.reset if kind in ("IF", "LIF", "CubaLIF") else "none"
    names = _current_names(round_)
    p = Program()
    threshold = p.constant("threshold", 0.0)
    if kind in _THRESHOLDS:
        threshold = p.parameter("threshold", fields.parameter(fields.neurons(_THRESHOLDS[kind])))
    v_reset = p.parameter("v_reset", fields.parameter(fields.neurons("v_reset", 0.0)))

    mem = p.state("mem")
    above = p.let("above", p.greater(mem, threshold))
    if reset == "zero" and steps.reset_delay:
        mem = p.where(above, v_reset, mem)
    states = _integrated(p, fields, steps, mem, [p.current(name) for name in names])
    if reset == "subtract" and steps.reset_delay:
        states["mem"] = states["mem"] - p.where(above, threshold)
    now = states["mem"] = p.let("potential", states["mem"])
    currents = tuple((name,) for name in names)
    if kind not in _THRESHOLDS:
        return p.cell(base, f"nir.{kind}", currents, states, value=now)
    spike = p.let("spike", p.greater(now, threshold))
    if reset == "zero" and not steps.reset_delay:
        states["mem"] = p.where(spike, v_reset, now)
    elif reset == "subtract" and not steps.reset_delay:
        states["mem"] = now - p.where(spike, threshold)
    return p.cell(base, f"nir.{kind}", currents, states, fires=spike)


def _as_leaky(fields: _Fields, base: ir.Node, steps: Steps) -> ir.Leaky | None:
    """The neurons as ``ir.Leaky``, which computes them faster, if it computes the same bits."""
    kind = fields.node["type"]
    if kind not in ("IF", "LIF"):
        return None
    tau = "tau" if kind == "LIF" else None
    threshold, v_reset = fields.neurons("v_threshold"), fields.neurons("v_reset", 0.0)
    if np.any(_meant(fields, steps, "r", tau) != 1.0) or np.any(fields.neurons("v_leak", 0.0)):
        return None
    # Reset at once, Leaky would reset a second time what is above a threshold after its reset.
    match steps.reset:
        case "zero":
            same = not v_reset.any() and (steps.reset_delay or bool(np.all(threshold >= 0.0)))
        case "subtract":
            same = steps.reset_delay
        case "none":
            same = True
    if not same:
        return None
    decay = np.ones(1) if tau is None else _meant(fields, steps, None, tau)
    return ir.Leaky(
        base.name, base.source, base.inputs, base.shape, fields.parameter(decay),
        fields.parameter(threshold), np.ones((1, 1, 1), np.float32), steps.reset,
        steps.reset_delay,
    )  # fmt: skip


def _current_names(round_: tuple[bool, ...]) -> list[str]:
    names: list[str] = []
    for each in round_:
        name = "recurrent" if each else "current"
        count = sum(other.startswith(name) for other in names)
        names.append(f"{name}{count + 1}" if count else name)
    return names


def _integrated(
    p: Program, fields: _Fields, steps: Steps, mem: Value, currents: list[Value]
) -> dict[str, Value]:
    """The states after a time step in which no neuron fired; the membrane first."""

    def meant(name: str, factor: str | None, tau: str | None) -> Value:
        return p.parameter(name, fields.parameter(_meant(fields, steps, factor, tau)))

    def leaking(tau: str, brought: list[Value]) -> Value:
        drift = steps.dt / fields.neurons(tau) * fields.neurons("v_leak")
        kept = meant("decay", None, tau) * mem
        now = _driven(kept, brought, meant("gain", "r", tau))
        return now + p.parameter("leak", fields.parameter(drift))

    match fields.node["type"]:
        case "Threshold":
            return {"mem": _driven(currents[0], currents[1:], p.constant("gain", 1.0))}
        case "I" | "IF":
            return {"mem": _driven(mem, currents, meant("gain", "r", None))}
        case "LI" | "LIF":
            return {"mem": leaking("tau", currents)}
        case _:
            kept = meant("syn_decay", None, "tau_syn") * p.state("syn")
            gain = meant("syn_gain", "w_in", "tau_syn")
            syn = p.let("syn_now", _driven(kept, currents, gain))
            return {"mem": leaking("tau_mem", [syn]), "syn": syn}


def _driven(value: Value, currents: list[Value], gain: Value) -> Value:
    """``value`` plus all currents times ``gain``; one current after the other if that is 1."""
    if gain * value is value:  # a program leaves out a factor of 1
        for each in currents:
            value = value + each
        return value
    total = currents[0]
    for each in currents[1:]:
        total = total + each
    return value + total * gain


def _meant(fields: _Fields, steps: Steps, factor: str | None, tau: str | None) -> Array:
    """``factor * dt / tau``; without a ``factor`` the decay ``1 - dt / tau``.

    Of the numbers that it may have been before it was stored: that of the fewest decimals.
    """
    value, stored = np.full(1, steps.dt), []
    if tau is not None:
        times = fields.neurons(tau)
        shortest = float(times.min())
        if shortest <= 0.0 or steps.dt / shortest > 1.0 + _KNOWN_TO_FLOAT32:
            raise _RefusedError(
                f"its {tau} of {shortest:g} s is shorter than a time step of {steps.dt:g} s, which "
                "forward Euler cannot follow: choose a shorter one with --nir-dt"
            )
        value, stored = value / times, [times]
    if factor is not None:
        stored.append(fields.neurons(factor, 1.0 if factor == "w_in" else None))
        value = value * stored[-1]
    rounded = any(np.array_equal(each, each.astype(np.float32)) for each in stored)
    off = np.abs(value) * (_KNOWN_TO_FLOAT32 if rounded else _KNOWN_TO_FLOAT64)
    value = value if factor is not None else 1.0 - value
    found = [_fewest_decimals(*pair) for pair in zip(value.flat, off.flat, strict=True)]
    return np.array(found).reshape(value.shape)


def _fewest_decimals(value: float, off: float) -> float:
    """The number of the fewest digits that is at most ``off`` away from ``value``."""
    if abs(value) <= off:
        return 0.0
    for digits in range(1, 17):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= off:
            return rounded
    return value


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


_THRESHOLDS = {
    "IF": "v_threshold", "LIF": "v_threshold", "CubaLIF": "v_threshold", "Threshold": "threshold",
}  # fmt: skip
"""What fires, and the field that it fires above."""
_NEURONS = {**_THRESHOLDS, "I": "r", "LI": "r", "CubaLI": "r"}
"""What has a state (or fires), and a field with one number for each neuron."""
_NO_LAYER = ("Input", "Output", "Identity")
_READERS: dict[str, tuple[str, Layers]] = {
    "Affine": ("linear", _linear),
    "Linear": ("linear", _linear),
    "Conv1d": ("conv", _conv),
    "Conv2d": ("conv", _conv),
    "Scale": ("scale", _scale),
    "AvgPool2d": ("avgpool", _pool),
    "SumPool2d": ("avgpool", _pool),
    "Flatten": ("flatten", _flatten),
    "Threshold": ("threshold", _neurons),
    "I": ("integrator", _neurons),
    "IF": ("if", _neurons),
    "LI": ("li", _neurons),
    "LIF": ("lif", _neurons),
    "CubaLI": ("cubali", _neurons),
    "CubaLIF": ("cubalif", _neurons),
}
"""The reader of every type of node, and what the names of its layers start with."""
