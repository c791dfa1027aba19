# SPDX-License-Identifier: Apache-2.0
"""The checkpoint in the repository: it loads safely, is small, and knows digits it never saw."""

from __future__ import annotations

from pathlib import Path

import torch
from snntorch import utils

from models.nmnist import simulate
from models.nmnist.net import INPUT_SHAPE, STEPS, net
from spikec.recordings.events import bin_events

CHECKPOINT = Path(__file__).parents[2] / "models" / "nmnist" / "nmnist.pt"


def test_the_checkpoint_is_small_and_loads_as_weights_alone() -> None:
    assert CHECKPOINT.stat().st_size < 400_000
    weights = torch.load(CHECKPOINT, weights_only=True)
    net().load_state_dict(weights, strict=True)
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_twenty_seven_of_thirty_unseen_digits_are_right_and_few_neurons_fire() -> None:
    recordings = list(simulate.demo_recordings(simulate.installed_digits(), per_digit=3))
    frames = torch.stack([torch.from_numpy(bin_events(r, STEPS)) for _, r in recordings], dim=1)
    assert frames.shape == (STEPS, len(recordings), *INPUT_SHAPE)
    network = net()
    network.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    network.eval()
    utils.reset(network)
    rates: list[float] = []
    for index in (1, 3):
        network[index].register_forward_hook(lambda _m, _i, out: rates.append(float(out.mean())))
    with torch.no_grad():
        counts = sum(network(frame)[0] for frame in frames)
    assert isinstance(counts, torch.Tensor)
    labels = torch.tensor([label for label, _ in recordings])
    assert int((counts.argmax(1) == labels).sum()) >= 27
    assert max(sum(rates[0::2]), sum(rates[1::2])) / STEPS < 0.06
