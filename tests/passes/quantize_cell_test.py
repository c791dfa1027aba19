# SPDX-License-Identifier: Apache-2.0
"""Neurons other than Leaky in integers: what is exact, what is bounded, what is refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from spikec.errors import SpikecError
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.passes.quantize import quantize
from spikec.semantics import bounds, reference

NEURONS = 6
STEPS = 8
"""A decay of a half is exact as long as there are fractions: 8 bits of them."""
UNIT = 1 / 128


def exact_weights(net: nn.Module) -> None:
    """Weights that are whole units, the largest of each output channel 127 of them; no biases."""
    rng = np.random.default_rng(3)
    for module in net.modules():
        if isinstance(module, nn.Linear):
            whole = rng.integers(-90, 128, module.weight.shape)
            whole[np.arange(len(whole)), rng.integers(0, whole.shape[1], len(whole))] = 127
            module.weight.data = torch.tensor(whole * UNIT, dtype=torch.float32)
            if module.bias is not None:
                module.bias.data.zero_()


def recordings(inputs: int = 5) -> list[ir.Floats]:
    rng = np.random.default_rng(4)
    return [
        (rng.random((STEPS, 1, 1, inputs)) < share).astype(np.float32)
        for share in (0.2, 0.5, 0.8, 1.0)
    ]


def imported(neurons: nn.Module) -> ir.Network:
    net = nn.Sequential(nn.Linear(5, NEURONS), neurons)
    exact_weights(net)
    return dataclasses.replace(import_network(net.eval(), (5,), "net"), input_max=1)


def made(kind: str, **options: Any) -> nn.Module:
    given = {"threshold": 1.0, "init_hidden": True, "output": True, **options}
    neurons: nn.Module
    match kind:
        case "Synaptic":
            neurons = snntorch.Synaptic(0.5, 0.5, **given)
        case "RLeaky all to all":
            neurons = snntorch.RLeaky(0.5, linear_features=NEURONS, **given)
        case "RLeaky one to one":
            weights = torch.full((NEURONS,), -0.5)
            neurons = snntorch.RLeaky(0.5, V=weights, all_to_all=False, **given)
        case "RSynaptic":
            neurons = snntorch.RSynaptic(0.5, 0.5, linear_features=NEURONS, **given)
        case "Lapicque":
            neurons = snntorch.Lapicque(R=1.0, C=2.0, time_step=1.0, **given)
        case _:
            raise ValueError(kind)
    return neurons


ROWS = [
    (kind, reset, delay)
    for kind, reset, delay in itertools.product(
        ("Synaptic", "RLeaky all to all", "RLeaky one to one", "RSynaptic", "Lapicque"),
        ("subtract", "zero", "none"),
        (True, False),
    )
    if delay or (kind not in ("RSynaptic", "Lapicque") and reset != "zero")
]
"""Lapicque has no delay, RSynaptic with init_hidden raises without one; zero at once may double a
membrane, which then has no bound."""


@pytest.mark.parametrize(("kind", "reset", "delay"), ROWS)
def test_where_nothing_is_rounded_spikes_are_those_of_floats(
    kind: str, reset: str, delay: bool
) -> None:
    options: dict[str, Any] = {"reset_mechanism": reset}
    if kind not in ("RSynaptic", "Lapicque"):
        options["reset_delay"] = delay
    network = imported(made(kind, **options))
    whole = quantize(network)
    cell = whole.layers[-1]
    assert isinstance(cell, ir.Cell)
    assert cell.unit is not None
    fired = 0
    for frames in recordings():
        floats, integers = reference.run(network, frames), reference.run(whole, frames)
        assert np.array_equal(floats.spikes[cell.name], integers.spikes[cell.name])
        worth = integers.membranes[cell.name] * cell.unit
        assert np.array_equal(worth, floats.membranes[cell.name])
        fired += int(floats.spikes[cell.name].sum())
    assert fired > 20


@pytest.mark.parametrize(("kind", "reset", "delay"), ROWS)
def test_no_input_drives_a_membrane_out_of_its_bounds(kind: str, reset: str, delay: bool) -> None:
    options: dict[str, Any] = {"reset_mechanism": reset}
    if kind not in ("RSynaptic", "Lapicque"):
        options["reset_delay"] = delay
    whole = quantize(imported(made(kind, **options)))
    cell, linear = whole.layers[-1], whole.layers[0]
    assert isinstance(linear, ir.Linear)
    interval = bounds.of(whole).membranes[cell.name]
    assert interval.largest < 1 << 30
    for neuron, sign in itertools.product(range(NEURONS), (1, -1)):
        # Always what drives this neuron most, up or down; then the other way.
        drive = (sign * linear.weight[:, neuron].astype(int) > 0).astype(np.float32)
        frames = np.concatenate([np.tile(drive, (40, 1)), np.tile(1 - drive, (40, 1))])
        kept = reference.run(whole, frames[:, None, None, :]).membranes[cell.name]
        assert (kept >= interval.low).all()
        assert (kept <= interval.high).all()


class Residual(nn.Module):
    """Two ways of different weights into one neuron."""

    def __init__(self, relu: bool = False) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, NEURONS), nn.Linear(5, NEURONS)
        self.lif = snntorch.Leaky(0.5, init_hidden=True)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        current = self.one(x) + self.two(x)
        spikes: torch.Tensor = self.lif(torch.relu(current) if self.relu else current)
        return spikes


def test_currents_that_are_added_have_one_unit() -> None:
    net = Residual()
    exact_weights(net)
    net.two.weight.data /= 2  # 63.5 units of the larger: rounded, but for the even ones
    net.two.weight.data = torch.round(net.two.weight.data / UNIT) * UNIT
    network = dataclasses.replace(import_network(net.eval(), (5,), "net"), input_max=1)
    whole = quantize(network)
    name = whole.output.name
    for frames in recordings():
        floats, integers = reference.run(network, frames), reference.run(whole, frames)
        assert floats.spikes[name].any()
        assert np.array_equal(floats.spikes[name], integers.spikes[name])


def inhibited() -> nn.Module:
    return made("Synaptic", inhibition=True)


REFUSED: tuple[tuple[Callable[[], nn.Module], str], ...] = (
    (inhibited, "inhibition compares neurons whose units differ"),
    (lambda: snntorch.SLSTM(NEURONS, NEURONS, init_hidden=True), "feed spikes back, not membranes"),
    (lambda: snntorch.Alpha(0.9, 0.5, init_hidden=True), "larger than 1"),
    (lambda: snntorch.Synaptic(0.5, 1.0, init_hidden=True), "may exceed 30 bits"),
    (lambda: made("Synaptic", reset_mechanism="zero", reset_delay=False), "may exceed 30 bits"),
    (
        lambda: snntorch.Synaptic(
            0.5, 0.5, init_hidden=True,
            state_quant=snntorch.functional.quant.state_quant(num_bits=4),
        ),
        "a nearest",
    ),
)  # fmt: skip


@pytest.mark.parametrize("row", range(len(REFUSED)))
def test_what_has_no_form_in_whole_numbers_is_refused(row: int) -> None:
    build, said = REFUSED[row]
    network = imported(build())
    with pytest.raises(SpikecError, match=said) as caught:
        quantize(network)
    assert "use numbers='f32'" in str(caught.value)


def test_a_relu_has_no_form_in_whole_numbers() -> None:
    net = Residual(relu=True)
    network = import_network(net.eval(), (5,), "net")
    with pytest.raises(SpikecError, match="which needs real numbers"):
        quantize(network)
