# SPDX-License-Identifier: Apache-2.0
"""int8 and pruning on real recordings: as accurate as they must be, and as small.

Where the shared data is not there, it says so and skips.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from benchmarks.seed_networks import seed_network
from models.nmnist.net import INPUT_SHAPE, STEPS, net
from spikec.errors import SpikecError
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.measure import profile
from spikec.measure.evaluate import evaluate
from spikec.model import Model
from spikec.recordings import dataset
from spikec.recordings.shared import shared_folder
from spikec.semantics import reference
from spikec.targets.cortex_m7 import drive_build
from spikec.targets.host import Host

CHECKPOINT = Path(os.environ["CHECKPOINT"])
POINTS = 0.5
"""How much accuracy int8 may lose, in points."""
CLOCK_HZ, RECORDING_S = 480e6, 0.3
"""The Portenta's, at an instruction a cycle; how long a recording is."""
BIT_CHECKED = 2
"""On how many recordings the reference, which is slow, is compared."""


def needed(*parts: str) -> Path:
    folder = shared_folder(*parts)
    if folder is None:
        pytest.skip(f"the shared folder {'/'.join(parts)} is not here")
    return folder


@functools.cache
def network(name: str) -> ir.Network:
    module: nn.Module
    if name == "seed":
        module = seed_network(needed("data", "seed"), "nmnist")
    else:
        module = net().eval()
        load_checkpoint(module, CHECKPOINT)
    return import_network(module, INPUT_SHAPE, name)


def held_out() -> tuple[dataset.Labelled, ...]:
    found = dataset.split(dataset.find(needed("data", "nmnist", "Train"), 10))[1]
    assert len(found) >= 200
    return found


def assert_equals_the_reference(model: Model, host: Host, steps: int) -> None:
    shape = model.network.input
    for one in dataset.spaced(held_out(), BIT_CHECKED):
        frames = one.frames(shape.axes, steps)
        ran = reference.run(model.network, shape.to_memory(frames))
        spikes, membranes = host.trace(frames), host.membranes(frames)
        for layer in model.network.spiking:
            axes = layer.shape.to_axes
            np.testing.assert_array_equal(spikes[layer.source], axes(ran.spikes[layer.name]))
            np.testing.assert_array_equal(membranes[layer.source], axes(ran.membranes[layer.name]))


@pytest.mark.parametrize(("name", "steps"), [("seed", 300), ("models/nmnist", STEPS)])
def test_int8_is_as_accurate_as_float(name: str, steps: int) -> None:
    found = {}
    for numbers in ("f32", "int8"):
        model = Model.of(network(name), "network", numbers)
        host = model.build()
        found[numbers] = evaluate(model, held_out(), steps, host=host)
        if numbers == "int8":
            assert_equals_the_reference(model, host, steps)
        print(f"{name}, {steps} steps: {found[numbers]}")
    assert found["f32"].accuracy >= (0.8 if name == "seed" else 0.97)
    lost = 100 * (found["f32"].accuracy - found["int8"].accuracy)
    assert lost <= POINTS
    rows = [[one.activity.counts for one in found[numbers].recordings] for numbers in found]
    assert rows[0] != rows[1], "int8 is float"


def test_the_seed_network_in_int8_is_small_and_fast_on_the_cortex_m7() -> None:
    try:
        drive_build.compiler()
        drive_build.emulator()
    except SpikecError as error:
        pytest.skip(str(error))
    folder = needed("data", "nmnist", "Train")
    first = dataset.find(folder, 10)[0]
    frames = first.frames(INPUT_SHAPE, 50)
    small, whole = (
        profile.profile(Model.of(network("seed"), "network", numbers), [frames], "cortex-m7")
        for numbers in ("int8", "f32")
    )
    print(small)
    assert small.size is not None
    assert small.size.code + small.size.tables <= 32 * 1024
    assert small.size.state <= 32 * 1024
    assert small.step_cost <= 450_000
    assert small.step_cost < whole.step_cost


def test_the_pruned_network_is_smaller_and_loses_at_most_a_point() -> None:
    pruned = network_file.read(Path(os.environ["PRUNED"])).network
    original = network("models/nmnist")
    found = {}
    for name, one in (("original", original), ("pruned", pruned)):
        model = Model.of(one, "network", "f32")
        found[name] = evaluate(model, held_out(), STEPS)
        print(f"{name}: {found[name]}\n{model.report()}")
    assert 100 * (found["original"].accuracy - found["pruned"].accuracy) <= 1.0
    small = Model.of(pruned, "network", "f32").report()
    whole = Model.of(original, "network", "f32").report()
    assert 2 * small.table_bytes < whole.table_bytes
    assert 2 * small.state_bytes < whole.state_bytes
    try:
        drive_build.compiler()
        drive_build.emulator()
    except SpikecError as error:
        pytest.skip(str(error))
    frames = [one.frames(INPUT_SHAPE, STEPS) for one in dataset.spaced(held_out(), 3)]
    fewer, all_ = (
        profile.profile(Model.of(one, "network", "f32"), frames, "cortex-m7")
        for one in (pruned, original)
    )
    assert fewer.step_cost < 0.7 * all_.step_cost


def test_the_tiny_network_is_accurate_small_and_in_time_by_a_factor_of_ten() -> None:
    saved = network_file.read(Path(os.environ["TINY"]))
    assert saved.steps == STEPS
    model = Model.of(saved.network, "network", "int8")
    found = evaluate(model, held_out(), STEPS)
    print(found)
    assert found.accuracy >= 0.95
    try:
        drive_build.compiler()
        drive_build.emulator()
    except SpikecError as error:
        pytest.skip(str(error))
    frames = [one.frames(INPUT_SHAPE, STEPS) for one in dataset.spaced(held_out(), 10)]
    cost = profile.profile(model, frames, "cortex-m7")
    assert cost.size is not None
    assert cost.size.code + cost.size.tables <= 16 * 1024
    assert cost.size.state <= 16 * 1024
    assert cost.step_cost * STEPS <= CLOCK_HZ * RECORDING_S / 10
