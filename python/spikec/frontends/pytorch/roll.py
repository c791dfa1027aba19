# SPDX-License-Identifier: Apache-2.0
"""Finds what repeats from time step to time step in a recorded forward."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable
from typing import Any, TypeAlias, assert_never, cast

import torch
from torch import nn

from spikec.frontends.pytorch.calling import Calling, Feedback, Graph, Place, PlaceKind, Style
from spikec.frontends.pytorch.record import FUNCTIONS, Recorder
from spikec.frontends.pytorch.values import (
    SEQUENCE,
    Call,
    Constant,
    UntraceableError,
    Value,
    leaves,
    state_names,
)

_Element: TypeAlias = tuple[Value, int | None]
"""A value, or one time step of it."""


_Bundle: TypeAlias = tuple[_Element | None, ...]
"""The same thing in every step; None where a run was too short to show it."""


class Rolled:
    """Turns the recording of several time steps into one step, if all do the same."""

    def __init__(
        self,
        recorder: Recorder,
        style: Style,
        steps: int,
        own: int | None,
        feedback: tuple[Feedback, ...],
    ) -> None:
        self.recorder = recorder
        self.style = style
        self.steps = steps
        self.own = own
        self.feedback = feedback
        self.places: list[Place] = []
        self.bundles: list[_Bundle] = []
        self.found: dict[tuple[int, int, int | None], int] = {}
        self.begun: list[Value] = []  # so that an id stays one value's
        self.later: collections.deque[tuple[int, _Bundle]] = collections.deque()

    def graph(self, results: list[Any]) -> Graph:
        """One time step, of what the forward returned in each."""
        listed = None if self.style == "step" else self.steps
        leaved = [list(leaves(result, listed)) for result in results]
        if len({len(each) for each in leaved}) > 1:
            raise UntraceableError(
                "its forward does not return as many values in every step",
                "return the same in every step",
            )
        found = [self._result([each[i] for each in leaved]) for i in range(len(leaved[0]))]
        outputs: dict[int, tuple[int, bool]] = {}  # places, where they stand and whether once
        states: dict[str, Call] = {}
        # Spikes that go into the next step as an argument are a state, where there are others.
        fed = {place for _, place, _ in self.feedback}
        later: list[tuple[int, _Bundle, bool]] = []
        # Results known in every step go first: those of which a step is missing can then be
        # found among them.
        shown = [(i, *each) for i, each in enumerate(found) if each is not None]
        for i, bundle, once in sorted(shown, key=lambda each: None in each[1]):
            call = self._state_of(bundle)
            if call is not None:
                states[call.name] = call
            elif i in fed:
                later.append((i, bundle, once))
            else:
                outputs.setdefault(self.unify(bundle), (i, once))
        for i, bundle, once in later if not outputs else ():
            outputs.setdefault(self.unify(bundle), (i, once))
        silent = not outputs
        for i, name in enumerate(states if silent else ()):
            outputs[self.unify(self._calls_of(name))] = (i, True)
        self._close()
        if not outputs:
            raise UntraceableError(
                "its forward returns neither spikes nor a neuron's state",
                "return the spikes of the last layer",
            )
        order = sorted(outputs, key=lambda place: outputs[place][0])
        calling = Calling(
            self.style,
            self.own,
            self.feedback,
            {place.source: place.axes for place in self.places if place.kind == "neuron"},
            tuple(
                (
                    None if outputs[number][1] else outputs[number][0],
                    place.source if place.kind == "neuron" else None,
                    place.axes,
                )
                for number in order
                for place in [self.places[number]]
            ),
            membranes_only=tuple(states) if silent else (),
        )
        return Graph(tuple(self.places), tuple(order), calling)

    # What a forward returns.

    def _result(self, leaves: list[object]) -> tuple[_Bundle, bool] | None:
        """One result as a bundle, and whether it is one for all steps; None if it is no tensor."""
        known = self.recorder.known
        if self.style == "step":
            values = [known(leaf) for leaf in leaves]
            tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
            if not tensors:
                return None
            if None in values:
                raise self._constant()
            return tuple((cast(Value, value), None) for value in values), False
        leaf = leaves[0]
        if isinstance(leaf, list):
            values = [known(each) for each in leaf]
            if None in values:
                raise self._constant()
            return tuple((cast(Value, value), None) for value in values), False
        if not isinstance(leaf, torch.Tensor):
            return None
        value = known(leaf)
        if value is None:
            raise self._constant()
        once = False
        while value.kind in ("over time", "reshape") and "T" not in value.lead:
            once = once or value.kind == "over time"
            value = value.inputs[0]
        if "T" in value.lead:
            if value.kind == "stack" and len(value.inputs) != self.steps:
                raise UntraceableError(
                    f"it returns {len(value.inputs)} values stacked at {value.where} in "
                    f"{self.steps} time steps",
                    "collect one value in every step",
                )
            return tuple((value, step) for step in range(self.steps)), once
        chain = self._summands(value)
        if chain:
            return tuple((each, None) for each in chain), True
        return (*(None,) * (self.steps - 1), (value, None)), True

    def _constant(self) -> UntraceableError:
        return UntraceableError(
            "its forward returns a tensor that does not depend on the input",
            "return spikes, and states of neurons",
        )

    def _summands(self, value: Value) -> list[Value]:
        """The spikes of every step, if ``value`` is their sum, times or divided by constants."""

        def terms(term: Value) -> list[Value]:
            if term.kind == "zero":
                return []
            if term.kind == "elementwise" and term.name == "add":
                return [each for given in term.inputs for each in terms(given)]
            return [term]

        while (
            value.kind == "elementwise" and len(value.inputs) == 1 and value.name in ("mul", "div")
        ):
            value = value.inputs[0]
        found = terms(value)
        calls = [term.call for term in found]
        same = all(
            call is not None and call.name == calls[0].name and call.number == step
            for step, call in enumerate(calls)
            if calls[0] is not None
        )
        spikes = all(term.kind == "neuron" for term in found)
        return found if len(found) == self.steps > 1 and same and spikes else []

    def _state_of(self, bundle: _Bundle) -> Call | None:
        """The neurons whose state a result is, if it is one."""
        value = next(element[0] for element in bundle if element is not None)
        element = self.resolved((value, next(e[1] for e in bundle if e is not None)))
        while element[0].kind == "reshape":
            element = self.resolved((element[0].inputs[0], element[1]))
        return element[0].call if element[0].kind == "state" else None

    # Bundles.

    def resolved(self, element: _Element) -> _Element:
        """Where a value comes from: through stacks, steps of sequences and views of them."""
        value, step = element
        while True:
            if value.kind == "step" and step is None:
                value, step = value.inputs[0], cast(int, value.option)
            elif value.kind == "stack" and step is not None:
                value, step = value.inputs[step], None
            elif value.kind == "reshape" and value.axes == value.inputs[0].axes:
                value = value.inputs[0]
            else:
                return value, step

    def _inputs(self, element: _Element) -> list[_Element]:
        value, step = element
        return [(each, step if "T" in each.lead else None) for each in value.inputs]

    def unify(self, bundle: _Bundle) -> int:
        """The place of a bundle, made if it is not known yet."""
        elements = tuple(None if x is None else self.resolved(x) for x in bundle)
        shown = [(t, x) for t, x in enumerate(elements) if x is not None]
        if not shown:
            raise UntraceableError(
                "its loop carries a value over more steps than it has", "let it run for more steps"
            )
        t, first = shown[-1]
        for t, element in shown:
            known = self.found.get((t, id(element[0]), element[1]))
            if known is not None and self._equal(self.bundles[known], elements):
                return known
        kinds = {element[0].kind for _, element in shown}
        value = first[0]
        if "opaque" in kinds:
            reason = next(str(e[0].option) for _, e in shown if e[0].kind == "opaque")
            raise UntraceableError(
                f"its forward does something that is not supported: {reason}",
                f"a forward may use layers, neurons, {FUNCTIONS}",
            )
        if kinds == {"zero"}:
            if value.placeholder:
                raise UntraceableError(
                    f"its argument {value.placeholder} is not what the step before returned",
                    "return the output first and then every state in the order of the arguments",
                )
            return self._add(Place("zero", "zeros", (), value.axes, where=value.where), elements)
        if shown[0][0] == 0 and shown[0][1][0].kind == "zero":
            return self._previous(elements, value)
        begun = self._begun(elements)
        if begun is not None:
            return self.unify(begun)
        if len(kinds) > 1:
            raise self._differ(shown)
        match value.kind:
            case "input":
                return self._input(shown, elements)
            case "neuron":
                return self._neuron(shown)
            case "state":
                assert value.call is not None
                raise UntraceableError(
                    f"its {value.option} is read by more than itself",
                    "only spikes go from layer to layer",
                    value.call.name, type(value.call.module).__name__,
                )  # fmt: skip
            case "over time":
                raise UntraceableError(
                    f"its forward computes with a sum over time (at {value.where})",
                    "sum what is returned, and only that",
                )
            case "concat" | "elementwise" | "layer" | "reshape":
                kind: PlaceKind = value.kind
            case "opaque" | "stack" | "step" | "zero":
                raise self._differ(shown)
            case _:
                assert_never(value.kind)
        same = {(x.option, x.axes, len(x.inputs)) for _, (x, _) in shown}
        modules = tuple(x.module for _, (x, _) in shown if x.module is not None)
        if len(same) > 1:
            norms = all(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in modules)
            in_order = [x.name.rpartition(".") for _, (x, _) in shown]
            listed = len({each[0] for each in in_order}) == 1 and len(shown) == self.steps
            if not (norms and listed and modules and in_order[0][0]):
                raise self._differ(shown)
            if [each[2] for each in in_order] != [str(i) for i in range(self.steps)]:
                raise self._differ(shown)
            kind = "layers"
        source = value.name.rpartition(".")[0] if kind == "layers" else value.name
        place = Place(
            kind, source, (), value.axes, modules if kind == "layers" else modules[:1],
            value.name if kind == "elementwise" else "", value.operands, value.where,
        )  # fmt: skip
        columns = [None if x is None else self._inputs(x) for x in elements]
        inputs = tuple(
            self.unify(tuple(None if row is None else row[i] for row in columns))
            for i in range(len(value.inputs))
        )
        return self._add(dataclasses.replace(place, inputs=inputs), elements)

    def _begun(self, elements: _Bundle) -> _Bundle | None:
        """The same with zeros in the first step, where that adds 0 to, or not yet, what others add.

        So do loops that begin with ``spk = 0``, or with ``None`` and an ``if``.
        """
        if len(elements) < 2 or elements[0] is None or elements[1] is None:
            return None
        (first, step), (second, other_step) = elements[0], elements[1]
        joins = second.kind == "elementwise" and second.name in ("add", "sub", "mul")
        if not joins or len(second.inputs) != 2:
            return None
        source, place = first, None
        if first.kind == "elementwise" and first.name == second.name and len(first.inputs) == 1:
            if any(isinstance(x, Constant) and x.values.any() for x in first.operands):
                return None
            source, place = first.inputs[0], first.operands.index(0)
        elif second.name == "mul" or (first.name == second.name and len(first.inputs) > 1):
            return None
        like = self._like(source, step if "T" in source.lead else None)
        found = [
            i
            for i, each in enumerate(second.inputs)
            if self._like(each, other_step if "T" in each.lead else None) == like
        ]
        if place in found:
            found = [place]
        if len(found) != 1 or (second.name == "sub" and found[0] != (place or 0)):
            return None
        inputs = [Value("zero", (), each.lead, each.axes, each.where) for each in second.inputs]
        inputs[found[0]] = source
        made = dataclasses.replace(second, inputs=tuple(inputs), where=first.where, lead=first.lead)
        self.begun.append(made)
        return ((made, step), *elements[1:])

    def _like(self, value: Value, step: int | None) -> Hashable:
        """Equal for what is done in the same place."""
        value = self.resolved((value, step))[0]
        return (value.kind, value.name, value.axes, value.call.name if value.call else "")

    def _equal(self, known: _Bundle, elements: _Bundle) -> bool:
        """Whether two bundles are the same wherever both are shown."""
        return all(
            a is None or b is None or (a[0] is b[0] and a[1] == b[1])
            for a, b in zip(known, elements, strict=True)
        ) and all(a is not None or b is None for a, b in zip(known, elements, strict=True))

    def _add(self, place: Place, elements: _Bundle) -> int:
        self.places.append(place)
        self.bundles.append(elements)
        number = len(self.places) - 1
        for t, element in enumerate(elements):
            if element is not None:
                self.found.setdefault((t, id(element[0]), element[1]), number)
        return number

    def _previous(self, elements: _Bundle, value: Value) -> int:
        """A value that a loop carries over, 0 at first; its source is found at the end."""
        place = Place("previous", "previous", (), value.axes, where=value.where)
        number = self._add_unfound(place, elements)
        self.later.append((number, (*elements[1:], None)))
        return number

    def _add_unfound(self, place: Place, elements: _Bundle) -> int:
        """Adds a place whose elements are those of another place, in other steps."""
        for number, (known, bundle) in enumerate(zip(self.places, self.bundles, strict=True)):
            if known.kind == "previous" and all(
                (a is None) == (b is None)
                and (a is None or b is None or a[0] is b[0] or {a[0].kind, b[0].kind} == {"zero"})
                for a, b in zip(bundle, elements, strict=True)
            ):
                return number
        self.places.append(place)
        self.bundles.append(elements)
        return len(self.places) - 1

    def _close(self) -> None:
        """Finds the sources of what loops carry over."""
        while self.later:
            number, bundle = self.later.popleft()
            if not self.places[number].inputs:
                source = self.unify(bundle)
                self.places[number] = dataclasses.replace(self.places[number], inputs=(source,))

    def _input(self, shown: list[tuple[int, _Element]], elements: _Bundle) -> int:
        for t, (value, step) in shown:
            seen = value.option if self.style == "step" else step
            if seen is not None and seen != t:
                raise UntraceableError(
                    f"its forward reads time step {cast(int, seen) + 1} of the input in step "
                    f"{t + 1}",
                    "read one time step after the other, as x[step]",
                )
        axes = shown[0][1][0].axes
        for number, place in enumerate(self.places):
            if place.kind == "input":
                return number
        return self._add(Place("input", "input", (), axes), elements)

    def _calls_of(self, name: str) -> _Bundle:
        """The spikes of neurons in every step."""
        calls = self.recorder.calls[name]
        kind = type(calls[0].module).__name__
        if isinstance(calls[0].module, SEQUENCE):
            if len(calls) > 1:
                raise UntraceableError(
                    f"stands in two places ({calls[0].where} and {calls[1].where})",
                    f"build one {kind} for each place", name, kind,
                )  # fmt: skip
            return tuple((cast(Value, calls[0].spikes), t) for t in range(self.steps))
        if len(calls) != self.steps:
            lines = sorted({call.where for call in calls})
            raise UntraceableError(
                f"is called {len(calls)} times in {self.steps} time step(s) (at "
                f"{' and '.join(lines)}), so that all calls share one membrane",
                f"build one {kind} for each place, and call it once in every step", name, kind,
            )  # fmt: skip
        for call in calls:
            wanted = "kept" if call.number else "zero"
            if not state_names(call.module) or call.before == wanted:
                continue
            found = (
                f"does not start from zero (at {call.where})"
                if not call.number
                else f"is set back to 0 after step {call.number} (before {call.where})"
                if call.before == "zero"
                else f"gets a state that is not what it returned in the step before (at "
                f"{call.where})"
            )
            raise UntraceableError(
                found,
                "let it keep its own state from step to step, from 0 in the first", name, kind,
            )  # fmt: skip
        return tuple((cast(Value, call.spikes), None) for call in calls)

    def _neuron(self, shown: list[tuple[int, _Element]]) -> int:
        """Neurons that every step calls: one place, with their current and their states."""
        calls = [cast(Call, value.call) for _, (value, _) in shown]
        name = calls[0].name
        bundle = self._calls_of(name)
        for t, (value, step) in shown:
            expected = cast(_Element, bundle[t])
            if value is not expected[0] or step != expected[1]:
                raise self._differ(shown)
        known = self.found.get((0, id(cast(_Element, bundle[0])[0]), cast(_Element, bundle[0])[1]))
        if known is not None:
            return known
        module = calls[0].module
        value = shown[0][1][0]
        everyone = self.recorder.calls[name]
        current: _Bundle = tuple((call.current, None) for call in everyone)
        if isinstance(module, SEQUENCE):
            current = tuple((everyone[0].current, t) for t in range(self.steps))
        try:
            source = self.unify(current)
        except UntraceableError as error:
            if self.style == "held" and not error.layer:
                error.fix += (
                    f"; if {name!r} stands in two places, so that both share one membrane, build "
                    f"one {type(module).__name__} for each place"
                )
            raise
        place = Place("neuron", name, (source,), value.axes, (module,), where=value.where)
        return self._add(place, bundle)

    def _differ(self, shown: list[tuple[int, _Element]]) -> UntraceableError:
        """Says how two steps differ."""

        def text(value: Value) -> str:
            named = value.call.name if value.call else value.name
            what = {"neuron": "the spikes of", "layer": "layer", "zero": "zeros"}.get(
                value.kind, value.kind if value.kind != "elementwise" else ""
            )
            if named and value.kind in ("neuron", "layer"):
                named = repr(named)
            return f"{what} {named}".strip() + f" at {value.where}"

        def key(value: Value) -> Hashable:
            return (value.kind, value.option, value.axes, value.call.name if value.call else "")

        t, (value, _) = shown[0]
        for other_t, (other, _) in shown[1:]:
            if key(other) != key(value):
                return UntraceableError(
                    f"its forward does not do the same in every time step: {text(value)} in step "
                    f"{t + 1}, {text(other)} in step {other_t + 1}",
                    "do the same in all of them, and begin what the step before gives with "
                    "torch.zeros (only BatchNormTT may depend on the step)",
                )
        return UntraceableError(
            f"its forward does not do the same in every time step (at {value.where})",
            "do the same in all of them, and begin what the step before gives with "
            "torch.zeros (only BatchNormTT may depend on the step)",
        )
