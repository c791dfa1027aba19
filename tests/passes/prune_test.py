# SPDX-License-Identifier: Apache-2.0
"""Pruning: what is proven silent stays so whatever comes in, and what is judged was not seen."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import snntorch
import torch
from torch import nn

from spikec.cli import main as cli
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.ir import network_file, soundness
from spikec.learning.distill import Lessons
from spikec.learning.to_torch import to_torch
from spikec.measure import prune_search as prune
from spikec.model import Model
from spikec.passes import prune as passes
from spikec.passes import redundant
from spikec.passes.fold import fold
from spikec.recordings.dataset import held_out
from spikec.recordings.events import Recording, bin_events, read_nmnist, write_nmnist
from spikec.recordings.shared import shared_folder
from spikec.semantics import bounds, reference
from spikec.targets.host import Host

ADVERSARIAL = 10_000
STEPS = 6

Array = npt.NDArray[np.float32]


def floats(values: object) -> Array:
    return np.asarray(values, np.float32)


def one(value: float = 1.0) -> Array:
    return np.full((1, 1, 1), value, np.float32)


class Chain:
    """Builds a network layer by layer."""

    def __init__(self, height: int, width: int, channels: int, flat: bool = False) -> None:
        self.input = ir.Shape(height, width, channels, flat)
        self.layers: list[ir.Layer] = []

    @property
    def shape(self) -> ir.Shape:
        return self.layers[-1].shape if self.layers else self.input

    def _node(self, kind: str) -> tuple[str, str, tuple[str, ...]]:
        before = self.layers[-1].name if self.layers else ir.INPUT
        count = sum(layer.name.startswith(kind) for layer in self.layers)
        return f"{kind}{count + 1}", str(len(self.layers)), (before,)

    def conv(
        self, weight: object, bias: object, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> Chain:
        values = floats(weight)
        height, width = (
            (side + 2 * padding - taps) // stride + 1
            for side, taps in zip(
                (self.shape.height, self.shape.width), values.shape[:2], strict=True
            )
        )
        shape = ir.Shape(height, width, values.shape[3], flat=False)
        self.layers.append(
            ir.Conv2d(
                *self._node("conv"), shape, values, floats(bias), (stride, stride),
                (padding, padding), (1, 1), groups,
            )
        )  # fmt: skip
        return self

    def linear(self, weight: object, bias: object) -> Chain:
        values = floats(weight)
        shape = ir.Shape(1, 1, values.shape[1], flat=True)
        self.layers.append(ir.Linear(*self._node("linear"), shape, values, floats(bias)))
        return self

    def pool(self, kind: str) -> Chain:
        shape = dataclasses.replace(
            self.shape, height=self.shape.height // 2, width=self.shape.width // 2
        )
        node = (*self._node(f"{kind}pool"), shape, (2, 2), (2, 2), (0, 0))
        if kind == "max":
            self.layers.append(ir.MaxPool2d(*node, (1, 1), False))
        else:
            self.layers.append(
                ir.AvgPool2d(*node, np.full((shape.height, shape.width), 4, np.float32))
            )
        return self

    def affine(self, scale: object, shift: object) -> Chain:
        self.layers.append(
            ir.Affine(*self._node("affine"), self.shape, floats(scale), floats(shift))
        )
        return self

    def flatten(self) -> Chain:
        shape = dataclasses.replace(self.shape, flat=True)
        self.layers.append(ir.Flatten(*self._node("flatten"), shape))
        return self

    def leaky(
        self,
        threshold: Array | None = None,
        beta: float = 0.5,
        grade: Array | None = None,
        reset: ir.ResetMechanism = "subtract",
        delay: bool = True,
    ) -> Chain:
        self.layers.append(
            ir.Leaky(
                *self._node("leaky"), self.shape, one(beta), one() if threshold is None else
                threshold, one() if grade is None else grade, reset, delay,
            )
        )  # fmt: skip
        return self

    def network(self, most: int | None = 3) -> ir.Network:
        found = ir.Network(self.input, tuple(self.layers), "test", "0" * 64, most)
        assert soundness.fault(found) == ""
        return found


def random_weights(random: np.random.Generator, *shape: int, mean: float = 0.0) -> Array:
    return random.normal(mean, 1, shape).astype(np.float32)


def known() -> ir.Network:
    """Inputs 0 to 3, eight neurons of which 1, 2, 4 and 6 can never fire; see ``KNOWN``."""
    weight = np.zeros((4, 8))
    bias = np.zeros(8)
    weight[:, 0] = 1
    weight[:, 1] = -1  # every input pushes down
    weight[0, 2] = 0.125  # at most 0.375 + 0.375 / 2 + ... = 0.75
    weight[0, 3] = 0.3  # at most 0.9 + 0.9 / 2 + ... = 1.8, in the third step
    bias[4] = 0.25  # no input at all, 0.5 in the end
    weight[1, 5], bias[5] = 1, -1  # fires at inputs of 3
    weight[1, 6], bias[6] = 1, -3  # at most 0 whatever comes
    bias[7] = 3  # fires by itself
    chain = Chain(1, 1, 4, flat=True).linear(weight, bias).leaky()
    readout = np.random.default_rng(0).normal(0, 1, (8, 3))
    return chain.linear(readout, np.zeros(3)).leaky().network()


KNOWN = (1, 2, 4, 6)


def random_maps(seed: int) -> ir.Network:
    """Two convolutions with poolings; some channels are pushed down, some thresholds are high."""
    random = np.random.default_rng(seed)
    first, second = (
        random_weights(random, 3, 3, 2, 8) / 3,
        random_weights(random, 3, 3, 8, 6, mean=0.2),
    )
    first[..., [1, 5]] = -np.abs(first[..., [1, 5]])
    threshold = np.ones((1, 1, 8), np.float32)
    threshold[..., 3] = 1000
    second[..., 2] = -np.abs(second[..., 2])
    chain = Chain(9, 8, 2).conv(first, random.normal(0, 0.1, 8) - 0.2, padding=1)
    chain.leaky(threshold, grade=one(0.5 + seed)).pool("max" if seed % 2 else "avg")
    chain.conv(second, np.full(6, 0.3)).leaky(reset="zero", delay=bool(seed % 2)).flatten()
    size = chain.shape.size
    return chain.linear(random_weights(random, size, 4) / 4, np.zeros(4)).leaky().network()


def adversarial(network: ir.Network, count: int) -> Array:
    """Inputs ``[count, T, H, W, C]`` that try to make neurons fire.

    For each a neuron is drawn; starting anywhere, the input climbs to the corner that its current
    rises to, by slopes through the layers before it. Some of these begin with silence, have inputs
    flipped, or are random corners; the first has every input at its most.
    """
    random = np.random.default_rng(1)
    most = network.input_max
    assert most is not None
    axes = (network.input.height, network.input.width, network.input.channels)
    goals = network.spiking
    parts = []
    size = 250
    for number in range(-(-count // size)):
        goal = goals[number % len(goals)]
        frames = (random.random((STEPS * size, *axes)) * most).astype(np.float32)
        neurons = random.integers(goal.shape.size, size=size)
        for _ in range(2):
            frames = _climbed(network, goal, neurons, frames, most)
        frames = frames.reshape(STEPS, size, *axes)
        start = random.integers(STEPS, size=size) * (random.random(size) < 0.3)
        frames *= (np.arange(STEPS)[:, None] >= start).reshape(STEPS, size, 1, 1, 1)
        share = random.random((1, size, 1, 1, 1)) * 0.3 * (random.random((1, size, 1, 1, 1)) < 0.3)
        flips = random.random(frames.shape) < share
        corners = random.integers(0, 2, frames.shape) * most
        frames = np.where(flips, most - frames, frames)
        at_random = (random.random(size) < 0.2).reshape(1, size, 1, 1, 1)
        parts.append(np.where(at_random, corners, frames).swapaxes(0, 1))
    found = np.concatenate(parts)[:count].astype(np.float32)
    found[0] = most
    return found


def _climbed(
    network: ir.Network, goal: ir.Layer, neurons: npt.NDArray[np.int64], frames: Array, most: int
) -> Array:
    axes = network.input.to_axes(frames)
    given = torch.from_numpy(axes.reshape(STEPS, -1, *axes.shape[1:])).requires_grad_()
    value = given
    module = to_torch(network, slope=5.0)
    assert isinstance(module, nn.Sequential)
    for layer, part in zip(network.layers, module, strict=True):
        if layer is goal:
            break
        if isinstance(part, snntorch.Leaky):
            part.reset_mem()
            value = torch.stack([part(now) for now in value])
        else:
            found = part(value.flatten(0, 1))
            value = found.reshape(STEPS, -1, *found.shape[1:])
    in_memory = value.movedim(2, -1).flatten(2)
    picked = in_memory[:, torch.arange(len(neurons)), torch.from_numpy(neurons)].sum()
    (slope,) = torch.autograd.grad(picked, given)
    rows = network.input.to_memory(slope.numpy()).reshape(frames.shape)
    return np.where(rows > 0, most, 0).astype(np.float32)


def built(network: ir.Network) -> Host:
    return Model.of(network, "network", "f32").build()


def assert_survivors_equal(
    original: ir.Network, pruned: passes.Pruned, recordings: npt.NDArray[np.float32] | list[Array]
) -> dict[str, npt.NDArray[np.int64]]:
    """No spike and no bit of a membrane differs; returns how often each channel of old fired."""
    assert soundness.fault(pruned.network) == ""
    ours, theirs = built(pruned.network), built(original)
    parts = {
        layer.name: pruned.kept[part.name]
        for part in passes.segments(original)
        for layer in part.layers
        if isinstance(layer, ir.Leaky)
    }
    fired = {layer.name: np.zeros(layer.shape.channels, np.int64) for layer in original.spiking}
    for frames in recordings:
        axes = original.input.to_axes(frames)
        before, after = theirs.spikes(axes), ours.spikes(axes)
        for name, spikes in before.items():
            assert np.array_equal(spikes[..., parts[name]], after[name]), name
            fired[name] += spikes.sum(axis=(0, 1, 2), dtype=np.int64)
        assert np.array_equal(theirs.run(axes), ours.run(axes))
    few = recordings[:3]
    for frames in few:
        then, now = (reference.run(one, frames).membranes for one in (original, pruned.network))
        for name, membranes in then.items():
            assert membranes[..., parts[name]].tobytes() == now[name].tobytes(), name
    return fired


def test_exactly_the_neurons_that_cannot_fire_are_removed() -> None:
    network = known()
    pruned = passes.prune(network)
    assert tuple(one.channel for one in pruned.removed) == KNOWN
    assert {one.reason for one in pruned.removed} == {"proven silent"}
    assert all(one.layer == "leaky1" and one.neurons == 1 for one in pruned.removed)
    assert all(
        one.bound is not None and one.threshold == 1.0 and one.bound <= 1.0
        for one in pruned.removed
    )
    assert pruned.kept["linear1"].tolist() == [0, 3, 5, 7]
    assert pruned.network.input_max == network.input_max
    fired = assert_survivors_equal(network, pruned, adversarial(network, ADVERSARIAL))
    assert not fired["leaky1"][list(KNOWN)].any()
    assert fired["leaky1"][pruned.kept["linear1"]].all(), "a kept neuron was never made to fire"


@pytest.mark.parametrize(("current", "silent"), [(0.75, True), (0.7501, False)])
def test_a_membrane_may_reach_its_threshold_and_not_exceed_it(current: float, silent: bool) -> None:
    # Without a decay's tail: beta 0, so that the membrane is the current, to the last bit.
    weight = [[current, 1.0]]
    chain = Chain(1, 1, 1, flat=True).linear(weight, [0, 0])
    chain.leaky(one(0.75 * (1 + 1e-5)), beta=0.0)
    network = chain.linear(np.ones((2, 2)), np.zeros(2)).leaky().network(most=1)
    assert (len(passes.prune(network).removed) == 1) == silent
    frames = np.ones((1, STEPS, 1, 1, 1), np.float32)
    fired = built(network).spikes(frames[0].reshape(STEPS, 1))["leaky1"]
    assert bool(fired[..., 0].any()) != silent


@pytest.mark.parametrize("seed", [0, 1])
def test_maps_lose_silent_channels_and_no_spike(seed: int) -> None:
    network = random_maps(seed)
    pruned = passes.prune(network)
    gone = [(one.layer, one.channel) for one in pruned.removed]
    assert gone == [("leaky1", 1), ("leaky1", 3), ("leaky1", 5), ("leaky2", 2)]
    assert [layer.shape.channels for layer in pruned.network.spiking] == [5, 5, 4]
    fired = assert_survivors_equal(network, pruned, adversarial(network, ADVERSARIAL))
    assert not fired["leaky1"][[1, 3, 5]].any() and fired["leaky1"].any()


def test_what_nothing_reads_goes_backwards_through_the_layers() -> None:
    random = np.random.default_rng(3)
    middle = random_weights(random, 6, 5)
    last = random_weights(random, 5, 3)
    last[4] = 0  # nothing reads neuron 4 of the second layer,
    middle[2, :4] = 0  # which alone reads neuron 2 of the first
    chain = Chain(1, 1, 4, flat=True).linear(random_weights(random, 4, 6), np.zeros(6)).leaky()
    network = chain.linear(middle, np.zeros(5)).leaky().linear(last, np.zeros(3)).leaky().network()
    pruned = passes.prune(network)
    assert [(one.layer, one.channel, one.reason) for one in pruned.removed] == [
        ("leaky2", 4, "unreachable"), ("leaky1", 2, "unreachable")]  # fmt: skip
    assert [layer.weight.shape for layer in pruned.network.layers if isinstance(layer, ir.Linear)
            ] == [(4, 5), (5, 4), (4, 3)]  # fmt: skip
    assert_survivors_equal(network, pruned, adversarial(network, 500))


def test_outputs_stay_and_so_does_one_channel_of_every_layer() -> None:
    chain = Chain(1, 1, 2, flat=True).linear(-np.ones((2, 3)), np.zeros(3)).leaky()
    network = chain.linear(-np.ones((3, 4)), np.zeros(4)).leaky().network()
    pruned = passes.prune(network)
    assert {name: kept.tolist() for name, kept in pruned.kept.items()} == {
        "linear1": [0], "linear2": [0, 1, 2, 3]}  # fmt: skip
    assert "leaky1" in pruned.notes[0] and "at least one channel" in pruned.notes[0]
    assert "leaky2" in pruned.notes[1] and "the classes" in pruned.notes[1]
    assert_survivors_equal(network, pruned, adversarial(network, 100))


def test_channels_of_a_convolution_in_groups_stay() -> None:
    weight = -np.ones((3, 3, 1, 4))
    chain = Chain(6, 6, 2).conv(weight, np.zeros(4), groups=2).leaky()
    chain.conv(np.ones((1, 1, 2, 4)), np.zeros(4), groups=2).leaky().flatten()
    network = chain.linear(np.ones((64, 2)), np.zeros(2)).leaky().network()
    pruned = passes.prune(network)
    assert not pruned.removed
    assert "conv1 has 2 groups" in pruned.notes[0] or "conv2 has 2 groups" in pruned.notes[0]


def test_silence_that_a_batch_norm_turns_into_a_number_stays() -> None:
    def behind(shift: float) -> ir.Network:
        chain = Chain(4, 4, 1).conv(-np.ones((1, 1, 1, 3)), np.zeros(3)).leaky()
        shifts = np.zeros((1, 1, 3))
        shifts[..., 1] = shift
        chain.affine(np.full((1, 1, 3), 2.0), shifts).flatten()
        return chain.linear(np.ones((48, 2)) / 8, np.zeros(2)).leaky().network()

    pruned = passes.prune(fold(behind(0.5)))
    assert pruned.kept["conv1"].tolist() == [1]
    assert "batch norm" in pruned.notes[0] or "at least one" in pruned.notes[0]
    assert_survivors_equal(behind(0.5), pruned, adversarial(behind(0.5), 100))
    pruned = passes.prune(fold(behind(0.0)))
    assert pruned.kept["conv1"].tolist() == [0]


def test_without_a_declared_range_only_what_needs_none_is_removed() -> None:
    network = dataclasses.replace(known(), input_max=None)
    assert [one.channel for one in passes.prune(network).removed] == [4]


def test_the_bounds_of_what_went_hold_in_the_reference() -> None:
    network = random_maps(1)
    limits = bounds.of(network)
    for frames in adversarial(network, 30):
        for name, membranes in reference.run(network, frames).membranes.items():
            assert (membranes <= limits.membranes[name].high).all(), name


def test_seed_networks_lose_no_spike_of_what_stays() -> None:
    folder = shared_folder("data", "nmnist", "Train")
    seeds = shared_folder("data", "seed")
    if folder is None or seeds is None:
        pytest.skip("the shared recordings and seed networks are not here")
    from benchmarks.seed_networks import seed_network
    from spikec.frontends.pytorch.module import import_network

    imported = import_network(seed_network(seeds, "nmnist"), (2, 34, 34), "seed")
    network = dataclasses.replace(fold(imported), input_max=255)
    pruned = passes.prune(network)
    assert [(one.layer, one.channel) for one in pruned.removed] == [
        ("leaky1", 11), ("leaky2", 2), ("leaky2", 13)]  # fmt: skip
    files = [file for digit in range(10) for file in sorted((folder / str(digit)).glob("*.bin"))]
    recordings = [
        network.input.to_memory(bin_events(read_nmnist(file), steps=20)) for file in files[::20]
    ]
    assert_survivors_equal(network, pruned, recordings)


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    """What the network of ``random_maps``, less what is silent, does with 40 recordings."""
    random = np.random.default_rng(5)
    recordings = [
        random.integers(0, 3, (12, 9, 8, 2)).astype(np.uint8) * (random.random((12, 9, 8, 2)) < 0.3)
        for _ in range(40)
    ]
    return Lessons.of(passes.prune(random_maps(0)).network, recordings, ())


def test_a_channel_that_goes_is_made_up_for(lessons: Lessons) -> None:
    network = passes.prune(random_maps(0)).network
    assert lessons.error(network) == 0
    slims = {
        (one.segment, one.axis): one
        for one in redundant._candidates(network, redundant._activity(network, lessons))
    }
    assert {("conv1", 0), ("conv1", 1), ("conv1", None), ("conv2", None)} <= set(slims)
    for (segment, axis), slim in slims.items():
        assert soundness.fault(slim.network) == ""
        if axis is None:
            cut = passes.keep(network, {segment: np.delete(np.arange(5), slim.channels)})
            assert len(slim.channels) == 1, "to a multiple of four"
        else:
            cut = passes.trim(network, segment, axis)
        assert [layer.shape for layer in slim.network.layers] == [
            layer.shape for layer in cut.layers
        ]
    seen = redundant._activity(network, lessons)["linear1"]
    readout = passes.segments(network)[-1].weights
    fit = redundant._Fit.of(readout, network, seen)
    worse = 0
    for channel in range(5):
        cut = passes.keep(network, {"conv2": np.delete(np.arange(5), channel)})
        fitted = redundant._refitted(cut, "linear1", fit.without_channel(channel))
        if lessons.error(cut) > 0.01:
            assert lessons.error(fitted) < lessons.error(cut)
            worse += 1
    assert worse > 1


def test_learning_never_makes_it_worse_and_gives_the_same_each_time(
    lessons: Lessons,
) -> None:
    network = passes.prune(random_maps(0)).network
    found = redundant.slimmer(network, lessons)
    assert found is not None
    assert redundant.cost(found.network, lessons) < redundant.cost(network, lessons)
    rough = passes.keep(network, {"conv1": np.arange(3)})
    learnt = lessons.learn(rough, 60)
    assert lessons.error(learnt) < lessons.error(rough)
    assert lessons.error(lessons.learn(network, 60)) == 0
    again = lessons.learn(rough, 60)
    for ours, theirs in zip(learnt.layers, again.layers, strict=True):
        if isinstance(ours, ir.Linear) and isinstance(theirs, ir.Linear):
            assert ours.weight.tobytes() == theirs.weight.tobytes()


def camera() -> ir.Network:
    """A network for recordings of 8x8 pixels, and 3 classes: where the events are."""
    random = np.random.default_rng(6)
    first = np.zeros((3, 3, 2, 8))
    first[..., :5] = np.abs(random.normal(0.3, 0.1, (3, 3, 2, 5)))
    first[..., 5:7] = -1
    chain = Chain(8, 8, 2).conv(first, np.zeros(8), padding=1).leaky().pool("max").flatten()
    weight = np.zeros((4, 4, 8, 3))
    for label in range(3):
        weight[label, :, :5, label] = 0.3
    return chain.linear(weight.reshape(-1, 3), np.zeros(3)).leaky().network(most=None)


def record(folder: Path, count: int, label: int, seed: int) -> None:
    """Recordings of a row of the map that says what class they are."""
    random = np.random.default_rng(seed)
    (folder / str(label)).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        events = int(random.integers(100, 140))
        write_nmnist(
            folder / str(label) / f"{seed}_{number}.bin",
            Recording(
                random.integers(0, 8, events).astype(np.int16),
                (2 * label + random.integers(0, 2, events)).astype(np.int16),
                random.integers(0, 2, events).astype(np.uint8),
                np.sort(random.integers(0, 1000, events)), 8, 8,
            ),
        )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for label in range(3):
        record(folder, 40, label, label)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "camera.spikec"
    network_file.write(path, network_file.Saved(camera(), 10))
    return path


def test_the_three_sets_share_no_recording_by_name_or_content(data: Path) -> None:
    network = camera()
    split = prune.split_recordings(data, network)
    sets = [split.calibration, split.validation, split.judged]
    assert sum(map(len, sets)) == 120 and not split.notes
    assert [held_out(one.path.name) for one in split.judged] == [True] * len(split.judged)
    digests = [{one.sha256() for one in of} for of in sets]
    names = [{one.path for one in of} for of in sets]
    for of in (digests, names):
        assert not (of[0] & of[1] or of[0] & of[2] or of[1] & of[2])


def test_a_judged_recording_under_another_name_calibrates_nothing(
    data: Path, tmp_path: Path
) -> None:
    network = camera()
    for label in range(3):
        (tmp_path / str(label)).mkdir()
        for file in (data / str(label)).glob("*.bin"):
            (tmp_path / str(label) / file.name).write_bytes(file.read_bytes())
    before = prune.split_recordings(tmp_path, network)
    judged, validating = before.judged[0], before.validation[0]
    copies = [name for name in (f"copy{number}.bin" for number in range(60)) if not held_out(name)]
    calibrating = [name for name in copies if zlib.crc32(name.encode()) // 4 % 3]
    (tmp_path / "0" / calibrating[0]).write_bytes(judged.path.read_bytes())
    (tmp_path / "0" / calibrating[1]).write_bytes(validating.path.read_bytes())
    (tmp_path / "0" / (set(copies) - set(calibrating)).pop()).write_bytes(judged.path.read_bytes())
    after = prune.split_recordings(tmp_path, network)
    for ours, theirs in zip(
        (after.calibration, after.validation, after.judged),
        (before.calibration, before.validation, before.judged),
        strict=True,
    ):
        assert [one.path.name for one in ours] == [one.path.name for one in theirs]
    assert len(after.notes) == 2
    assert after.notes[0].startswith("1 recording(s) left out of validation: the same bytes")
    assert after.notes[1].startswith("2 recording(s) left out of calibration: the same bytes")


def within(level: dict[str, float | None], original: dict[str, float | None]) -> bool:
    """Whether a level that was validated lost at most a point, on either set."""
    pairs = [(level[what], original[what]) for what in ("validation", "accuracy")]
    return all(ours is not None and ours >= (theirs or 0.0) - 0.01 for ours, theirs in pairs)


def test_the_command_writes_a_smaller_network_within_the_drop(
    data: Path, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report, figure = tmp_path / "small.spikec", tmp_path / "r.json", tmp_path / "c.svg"
    arguments = ["prune", str(saved), "--data", str(data), "--out", str(out), "--updates", "20"]
    arguments += ["--input-max", "100"]
    assert cli.main([*arguments, "--json", str(report), "--figure", str(figure)]) == 0
    text = capsys.readouterr().out
    found = json.loads(report.read_text())
    pruned = network_file.read(out)
    assert (pruned.steps, pruned.network.input_max) == (10, 100)
    assert pruned.network.output.shape == camera().output.shape
    names = [level["name"] for level in found["levels"]]
    assert names[:2] == ["original", "exact"]
    assert all(name in text for name in names) and f"* {found['chosen']}" in text
    chosen = found["levels"][names.index(found["chosen"])]
    assert chosen["accuracy"] >= found["levels"][0]["accuracy"] - 0.01
    smallest = [level["name"] for level in found["levels"] if within(level, found["levels"][0])][-1]
    assert found["chosen"] in (smallest, f"{smallest}, all")
    assert names[-1] == f"{smallest}, all", "the smallest has learnt from all recordings"
    assert chosen["figures"]["table_bytes"] < found["levels"][0]["figures"]["table_bytes"]
    assert chosen["figures"]["channels"] == {
        part.name: part.weights.shape.channels for part in passes.segments(pruned.network)
    }
    gone = {one["channel"]: one["reason"] for one in found["removed"] if one["layer"] == "leaky1"}
    assert sorted([*gone, *found["kept"]["conv1"]]) == list(range(8)), "each has its reason"
    assert gone[5] == gone[6] == "proven silent" and gone[7] == "proven silent"
    sets = [set(found["recordings"][name]) for name in ("calibration", "validation", "judged")]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert figure.read_text().startswith("<svg") and figure.read_text().count("<circle") == len(
        names
    )
    first = out.read_bytes()
    assert cli.main(arguments) == 0
    assert out.read_bytes() == first, "the same arguments, the same file"


def test_no_drop_at_all_is_always_possible(data: Path, saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.spikec"
    arguments = ["prune", str(saved), "--data", str(data), "--out", str(out), "--updates", "5"]
    report = tmp_path / "r.json"
    assert cli.main([*arguments, "--max-accuracy-drop", "0", "--json", str(report)]) == 0
    found = json.loads(report.read_text())
    accuracy = {level["name"]: level["accuracy"] for level in found["levels"]}
    assert accuracy[found["chosen"]] >= accuracy["original"]


def test_exact_pruning_needs_no_recordings(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small.spikec"
    assert cli.main(["prune", str(saved), "--exact", "--out", str(out)]) == 0
    assert "leaky1: 3 channel(s) proven silent: 5-7 (192 neurons)" in capsys.readouterr().out
    pruned = network_file.read(out)
    assert (pruned.steps, pruned.network.input_max) == (10, 255)
    assert pruned.network.spiking[0].shape.channels == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "prune needs --data DIR"),
        (["--data", "nowhere"], "there is no such folder"),
        (["--data", "few"], "recording(s) are left for"),
        (["--data", "full", "--input-max", "1"], "raise --input-max or --time-steps"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    arguments: list[str], sentence: str, data: Path, saved: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "few", 5, 0, 0)
    (tmp_path / "full").symlink_to(data)
    assert cli.main(["prune", str(saved), "--out", "small.spikec", *arguments]) == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "small.spikec").exists()


def test_a_split_that_is_too_small_names_what_is_missing(tmp_path: Path) -> None:
    record(tmp_path, 5, 0, 0)
    with pytest.raises(SpikecError, match=r"are left for .*at least 10 are needed"):
        prune.split_recordings(tmp_path, camera())
