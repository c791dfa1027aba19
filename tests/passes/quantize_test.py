# SPDX-License-Identifier: Apache-2.0
"""Networks in integers: how they are rounded, what is refused, how near to float they are."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

import spikec
from models.nmnist.net import INPUT_SHAPE, STEPS, net
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir.operations import SIZES
from spikec.model import Model
from spikec.passes.quantize import INPUT_MAX
from spikec.recordings.events import bin_events, read_nmnist
from spikec.semantics import bounds, reference
from spikec.targets import host
from tests.kernels import cases
from tests.kernels.cases import (
    CHANNEL,
    NEURON,
    avgpool,
    case,
    conv,
    flatten,
    leaky,
    linear,
    maxpool,
)

MAP = (2, 7, 6)


def drawn(*layers: cases.Grow, axes: tuple[int, ...] = MAP, most: int | None = 3) -> ir.Network:
    """A network of float32 whose layers spike now and then for counts up to ``most``."""
    return cases.draw(case("a network to quantise", axes, *layers, most=most)).network


def whole(network: ir.Network, input_max: int | None = None) -> ir.Network:
    return Model.of(network, "net", "int8", input_max=input_max).network


def with_layer(network: ir.Network, name: str, **fields: Any) -> ir.Network:
    """The network with other fields in one layer."""
    layers = tuple(
        dataclasses.replace(layer, **fields) if layer.name == name else layer
        for layer in network.layers
    )
    return dataclasses.replace(network, layers=layers)


def weighted(network: ir.Network) -> list[ir.Conv2d | ir.Linear]:
    return [layer for layer in network.layers if isinstance(layer, ir.Conv2d | ir.Linear)]


Pair: TypeAlias = tuple[ir.Conv2d | ir.Linear, Any, ir.Leaky, ir.IntegerLeaky]


def pairs(network: ir.Network, made: ir.Network) -> list[Pair]:
    """Each layer with weights, in both forms, and the neurons that it drives, in both."""
    found: list[Pair] = []
    for one, other, before, after in zip(
        weighted(network), weighted(made), network.spiking, made.spiking, strict=True
    ):
        assert isinstance(before, ir.Leaky)
        assert isinstance(after, ir.IntegerLeaky)
        found.append((one, other, before, after))
    return found


# Rounding.


def test_weights_are_whole_steps_of_their_channel_and_errors_cancel() -> None:
    network = drawn(conv(5, 3), leaky(), conv(6, 3, groups=1), leaky("zero"), flatten(),
                    linear(7), leaky())  # fmt: skip
    flips = taps = 0
    for float_layer, layer, _, neurons in pairs(network, whole(network)):
        assert layer.weight.dtype == np.int8
        assert not layer.bias.any()
        unit = neurons.unit.astype(np.float64).ravel() * (1 << neurons.shift)
        weight = float_layer.weight.astype(np.float64)
        np.testing.assert_allclose(
            unit, abs(weight).reshape(-1, weight.shape[-1]).max(axis=0) / 127, rtol=1e-6
        )
        error = layer.weight - weight / unit
        assert (
            abs(layer.weight.astype(int)).reshape(-1, weight.shape[-1]).max(axis=0) == 127
        ).all()
        assert abs(error).max() < 1 + 1e-4
        # The taps of a channel pair; of a linear layer those of one input channel.
        if isinstance(layer, ir.Linear):
            channels = network.shape_of(float_layer.inputs[0]).channels
        else:
            channels = weight.shape[2]
        assert abs(error.reshape(-1, channels, weight.shape[-1]).sum(axis=0)).max() <= 0.5 + 1e-3
        flips += int((abs(error) > 0.5 + 1e-4).sum())
        taps += error.size
        # As rounded to the nearest they would not.
        nearest = np.rint(weight / unit) - weight / unit
        assert abs(nearest.reshape(-1, channels, weight.shape[-1]).sum(axis=0)).max() > 0.6
    assert 0 < flips < 0.2 * taps


def test_a_tap_goes_the_other_way_only_where_errors_add_up_to_more_than_half() -> None:
    def rounded(*taps: float) -> list[int]:
        """Of one channel pair whose largest weight is 127 steps."""
        weight = np.array([*taps, 127], np.float32).reshape(-1, 1, 1, 1)
        one = drawn(conv(1, (len(weight), 1)), leaky("none"), axes=(1, len(weight), 2))
        one = with_layer(one, "conv1", weight=weight, bias=np.zeros(1, np.float32))
        return [int(step) for step in weighted(whole(one))[0].weight.ravel()]

    assert rounded(3.4, -8.3, 20.0) == [3, -8, 20, 127]  # errors -0.4 and 0.3
    assert rounded(3.4, 8.3, 20.0) == [4, 8, 20, 127]  # -0.7: the nearest to the middle goes up
    assert rounded(3.6, 8.7, 5.7, 0.0) == [3, 9, 6, 0, 127]  # 0.4, 0.3 and 0.3
    assert rounded(-3.4, -8.3, 0.0) == [-4, -8, 0, 127]
    assert rounded(0.3, 0.3, 0.3, 0.3, 0.3) == [0, 0, 0, 1, 1, 127]  # -1.5: two of them


def test_thresholds_biases_and_decays_are_what_the_equations_say() -> None:
    network = drawn(conv(5, 3), leaky(beta=CHANNEL, threshold=NEURON), conv(4, 2),
                    leaky("zero", False, 0.9, CHANNEL), flatten(), linear(7),
                    leaky("none", beta=NEURON))  # fmt: skip
    for float_layer, _, leaky_layer, neurons in pairs(network, whole(network)):
        weight = float_layer.weight.astype(np.float64)
        unit = abs(weight).reshape(-1, weight.shape[-1]).max(axis=0) / 127 / (1 << neurons.shift)
        shape = neurons.shape
        axes = (shape.height, shape.width, shape.channels)
        for ours, exact in (
            (neurons.threshold, leaky_layer.threshold.astype(np.float64) / unit),
            (neurons.bias, float_layer.bias.astype(np.float64) / unit),
            (neurons.decay, leaky_layer.beta.astype(np.float64) * (1 << 15)),
        ):
            assert ours.dtype == np.int32
            np.testing.assert_array_equal(
                np.broadcast_to(ours, axes), np.broadcast_to(np.rint(exact), axes)
            )
        np.testing.assert_array_equal(
            np.broadcast_to(neurons.unit, axes), np.broadcast_to(unit.astype(np.float32), axes)
        )
        assert (neurons.reset, neurons.reset_delay) == (leaky_layer.reset, leaky_layer.reset_delay)


@pytest.mark.parametrize("most", [1, 3, 15, 255, 4095, 32767])
def test_of_the_types_the_smaller_and_of_the_shifts_the_largest_is_taken(most: int) -> None:
    for network in (
        drawn(linear(9), leaky(beta=0.5), linear(8), leaky(), axes=(11,), most=most),
        grown(conv(4, 3), leaky("none", beta=0.97), conv(4, 2), leaky("zero", beta=0.97)),
        grown(leaky(beta=0.5), leaky("none", beta=0.9)),
    ):
        assert_smallest_and_finest(dataclasses.replace(network, input_max=most))


def assert_smallest_and_finest(network: ir.Network) -> None:
    made = whole(network)
    found = bounds.of(made)
    for layer in made.spiking:
        assert isinstance(layer, ir.IntegerLeaky)
        current = found.values[layer.inputs[0]]

        def fits(shift: int, bits: int, layer: ir.IntegerLeaky = layer, current: Any = current
                 ) -> bool:  # fmt: skip
            """Whether the same neurons with another shift do, whose numbers go with it."""
            part = 2.0 ** (shift - layer.shift)
            other = dataclasses.replace(
                layer, shift=shift,
                threshold=np.rint(layer.threshold * part).astype(np.int32),
                bias=np.rint(layer.bias * part).astype(np.int32),
            )  # fmt: skip
            largest = bounds.membrane(other, current).largest
            held = 0.5 / (1 - layer.decay / 32768)
            fine = bits == 32 or (held * 32 <= other.threshold).all()
            narrow = current.largest <= (32767 if bits == 16 else 1 << 30)
            return bool(largest <= (32767 if bits == 16 else (1 << 30) - 1) and narrow and fine)

        assert fits(layer.shift, layer.bits)
        if layer.shift < (6 if layer.bits == 16 else 8):
            assert not fits(layer.shift + 1, layer.bits)
        if layer.bits == 32:
            assert not any(fits(shift, 16) for shift in range(7))
    planned = Model.of(network, "net", "int8").plan.membranes
    assert [8 * SIZES[buffer.ctype] for buffer in planned] == [
        layer.bits for layer in made.spiking if isinstance(layer, ir.IntegerLeaky)
    ]


def test_a_unit_is_not_finer_than_a_part_of_the_threshold_that_matters() -> None:
    """Weights that hardly move a membrane make no threshold of millions of steps."""
    network = drawn(linear(5), leaky("none"), axes=(9,))
    tiny = np.full((9, 5), 1e-9, np.float32)
    made = whole(with_layer(network, "linear1", weight=tiny, bias=np.zeros(5, np.float32)))
    neurons = made.spiking[0]
    assert isinstance(neurons, ir.IntegerLeaky)
    assert neurons.unit.item() * (1 << neurons.shift) == 1 / (1 << 14)
    assert neurons.bits == 16
    assert neurons.threshold.item() == 32767  # which no membrane of 16 bits exceeds
    assert not weighted(made)[0].weight.any()
    # Nor does anything go wrong where there is nothing at all.
    nothing = with_layer(network, "linear1", weight=0 * tiny, bias=np.zeros(5, np.float32))
    nothing = with_layer(nothing, "leaky2", threshold=np.zeros((1, 1, 1), np.float32))
    spikes = reference.run(whole(nothing), np.ones((4, 1, 1, 9), np.float32)).spikes["leaky2"]
    assert not spikes.any()


# Folding: of numbers that are whole steps already nothing is lost, and int8 is float exactly.


def with_layers(network: ir.Network, layers: list[ir.Layer]) -> ir.Network:
    return dataclasses.replace(network, layers=tuple(layers))


def exact(*layers: cases.Grow, axes: tuple[int, ...] = MAP, most: int = 3) -> ir.Network:
    """A network whose weights, times the sizes of what they read, are whole 128ths up to 127."""
    network = drawn(*layers, axes=axes, most=most)
    rng = np.random.default_rng(4)
    made: list[ir.Layer] = []
    size = np.ones((*network.input.axes[1:], network.input.channels))  # of a count that is read
    for layer in network.layers:
        match layer:
            case ir.Conv2d() | ir.Linear():
                steps = rng.integers(-100, 128, layer.weight.shape)
                steps.reshape(-1, steps.shape[-1])[0] = 127  # of every output channel
                if isinstance(layer, ir.Linear):
                    reads = size.reshape(-1, 1)
                else:
                    groups = size[0, 0].reshape(layer.groups, -1).T
                    reads = groups.repeat(layer.shape.channels // layer.groups, axis=1)
                bias = rng.integers(-60, 61, layer.bias.shape)
                layer = dataclasses.replace(
                    layer, weight=(steps / 128 / reads).astype(np.float32),
                    bias=(bias / 128).astype(np.float32),
                )  # fmt: skip
                shape = layer.shape
                size = np.ones((shape.height, shape.width, shape.channels))
            case ir.AvgPool2d():
                size = size[:1, :1] / layer.divisors[..., None]
            case ir.MaxPool2d():
                size = np.ones((*layer.shape.axes[1:], 1)) * size[:1, :1]
            case ir.Affine():
                size = size * layer.scale
            case ir.Leaky():
                # Counts alone are small, and so is a spike.
                most_steps = 600 if weighted(with_layers(network, made)) else 200
                threshold = rng.integers(64, most_steps, layer.threshold.shape) / 128
                grade = np.where(layer.grade == 1, 1.0, np.sign(layer.grade) * 2)
                layer = dataclasses.replace(
                    layer, threshold=threshold.astype(np.float32), grade=grade.astype(np.float32)
                )
                size = np.ones_like(size) * layer.grade
            case _:
                pass
        made.append(layer)
    return with_layers(network, made)


def norm(scale: float | str, shift: float | str) -> cases.Grow:
    """A batch norm of powers of two; a shift for each channel when it is CHANNEL."""

    def grow(draft: cases.Draft) -> ir.Layer:
        channels = draft.shape.channels
        scales = np.resize([0.5, 2.0, 1.0], channels) if scale == CHANNEL else np.full(1, scale)
        shifts = np.resize([0.25, -0.5, 1.0], channels) if shift == CHANNEL else np.full(1, shift)
        return ir.Affine(
            **draft.same("norm"), scale=scales.astype(np.float32).reshape(1, 1, -1),
            shift=shifts.astype(np.float32).reshape(1, 1, -1),
        )  # fmt: skip

    return grow


FOLDED = {
    "nothing": (conv(4, 3, padding=1), leaky(beta=0.5), conv(3, 2), leaky("zero", False, 0.5)),
    "a batch norm of the input": (norm(0.5, CHANNEL), conv(4, 3), leaky(beta=0.5)),
    "a batch norm of spikes, each channel its own": (
        conv(4, 3), leaky(beta=0.5), norm(CHANNEL, CHANNEL), conv(6, 2, groups=2),
        leaky("zero", beta=0.5)),
    "a batch norm of spikes into a linear layer": (
        conv(3, 3), leaky(beta=0.5), norm(CHANNEL, CHANNEL), flatten(), linear(5),
        leaky(beta=0.5)),
    "a batch norm of averaged currents": (
        conv(4, 2), avgpool(2), norm(CHANNEL, CHANNEL), leaky(beta=0.5)),
    "a batch norm that turns counts round": (
        norm(-1.0, 0.5), conv(4, 3), leaky(beta=0.5)),
    "graded spikes": (
        conv(4, 3), leaky(beta=0.5, grade=2.0), conv(3, 2), leaky(beta=0.5, grade=-2.0),
        flatten(), linear(4), leaky(beta=0.5)),
    "graded spikes, each neuron its own": (
        conv(4, 3), leaky(beta=0.5, grade=NEURON), flatten(), linear(4), leaky(beta=0.5)),
    "averages of the input": (avgpool(2), conv(4, 2), leaky(beta=0.5)),
    "averages of spikes": (conv(4, 2), leaky(beta=0.5), avgpool(2), conv(3, 2), leaky(beta=0.5)),
    "averages of currents, cut at the edge": (conv(4, 2), avgpool(2, 2, 1), leaky(beta=0.5)),
    "averages, cut at the edge, into a linear layer": (
        avgpool(2, 2, 1), norm(2.0, 0.5), flatten(), linear(5), leaky(beta=0.5)),
    "currents pooled": (conv(4, 2), maxpool(2), leaky(beta=0.5)),
    "currents pooled apart": (conv(4, 2), maxpool(3, 1), leaky("zero", beta=0.0)),
    "counts pooled": (maxpool(2, 1, 1), conv(4, 2), leaky(beta=0.5)),
    "neurons on counts, and on graded spikes": (
        leaky(beta=0.5, grade=2.0), leaky("subtract", False, 0.5), conv(4, 3), leaky(beta=0.5)),
}  # fmt: skip


@pytest.mark.parametrize("what", FOLDED)
def test_of_a_network_in_whole_steps_nothing_is_lost(what: str) -> None:
    """Spikes are those of float, and so are membranes, in their units."""
    network = exact(*FOLDED[what])
    made = whole(network)
    assert not any(isinstance(layer, ir.Affine) for layer in made.layers)
    frames = np.random.default_rng(8).integers(0, 4, (5, 7, 6, 2)).astype(np.float32)
    theirs, ours = reference.run(network, frames), reference.run(made, frames)
    for layer in made.spiking:
        assert isinstance(layer, ir.IntegerLeaky)
        np.testing.assert_array_equal(theirs.spikes[layer.name], ours.spikes[layer.name])
        membranes = ours.membranes[layer.name] * layer.unit.astype(np.float64)
        # Halves of halves below a count of the membrane are rounded, and so is a bias.
        np.testing.assert_allclose(
            membranes, theirs.membranes[layer.name], atol=2.01 * float(layer.unit.max())
        )
    assert any(0.02 < spikes.mean() < 0.98 for spikes in theirs.spikes.values())


# What is refused.


REFUSED: dict[str, tuple[tuple[cases.Grow, ...], int | None, str]] = {
    "beta = 1": (
        (conv(4, 3), leaky(beta=1.0)), None,
        "leaky2: with beta = 1 its membrane has "
        "no bound; use a beta below 1, or use numbers='f32'."),
    "two convolutions": (
        (conv(4, 3), conv(3, 2), leaky()), None,
        "conv2: it reads currents of another "
        "layer, which are no counts; put a spiking layer between the two, or use numbers='f32'."),
    "a convolution and a linear layer, a pooling between": (
        (conv(4, 3), maxpool(2), flatten(), linear(3), leaky()), None,
        "linear4: it reads currents of"),
    "a shift before padding": (
        (norm(2.0, CHANNEL), conv(4, 3, padding=1), leaky()), None,
        "conv2: a batch norm shifts its inputs, "
        "but not the padding around them; put the batch norm after the convolution, or use "
        "numbers='f32'."),
    "a scale below 0 before a max pooling": (
        (norm(-2.0, 0.0), maxpool(2), conv(4, 2), leaky()), None,
        "pool2: a batch norm or the size of spikes turns the largest value into the smallest; keep "
        "scales above 0 before a max pooling, or use numbers='f32'."),
    "spikes of a size below 0 before a max pooling": (
        (conv(4, 2), leaky(grade=-1.0), maxpool(2), conv(4, 2), leaky()), None,
        "pool3: a batch norm or the size of"),
    "spikes of their own sizes before a pooling": (
        (conv(4, 2), leaky(grade=NEURON), avgpool(2), conv(4, 2), leaky()), None,
        "pool3: the sizes of the values in its "
        "windows differ; pool without padding before it, or use numbers='f32'."),
    "cut averages before a convolution": (
        (avgpool(2, 2, 1), conv(4, 2), leaky()), None,
        "conv2: the sizes of its inputs differ "
        "from position to position; pool without padding or ceil_mode, or use numbers='f32'."),
    "currents scaled by less than 0": (
        (conv(4, 2), avgpool(2), norm(-1.0, 0.0), leaky()), None,
        "leaky4: a batch norm before it scales a "
        "channel by 0 or less; fold the batch norm into the weights, or use numbers='f32'."),
    "counts of more than 16 bits": (
        (avgpool(3), conv(4, 2), leaky()), 4000,
        "pool1: for inputs up to 4000 its sums "
        "exceed 16 bits; declare a smaller input_max, or use numbers='f32'."),
    "membranes of more than 30 bits": (
        (conv(4, 3), leaky(beta=0.9999)), 32767,
        "leaky2: for inputs up to 32767 its "
        "membrane may exceed 30 bits; declare a smaller input_max, or use a smaller beta, or use "
        "numbers='f32'."),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_give_other_spikes_is_refused(what: str) -> None:
    layers, most, said = REFUSED[what]
    network = grown(*layers)
    with pytest.raises(spikec.SpikecError) as caught:
        whole(network, most)
    name, why = said.split(": ", 1)
    torch = next(layer.source for layer in network.layers if layer.name == name)
    start = f"layer {name} (torch {torch!r}): numbers='int8' cannot compute it: "
    assert str(caught.value).startswith(start + why)
    assert str(caught.value).endswith("or use numbers='f32'.")
    Model.of(network, "net", "f32")


def grown(*layers: cases.Grow, axes: tuple[int, ...] = MAP) -> ir.Network:
    """A network with random weights, whether or not its layers spike."""
    shape = ir.Shape(axes[1], axes[2], axes[0], flat=False)
    draft = cases.Draft((), shape, np.random.default_rng(0))
    for grow in layers:
        draft = draft.then(grow)
    return ir.Network(shape, draft.layers, "", "")


def test_just_as_much_as_fits_is_taken() -> None:
    """The other side of the limits: sums of 16 bits, and no padding to be shifted."""
    for layers, most in (
        ((avgpool(3), conv(4, 2), leaky()), 3640),
        ((norm(2.0, CHANNEL), conv(4, 3), leaky()), None),
        ((avgpool(2, 2, 1), flatten(), linear(4), leaky()), None),
        ((conv(4, 3), leaky(beta=0.9999)), 2),
    ):
        whole(grown(*layers), most)
    with pytest.raises(spikec.SpikecError, match="its sums exceed 16 bits"):
        whole(grown(avgpool(3), conv(4, 2), leaky()), 3641)


def test_inputs_are_declared_to_be_at_most_255_unless_one_says_otherwise() -> None:
    network = grown(conv(4, 3), leaky())
    assert whole(network).input_max == INPUT_MAX == 255
    assert whole(network, 7).input_max == 7
    assert whole(dataclasses.replace(network, input_max=31)).input_max == 31
    assert whole(dataclasses.replace(network, input_max=31), 7).input_max == 7
    assert Model.of(network, "net", "f32").network.input_max is None
    for wrong in (0, -1, 32768):
        with pytest.raises(
            spikec.SpikecError, match=f"input_max={wrong} is not within 1 and 32,767."
        ):
            whole(network, wrong)
    with pytest.raises(
        spikec.SpikecError, match="input_max=32 is more than the 31 that the network"
    ):
        whole(dataclasses.replace(network, input_max=31), 32)
    files = Model.of(network, "net", "int8", input_max=7).files()
    said = files["net.h"].replace("\n//          ", " ")
    assert "for integer inputs from 0 to 7" in said
    said = " ".join(files["net.h"].replace("\n// ", " ").split())
    assert "a value that is not an integer from 0 to 7." in said


def test_kernels_of_int8_leave_nothing_to_choose() -> None:
    network = grown(conv(4, 3), leaky())
    sentence = "numbers='int8' has event-driven kernels only, so there is nothing to choose; leave "
    with pytest.raises(spikec.SpikecError, match=sentence):
        Model.of(network, "net", "int8", "dense")
    with pytest.raises(spikec.SpikecError, match=sentence):
        Model.of(network, "net", "int8", calibration=[np.zeros((3, *MAP))])
    with pytest.raises(spikec.SpikecError, match="numbers='int4' is not supported"):
        Model.of(network, "net", "int4")
    event = Model.of(network, "net", "int8", "event").files()
    assert event == Model.of(network, "net", "int8").files()


def test_the_same_network_gives_the_same_whole_numbers_and_files() -> None:
    layers = (conv(5, 3), leaky(grade=CHANNEL), avgpool(2), conv(4, 2), leaky("zero", False))
    one, other = (Model.of(drawn(*layers), "net", "int8") for _ in range(2))
    assert one.files() == other.files()
    before = drawn(*layers)
    after = drawn(*layers)
    whole(after)  # leaves what it is given as it is
    for ours, theirs in zip(before.layers, after.layers, strict=True):
        for field in dataclasses.fields(ours):
            np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name))


# What runs.


@pytest.fixture(scope="module")
def small() -> Model:
    network = drawn(conv(4, 3), leaky(beta=0.5), flatten(), linear(5), leaky(beta=CHANNEL),
                    most=9)  # fmt: skip
    return Model.of(network, "net", "int8")


@pytest.mark.parametrize("value", [-1, 0.5, 8.999999, 10, 255, 1e30, -1e-30])
def test_frames_that_are_no_counts_in_range_are_refused(small: Model, value: float) -> None:
    compiled = small.build(("-O1",))
    frames = np.zeros((6, *MAP), np.float32)
    frames[2, 1, 3, 3] = 9
    expected = compiled.run(frames)
    bad = frames.copy()
    bad[4, 1, 6, 5] = value
    said = (
        "frames hold values that are not integers from 0 to 9, for which this network was "
        "compiled; give such counts, or compile it with another input_max."
    )
    for call in (compiled.run, compiled.trace, compiled.membranes, compiled.spikes):
        with pytest.raises(spikec.SpikecError) as caught:
            call(bad)
        assert str(caught.value) == said
    with pytest.raises(spikec.SpikecError) as caught:
        host.checked_frames(small.network, bad)
    assert str(caught.value) == said
    np.testing.assert_array_equal(compiled.run(frames), expected)
    for wrong in (np.nan, np.inf):
        bad[4, 1, 6, 5] = wrong
        with pytest.raises(spikec.SpikecError, match="frames hold NaN, infinity or"):
            compiled.run(bad)


MAIN = """
#include <stdio.h>
#include "net.h"

