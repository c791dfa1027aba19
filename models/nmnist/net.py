# SPDX-License-Identifier: Apache-2.0
"""The N-MNIST network: 2x34x34 event counts in, ten output neurons that count spikes for a digit.

Small on purpose, for a Cortex-M7: the convolutions stride by two instead of pooling, so that an
input event touches nine or fewer places, and the decays are 1 - 2^-k, which integers do by a shift.
"""

from __future__ import annotations

import snntorch as snn
from torch import nn

STEPS = 20  # frames a recording is binned into: spikec.events.bin_events(recording, steps=STEPS)
INPUT_SHAPE = (2, 34, 34)  # C (polarity), H, W of a frame of event counts


def net() -> nn.Sequential:
    """Make the untrained network; it takes frames [B, 2, 34, 34] one step at a time.

    2x34x34 -> conv 8@5x5/2 -> leaky -> conv 16@5x5/2 -> leaky -> linear 10 -> leaky; the last
    returns (spikes [B, 10], membrane [B, 10]). The digit is the neuron with the most spikes.
    """
    return nn.Sequential(
        nn.Conv2d(2, 8, 5, stride=2),
        snn.Leaky(beta=0.75, init_hidden=True),
        nn.Conv2d(8, 16, 5, stride=2),
        snn.Leaky(beta=0.75, init_hidden=True),
        nn.Flatten(),
        nn.Linear(16 * 6 * 6, 10),
        snn.Leaky(beta=0.9375, init_hidden=True, output=True),
    )
