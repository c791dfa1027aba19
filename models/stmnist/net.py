# SPDX-License-Identifier: Apache-2.0
"""The ST-MNIST network: 2x10x10 event counts of a tactile sensor in, ten output neurons.

Its decays are 1 - 2^-k, which integers do by a shift; the second convolution strides by two
instead of pooling.
"""

from __future__ import annotations

import snntorch as snn
from torch import nn

STEPS = 16  # frames a recording is binned into: spikec.events.bin_events(recording, steps=STEPS)
INPUT_SHAPE = (2, 10, 10)  # C (polarity), H, W of a frame of event counts


def net() -> nn.Sequential:
    """Make the untrained network; it takes frames [B, 2, 10, 10] one step at a time.

    2x10x10 -> conv 16@3x3 -> leaky -> conv 32@3x3/2 -> leaky -> linear 10 -> leaky; the last
    returns (spikes [B, 10], membrane [B, 10]). The digit is the neuron with the most spikes.
    """
    return nn.Sequential(
        nn.Conv2d(2, 16, 3),
        snn.Leaky(beta=0.875, init_hidden=True),
        nn.Conv2d(16, 32, 3, stride=2),
        snn.Leaky(beta=0.9375, init_hidden=True),
        nn.Flatten(),
        nn.Linear(32 * 3 * 3, 10),
        snn.Leaky(beta=0.9375, init_hidden=True, output=True),
    )