int main(void) {{
  static net_state state;
  uint8_t spikes[NET_OUTPUTS];
  const spk_active active[] = {{{active}}};
  if (net_membranes(NULL) != NULL || net_reset(&state) != SPK_OK) return 1;
  for (int step = 0; step < {steps}; step++) {{
    if (net_step(&state, active, sizeof active / sizeof active[0], spikes) != SPK_OK) return 2;
    const {ctype} *membranes = net_membranes(&state);
    for (int i = 0; i < NET_OUTPUTS; i++) {{
      printf("%d %a\\n", (int)membranes[i], (double)net_membrane_units[i]);
    }}
  }}
  return 0;
}}
"""


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_membranes_and_their_units_can_be_read_in_c_and_in_cpp(
    small: Model, tmp_path: Path, language: str
) -> None:
    cc = os.environ.get("CC") or shutil.which("cc") or "gcc"
    compiler = cc if language == "c" else shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no C++ compiler on this machine")
    steps, counts = 8, {3: 9, 10: 1, 60: 4}
    frames = np.zeros((steps, 7, 6, 2), np.float32)
    frames.reshape(steps, -1)[:, list(counts)] = list(counts.values())
    last = small.network.spiking[-1]
    assert isinstance(last, ir.IntegerLeaky)
    active = ", ".join(f"{{{at}, {count}.0f}}" for at, count in counts.items())
    small.write(tmp_path)
    main = tmp_path / f"main.{language}"
    main.write_text(MAIN.format(active=active, steps=steps, ctype=f"int{last.bits}_t"))
    warned = "-Wall -Wextra -Wpedantic -Werror".split()
    subprocess.run([cc, "-std=c11", *warned, "-c", "net.c"], cwd=tmp_path, check=True)
    standard = "-std=c11" if language == "c" else "-std=c++14"
    command = [compiler, standard, *warned, main.name, "net.o", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    pairs = [line.split() for line in done.stdout.splitlines()]
    found = np.array([int(membrane) for membrane, _ in pairs]).reshape(steps, 5)
    membranes = small.build(("-O1",)).membranes(np.moveaxis(frames, -1, 1))[last.source]
    assert membranes.dtype == np.int32
    assert found.any()
    np.testing.assert_array_equal(found, membranes)
    units = [float.fromhex(unit) for _, unit in pairs[:5]]
    np.testing.assert_array_equal(units, np.broadcast_to(last.unit, (1, 1, 5)).ravel())
    reached = reference.run(small.network, frames).membranes[last.name]
    np.testing.assert_array_equal(membranes, last.shape.to_axes(reached))


def test_of_a_network_that_ends_in_a_pooling_there_are_no_membranes_to_read() -> None:
    network = drawn(conv(4, 2), leaky(beta=0.5), maxpool(2))
    header = Model.of(network, "net", "int8").files()["net.h"]
    assert "net_membranes(" not in header and "net_membrane_units" not in header


def test_a_trained_network_spikes_as_in_float_almost_always() -> None:
    """The network of models/nmnist on its own recordings."""
    module = net()
    load_checkpoint(module, Path(os.environ["CHECKPOINT"]))
    network = import_network(module.eval(), INPUT_SHAPE, "nmnist.pt")
    files = sorted(Path(os.environ["RECORDINGS"]).rglob("*.bin"))
    assert len(files) >= 10
    shape = network.input
    equal: dict[str, list[float]] = {}
    winners = 0
    for file in files:
        frames = shape.to_memory(bin_events(read_nmnist(file), STEPS))
        theirs = reference.run(Model.of(network, "net", "f32").network, frames).spikes
        ours = reference.run(whole(network), frames).spikes
        for name, spikes in theirs.items():
            fired = spikes | ours[name]
            equal.setdefault(name, []).append(float((spikes & ours[name]).sum() / fired.sum()))
        last = network.spiking[-1].name
        winners += ours[last].sum(axis=0).argmax() == theirs[last].sum(axis=0).argmax()
    shares = {name: float(np.mean(each)) for name, each in equal.items()}
    print(f"spikes of both, of those of either: {shares}; the same class {winners}/{len(files)}")
    first, *_ = shares
    assert shares[first] >= 0.97, shares
    assert min(shares.values()) >= 0.75, shares
    assert winners >= len(files) - 1
