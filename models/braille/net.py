# SPDX-License-Identifier: Apache-2.0
"""The recurrent network of Pedersen et al. (2024) that reads Braille letters by touch.

Published with "Neuromorphic intermediate representation", Nature Communications 15, 8122, as a
checkpoint and as a NIR graph (https://github.com/neuromorphs/NIR, paper/03_rnn); its weights are
not kept here. Its authors trained it with ``reset_delay=False``, which snntorch 1.0.0's
``RSynaptic`` does not do: with ``init_hidden`` it raises, and given its states it drops the reset.
So here, as is snnTorch's default, a reset comes one step late.
"""

from __future__ import annotations

from collections import OrderedDict

import snntorch as snn
from torch import nn

INPUT_SHAPE = (12,)
"""Taxels."""
STEPS = 256
"""Time steps of a recording."""
LABELS = 7
"""A space and six vowels."""
_HIDDEN = 40


def net() -> nn.Sequential:
    """The untrained network, whose modules are named as in the published checkpoint."""
    hidden = snn.RSynaptic(alpha=0.75, beta=0.85, linear_features=_HIDDEN, init_hidden=True)
    hidden.recurrent = nn.Linear(_HIDDEN, _HIDDEN, bias=False)
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(*INPUT_SHAPE, _HIDDEN, bias=False),
            lif1=hidden,
            fc2=nn.Linear(_HIDDEN, LABELS, bias=False),
            lif2=snn.Synaptic(alpha=0.45, beta=0.7, init_hidden=True, output=True),
        )
    )
