# SPDX-License-Identifier: Apache-2.0
"""Bounds of values and membranes: no input breaks them, and the worst ones come up to them."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from spikec.ir import network as ir
from spikec.model import Model
from spikec.semantics import bounds, reference
from tests.kernels import cases
from tests.kernels.cases import affine, avgpool, case, conv, flatten, leaky, linear, maxpool

ONE = ir.Shape(1, 1, 1, flat=True)
RESETS: list[tuple[ir.ResetMechanism, bool]] = [
    ("subtract", True), ("subtract", False), ("zero", True), ("zero", False), ("none", True),
]  # fmt: skip


def values(*numbers: float) -> ir.Floats:
    """One a channel, ``[1, 1, c]``."""
    return np.array(numbers, np.float32).reshape(1, 1, -1)


def network_of(
    *layers: ir.Layer, inputs: ir.Shape = ONE, input_max: int | None = None
) -> ir.Network:
    """The layers, each reading the one before."""
    before = ir.INPUT
    chain = []
    for layer in layers:
        chain.append(dataclasses.replace(layer, inputs=(before,)))
        before = layer.name
    return ir.Network(inputs, tuple(chain), "", "", input_max)


def neurons(channels: int = 1, **options: Any) -> ir.Leaky:
    given: dict[str, Any] = {
        "beta": values(0.5), "threshold": values(1), "grade": values(1), "reset": "subtract",
        "reset_delay": True,
    } | options  # fmt: skip
    return ir.Leaky("leaky9", "9", ("",), ir.Shape(1, 1, channels, flat=True), **given)


def weights(rows: list[list[float]], bias: list[float]) -> ir.Linear:
    shape = ir.Shape(1, 1, len(bias), flat=True)
    weight = np.array(rows, np.float32)
    return ir.Linear("linear1", "0", ("",), shape, weight, np.array(bias, np.float32))


def single(low: float, high: float) -> bounds.Interval:
    return bounds.Interval(np.full((1, 1, 1), low), np.full((1, 1, 1), high))


def assert_inside(network: ir.Network, frames: ir.Floats, found: bounds.Bounds) -> reference.Trace:
    """What the reference makes of ``frames`` lies within the bounds of every layer."""
    trace = reference.run(network, frames)
    for kind, of in ((trace.values, found.values), (trace.membranes, found.membranes)):
        for name, reached in kind.items():
            bound = of[name]
            assert (reached >= bound.low).all(), (name, reached.min(), bound.low.min())
            assert (reached <= bound.high).all(), (name, reached.max(), bound.high.max())
    return trace


# One neuron, every kind of it.


def stepped(
    layer: ir.Leaky | ir.IntegerLeaky, membrane: npt.NDArray[Any], current: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The membranes before and after a reset that comes at once, of many such neurons.

    ``docs/numbers.md`` once more, so that a membrane can be steered and be seen in between.
    """
    threshold = layer.threshold.item()
    above = membrane > threshold
    kept = np.where(above, 0, membrane) if layer.reset == "zero" else membrane
    taken = np.where(above, threshold, 0) if layer.reset == "subtract" else np.zeros_like(membrane)
    if isinstance(layer, ir.IntegerLeaky):
        first = ((kept * layer.decay.item() + (1 << 14)) >> 15) + (current << layer.shift)
        first = first + layer.bias.item() - taken
    else:
        first = np.float32(layer.beta.item()) * kept + current - taken.astype(np.float32)
    if layer.reset_delay or layer.reset == "none":
        return first, first
    undone = threshold if layer.reset == "subtract" else first
    change = (first > threshold).astype(first.dtype) - above
    return first, (first - change * undone).astype(first.dtype)


CURRENTS = [(-1.0, 2.0), (0.0, 1.5), (0.5, 0.75), (-2.0, -0.5), (-3.0, 0.25), (0.0, 0.0)]
THRESHOLDS = [1.0, 0.25, 0.0, -0.5]


