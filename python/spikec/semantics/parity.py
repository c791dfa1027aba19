# SPDX-License-Identifier: Apache-2.0
"""Says whether two runs of one network are equal and, where they are not, where that starts.

Spikes are compared with snnTorch's by the rule of ``docs/numbers.md``: they are equal at every
neuron and step, or the first step at which a neuron differs is a rounding tie and is listed.
Membranes of the reference and of C are compared by their bits. NumPy in and out, no torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from spikec.ir import network as ir

TIE = 1e-6
"""How near, relative to the threshold, snnTorch's membrane is to it in a rounding tie."""

Array = npt.NDArray[np.generic]


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Where a neuron's spikes first differ.

    ``neuron`` counts in snnTorch's axes, ``(c, y, x)`` or ``(n,)``; ``step`` from 0. ``membrane``
    is snnTorch's, the one it compares with ``threshold``.
    """

    layer: str
    step: int
    neuron: tuple[int, ...]
    ours: float
    theirs: float
    membrane: float
    threshold: float

    @property
    def distance(self) -> float:
        """How far snnTorch's membrane is above its threshold; negative when below."""
        return self.membrane - self.threshold

    @property
    def rounding_tie(self) -> bool:
        """Whether another order of the same additions explains it."""
        return abs(self.distance) <= TIE * abs(self.threshold)

    def __str__(self) -> str:
        kind = "rounding tie" if self.rounding_tie else "spikes differ"
        return (
            f"layer {self.layer!r}, step {self.step}, neuron {self.neuron}: {kind}: "
            f"ours is {self.ours:g} and snnTorch's {self.theirs:g}; snnTorch's membrane "
            f"{self.membrane!r} is {self.distance:+.3g} from the threshold {self.threshold!r}."
        )


