# SPDX-License-Identifier: Apache-2.0
"""What runs in every snn_parity_test: that it can fail, and what frames it compares on."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from torch import nn

from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.model import Model
from spikec.semantics import reference
from spikec.targets.cortex_m7.drive_run import DriveOutput
from spikec.tools.parity import _differences, _made
from tests import networks

STEPS = 8


@functools.cache
def network(numbers: str) -> ir.Network:
    case = networks.on_map("parity", nn.Conv2d(2, 3, 3), networks.leaky())
    found = import_network(networks.prepare(case).net, case.shape, "parity.pt")
    return Model.of(found, "network", numbers, input_max=3).network


def ran(numbers: str) -> tuple[DriveOutput, reference.Trace]:
    """What a program that does as the reference writes, and the reference's own run."""
    given = network(numbers)
    _, frames = next(_made(STEPS, given))
    trace = reference.run(given, given.input.to_memory(frames))
    spikes, membranes = (
        np.concatenate([rows[layer.name].reshape(STEPS, -1) for layer in given.spiking], axis=1)
        for rows in (trace.spikes, trace.membranes)
    )
    if numbers == "int8":  # 32 bits each, of whatever they are
        membranes = membranes.astype(np.int32).view(np.float32)
    outputs = trace.spikes[given.spiking[-1].name].reshape(STEPS, -1)
    none = np.zeros(STEPS, np.uint64)
    marks = np.zeros((STEPS, 0), np.uint64)
    return DriveOutput(outputs, none, marks, spikes, membranes, len(given.spiking), 0), trace


@pytest.mark.parametrize("numbers", ["f32", "int8"])
def test_a_run_like_the_reference_s_has_no_difference(numbers: str) -> None:
    assert list(_differences(network(numbers), *ran(numbers))) == []


@pytest.mark.parametrize("numbers", ["f32", "int8"])
@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("spikes", "layer '1', step 5, neuron (2, 0, 1): spikes differ"),
        ("membranes", "layer '1', step 5, neuron (2, 0, 1): "),
        ("outputs", "the outputs are not the last layer's spikes"),
    ],
)
def test_one_bit_is_found(field: str, sentence: str, numbers: str) -> None:
    output, trace = ran(numbers)
    rows = getattr(output, field).copy()
    at = (5, 0 if field == "outputs" else 5)  # map 7x6x3 in memory order: y = 0, x = 1, c = 2
    bits = rows.view(np.uint32) if field == "membranes" else rows
    bits[at] ^= 1
    changed = dataclasses.replace(output, **{field: rows})
    (found,) = _differences(network(numbers), changed, trace)
    assert sentence in str(found)


@pytest.mark.parametrize("most", [1, 2, 200, None])
def test_frames_stay_in_the_declared_range_and_reach_its_end(most: int | None) -> None:
    given = dataclasses.replace(network("f32"), input_max=most)
    made = dict(_made(STEPS, given))
    random = made.pop("random frames")
    assert random.shape == (STEPS, 2, 9, 8)
    assert (random.min(), random.max()) == (0, min(3, most or 3))
    assert not random[0].any() and random[-1].all()
    if most is None:
        assert not made
    else:
        assert made.keys() == {f"every input {most}"}
        assert (made[f"every input {most}"] == most).all()
