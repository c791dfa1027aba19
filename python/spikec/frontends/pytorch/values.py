# SPDX-License-Identifier: Apache-2.0
"""What a forward is recorded as: calls, and the values between them."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, cast

import snntorch
import torch
from torch import nn

import spikec
from spikec.ir import network as ir

SEQUENCE = (
    snntorch.LeakyParallel,
    snntorch.StateLeaky,
    snntorch.LinearLeaky,
    snntorch.AssociativeLeaky,
)
"""Neurons that take all time steps at once, ``[T, B, N]``."""


NEURON_TYPES = (snntorch.SpikingNeuron, snntorch.LeakyParallel)
"""What neurons are instances of."""


class UntraceableError(Exception):
    """Carries what is wrong with a forward: in which layer, if in one, and what to do.

    ``misread`` says that it may be the way in which the module was called.
    """

    def __init__(
        self, found: str, fix: str, layer: str = "", kind: str = "", misread: bool = False
    ) -> None:
        super().__init__(found)
        self.found = found
        self.fix = fix
        self.layer = layer
        self.kind = kind
        self.misread = misread


class TooShortError(UntraceableError):
    """A forward reads more time steps than it was given."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A number or an array that is the same in every step."""

    values: ir.Floats

    @property
    def key(self) -> Hashable:
        """Equal where the values are."""
        return (self.values.shape, self.values.tobytes())


ValueKind: TypeAlias = Literal[
    "concat", "elementwise", "input", "layer", "neuron", "opaque", "over time", "reshape", "stack",
    "state", "step", "zero",
]  # fmt: skip
"""How a value came about."""


@dataclasses.dataclass(slots=True, eq=False)
class Value:
    """A tensor that came about in a forward.

    ``lead`` names its first axes: B of batch 1, T of time; ``axes`` are those that follow.
    """

    kind: ValueKind
    inputs: tuple[Value, ...]
    lead: str
    axes: tuple[int, ...]
    where: str
    option: Hashable = None
    name: str = ""
    module: nn.Module | None = None
    operands: tuple[int | Constant, ...] = ()
    call: Call | None = None
    placeholder: str = ""


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    """One call of neurons; ``before`` is what its states were: zero, kept or something else."""

    name: str
    module: nn.Module
    number: int
    current: Value
    before: str
    where: str
    spikes: Value | None = None


LIBRARIES = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (torch.__file__, snntorch.__file__, spikec.__file__)
)


def tensors_in(held: object) -> Iterator[torch.Tensor]:
    """The tensors in nested tuples, lists and dictionaries."""
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, Mapping):
        for each in held.values():
            yield from tensors_in(each)
    elif isinstance(held, list | tuple):
        for each in held:
            yield from tensors_in(each)


def leaves(result: object, steps: int | None) -> Iterator[object]:
    """What is in a result, in order; a list of one tensor for each of ``steps`` stays one."""
    if (
        isinstance(result, list)
        and len(result) == steps
        and all(isinstance(each, torch.Tensor) for each in result)
    ):
        yield result
    elif isinstance(result, Mapping | list | tuple):
        for each in result.values() if isinstance(result, Mapping) else result:
            yield from leaves(each, steps)
    else:
        yield result


def state_names(module: nn.Module) -> tuple[str, ...]:
    """What neurons remember, in the order in which their forward takes and returns it."""
    if isinstance(module, snntorch.DeltaLeaky):
        return ("mem",)  # mem_prev is the membrane before it, which its forward never reads
    if isinstance(module, SEQUENCE):
        return ()
    return tuple(inspect.signature(type(module).forward).parameters)[2:]


def iterate_states(given: object, names: Sequence[str]) -> list[torch.Tensor | None]:
    """States that were passed: one, or a tuple of all."""
    if isinstance(given, list | tuple):
        return list(given)
    return [cast("torch.Tensor | None", given)]