@dataclasses.dataclass(frozen=True, slots=True)
class BitDifference:
    """The first value whose bits differ; ``step`` and ``neuron`` as in ``Difference``."""

    layer: str
    step: int
    neuron: tuple[int, ...]
    ours: float
    theirs: float

    def __str__(self) -> str:
        return (
            f"layer {self.layer!r}, step {self.step}, neuron {self.neuron}: bits differ: "
            f"ours is {self.ours.hex()} and should be {self.theirs.hex()}."
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Parity:
    """What comparing a run with snnTorch's found.

    ``failures`` and ``ties`` are the differences that no earlier one explains. ``margin`` is the
    smallest distance of a membrane from its threshold, relative to the threshold, anywhere.
    """

    neuron_steps: int
    spikes: int
    differing: int
    failures: tuple[Difference, ...]
    ties: tuple[Difference, ...]
    margin: float

    @property
    def holds(self) -> bool:
        """Whether every spike is equal, but for ties that are listed."""
        return not self.failures

    def __str__(self) -> str:
        listed = [str(difference) for difference in (*self.failures, *self.ties)]
        return "\n".join(
            [
                f"{self.differing:,} of {self.neuron_steps:,} neuron-steps differ ({self.spikes:,} "
                f"spikes, {len(self.ties)} rounding ties, smallest margin {self.margin:.2g})",
                *listed[:20],
                *([f"... and {len(listed) - 20} more"] if len(listed) > 20 else []),
            ]
        )


def first_bit_difference(layer: str, ours: Array, theirs: Array) -> BitDifference | None:
    """The first float32 value ``[T, *axes]`` that is not the same 32 bits, or None.

    Raises:
        ValueError: the shapes or types are not the same.
    """
    _same_shape(layer, ours, theirs)
    if ours.dtype != np.float32 or theirs.dtype != np.float32:
        raise ValueError(f"layer {layer!r}: {ours.dtype} and {theirs.dtype}; both must be float32")
    bits = [np.ascontiguousarray(values).view(np.uint32) for values in (ours, theirs)]
    where = np.flatnonzero((bits[0] != bits[1]).ravel())
    if not where.size:
        return None
    step, *neuron = (int(i) for i in np.unravel_index(where[0], ours.shape))
    at = (step, *neuron)
    return BitDifference(layer, step, tuple(neuron), float(ours[at]), float(theirs[at]))


def compare(
    network: ir.Network,
    ours: Mapping[str, Array],
    theirs: Mapping[str, Array],
    their_membranes: Mapping[str, Array],
) -> Parity:
    """Compares every spiking layer's spikes ``[T, *axes]``, by torch name, with snnTorch's.

    A difference is judged when no earlier one can have caused it: for every neuron the first, and
    only before the first step at which a layer in front of it differs; in a network with loops,
    only up to the first step at which any layer does.

    Raises:
        ValueError: a layer is missing, or the shapes are not the same.
    """
    found: list[tuple[int, int, Difference]] = []
    neuron_steps = spikes = differing = 0
    margin = np.inf
    for index, layer in enumerate(network.spiking):
        name = layer.source
        if isinstance(layer, ir.Cell) and layer.fires is None:
            continue  # its membrane is all there is
        for what, given in (("ours", ours), ("snnTorch's", theirs), ("membranes", their_membranes)):
            if name not in given:
                raise ValueError(f"layer {name!r} is missing in {what}: {sorted(given)}")
        threshold = thresholds(layer)
        differences = _differences(name, ours[name], theirs[name], their_membranes[name], threshold)
        found += [(difference.step, index, difference) for difference in differences]
        neuron_steps += theirs[name].size
        spikes += int(np.count_nonzero(theirs[name]))
        differing += int(np.count_nonzero(ours[name] != theirs[name]))
        size = np.abs(threshold.astype(np.float64))
        distance = np.abs(their_membranes[name].astype(np.float64) - threshold)
        margin = min(margin, float(np.min(distance / np.where(size == 0, 1, size), initial=np.inf)))
    loops = any(isinstance(layer, ir.Previous) for layer in network.layers)
    failures, ties = _judged(found, loops)
    return Parity(neuron_steps, spikes, differing, failures, ties, margin)


def _judged(
    found: list[tuple[int, int, Difference]], loops: bool
) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """Failures and ties among each neuron's first difference, given with step and layer.

    One that an earlier one may have caused is neither: it is of a layer behind that one's, or in a
    network with loops of any layer in a later step.
    """
    failures: list[Difference] = []
    ties: list[Difference] = []
    first: dict[int, int] = {}  # the first step in which a layer differs
    for step, index, difference in sorted(found, key=lambda entry: entry[:2]):
        caused = any(
            (at <= step and layer < index) or (loops and at < step) for layer, at in first.items()
        )
        if not caused:
            (ties if difference.rounding_tie else failures).append(difference)
            first.setdefault(index, step)
    return tuple(failures), tuple(ties)


def thresholds(layer: ir.Spiking) -> ir.Floats:
    """A layer's thresholds in snnTorch's own axes, one a neuron."""
    shape = layer.shape
    maps = np.broadcast_to(layer.threshold, (1, shape.height, shape.width, shape.channels))
    return np.asarray(shape.to_axes(maps)[0], np.float32)


def _differences(
    layer: str, ours: Array, theirs: Array, their_membrane: Array, threshold: npt.ArrayLike
) -> list[Difference]:
    """Each neuron's first difference, earliest first."""
    _same_shape(layer, ours, theirs)
    _same_shape(layer, their_membrane, theirs)
    wrong = (ours != theirs).reshape(len(ours), -1)
    neurons = np.flatnonzero(wrong.any(axis=0))
    if not neurons.size:
        return []
    axes = ours.shape[1:]
    limits = np.broadcast_to(np.asarray(threshold, np.float32), axes)
    found = []
    steps = wrong[:, neurons].argmax(axis=0)
    for step, flat in sorted(zip(steps.tolist(), neurons.tolist(), strict=True)):
        neuron = tuple(int(i) for i in np.unravel_index(flat, axes))
        at = (step, *neuron)
        found.append(
            Difference(
                layer, step, neuron, float(ours[at]), float(theirs[at]),
                float(their_membrane[at]), float(limits[neuron]),
            )
        )  # fmt: skip
    return found


def _same_shape(layer: str, ours: Array, theirs: Array) -> None:
    if ours.shape != theirs.shape:
        raise ValueError(f"layer {layer!r}: shapes {ours.shape} and {theirs.shape} differ")
