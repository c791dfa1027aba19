# SPDX-License-Identifier: Apache-2.0
"""Turns a program of floats into one of integers.

Every number of a program is one of two things: a potential, which becomes a count of the current's
unit, cut into fractions; or a plain number, such as a flag's 0 or 1, which stays as it is. What
multiplies a potential is a decay, of 15 bits. Statement by statement the program stays the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.semantics import bounds

_MOST_SHIFT = 8
_LIMIT = (1 << 30) - 1
_DECAY = 1 << 15

_Array: TypeAlias = npt.NDArray[np.float64]
_Kind: TypeAlias = Literal["potential", "number", "flag"]


@dataclasses.dataclass(frozen=True, slots=True)
class Current:
    """What a current stands for, ``unit * integer + offset``, and how large it gets."""

    unit: _Array
    offset: _Array
    interval: bounds.Interval


def whole_cell(cell: ir.Cell, currents: Sequence[Current]) -> ir.Cell:
    """``cell`` in integers of 32 bits that never overflow; its currents have one unit.

    Of all fractions of a unit that fit the finest.

    Raises:
        SpikecError: its program has statements that have no such form, or its states no bounds.
    """
    if cell.winner is not None:
        raise refusal(cell, "inhibition compares neurons whose units differ", "switch it off")
    if any(len(names) > 1 for names in cell.currents):
        raise refusal(cell, f"{cell.kind} needs real numbers", "use other neurons")
    for shift in range(_MOST_SHIFT, -1, -1):
        made = _Writer(cell, currents, shift).cell()
        found = bounds.statements(made, [current.interval for current in currents])
        if found is not None and max(each.largest for each in found.values()) <= _LIMIT:
            return made
    raise refusal(
        cell,
        "its membrane may exceed 30 bits",
        "declare a smaller input_max, or use smaller decays",
    )


def refusal(cell: ir.Cell, why: str, fix: str) -> SpikecError:
    """Why a cell has no form in integers."""
    return SpikecError(
        f"layer {cell.name} (torch {cell.source!r}): numbers='int8' cannot compute it: {why}; "
        f"{fix}, or use numbers='f32'."
    )


class _Writer:
    """Writes the program anew, a count of the membrane being a current's unit over 2**shift."""

    def __init__(self, cell: ir.Cell, currents: Sequence[Current], shift: int) -> None:
        self.old = cell
        self.currents = currents
        self.shift = shift
        self.unit = currents[0].unit / (1 << shift)
        self.states: dict[str, _Kind] = {each.name: "potential" for each in cell.states}

    def cell(self) -> ir.Cell:
        """The new cell."""
        while True:
            self._write()
            kinds = {each.name: self.kinds[each.next] for each in self.old.states}
            if kinds == self.states:
                break
            if any(self.states[name] == "number" for name in kinds if kinds[name] != "number"):
                raise refusal(self.old, "a state is no potential", "use other neurons")
            self.states = kinds
        old = self.old
        return dataclasses.replace(
            old,
            parameters=tuple(self.parameters.values()),
            states=tuple(ir.State(each.name, self.names[each.next]) for each in old.states),
            program=tuple(self.steps),
            value=None if old.value is None else self.names[old.value],
            unit=self._smallest(self.unit.astype(np.float32)),
        )

    def _write(self) -> None:
        self.steps: list[ir.Step] = []
        self.parameters: dict[str, ir.Parameter] = {}
        self.kinds: dict[str, _Kind] = dict(self.states)
        self.names = {name: name for name in self.states}
        for (name,), current in zip(self.old.currents, self.currents, strict=True):
            self.kinds[name] = "potential"
            self.names[name] = name
            if self.shift:
                given = (name, self._constant("fraction", np.full((1, 1, 1), self.shift)))
                self._step(name, f"{name}_counts", "shift", given)
            if current.offset.any():
                offset = self._constant(f"{name}_offset", current.offset / self.unit)
                self._step(name, f"{name}_whole", "add", (self.names[name], offset))
        for step in self.old.program:
            self.kinds[step.name] = self._statement(step)

    def _step(self, what: str, name: str, op: ir.Op, arguments: tuple[str, ...]) -> None:
        """A statement that gives what the old program calls ``what``."""
        self.steps.append(ir.Step(name, op, arguments))
        self.names[what] = name

    def _constant(self, name: str, values: _Array) -> str:
        whole = np.clip(np.rint(values), -_LIMIT, _LIMIT).astype(np.int32)
        self.parameters[name] = ir.Parameter(name, self._smallest(whole))
        return name

    def _smallest(self, values: npt.NDArray[ir.Scalar]) -> npt.NDArray[ir.Scalar]:
        shape = self.old.shape
        return ir.smallest(np.broadcast_to(values, (shape.height, shape.width, shape.channels)))

    def _statement(self, step: ir.Step) -> _Kind:
        kinds = [self.kinds.get(name) for name in step.arguments]  # None: of a parameter
        match step.op:
            case "greater" | "at_least":
                self._same(step, step.op)
                return "flag"
            case "number":
                self._same(step, step.op)
                return "number"
            case "select" if self._remembers_spikes(step):
                self._step(step.name, step.name, "number", (self.names[step.arguments[0]],))
                return "number"
            case "select" | "add" | "sub" | "maximum" | "neg" | "abs":
                numbers = {kind for kind in kinds if kind != "flag"}
                self._same(step, step.op, mixed="number" in numbers and len(numbers) > 1)
                return "number" if numbers == {"number"} else "potential"
            case "mul":
                return self._product(step, kinds)
            case _:
                raise self._refused(step)

    def _remembers_spikes(self, step: ir.Step) -> bool:
        """Whether a state becomes 1 where a cell fired and 0 elsewhere."""
        constants = [name for name in step.arguments if name not in self.kinds]
        return [float(np.ptp(self.old.parameter(name))) for name in constants] == [0.0, 0.0] and (
            any(each.next == step.name for each in self.old.states)
            and [float(self.old.parameter(name).flat[0]) for name in constants] == [1.0, 0.0]
        )

    def _product(self, step: ir.Step, kinds: list[_Kind | None]) -> _Kind:
        if "potential" in kinds and None in kinds:
            potential, other = sorted(step.arguments, key=lambda name: name not in self.kinds)
            decay = self.old.parameter(other).astype(np.float64)
            if (decay == 1.0).all():
                self.names[step.name] = self.names[potential]
                return "potential"
            if np.abs(decay).max() > 1.0:
                raise refusal(
                    self.old, f"its {other} is larger than 1", "make the weights larger instead"
                )
            constant = f"{other}_decay"
            self._constant(constant, np.clip(decay * _DECAY, 1 - _DECAY, _DECAY - 1))
            self._step(step.name, step.name, "decay", (self.names[potential], constant))
            return "potential"
        if "number" in kinds and "flag" not in kinds:
            self._same(step, "mul")
            return "number" if set(kinds) == {"number"} else "potential"
        raise self._refused(step)

    def _same(self, step: ir.Step, op: ir.Op, mixed: bool = False) -> None:
        """The statement as it was; its parameters are potentials.

        Where plain numbers meet potentials, ``mixed``, they become potentials as well.
        """
        given = []
        for name in step.arguments:
            kind = self.kinds.get(name)
            if kind is None:
                values = self.old.parameter(name).astype(np.float64)
                given.append(self._constant(name, values / self.unit))
            elif kind == "number" and mixed:
                one = self._constant("one", 1.0 / self.unit)
                self.steps.append(ir.Step(f"{name}_potential", "mul", (self.names[name], one)))
                given.append(f"{name}_potential")
            else:
                given.append(self.names[name])
        self._step(step.name, step.name, op, tuple(given))

    def _refused(self, step: ir.Step) -> SpikecError:
        return refusal(
            self.old,
            f"its equation has a {step.op} ({step.name}) that has no form in integers",
            "use other neurons",
        )
