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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikec.errors import SpikecError
from spikec.frontends.nir_graph import Wires, take_apart
from spikec.frontends.nir_layers import (
    NEURONS,
    READERS,
    Fields,
    Graph,
    RefusedError,
    Steps,
    read_integers,
    read_shape,
)
from spikec.ir import network as ir
from spikec.ir.program import Program
from spikec.ir.soundness import LARGEST, LONGEST, fault

SUFFIX = ".nir"
"""What NIR files are named."""


DEFAULT_STEPS = Steps()
"""How time is cut into steps where nobody says it."""


def read_nir(path: Path, steps: Steps = DEFAULT_STEPS) -> ir.Network:
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
    except RefusedError as error:
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
            raise RefusedError(f"{item.name} has {item.size:,} values; {LARGEST:,} are supported")
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
        nodes, edges = take_apart(graph, "")
        wires = Wires(nodes, edges)
        network = _Reader(wires, steps).network(source, sha256)
    except RefusedError as error:
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


class _Reader:
    """Makes the layers of a graph, one node after the other."""

    def __init__(self, wires: Wires, steps: Steps) -> None:
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
            self._input = read_shape(read_integers(wires.nodes[wires.input], "shape", None))
        except RefusedError as error:
            raise RefusedError(f"the node {wires.input!r} (Input): {error}") from error
        self._made[wires.input] = ir.INPUT
        for name in wires.order:
            if name in (wires.input, wires.output):
                continue
            try:
                self._read(name)
            except RefusedError as error:
                kind = wires.nodes[name]["type"]
                raise RefusedError(f"the node {name!r} ({kind}): {error}") from error
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
        """Makes the layer of one node, whose sources are made already."""
        node = self._wires.nodes[name]
        prefix, reader = READERS[node["type"]]
        sources = self._wires.sources(name)
        inputs = [
            self._previous(start) if (start, name) in self._wires.late else self._made[start]
            for start in sources
        ]
        shapes = [self._shape_of(each) for each in inputs]
        if any(shape != shapes[0] for shape in shapes):
            raise RefusedError(
                f"sums {' and '.join(map(str, shapes))}: make what its edges bring of one shape"
            )
        if len(inputs) > 1 and node["type"] not in NEURONS:
            inputs = [self._sum(name, inputs, shapes[0])]
        made, shape = self._planned.get(name, ("", shapes[0]))
        base = ir.Node(made or self._fresh(prefix), name, tuple(inputs), shapes[0])
        round_ = tuple(self._wires.came_round(start, name) for start in sources)
        layer = reader(Fields(node, shapes[0]), base, self._steps, round_)
        if layer.shape.size > LARGEST or max(layer.shape.height, layer.shape.width) > LONGEST:
            raise RefusedError(f"its size {layer.shape} is too large")
        if made and layer.shape != shape:
            raise RefusedError(
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
            axes = np.shape(node.get(NEURONS[node["type"]], ()))
            if not axes:
                raise RefusedError(
                    f"is in a loop with {name!r}, whose parameters are single numbers, so that "
                    "its shape is not known in time: write one for each neuron"
                )
            shape = read_shape(axes)
            self._planned[name] = (self._fresh(READERS[node["type"]][0]), shape)
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
            raise RefusedError(
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
            raise RefusedError(
                f"the node {output!r} (Output) reads {starts[0]!r} ({kind}), which has no neurons: "
                f"end the graph with one of {', '.join(NEURONS)}"
            )
        if last is not None and name != last.name:  # the last layer is the output
            shape = dataclasses.replace(self._shape_of(name), flat=True, line=False)
            self._layers.append(ir.Flatten(self._fresh("flatten"), output, (name,), shape))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
