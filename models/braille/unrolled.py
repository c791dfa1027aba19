# SPDX-License-Identifier: Apache-2.0
"""The network over all time steps at once, for training: its gradient written by hand.

PyTorch's own way, a graph of every operation of every step, takes 15 times as long: these layers
are so small that bookkeeping is nearly all of it. snnTorch runs the trained network.
"""

from __future__ import annotations

from typing import Any

import snntorch as snn
import torch
from torch import nn

from models.braille.letters import SLOPE


class _Leaky(torch.autograd.Function):
    """A layer of Leaky neurons, recurrent or not, with threshold 1 and reset by subtraction.

    mem[t] = beta mem[t-1] + current[t] + W spk[t-1] - spk[t-1];  spk[t] = mem[t] > 1

    As in snnTorch, no gradient flows through the reset.
    """

    @staticmethod
    def forward(
        ctx: Any, current: torch.Tensor, beta: torch.Tensor, weight: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Spikes and membranes [T, B, N] of currents [T, B, N], decays [N], weights [N, N]."""
        membranes, spikes = torch.empty_like(current), torch.empty_like(current)
        mem = spk = torch.zeros_like(current[0])
        for t, now in enumerate(current):
            mem = beta * mem + now
            if weight is not None:
                mem = mem + nn.functional.linear(spk, weight)
            membranes[t] = mem = mem - spk
            spikes[t] = spk = (mem > 1).to(mem.dtype)
        ctx.save_for_backward(membranes, spikes, beta, weight)
        return spikes, membranes

    @staticmethod
    def backward(
        ctx: Any, to_spikes: torch.Tensor, to_membranes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Gradients of the three arguments, back through time."""
        membranes, spikes, beta, weight = ctx.saved_tensors
        slope = (1 + SLOPE * (membranes - 1).abs()) ** -2
        to_current = to_spikes * slope + to_membranes
        for t in range(len(to_current) - 2, -1, -1):
            later = to_current[t + 1]
            to_current[t].addcmul_(later, beta)
            if weight is not None:
                to_current[t].addcmul_(later @ weight, slope[t])
        to_beta = (to_current[1:] * membranes[:-1]).sum((0, 1))
        to_weight = None
        if weight is not None:
            to_weight = to_current[1:].flatten(0, 1).T @ spikes[:-1].flatten(0, 1)
        return to_current, to_beta, to_weight


def forward(
    network: nn.Sequential, counts: torch.Tensor, dropped: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Run the network on counts [T, B, 12], from rest.

    Returns the hidden spikes [T, B, 96], the output's spikes and its membranes [T, B, 7]. The
    share ``dropped`` of the hidden neurons is not heard by the output, others in each recording.
    """
    first, hidden, last, output = network
    assert isinstance(hidden, snn.RLeaky) and isinstance(output, snn.Leaky)
    run: Any = _Leaky.apply
    felt, _ = run(first(counts), hidden.beta.clamp(0, 1), hidden.recurrent.weight)
    heard = nn.functional.dropout(torch.ones_like(felt[0]), dropped, dropped > 0) * felt
    spikes, membranes = run(last(heard), output.beta.clamp(0, 1), None)
    return felt, spikes, membranes
