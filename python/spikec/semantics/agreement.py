# SPDX-License-Identifier: Apache-2.0
"""How near a network in integers is to the one in float that it was made from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from spikec.ir import network as ir
from spikec.semantics import reference


@dataclasses.dataclass(frozen=True, slots=True)
class LayerAgreement:
    """One spiking layer of both networks, each fed by its own layers before it.

    ``equal`` is the share of neurons and steps with the same spike; ``matched`` the share of spikes
    that both made among those that either made, None when there are none. ``snr_db`` is the power
    of the float membranes over that of the differences from them, in decibel; None when there is
    no difference, and where float32 overflows.
    """

    layer: str
    torch: str
    neuron_steps: int
    equal: float
    matched: float | None
    snr_db: float | None

    def __str__(self) -> str:
        matched = "-" if self.matched is None else f"{100 * self.matched:.2f} %"
        noise = "-" if self.snr_db is None else f"{self.snr_db:.1f} dB"
        return (
            f"{self.layer}: {100 * self.equal:.3f} % of {self.neuron_steps:,} neuron-steps equal, "
            f"{matched} of spikes in both; membrane signal to noise: {noise}"
        )


def agreement(
    whole: ir.Network, integer: ir.Network, recordings: Sequence[ir.Floats]
) -> tuple[LayerAgreement, ...]:
    """Compares the float network ``whole`` with ``integer``, made from it, layer by layer.

    ``recordings`` are frames ``[T, *axes]`` each, in snnTorch's order.
    """
    sums = np.zeros((len(integer.spiking), 6))  # neuron-steps, equal, both, either, signal, noise
    for frames in recordings:
        given = integer.input.to_memory(frames)
        with np.errstate(over="ignore", invalid="ignore"):
            ours, theirs = reference.run(integer, given), reference.run(whole, given)
        for row, layer in zip(sums, integer.spiking, strict=True):
            fired, should = ours.spikes[layer.name] != 0, theirs.spikes[layer.name] != 0
            unit = None if isinstance(layer, ir.Leaky) else layer.unit
            signal = theirs.membranes[layer.name].astype(np.float64)
            noise = (
                ours.membranes[layer.name] * (1.0 if unit is None else unit.astype(float)) - signal
            )
            row += (
                fired.size, np.count_nonzero(fired == should), np.count_nonzero(fired & should),
                np.count_nonzero(fired | should), (signal**2).sum(), (noise**2).sum(),
            )  # fmt: skip
    return tuple(
        LayerAgreement(
            layer.name,
            layer.source,
            int(total),
            equal / total if total else 1.0,
            both / either if either else None,
            10 * math.log10(signal / noise) if signal and 0 < noise < math.inf else None,
        )
        for layer, (total, equal, both, either, signal, noise) in zip(
            integer.spiking, sums.tolist(), strict=True
        )
    )
