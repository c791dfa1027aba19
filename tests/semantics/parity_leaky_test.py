# SPDX-License-Identifier: Apache-2.0
"""snnTorch, the reference and the compiled C agree on every option of Leaky, and on structure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from tests.networks import MAP, Case, built, conv, leaky, on_map, sized, spread
from tests.semantics import parity_check

FASTER = ("-O1",)  # compiles in half the time; parity_test builds as users do


def neurons(name: str, grid: bool = False, **options: Any) -> Case:
    """Two layers of such neurons, as maps and flat; per-neuron options in ``options`` fit maps."""
    # On a map of 4 channels, 7 x 6.
    return on_map(name, conv(4, 3), leaky(**options), nn.Conv2d(4, 4, 2), leaky(), grid=grid)


def flat_neurons(name: str, grid: bool = False, **options: Any) -> Case:
    return built(
        name, (12,), nn.Linear(12, 8), leaky(**options), nn.Linear(8, 6), leaky(), grid=grid
    )


LEAKY = [
    neurons("beta scalar", beta=0.3),
    neurons("beta a tensor", beta=torch.tensor(0.8)),
    neurons("beta double", beta=np.float64(0.7)),
    neurons("beta per channel", beta=spread(4, 1, 1)),
    neurons("beta per neuron", beta=spread(4, 7, 6)),
    neurons("beta per column", beta=spread(6)),
    neurons("beta of a batch of one", beta=spread(1, 4, 7, 6)),
    neurons("beta learned", beta=0.85, learn_beta=True),
    neurons("beta learned per channel", beta=spread(4, 1, 1), learn_beta=True),
    neurons("beta the integer 1", beta=1, grid=True),
    neurons("beta the integer 0", beta=0, grid=True),
    neurons("beta negative, so clamped to 0", beta=-0.5),
    neurons("beta over one, so clamped to 1", beta=1.7),
    neurons("beta partly clamped", beta=spread(4, 1, 1, low=-0.5, high=1.6)),
    flat_neurons("beta per flat neuron", beta=spread(8)),
    flat_neurons("beta of one element", beta=torch.tensor([0.6])),
    neurons("threshold 0.5", threshold=0.5, beta=0.5, grid=True),
    neurons("threshold the integer 2", threshold=2),
    neurons("threshold double", threshold=np.float64(0.7)),
    neurons("threshold per channel", threshold=spread(4, 1, 1)),
    neurons("threshold per neuron", threshold=spread(4, 7, 6)),
    neurons("threshold learned", threshold=0.7, learn_threshold=True),
    neurons(
        "threshold and beta of different shapes", threshold=spread(4, 7, 6), beta=spread(4, 1, 1)
    ),
    flat_neurons("threshold per flat neuron", threshold=spread(8), learn_threshold=True),
    flat_neurons("threshold of either sign", threshold=spread(8, low=-0.6, high=0.9)),
    *(
        neurons(
            f"reset {reset}, {'delayed' if delay else 'at once'}, grid {grid}",
            reset_mechanism=reset,
            reset_delay=delay,
            beta=beta,
            grid=grid,
        )
        for reset in ("subtract", "zero", "none")
        for delay in (True, False)
        for beta, grid in ((0.9, False), (0.5, True))
    ),
    neurons("at once, thresholds per neuron", reset_delay=False, threshold=spread(4, 7, 6)),
    neurons(
        "to zero at once, betas per neuron",
        reset_mechanism="zero",
        reset_delay=False,
        beta=spread(4, 7, 6),
    ),
    neurons("graded 2.5", graded_spikes_factor=2.5),
    neurons("graded 2", graded_spikes_factor=2, grid=True),
    neurons("graded per channel", graded_spikes_factor=spread(4, 1, 1)),
    neurons("graded per neuron", graded_spikes_factor=spread(4, 7, 6)),
    neurons("graded negative", graded_spikes_factor=-0.7),
    neurons(
        "graded of either sign, at once",
        graded_spikes_factor=spread(4, 7, 6, low=-1.0),
        reset_delay=False,
    ),
    neurons("graded and learned", graded_spikes_factor=1.5, learn_graded_spikes_factor=True),
    flat_neurons("graded per flat neuron", graded_spikes_factor=spread(8)),
    built(
        "graded outputs", (9,), nn.Linear(9, 6), leaky(graded_spikes_factor=spread(6), output=True)
    ),
    on_map(
        "graded outputs of a map",
        conv(4, 3),
        leaky(graded_spikes_factor=spread(4, 1, 1)),
        tail=False,
    ),
    on_map(
        "graded, then Flatten",
        conv(3, 3),
        leaky(graded_spikes_factor=spread(3, 7, 6)),
        nn.Flatten(),
        tail=False,
    ),
    neurons("another surrogate", spike_grad=snntorch.surrogate.fast_sigmoid(slope=25)),
    neurons("surrogate disabled", surrogate_disable=True),
    on_map("first layer", leaky(), nn.Conv2d(2, 4, 3), leaky()),
    on_map("first layer, threshold 0, beta 0", leaky(beta=0, threshold=0.0), conv(4, 3), leaky()),
    built("first layer of a flat network", (14,), leaky(), nn.Linear(14, 5), leaky()),
    built("alone", (14,), leaky(output=True)),
    on_map("alone on a map", leaky(), tail=False),
    on_map("after leaky", conv(4, 3), leaky(), leaky(threshold=0.5)),
    on_map(
        "after leaky, three times",
        leaky(threshold=0.5),
        leaky(0.8, threshold=0.5),
        leaky(threshold=0.7),
        grid=True,
    ),
    on_map("after leaky and Flatten", conv(4, 3), leaky(), nn.Flatten(), leaky(threshold=0.5)),
    built("last with init_hidden", (9,), nn.Linear(9, 6), leaky(), nn.Linear(6, 4), leaky()),
    built(
        "last without init_hidden",
        (9,),
        nn.Linear(9, 6),
        leaky(),
        nn.Linear(6, 4),
        snntorch.Leaky(beta=0.9),
    ),
    built("last with output", (9,), nn.Linear(9, 6), leaky(), nn.Linear(6, 4), leaky(output=True)),
    on_map("a map last", conv(4, 3), leaky(), nn.Conv2d(4, 3, 2), leaky(output=True), tail=False),
]

STRUCTURE = [
    on_map("Identity", nn.Identity(), conv(4, 3), nn.Identity(), leaky(), nn.Identity()),
    on_map("Dropout", nn.Dropout(0.5), conv(4, 3), nn.Dropout2d(0.3), leaky(), nn.Dropout(0.9)),
    built("Dropout1d", (9,), nn.Linear(9, 6), leaky(), nn.Identity(), nn.Linear(6, 4), leaky()),
    on_map(
        "nested Sequentials",
        nn.Sequential(conv(4, 3), nn.Sequential(nn.BatchNorm2d(4), leaky())),
        nn.Sequential(nn.MaxPool2d(2)),
        nn.Sequential(),
    ),
    Case(
        "named layers",
        MAP,
        lambda: sized(
            nn.Sequential(
                OrderedDict(
                    features=nn.Sequential(OrderedDict(conv=conv(4, 3), lif=leaky())),
                    flatten=nn.Flatten(),
                    head=nn.LazyLinear(5),
                    out=leaky(),
                )
            ),
            MAP,
        ),
    ),
    on_map("Flatten by its axes", conv(4, 3), leaky(), nn.Flatten(1, -1)),
]


@pytest.mark.parametrize("case", LEAKY, ids=lambda case: case.name)
def test_leaky_neurons_equal_snntorch(case: Case) -> None:
    parity_check.agree(case, flags=FASTER)


@pytest.mark.parametrize("case", STRUCTURE, ids=lambda case: case.name)
def test_a_structure_equals_snntorch(case: Case) -> None:
    parity_check.agree(case, flags=FASTER)