@pytest.mark.parametrize(("reset", "delay"), RESETS)
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.999, 1.0])
def test_a_float_membrane_is_driven_to_its_bounds_and_not_beyond(
    reset: ir.ResetMechanism, delay: bool, beta: float
) -> None:
    """Currents at random, at the ends, and such that the membrane comes to its threshold."""
    rng = np.random.default_rng(5)
    count, steps = 300, 160
    every = np.arange(count)
    for threshold, (low, high) in itertools.product(THRESHOLDS, CURRENTS):
        layer = neurons(
            beta=values(beta), threshold=values(threshold), reset=reset, reset_delay=delay
        )
        found = bounds.membrane(layer, single(low, high))
        membrane = np.zeros(count, np.float32)
        currents = np.empty((steps, count), np.float32)
        reached = []
        for t in range(steps):
            near = threshold + rng.choice([0, 1e-6, -1e-6], count)
            above = membrane > threshold
            kept = np.where(above & (reset == "zero"), 0, membrane)
            steered = near - beta * kept + np.where(above & (reset == "subtract"), threshold, 0)
            there = abs(membrane - threshold) < 1e-4
            ways = [
                np.full(count, low), np.full(count, high), np.where(there, high, steered),
                np.where(there, low, steered), rng.uniform(low, high, count),
            ]  # fmt: skip
            # A few neurons keep to one way, the others go each step another.
            now = np.choose(np.where(every < 20, every % 4, rng.integers(0, 5, count)), ways)
            currents[t] = np.clip(now, low, high)
            first, membrane = stepped(layer, membrane, currents[t])
            reached += [first, membrane]
        spikes, membranes = reference.leaky(layer, currents[:, None, None, :])
        np.testing.assert_array_equal(membranes[:, 0, 0], reached[1::2])
        np.testing.assert_array_equal(spikes[:, 0, 0], np.stack(reached[::2]) > threshold)
        lowest, highest = np.min(reached), np.max(reached)
        what = (threshold, low, high, found, lowest, highest)
        assert found.low.item() <= lowest, what
        assert highest <= found.high.item(), what
        # Where it is known what the worst a membrane can do is, it is done.
        fires = spikes.any() or found.high.item() <= threshold
        if beta < 0.999 and threshold >= 0 and delay and low <= 0 and fires:
            slack = 3e-5 * (1 + max(-lowest, highest))
            assert found.low.item() >= lowest - slack, what
            assert found.high.item() <= highest + slack, what
        if (found.high <= threshold).all():
            assert not spikes.any(), what


@pytest.mark.parametrize(("reset", "delay"), RESETS)
@pytest.mark.parametrize("decay", [0, 1, 16384, 29491, 31130])
def test_all_membranes_that_an_integer_neuron_can_have_lie_within_its_bounds(
    reset: ir.ResetMechanism, delay: bool, decay: int
) -> None:
    """Every one of them is found: from 0 on, by every current, until there are no new ones."""
    rng = np.random.default_rng(6)
    for threshold, bias, shift, (low, high) in itertools.product(
        (40, 7, 0, -9), (0, 5, -3), (0, 2), ((-3, 4), (0, 3), (1, 2), (-4, -1))
    ):
        layer = integers(
            decay=decay, threshold=threshold, bias=bias, shift=shift, reset=reset, delay=delay
        )
        found = bounds.membrane(layer, single(low, high))
        currents = np.arange(low, high + 1)
        least, most = int(found.low.item()), int(found.high.item())
        seen = np.zeros(most - least + 1, bool)
        new = np.zeros(1, np.int64)
        lowest, highest = most, least
        while len(new):
            first, kept = stepped(layer, new[:, None], currents[None])
            for reached in (first, kept):
                assert least <= reached.min(), (layer, low, high)
                assert reached.max() <= most, (layer, low, high)
                lowest, highest = min(lowest, reached.min()), max(highest, reached.max())
            new = np.unique(kept)
            new = new[~seen[new - least]]
            seen[new - least] = True
        # What rounding takes of a decay, the bound leaves room for in every step.
        slack = 1 / (1 - decay / (1 << 15)) + 1
        fires = highest > threshold or most <= threshold
        if threshold >= 0 and delay and low <= 0 and fires:
            assert highest >= most - slack, (layer, low, high)
            assert lowest <= least + slack, (layer, low, high)
        if reset == "none" and decay == 0:
            assert (lowest, highest) == (least, most), (layer, low, high)
        # That is what the reference computes.
        given = rng.integers(low, high + 1, (40, 1, 1, 9))
        membrane = np.zeros(9, np.int64)
        spikes, membranes = reference.integer_leaky(layer, given)
        for t, now in enumerate(given[:, 0, 0]):
            first, membrane = stepped(layer, membrane, now)
            np.testing.assert_array_equal(membranes[t, 0, 0], membrane)
            np.testing.assert_array_equal(spikes[t, 0, 0], first > threshold)


