# SPDX-License-Identifier: Apache-2.0
"""Our Braille reader: 12 taxels in, seven output neurons that count spikes for a letter.

Recurrent, because a letter is what the taxels felt one after another. ``train.py`` trains it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import snntorch as snn
import torch
from snntorch import surrogate
from torch import nn

INPUT_SHAPE = (12,)
"""Taxels."""
STEPS = 64
"""Time steps of a recording."""
SAMPLES = 4
"""Samples of the sensor that a time step counts: an input is 0 to 4."""
LABELS = 7
"""A space and six vowels."""
SLOPE = 5.0
"""Of the surrogate gradient, 1 / (1 + SLOPE |membrane - threshold|)^2."""
HIDDEN = 96


def net() -> nn.Sequential:
    """Make the untrained network; it takes counts [B, 12] one step at a time.

    12 -> linear 96 -> recurrent leaky -> linear 7 -> leaky; the last returns (spikes [B, 7],
    membrane [B, 7]). The letter is the neuron with the most spikes. Every neuron has a decay of its
    own, which is trained.
    """
    gradient = surrogate.fast_sigmoid(slope=SLOPE)
    hidden = snn.RLeaky(
        beta=torch.full((HIDDEN,), 0.85),
        linear_features=HIDDEN,
        learn_beta=True,
        spike_grad=gradient,
        init_hidden=True,
    )
    hidden.recurrent = nn.Linear(HIDDEN, HIDDEN, bias=False)  # the first layer has one already
    return nn.Sequential(
        nn.Linear(*INPUT_SHAPE, HIDDEN),
        hidden,
        nn.Linear(HIDDEN, LABELS),
        snn.Leaky(
            beta=torch.full((LABELS,), 0.9),
            learn_beta=True,
            spike_grad=gradient,
            init_hidden=True,
            output=True,
        ),
    )


def binned(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Samples [n, 256, 12], 0 or 1, as counts [n, 64, 12]: what a device adds up between steps."""
    counts = samples.reshape(len(samples), STEPS, SAMPLES, *INPUT_SHAPE).sum(2)
    return np.asarray(counts, np.uint8)
