# SPDX-License-Identifier: Apache-2.0
"""Follows the edges of a NIR graph: subgraphs are taken apart, and nodes put in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from spikec.frontends.nir_layers import NEURONS, NO_LAYER, READERS, Graph, RefusedError

Edges: TypeAlias = list[tuple[str, str]]


def take_apart(graph: Graph, prefix: str) -> tuple[dict[str, Graph], Edges]:
    """The nodes of a graph and of the graphs in it by their dotted names, and their edges.

    An inner graph's Input and Output become nodes of type ``Identity``; the inner graph's own
    name stands for the first as an edge's end and for the second as its start.
    """
    what = f"the graph {prefix[:-1]!r}" if prefix else "the graph"
    if str(graph.get("type", "NIRGraph")) != "NIRGraph":
        raise RefusedError(f"it holds a single {graph['type']}, not a graph: wrap it in a NIRGraph")
    own, listed = graph.get("nodes"), graph.get("edges")
    if not isinstance(own, Mapping) or listed is None:
        raise RefusedError(f"{what} has no nodes or no edges: write it again with nir.write")
    nodes: dict[str, Graph] = {}
    edges: Edges = []
    starts: dict[str, str] = {}
    ends: dict[str, str] = {}
    for name, node in own.items():
        kind = node.get("type") if isinstance(node, Mapping) else None
        full = f"{prefix}{name}"
        if kind == "NIRGraph":
            inner, inner_edges = take_apart(node, f"{full}.")
            edges += inner_edges
            ends[full] = _only(inner, f"{full}.", "Input")
            starts[full] = _only(inner, f"{full}.", "Output")
            for each in (ends[full], starts[full]):
                inner[each] = {"type": "Identity"}
        elif isinstance(kind, str):
            inner = {full: node}
        else:
            raise RefusedError(f"the node {full!r} has no type: write it again with nir.write")
        if set(inner) & set(nodes):
            raise RefusedError(f"there are two nodes {full!r}: give each a name of its own")
        nodes |= inner
    pairs = np.asarray(listed)
    if pairs.size and (pairs.ndim != 2 or pairs.shape[1] != 2):
        raise RefusedError(f"{what} has edges that are no pairs: write it again with nir.write")
    for edge in pairs.tolist() if pairs.size else []:
        names = [
            end.decode("utf8", "replace") if isinstance(end, bytes) else str(end) for end in edge
        ]
        for name in names:
            if name not in own:
                raise RefusedError(f"{what} has an edge {' -> '.join(names)}, but no node {name!r}")
        start, end = (f"{prefix}{name}" for name in names)
        pair = (starts.get(start, start), ends.get(end, end))
        if pair in edges:
            raise RefusedError(f"{what} has the edge {' -> '.join(names)} twice")
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
        raise RefusedError(
            f"{what} has {len(found)} nodes of type {kind}{listed}; exactly one is supported"
        )
    return found[0]


class Wires:
    """Who reads whom, in what order nodes run, and which edges are read a time step late."""

    def __init__(self, nodes: dict[str, Graph], edges: Edges) -> None:
        self.nodes = nodes
        self.input = _only_top(nodes, "Input")
        self.output = _only_top(nodes, "Output")
        for name, node in nodes.items():
            if node["type"] not in (*READERS, *NO_LAYER):
                raise RefusedError(_unknown(name, node["type"]))
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
            raise RefusedError(
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
        """Cuts a loop at the neurons nearest to the input.

        They then read what the loop's last neurons before them did in the previous time step.
        Nodes without memory between the two, such as a Linear, run after the cut.
        """
        neurons = [
            name
            for name in sorted(loop, key=self._near.__getitem__)
            if self.nodes[name]["type"] in NEURONS and name in self._earlier(name)
        ]
        if not neurons:
            raise RefusedError(
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
                raise RefusedError(
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
    return f"{found}; supported are {', '.join(READERS)}"