def integers(
    decay: int, threshold: int, bias: int, shift: int, reset: ir.ResetMechanism, delay: bool
) -> ir.IntegerLeaky:
    one = np.ones((1, 1, 1), np.int32)
    return ir.IntegerLeaky(
        "leaky9", "9", ("",), ONE, decay * one, threshold * one, bias * one, shift, 32, values(1),
        values(1), reset, delay,
    )  # fmt: skip


def test_a_decay_of_nearly_1_is_driven_to_its_bound() -> None:
    layer = integers(32767, 1000, 0, 0, "none", True)
    found = bounds.membrane(layer, single(-30, 30))
    membranes = reference.integer_leaky(layer, np.full((100_000, 1, 1, 1), 30))[1]
    assert found.high.item() == (30 + 0.5) * (1 << 15) == -found.low.item()
    assert found.high.item() >= membranes.max() > 0.92 * found.high.item()


def test_a_neuron_that_forgets_nothing_has_a_bound_only_where_a_reset_makes_one() -> None:
    def top(reset: ir.ResetMechanism, high: float, low: float = 0.0) -> float:
        layer = neurons(beta=values(1), reset=reset)
        return float(bounds.membrane(layer, single(low, high)).high.item())

    assert top("none", 0.5) == np.inf
    assert top("none", 0.0) == pytest.approx(0, abs=1e-5) or top("none", 0.0) == np.inf
    assert top("subtract", 1.5) == np.inf
    assert top("subtract", 0.75) == pytest.approx(1.75, abs=1e-5)
    assert top("zero", 1.5) == pytest.approx(2.5, abs=1e-5)
    down = bounds.membrane(neurons(beta=values(1)), single(-0.5, 0.75))
    assert down.low.item() == -np.inf


# Layers.


def test_the_bounds_of_one_layer_are_reached() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-8, 9, (6, 5)) / 4
    layer = weights(weight.tolist(), (rng.integers(-8, 9, 5) / 4).tolist())
    network = network_of(layer, inputs=ir.Shape(1, 1, 6, flat=True), input_max=7)
    found = bounds.of(network).values["linear1"]
    worst = np.stack([weight.T > 0, weight.T < 0]).reshape(2, 5, 1, 1, 6) * np.float32(7)
    up, down = (reference.run(network, frames).values["linear1"] for frames in worst)
    np.testing.assert_allclose(found.high.ravel(), up[:, 0, 0].diagonal(), rtol=1e-5)
    np.testing.assert_allclose(found.low.ravel(), down[:, 0, 0].diagonal(), rtol=1e-5)
    assert (found.high.ravel() >= up[:, 0, 0].diagonal()).all()
    assert (found.low.ravel() <= down[:, 0, 0].diagonal()).all()
    whole = Model.of(
        network_of(layer, neurons(5), inputs=network.input), "net", "int8", input_max=7
    )
    exact = bounds.of(whole.network).values["linear1"]
    steps = whole.network.layers[0]
    assert isinstance(steps, ir.Linear)
    counted = steps.weight.astype(np.int64)
    np.testing.assert_array_equal(exact.high.ravel(), 7 * np.maximum(counted, 0).sum(axis=0))
    np.testing.assert_array_equal(exact.low.ravel(), 7 * np.minimum(counted, 0).sum(axis=0))


def test_a_neuron_that_cannot_fire_hands_on_nothing_and_one_that_can_its_grade() -> None:
    layer = weights([[0.5, 0.499, 0.6, 0.6]], [0, 0, 0, 0])
    grades = values(1, 1, 2, -3)
    network = network_of(layer, neurons(4, grade=grades), input_max=1)
    found = bounds.of(network)
    # The first one tends to its threshold, 1, and roundings may carry it above: nothing is proven.
    np.testing.assert_array_equal(found.values["leaky9"].high.ravel(), [1, 0, 2, 0])
    np.testing.assert_array_equal(found.values["leaky9"].low.ravel(), [0, 0, 0, -3])
    assert (
        found.membranes["leaky9"].high.ravel()[1] <= 1 < found.membranes["leaky9"].high.ravel()[2]
    )
    trace = assert_inside(network, np.ones((50, 1, 1, 1), np.float32), found)
    assert trace.spikes["leaky9"][..., 1].sum() == 0 < trace.spikes["leaky9"][..., 2].sum()


