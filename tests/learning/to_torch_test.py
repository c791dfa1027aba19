# SPDX-License-Identifier: Apache-2.0
"""A network as a trainable module spikes as the network does, learns, and can be read back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from snntorch import utils
from torch import nn

import spikec
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.learning.to_torch import NetworkModule, to_torch
from spikec.passes.quantize import quantize
from spikec.semantics import reference
from tests.frontends.tutorial_networks import TUTORIALS, Tutorial
from tests.kernels import cases

ROWS = [row for row in cases.CASES if row.numbers == "f32"]


def run(module: nn.Module, frames: ir.Floats) -> ir.Floats:
    """What the module returns for frames ``[T, *axes]``, ``[T, *axes]``."""
    if isinstance(module, NetworkModule):
        module.reset()
    else:
        utils.reset(module)
    with torch.no_grad():
        steps = [module(frame[None])[0] for frame in torch.from_numpy(np.ascontiguousarray(frames))]
    return np.asarray(torch.stack(steps).numpy())


def assert_same_spikes(network: ir.Network, frames: ir.Floats) -> None:
    """``frames [T, H, W, C]``: the module's outputs are the reference's."""
    found = run(to_torch(network), network.input.to_axes(frames))
    trace = reference.run(network, frames)
    wanted = network.output.shape.to_axes(trace.values[network.output.name])
    assert found.shape == wanted.shape
    fires = not isinstance(network.output, ir.Cell) or network.output.fires is not None
    if fires:
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_kind_of_network_spikes_as_the_reference(row: cases.Case) -> None:
    drawn = cases.draw(row)
    network = cases.model(row, drawn, "network").network
    steps = min(len(drawn.frames), network.max_steps or len(drawn.frames))
    assert_same_spikes(network, drawn.frames[:steps])


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda tutorial: tutorial.name)
def test_networks_as_people_write_them_do_so_too(tutorial: Tutorial) -> None:
    network = import_network(tutorial.network(), tutorial.shape, "tutorial")
    for frames in tutorial.recordings():
        in_memory = network.input.to_memory(np.asarray(frames, np.float32))
        assert_same_spikes(network, np.ascontiguousarray(in_memory))


def chain() -> nn.Sequential:
    import snntorch as snn

    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.MaxPool2d(2),
        snn.Leaky(beta=0.8, threshold=0.4, init_hidden=True), nn.Flatten(), nn.Linear(64, 5),
        snn.Leaky(beta=0.7, threshold=0.3, reset_mechanism="zero", init_hidden=True, output=True),
    ).eval()  # fmt: skip


def test_a_chain_is_a_sequential_that_is_read_back_as_the_same_network() -> None:
    network = import_network(chain(), (2, 8, 8), "chain")
    module = to_torch(network)
    assert isinstance(module, nn.Sequential)
    back = import_network(module, (2, 8, 8), "chain")
    assert [layer.name for layer in back.layers] == [layer.name for layer in network.layers]
    for one, other in zip(back.layers, network.layers, strict=True):
        for field in dataclasses.fields(one):
            if field.name != "source":
                left, right = getattr(one, field.name), getattr(other, field.name)
                np.testing.assert_array_equal(left, right)


def test_a_step_of_training_lowers_the_loss() -> None:
    module = spikec.to_torch(import_network(chain(), (2, 8, 8), "chain"), slope=5.0)
    frames = torch.from_numpy(np.random.default_rng(0).poisson(0.3, (10, 16, 2, 8, 8))).float()
    labels = torch.arange(16) % 5
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    losses = []
    for _ in range(8):
        utils.reset(module)
        counts = torch.stack([module(frame) for frame in frames]).sum(0)
        loss = nn.functional.cross_entropy(counts, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_network_of_integers_is_refused() -> None:
    network = dataclasses.replace(import_network(chain(), (2, 8, 8), "chain"), input_max=5)
    with pytest.raises(spikec.SpikecError, match="a network of integers cannot be trained"):
        to_torch(quantize(network))
