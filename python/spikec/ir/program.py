# SPDX-License-Identifier: Apache-2.0
"""Builds the programs of cells from arithmetic that reads like a neuron's equations.

    p = Program()
    mem, current = p.state("mem"), p.current("current")
    beta, threshold = p.parameter("beta", rates), p.parameter("threshold", thresholds)
    reset = p.greater(mem, threshold)
    now = p.let("mem_now", beta * mem + current - p.where(reset, threshold))

Statements are in the order, and sums and products in the association, in which Python evaluates
the expressions, as torch does. What changes no bit is left out: a factor or a summand that is a
parameter of only ones or zeros.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

import numpy as np

from spikec.ir import network as ir

TEMPORARY = re.compile(r"t\d+")
"""The names of statements to which no reader of a neuron gave one."""


@dataclasses.dataclass(frozen=True, slots=True)
class Value:
    """A number or a flag of a program: a current, a parameter, a state or a statement."""

    program: Program
    name: str

    def __add__(self, other: Value) -> Value:
        """The statement ``self + other``."""
        if other._is(0.0):
            return self
        return other if self._is(0.0) else self.program.step("add", self, other)

    def __sub__(self, other: Value) -> Value:
        """The statement ``self - other``."""
        return self if other._is(0.0) else self.program.step("sub", self, other)

    def __mul__(self, other: Value) -> Value:
        """The statement ``self * other``."""
        if other._is(1.0):
            return self
        return other if self._is(1.0) else self.program.step("mul", self, other)

    def __neg__(self) -> Value:
        """The statement ``-self``."""
        return self.program.step("neg", self)

    def __abs__(self) -> Value:
        """The statement ``abs(self)``."""
        return self.program.step("abs", self)

    def _is(self, number: float) -> bool:
        values = self.program.parameters.get(self.name)
        return values is not None and bool(np.all(values == number))


class Program:
    """The parameters and statements of a cell while they are written down."""

    def __init__(self) -> None:
        self.parameters: dict[str, ir.Floats] = {}
        self._steps: list[ir.Step] = []

    def current(self, name: str) -> Value:
        """What an input of the cell gives."""
        return Value(self, name)

    def state(self, name: str) -> Value:
        """What a state was before the time step."""
        return Value(self, name)

    def parameter(self, name: str, values: ir.Floats) -> Value:
        """A constant in memory order: ``[1, 1, 1]``, ``[1, 1, c]``, ``[y, x, c]`` or levels."""
        self.parameters[name] = values
        return Value(self, name)

    def constant(self, name: str, value: float) -> Value:
        """A constant that is the same for all."""
        return self.parameter(name, np.full((1, 1, 1), value, np.float32))

    def step(self, op: ir.Op, *arguments: Value) -> Value:
        """One more statement."""
        name = f"t{len(self._steps) + 1}"
        self._steps.append(ir.Step(name, op, tuple(each.name for each in arguments)))
        return Value(self, name)

    def greater(self, value: Value, other: Value) -> Value:
        """The flag ``value > other``."""
        return self.step("greater", value, other)

    def where(self, flag: Value, value: Value, otherwise: Value | None = None) -> Value:
        """``value`` where the flag is set, ``otherwise``, or 0, elsewhere."""
        return self.step("select", flag, value, otherwise or self.constant("zero", 0.0))

    def unless(self, flag: Value, value: Value) -> Value:
        """0 where the flag is set, ``value`` elsewhere."""
        return self.step("select", flag, self.constant("zero", 0.0), value)

    def number(self, flag: Value) -> Value:
        """A flag as 1 or 0."""
        return self.step("number", flag)

    def let(self, name: str, value: Value) -> Value:
        """Gives a statement a name of its own; what has one keeps it."""
        if not TEMPORARY.fullmatch(value.name):
            return value

        def renamed(old: str) -> str:
            return name if old == value.name else old

        self._steps = [
            ir.Step(renamed(step.name), step.op, tuple(map(renamed, step.arguments)))
            for step in self._steps
        ]
        return Value(self, name)

    def cell(
        self,
        base: ir.Node,
        kind: str,
        currents: tuple[tuple[str, ...], ...] = (("current",),),
        states: Mapping[str, Value] | None = None,
        fires: Value | None = None,
        winner: Value | None = None,
        value: Value | None = None,
        grade: ir.Floats | None = None,
    ) -> ir.Cell:
        """The finished cell with the name, source, inputs and shape of ``base``.

        ``states`` says what each state becomes; see ``ir.Cell`` for the rest.
        """
        used = {each.name for each in (fires, winner, value, *(states or {}).values()) if each}
        steps: list[ir.Step] = []  # those that something depends on
        for step in reversed(self._steps):
            if step.name in used:
                used.update(step.arguments)
                steps.insert(0, step)
        ones = np.ones((1, 1, 1), np.float32)
        return ir.Cell(
            base.name, base.source, base.inputs, base.shape, kind, currents,
            tuple(ir.Parameter(name, self.parameters[name])
                  for name in self.parameters if name in used),
            tuple(ir.State(name, after.name) for name, after in (states or {}).items()),
            tuple(steps),
            fires.name if fires else None,
            winner.name if winner else None,
            value.name if value else None,
            ones if grade is None else grade,
            None,
        )  # fmt: skip