def test_without_a_declared_range_inputs_have_no_bound_and_what_reads_none_has() -> None:
    layer = weights([[0.25, 0, -1]], [0, 2, 1])
    found = bounds.of(network_of(layer, neurons(3)))
    assert found.values[ir.INPUT].low.item() == -np.inf
    assert found.values[ir.INPUT].high.item() == np.inf
    np.testing.assert_array_equal(found.values["linear1"].high.ravel(), [np.inf, 2, np.inf])
    np.testing.assert_array_equal(found.values["linear1"].low.ravel(), [-np.inf, 2, -np.inf])
    # The second neuron is driven by its bias alone, and fires.
    high = found.membranes["leaky9"].high.ravel()
    assert high[0] == high[2] == np.inf
    assert high[1] == pytest.approx(2.5, abs=1e-5)
    np.testing.assert_array_equal(found.values["leaky9"].high.ravel(), [1, 1, 1])
    assert_inside(network_of(layer, neurons(3)), np.full((9, 1, 1, 1), 1e30, np.float32), found)


def test_a_batch_norm_of_scale_0_bounds_any_input() -> None:
    norm = ir.Affine("norm1", "0", ("",), ONE, values(0), values(2))
    network = network_of(norm, neurons())
    found = bounds.of(network)
    assert found.values["norm1"].high.item() == pytest.approx(2)
    assert found.values["leaky9"].high.item() == 1
    assert_inside(network, np.full((9, 1, 1, 1), -1e30, np.float32), found)


def test_roundings_of_subnormal_numbers_lie_within() -> None:
    """They round by half the least number, however small themselves."""
    rng = np.random.default_rng(2)
    least = 2.0**-149
    shape = ir.Shape(1, 1, 400, flat=True)
    # Products of 0.5 and odd multiples of the least number are rounded to even ones, up or down.
    weight = (rng.integers(0, 8, (400, 3)) * 2 + 1) * least
    network = network_of(weights(weight.tolist(), [0, 0, 0]), inputs=shape, input_max=1)
    found = bounds.of(network)
    for part in (1.0, 0.75, 0.5, 0.25):
        assert_inside(network, np.full((1, 1, 1, 400), part, np.float32), found)
    high, low = found.values["linear1"].high, weight.sum(axis=0)
    assert (high.ravel() >= low + 400 * least / 2).all()


@pytest.mark.parametrize("divisor", [4.0, -2.0])
def test_means_and_largest_values_are_bounded_window_by_window(divisor: float) -> None:
    shape, out = ir.Shape(3, 3, 1, flat=False), ir.Shape(2, 2, 1, flat=False)
    shift = np.arange(9, dtype=np.float32).reshape(3, 3, 1) - 4
    norm = ir.Affine("norm1", "0", ("",), shape, values(-1), shift)
    mean = ir.AvgPool2d("pool2", "1", ("",), out, (2, 2), (1, 1), (0, 0),
                        np.full((2, 2), divisor, np.float32))  # fmt: skip
    most = ir.MaxPool2d("pool2", "1", ("",), out, (2, 2), (1, 1), (0, 0), (1, 1), False)
    corners = np.array(list(itertools.product((0, 2), repeat=9)), np.float32).reshape(-1, 3, 3, 1)
    for pool in (mean, most):
        network = network_of(norm, pool, inputs=shape, input_max=2)
        found = bounds.of(network)
        reached = assert_inside(network, corners, found).values["pool2"]
        np.testing.assert_allclose(found.values["pool2"].high, reached.max(axis=0), atol=1e-5)
        np.testing.assert_allclose(found.values["pool2"].low, reached.min(axis=0), atol=1e-5)


# Whole networks.

