# SPDX-License-Identifier: Apache-2.0
"""A network in the shape of ST-MNIST's, 10x10 taxels, with small random weights: a second model.

It recognises nothing; it shows that a model is a dozen lines in ``models/BUILD.bazel``, and it has
what the first one lacks: no pooling between convolution and neurons, but pooling of spikes.
"""

from __future__ import annotations

import sys

import snntorch as snn
import torch
from torch import nn


def net() -> nn.Sequential:
    """2x10x10 -> conv 8@4x4 -> leaky -> conv 16@3x3 -> leaky -> maxpool 2 -> linear 10 -> leaky."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 4),
        snn.Leaky(beta=0.95, threshold=0.4, init_hidden=True),
        nn.Conv2d(8, 16, 3),
        snn.Leaky(beta=0.95, threshold=0.4, init_hidden=True, reset_mechanism="zero"),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
        snn.Leaky(beta=0.95, threshold=0.4, init_hidden=True, output=True),
    )


if __name__ == "__main__":  # python -m models.stmnist_shape.net OUT.pt
    torch.save(net().state_dict(), sys.argv[1])
