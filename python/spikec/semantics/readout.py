# SPDX-License-Identifier: Apache-2.0
"""How a class is decided from a network's outputs over time, and when early.

``Readout.decide`` is what the generated ``NAME_readout.c`` computes, in NumPy, to the last bit.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.ir import network as ir

Kind: TypeAlias = Literal["count", "first", "last", "max", "sum"]
"""What the class is, of equal outputs always the first:

``count``
    the output with the most spikes; none when none spiked.
``first``
    the output that spikes first; none when none spiked.
``last``, ``max``, ``sum``
    the output whose membrane is the largest after the last step, or was the largest after any step,
    or is the largest summed over all steps.
"""
KINDS: tuple[Kind, ...] = get_args(Kind)

EarlyExit: TypeAlias = Literal["exact"] | float
"""``exact``: once the class cannot change any more. A number, the margin: once the first output is
that far ahead of every other one, in spikes or in what membranes are worth."""

_MOST_STEPS = 2**31 - 1  # so that neither steps nor counts overflow in 32 bits
_LARGEST = float(np.finfo(np.float32).max)


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """The class, None when no output spiked; and how many time steps it took."""

    winner: int | None
    steps: int


@dataclasses.dataclass(frozen=True, slots=True)
class Readout:
    """A choice of readout for one network; made by ``choose``.

    With ``steps`` the class is decided after so many at the latest. ``units`` are what one count of
    each output's membrane is worth, where membranes are integers.
    """

    kind: Kind
    early_exit: EarlyExit | None
    steps: int | None
    units: tuple[float, ...] | None

    @property
    def of_membranes(self) -> bool:
        """Whether membranes decide, not spikes."""
        return self.kind not in ("count", "first")

    @property
    def ends(self) -> bool:
        """Whether the class can be decided before the caller says that the recording is over."""
        return self.early_exit is not None or self.steps is not None

    def state_bytes(self, outputs: int) -> int:
        """What the generated struct takes: its values, its steps, and whether it is decided."""
        values = 1 if self.kind == "first" else outputs
        return 4 * (values + 1 + self.ends)

    @property
    def whole(self) -> Readout:
        """The same without early exit."""
        return dataclasses.replace(self, early_exit=None)

    def __str__(self) -> str:
        if self.early_exit is None:
            return self.kind
        how = "exact" if self.early_exit == "exact" else f"margin {self.early_exit:g}"
        return f"{self.kind}, early exit {how}"

    def decide(
        self, spikes: npt.NDArray[np.uint8], membranes: npt.NDArray[np.generic] | None = None
    ) -> Decision:
        """The class that a recording gets.

        ``spikes`` are the outputs', 0 or 1, ``[T, outputs]``; ``membranes`` theirs, of the same
        shape, float32 or integers, and only needed when these decide.
        """
        if self.of_membranes:
            assert membranes is not None, "membranes decide"
            return self._by_membranes(membranes[: self.steps])
        if self.kind == "first":
            return self._by_first(spikes[: self.steps])
        return self._by_count(spikes[: self.steps])

    def _by_count(self, spikes: npt.NDArray[np.uint8]) -> Decision:
        winner, used = None, 0
        for used, counts in enumerate(spikes.cumsum(axis=0, dtype=np.int64), 1):
            leader = int(counts.argmax())
            if counts[leader] == 0:
                continue
            winner = leader
            if self.early_exit is None:
                continue
            needed: npt.NDArray[np.int64] | float
            if self.early_exit == "exact":
                assert self.steps is not None, "choose sees to that"
                # Of equal counts the first wins, so the outputs before must stay below.
                needed = self.steps - used + (np.arange(len(counts)) < leader)
            else:
                needed = self.early_exit
            if _leads(counts[leader] - counts >= needed, leader):
                break
        return Decision(winner, used)

    def _by_first(self, spikes: npt.NDArray[np.uint8]) -> Decision:
        steps = np.flatnonzero(spikes.any(axis=1))
        if not len(steps):
            return Decision(None, len(spikes))
        first = int(steps[0])
        used = len(spikes) if self.early_exit is None else first + 1
        return Decision(int(spikes[first].argmax()), used)

    def _by_membranes(self, membranes: npt.NDArray[np.generic]) -> Decision:
        worth: ir.Floats = membranes.astype(np.float32)
        if self.units is not None:
            worth = worth * np.array(self.units, np.float32)
        values, winner, used = worth[:0], None, 0
        for used, now in enumerate(worth, 1):
            with np.errstate(over="ignore", invalid="ignore"):
                if used == 1 or self.kind == "last":
                    values = now
                elif self.kind == "max":
                    values = np.where(now > values, now, values)
                else:
                    values = values + now
                winner = _largest(values)
                if self.early_exit is not None:
                    margin = np.float32(self.early_exit)
                    if _leads(values[winner] - values >= margin, winner):
                        break
        return Decision(winner, used)


def choose(
    network: ir.Network,
    kind: str = "count",
    early_exit: str | float | None = None,
    steps: int | None = None,
) -> Readout:
    """The readout ``kind`` of ``network`` as it is compiled.

    ``early_exit`` and ``steps`` are those of ``spikec.compile``.

    Raises:
        SpikecError: there is no such readout or early exit, or the network's outputs cannot be
            read so.
    """
    found = next((each for each in KINDS if each == kind), None)
    if found is None:
        raise SpikecError(f"readout={kind!r} is not supported; use one of {', '.join(KINDS)}.")
    out, neurons = network.output, network.readout
    if out.shape.height * out.shape.width > 1 and out.shape.channels > 1:
        raise SpikecError(
            f"{out.name} (torch {out.source!r}): the outputs are a map of "
            f"{out.shape.height}x{out.shape.width} positions with {out.shape.channels} channels, "
            "and a readout decides between outputs in a row; end the network in a Linear layer "
            "with one neuron for each class."
        )
    units = None
    if found in ("count", "first"):
        _check_spikes(network, found)
    elif neurons is None:
        raise SpikecError(
            f"readout={kind!r}: the outputs of {out.name} (torch {out.source!r}) are not neurons "
            "one for one, so they have no membranes; use readout='count' or 'first'."
        )
    elif not isinstance(neurons, ir.Leaky) and neurons.unit is not None:
        shape = (neurons.shape.height, neurons.shape.width, neurons.shape.channels)
        units = tuple(np.broadcast_to(neurons.unit, shape).astype(np.float32).ravel().tolist())
    if steps is not None:
        most = network.max_steps or _MOST_STEPS
        if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= most:
            raise SpikecError(f"steps={steps!r} is no integer of time steps, 1 to {most:,}.")
    return Readout(found, _early_exit(found, early_exit, steps), steps, units)


def needed(network: ir.Network) -> Readout | None:
    """The readout of a network for which none was asked: "max" where outputs never spike.

    None: spikes are counted, each with its size, and all time steps are run.
    """
    return choose(network, "max") if _is_silent(network) else None


def _early_exit(kind: Kind, given: str | float | None, steps: int | None) -> EarlyExit | None:
    """What is asked for, if this readout has it."""
    if given is None:
        return None
    if given == "exact":
        if kind == "count" and steps is None:
            raise SpikecError(
                "early_exit='exact' of readout='count' depends on how many time steps are left; "
                "give steps, those of a whole recording."
            )
        if kind not in ("count", "first"):
            raise SpikecError(
                f"early_exit='exact' is not supported with readout={kind!r}: a membrane's next "
                "value has no useful bound, so the class can change until the last time step; use "
                "a margin, or readout='count' or 'first'."
            )
        return "exact"
    if kind == "first":
        raise SpikecError(
            f"early_exit={given!r}: the first spike decides, without a margin; use "
            "early_exit='exact'."
        )
    margin = given if isinstance(given, int | float) and not isinstance(given, bool) else 0
    if kind == "count":
        if not 1 <= margin <= _MOST_STEPS or margin != int(margin):
            raise SpikecError(
                f"early_exit={given!r} is neither 'exact' nor a margin in spikes, an integer "
                "of at least 1."
            )
        return int(margin)
    # What float32 rounds to 0 is no margin.
    if not 0 < margin <= _LARGEST or float(np.float32(margin)) == 0:
        raise SpikecError(
            f"early_exit={given!r} is no margin in what membranes are worth, a finite number above "
            "0."
        )
    return float(np.float32(margin))


def _check_spikes(network: ir.Network, kind: Kind) -> None:
    """Refuses outputs that never spike, and spikes that do not all count the same."""
    out = network.output
    if _is_silent(network):
        raise SpikecError(
            f"readout={kind!r}: the neurons of {out.name} (torch {out.source!r}) never spike; "
            "their membranes decide: use readout='max', 'last' or 'sum'."
        )
    sizes = {float(size) for layer in _firing(network, out) for size in layer.grade.ravel()}
    if len(sizes) > 1 or min(sizes, default=1.0) <= 0:
        raise SpikecError(
            f"readout={kind!r}: it takes spikes as equal, and those of {out.name} (torch "
            f"{out.source!r}) are of sizes {min(sizes):g} to {max(sizes):g} "
            "(graded_spikes_factor); give them one size above 0, or use readout='max', 'last' or "
            "'sum'."
        )


def _is_silent(network: ir.Network) -> bool:
    """Whether the outputs are neurons that never spike."""
    neurons = network.readout
    return isinstance(neurons, ir.Cell) and neurons.fires is None


def _firing(network: ir.Network, layer: ir.Layer) -> list[ir.Spiking]:
    """The neurons whose spikes ``layer`` hands on."""
    if any(layer is neurons for neurons in network.spiking):
        return [neurons for neurons in network.spiking if neurons is layer]
    return [
        found
        for name in layer.inputs
        if name != ir.INPUT
        for found in _firing(network, network.layer(name))
    ]


def _largest(values: ir.Floats) -> int:
    """The position of the largest value, as C finds it with ``>``, which is false for NaN."""
    if np.isnan(values[0]):
        return 0
    return int(np.where(np.isnan(values), -np.inf, values).argmax())


def _leads(ahead: npt.NDArray[np.bool_], leader: int) -> bool:
    """Whether all are set, the leader's own aside."""
    return bool(np.delete(ahead, leader).all())