NETWORKS = (
    case("convolutions", (2, 6, 5), conv(4, 3, padding=1), leaky("none"), conv(5, 2),
         leaky(beta=cases.CHANNEL, threshold=cases.CHANNEL), most=3),
    case("pooled", (2, 7, 6), conv(4, 2), maxpool(2), leaky("subtract", False), flatten(),
         linear(5), leaky("zero", beta=0.97), most=15),
    case("averages", (2, 6, 6), avgpool(2, 1), conv(3, 2), avgpool(2), leaky(beta=cases.NEURON),
         flatten(), linear(4), leaky("zero", False), most=255),
    case("groups and strides", (4, 7, 6), conv(6, 3, 2, 1, groups=2), leaky("zero"),
         conv(4, 2, dilation=2, padding=1), leaky("subtract", False, beta=0.5), most=1),
    case("graded spikes", (2, 6, 5), conv(4, 2), leaky(grade=cases.CHANNEL), conv(3, 3),
         leaky(grade=-1.5), flatten(), linear(4), leaky(beta=0.0), most=3),
    case("normed", (2, 6, 5), affine(), conv(4, 2), leaky(), affine(), conv(3, 2), leaky(),
         most=7),
    case("linear", (12,), linear(9), leaky(beta=0.99), linear(7), leaky("none", beta=0.9),
         most=999),
    case("neurons on neurons", (2, 4, 4), leaky(threshold=0.5, beta=0.5),
         leaky("zero", False, beta=0.9, threshold=0.5), conv(3, 2, mean=-0.3),
         leaky(threshold=-0.1, beta=0.7), most=2),
)  # fmt: skip


@pytest.mark.parametrize("numbers", ["f32", "int8"])
@pytest.mark.parametrize("row", NETWORKS, ids=lambda row: row.name)
def test_inputs_that_are_made_to_break_the_bounds_of_a_network_do_not(
    row: cases.Case, numbers: Literal["f32", "int8"]
) -> None:
    """The worst recordings for one layer, made worse step by step for each layer behind."""
    row = dataclasses.replace(row, name=f"{numbers}: {row.name}", numbers=numbers)
    drawn = cases.draw(row)
    network = cases.model(row, drawn, "net").network
    found = bounds.of(network)
    assert row.most is not None
    rng = np.random.default_rng(1)
    assert_inside(network, drawn.frames, found)
    for layer in network.spiking:
        bound = found.membranes[layer.name]
        for sign in (1, -1):
            search = Search(network, found, layer.name, sign, row.most, rng)
            reached = search.run()
            limit = bound.high.max() if sign > 0 else -bound.low.min()
            assert reached <= limit
            assert isinstance(layer, ir.Leaky | ir.IntegerLeaky)
            if layer is network.spiking[0] and layer.reset == "none":
                assert reached > 0.9 * limit, (layer.name, sign, reached, limit)


class Search:
    """Looks for a recording that takes some membrane of a layer as far as it goes."""

    STEPS = 24
    TRIES = 24

    def __init__(
        self, network: ir.Network, found: bounds.Bounds, layer: str, sign: int, most: int,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.network, self.found, self.layer, self.sign = network, found, layer, sign
        self.most, self.rng = most, rng
        shape = network.input
        self.axes = (shape.height, shape.width, shape.channels)

    def run(self) -> float:
        """How far it got, times the sign."""
        starts = [self.worst(), np.ones((self.STEPS, *self.axes), np.float32) * self.most,
                  np.zeros((self.STEPS, *self.axes), np.float32)]  # fmt: skip
        best = max(starts, key=self.score)
        score = self.score(best)
        for _ in range(self.TRIES):
            frames = best.copy()
            change = self.rng.random(frames.shape) < self.rng.choice([0.02, 0.1, 0.4])
            if self.rng.random() < 0.5:  # alike in all steps from one on
                change[:] = change[:1]
                change[: self.rng.integers(0, self.STEPS)] = False
            frames[change] = self.most - frames[change]
            found = self.score(frames)
            if found >= score:
                best, score = frames, found
        return score

    def score(self, frames: ir.Floats) -> float:
        trace = assert_inside(self.network, frames, self.found)
        return float((self.sign * trace.membranes[self.layer]).max())

    def worst(self) -> ir.Floats:
        """The inputs that alone push some membrane the right way, all the time.

        Membranes of the first layers are linear in the input but for what resets take.
        """
        each = np.zeros((self.network.input.size, *self.axes), np.float32)
        each.reshape(len(each), -1)[np.diag_indices(len(each))] = 1
        silent = reference.run(self.network, each[:1] * 0).membranes[self.layer]
        reach = np.stack([
            reference.run(self.network, frame[None]).membranes[self.layer][0] - silent[0]
            for frame in each
        ]).reshape(len(each), -1) * self.sign  # fmt: skip
        best = np.maximum(reach, 0).sum(axis=0).argmax()
        frame = (reach[:, best] > 0).reshape(self.axes) * np.float32(self.most)
        return np.repeat(frame[None], self.STEPS, axis=0)
