# SPDX-License-Identifier: Apache-2.0
"""Makes a failing network small, and prints it as a test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from tests.fuzz.spec import Node, Spec, Spread, Style, UnfitError

SIMPLER_STYLES: tuple[Style, ...] = ("sequential", "step", "loop", "layers")

_DEFAULTS = {
    "threshold": 1.0, "beta": 0.5, "alpha": 0.75, "V": 0.5, "bias": False, "stride": 1,
    "padding": 0, "dilation": 1, "kernel_size": 1, "out": 1, "reset_delay": True, "time_step": 1,
}  # fmt: skip
"""The simplest value of an option; one that is not here can be left out."""


def shrink(spec: Spec, fails: Callable[[Spec], bool], tries: int = 250) -> Spec:
    """The smallest network found for which ``fails`` holds, as it does for ``spec``."""
    left = tries
    while True:
        for smaller in simpler(spec):
            if left == 0:
                return spec
            left -= 1
            try:
                found = fails(smaller)
            except UnfitError:
                found = False
            if found:
                spec = smaller
                break
        else:
            return spec


def simpler(spec: Spec) -> Iterator[Spec]:
    """Networks with a little less in them, what takes away most first."""
    count = len(spec.nodes)
    for number in range(count, 0, -1):  # what an earlier node makes as the output
        if number not in spec.outputs or len(spec.outputs) > 1:
            cut = _only(dataclasses.replace(spec, outputs=(number,)))
            if len(cut.nodes) < count or len(spec.outputs) > 1:
                yield cut
    for number in range(1, count + 1):  # without a node, its input in its place
        for source in dict.fromkeys(spec.node(number).inputs):
            if spec.node(number).kind != "previous" and number not in spec.outputs:
                yield _only(_bypassed(spec, number, source))
    if spec.steps > 1:
        yield dataclasses.replace(spec, steps=max(1, spec.steps // 2))
        yield dataclasses.replace(spec, steps=spec.steps - 1)
    for axis, size in enumerate(spec.shape):
        for less in dict.fromkeys((1, size // 2, size - 1)):
            if 0 < less < size:
                shape = (*spec.shape[:axis], less, *spec.shape[axis + 1 :])
                yield dataclasses.replace(spec, shape=shape)
    for style in SIMPLER_STYLES:
        if spec.style not in SIMPLER_STYLES[: SIMPLER_STYLES.index(style) + 1]:
            yield dataclasses.replace(spec, style=style)
    for number, node in enumerate(spec.nodes, 1):
        for options in _options(node):
            yield _with(spec, number, dataclasses.replace(node, options=options))
    if not spec.grid:
        yield dataclasses.replace(spec, grid=True)


def _options(node: Node) -> Iterator[dict[str, object]]:
    """Simpler options of a node."""
    given = dict(node.options)
    for name, value in given.items():
        if name in ("axes", "recurrence", "output_size", "by", "reset_mechanism"):
            continue
        if name == "out" and isinstance(value, int):
            yield from ({**given, "out": n} for n in (1, value // 2, value - 1) if 0 < n < value)
        elif isinstance(value, Spread):
            yield {**given, name: 0.5}
        elif name in _DEFAULTS:
            if value != _DEFAULTS[name]:
                yield {**given, name: _DEFAULTS[name]}
        elif name != "zero":
            yield {key: other for key, other in given.items() if key != name}
    if node.kind in ("Linear", "Conv1d", "Conv2d") and "zero" not in given:
        yield {**given, "zero": True}


def _with(spec: Spec, number: int, node: Node) -> Spec:
    nodes = (*spec.nodes[: number - 1], node, *spec.nodes[number:])
    return dataclasses.replace(spec, nodes=nodes)


def _bypassed(spec: Spec, number: int, source: int) -> Spec:
    """What read ``number`` reads ``source``."""

    def moved(each: int) -> int:
        return source if each == number else each

    nodes = tuple(
        dataclasses.replace(node, inputs=tuple(moved(each) for each in node.inputs))
        for node in spec.nodes
    )
    return dataclasses.replace(spec, nodes=nodes)


def _only(spec: Spec) -> Spec:
    """Without the nodes that nothing reads."""
    used: set[int] = set()
    todo = list(spec.outputs)
    while todo:
        number = todo.pop()
        if number and number not in used:
            used.add(number)
            todo += spec.node(number).inputs
    places = {old: new for new, old in enumerate([0, *sorted(used)])}
    nodes = tuple(
        dataclasses.replace(
            spec.node(old), inputs=tuple(places[each] for each in spec.node(old).inputs)
        )
        for old in sorted(used)
    )
    outputs = tuple(dict.fromkeys(places[each] for each in spec.outputs))
    return dataclasses.replace(spec, nodes=nodes, outputs=outputs)


def as_test(spec: Spec, name: str, source: str, what: str) -> str:
    """A failing network as a test function, with its module's source and what went wrong."""
    nodes = "".join(f"            {node!r},\n" for node in spec.nodes)
    others = "".join(
        f"        {field.name}={getattr(spec, field.name)!r},\n"
        for field in dataclasses.fields(spec)
        if field.name != "nodes"
    )
    comment = "".join(f"    # {line}".rstrip() + "\n" for line in what.strip().splitlines())
    module = "".join(f"    #   {line}".rstrip() + "\n" for line in source.strip().splitlines())
    return (
        f"def test_{name}() -> None:\n{comment}{module}"
        f"    check.agree(\n      Spec(\n        nodes=(\n{nodes}        ),\n"
        f"{others}      )\n    )\n"
    )
