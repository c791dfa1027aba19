# SPDX-License-Identifier: Apache-2.0
"""Every kind of snnTorch's neurons, read as programs, does what snnTorch does, to the bit.

Currents are multiples of 1/64, and so are weights, so that sums are exact in any order: then the
membranes are snnTorch's own bits, but for those of which the last column says otherwise.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
import snntorch
import torch
from snntorch import surrogate
from snntorch.functional import quant
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from spikec.frontends.pytorch.layers import RefusedError
from spikec.frontends.pytorch.neurons import NEURONS, Names
from spikec.ir import network as ir
from spikec.ir import soundness
from spikec.semantics import reference

STEPS = 24
ROW = (12,)
MAP = (3, 5, 4)
SEQUENCES = (snntorch.LeakyParallel, snntorch.StateLeaky, snntorch.LinearLeaky)
"""What snnTorch runs on whole sequences ``[T, B, N]``."""

Build = Callable[[], nn.Module]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A layer of neurons for inputs of ``shape``; ``within`` is how far membranes may differ."""

    name: str
    build: Build
    shape: tuple[int, ...] = ROW
    within: float = 0.0


def spread(*axes: int, low: float = 0.4, high: float = 0.95) -> torch.Tensor:
    """Values that differ from neuron to neuron."""
    values = np.random.default_rng(5).uniform(low, high, axes)
    return torch.tensor(values, dtype=torch.float32)


def levels(bits: int = 4, **options: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """A quantizer of states, as snnTorch makes them."""
    made: Callable[[torch.Tensor], torch.Tensor] = quant.state_quant(num_bits=bits, **options)
    return made


def graded(module: nn.Module, factor: float) -> nn.Module:
    """A module whose spikes have another size, also where its constructor has no such option."""
    module.graded_spikes_factor = torch.tensor(factor)
    return module


def leaky(**options: Any) -> Any:
    return snntorch.Leaky(**{"beta": 0.9, **options})


def lapicque(**options: Any) -> Any:
    return snntorch.Lapicque(**{"beta": 0.85, "threshold": 0.15, **options})


def synaptic(**options: Any) -> Any:
    return snntorch.Synaptic(**{"alpha": 0.6, "beta": 0.8, **options})


def alpha(**options: Any) -> Any:
    return snntorch.Alpha(**{"alpha": 0.85, "beta": 0.7, "threshold": 0.6, **options})


def rleaky(**options: Any) -> Any:
    return snntorch.RLeaky(**{"beta": 0.9, "linear_features": 12, **options})


def rsynaptic(**options: Any) -> Any:
    return snntorch.RSynaptic(**{"alpha": 0.5, "beta": 0.8, "linear_features": 12, **options})


def slstm(**options: Any) -> Any:
    return snntorch.SLSTM(12, 12, **{"threshold": 0.1, **options})


def sconv2dlstm(**options: Any) -> Any:
    return snntorch.SConv2dLSTM(3, 2, **{"kernel_size": 3, "threshold": 0.01, **options})


def delta(**options: Any) -> Any:
    return snntorch.DeltaLeaky(1.0, **{"beta": 0.9, "init_hidden": True, **options})


CONV = {"linear_features": None, "conv2d_channels": 3, "kernel_size": 3}
ONE_TO_ONE = {"linear_features": None, "all_to_all": False, "V": spread(12)}
RESETS = ("subtract", "zero", "none")


def rows() -> Iterator[Row]:
    """The table: neuron, reset, delay, option."""
    recurrent: dict[str, dict[str, Any]] = {
        "all to all": {},
        "convolution": CONV,
        "one to one": ONE_TO_ONE,
    }
    common: dict[str, dict[str, Any]] = {
        "plain": {},
        "quantized": {"state_quant": levels(6)},
        "inhibition": {"inhibition": True},
        "inhibition, quantized": {"inhibition": True, "state_quant": levels(3)},
    }
    for reset, (option, options) in itertools.product(RESETS, common.items()):
        options = {"reset_mechanism": reset, **options}
        for delay in (True, False):
            name = f"{reset}, {'delayed' if delay else 'at once'}, {option}"
            with_delay = {"reset_delay": delay, **options}
            yield row(f"Leaky, {name}", leaky, with_delay)
            yield row(f"Synaptic, {name}", synaptic, with_delay)
            for way, layer in recurrent.items():
                if way == "convolution" and "inhibition" in option:
                    continue
                shape = MAP if way == "convolution" else ROW
                yield row(f"RLeaky {way}, {name}", rleaky, {**layer, **with_delay}, shape)
                made = {**layer, **with_delay}
                yield row(f"RSynaptic {way}, {name}", rsynaptic, made, shape)
        yield row(f"Lapicque, {reset}, {option}", lapicque, options)
        yield row(f"Alpha, {reset}, {option}", alpha, options)
        if "inhibition" not in option:
            yield row(f"SLSTM, {reset}, {option}", slstm, options, within=2e-6)
            for pool in ({}, {"max_pool": 2}, {"avg_pool": 2}, {"avg_pool": (2, 1)}):
                name = f"SConv2dLSTM {pool}, {reset}, {option}"
                yield row(name, sconv2dlstm, {**pool, **options}, MAP, within=2e-6)

    for factor in (0.5, 1.75, -2.0):
        for delay in (True, False):
            name = f"graded {factor}, {'delayed' if delay else 'at once'}"
            made = {"reset_delay": delay, "reset_mechanism": "zero"}
            for kind in (leaky, synaptic, rleaky):
                yield Row(f"{kind.__name__}, {name}", grading(kind, made, factor))
            yield Row(f"rleaky one to one, {name}", grading(rleaky, {**ONE_TO_ONE, **made}, factor))
        for kind in (lapicque, alpha):
            yield Row(f"{kind.__name__}, graded {factor}", grading(kind, {}, factor))
        yield Row(f"slstm, graded {factor}", grading(slstm, {}, factor), within=2e-6)

    betas = (0.9, torch.tensor(0.9, dtype=torch.float64), spread(12), spread(1, 12))
    for beta in betas:
        for learn in (False, True):
            made = {"beta": beta, "learn_beta": learn, "threshold": spread(12, low=0.5, high=1.2)}
            named = f"beta {tuple(torch.as_tensor(beta).shape)}, learned {learn}"
            for kind in (leaky, synaptic, rleaky, rsynaptic):
                yield row(f"{kind.__name__}, {named}", kind, {**made, "learn_threshold": learn})
    yield row("Synaptic, a beta above 1 is clamped", synaptic, {"beta": 1.5})
    yield row("Synaptic, a beta below 0 is clamped", synaptic, {"beta": -0.5})
    yield row("DeltaLeaky, a beta below 0 is not", delta, {"beta": -0.5})
    maps = {"alpha": spread(3, 1, 1), "beta": spread(1, 3, 5, 4), "threshold": spread(5, 1)}
    yield row("Synaptic on a map", synaptic, maps, MAP)
    yield row("Synaptic on a line", synaptic, {"alpha": spread(3, 1)}, (3, 7))
    yield row("Alpha with a rate each", alpha, {"alpha": spread(12) + 0.02, "beta": spread(12)})
    yield row("Alpha with doubles", alpha, {
        "alpha": torch.tensor(0.8, dtype=torch.float64),
        "beta": torch.tensor(0.3, dtype=torch.float64),
    })  # fmt: skip
    yield row("Alpha without decay of the excitation", alpha, {"alpha": 1.0, "beta": 0.0})
    for made in (
        {"beta": False, "R": 5.1, "C": 5e-3, "time_step": 1e-3},
        {"beta": 0.7, "R": 2.0},
        {"beta": 0.7, "C": 1.5, "time_step": 0.3},
        {"beta": False, "R": spread(12), "C": spread(12, low=1.0, high=4.0), "time_step": 0.5},
    ):
        if "R" in made and torch.is_tensor(made["R"]):
            yield Row("Lapicque with a circuit each", circuits)
        else:
            yield row(f"Lapicque {made}", lapicque, made)
    for surrogate_of in (surrogate.fast_sigmoid(), surrogate.straight_through_estimator()):
        yield row(f"Synaptic, {surrogate_of}", synaptic, {"spike_grad": surrogate_of})
    yield row("Synaptic without a surrogate", synaptic, {"surrogate_disable": True})
    for bits, uniform in itertools.product((2, 3, 8), (True, False)):
        made = {"state_quant": levels(bits, uniform=uniform, lower_limit=0.5)}
        yield row(f"Synaptic of {bits} bits, uniform {uniform}", synaptic, made)
    yield row("RLeaky, V for all", rleaky, {**ONE_TO_ONE, "V": 0.3, "learn_recurrent": False})
    yield row("RLeaky, V on a map", rleaky, {**ONE_TO_ONE, "V": spread(3, 1, 1)}, MAP)
    below = {**ONE_TO_ONE, "threshold": -0.5, "V": -2.0, "reset_mechanism": "none"}
    yield row("RLeaky, a threshold below 0", rleaky, below)
    yield row("RLeaky, a wide kernel", rleaky, {**CONV, "kernel_size": (1, 3)}, MAP)
    yield row("SLSTM without bias", slstm, {"bias": False}, within=2e-6)
    yield row("SConv2dLSTM without bias", sconv2dlstm, {"bias": False}, MAP, within=2e-6)

    for threshold in (0.6, spread(12, high=2.0)):
        made = {"delta_threshold": threshold, "beta": spread(12), "init_hidden": True}
        yield Row(f"DeltaLeaky {threshold}", fixed(snntorch.DeltaLeaky, **made))
    wide = levels(5, lower_limit=1.0, upper_limit=1.0)
    for factor, quantizer, output in itertools.product((1.0, 0.7), (False, wide), (True, False)):
        made = {"graded_spikes_factor": factor, "state_quant": quantizer, "output": output}
        named = f"graded {factor}, quantized {bool(quantizer)}, output {output}"
        for tau, beta in (("one tau", 0.9), ("a tau each", spread(12))):
            state = fixed(snntorch.StateLeaky, beta, 12, **made)
            yield Row(f"StateLeaky, {tau}, {named}", state, within=1e-5)
            linear = fixed(snntorch.LinearLeaky, beta, 9, 12, **made)
            yield Row(f"LinearLeaky, {tau}, {named}", linear, (9,), within=1e-5)
    for bias, full, start in itertools.product((True, False), (False, True), (0.05, None)):
        made = {"bias": bias, "weight_hh_enable": full, "threshold": 0.5}
        build = fixed(snntorch.LeakyParallel, 9, 12, start, **made, graded_spikes_factor=0.5)
        within = 1e-5 if full else 0.0
        yield Row(f"LeakyParallel {made}, beta {start}", build, (9,), within)


def fixed(kind: Any, *arguments: Any, **options: Any) -> Build:
    return lambda: kind(*arguments, **options)


def row(
    name: str, kind: Callable[..., nn.Module], options: dict[str, Any],
    shape: tuple[int, ...] = ROW, within: float = 0.0,
) -> Row:  # fmt: skip
    return Row(name, lambda: kind(**options), shape, within)


def grading(kind: Callable[..., nn.Module], options: dict[str, Any], factor: float) -> Build:
    return lambda: graded(kind(**options), factor)


def circuits() -> Any:
    """Lapicque neurons of which each has a resistance and a capacitance of its own."""
    made = snntorch.Lapicque(R=1.0, C=2.0, time_step=0.5, threshold=0.5)
    made.R, made.C = spread(12, low=0.5, high=2.0), spread(12, low=1.0, high=4.0)
    return made


ROWS = {each.name: each for each in rows()}


def prepared(row: Row) -> Any:
    """The module of a row in eval mode, with weights on the grid."""
    torch.manual_seed(3)
    module = row.build().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            inner = name.rpartition(".")[0]
            if inner and not name.endswith(".V") and not name.endswith("hh_l0"):
                weight.copy_(torch.randint(-24, 25, weight.shape, generator=generator) / 64)
            elif name.endswith("weight_hh_l0"):
                weight.copy_((weight * 64).round() / 64)
            elif name.endswith("bias_hh_l0"):
                weight.copy_(torch.randint(-24, 25, weight.shape, generator=generator) / 64)
    return module


def currents(shape: tuple[int, ...]) -> torch.Tensor:
    """``[T, *shape]``, multiples of 1/8, many of them 0."""
    generator = np.random.default_rng(8)
    values = generator.integers(-5, 13, (STEPS, *shape)) / 8
    return torch.tensor(values * (generator.random(values.shape) < 0.7), dtype=torch.float32)


def shown(module: Any, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What snnTorch hands on and its membranes, ``[T, ...]`` each, run as its users run it."""
    with torch.no_grad():
        if isinstance(module, snntorch.LeakyParallel):
            sequence = frames[:, None]
            return module(sequence)[:, 0], module.rnn(sequence)[0][:, 0]
        if isinstance(module, SEQUENCES):
            made = module(frames[:, None])
            both = made if isinstance(made, tuple) else (made, made)
            return both[0][:, 0], both[1][:, 0]
        spikes, membranes = [], []
        result: Any = ()
        if isinstance(module, snntorch.RSynaptic):
            result = (torch.zeros(1, *frames.shape[1:]),) * 3
        for frame in frames:
            result = module(frame[None], *result if isinstance(module, snntorch.RSynaptic) else ())
            mem = result[-1][0] if isinstance(module, snntorch.DeltaLeaky) else result[-1]
            if getattr(module, "max_pool", 0):
                mem = functional.max_pool2d(mem, module.max_pool)
            if getattr(module, "avg_pool", 0):
                mem = functional.avg_pool2d(mem, module.avg_pool)
                mem = module.state_quant(mem) if module.state_quant else mem
            spikes.append(result[0][0].clone())
            membranes.append(mem[0].clone())
    return torch.stack(spikes), torch.stack(membranes)


def shape_of(axes: tuple[int, ...]) -> ir.Shape:
    match axes:
        case (features,):
            return ir.Shape(1, 1, features, flat=True)
        case (channels, length):
            return ir.Shape(1, length, channels, flat=False, line=True)
        case (channels, height, width):
            return ir.Shape(height, width, channels, flat=False)
    raise AssertionError(axes)


def read(module: nn.Module, shape: ir.Shape) -> ir.Network:
    """A network of this one module."""
    prefix, reader = NEURONS[type(module)]
    names = Names()
    base = ir.Node(names.fresh(prefix), "0", (ir.INPUT,), shape)
    return ir.Network(shape, reader(module, base, names), "test", "0" * 64)


@pytest.mark.parametrize("name", ROWS)
def test_a_neuron_does_what_snntorch_does(name: str) -> None:
    row = ROWS[name]
    module = prepared(row)
    shape = shape_of(row.shape)
    network = read(module, shape)
    assert soundness.fault(network) == ""
    frames = currents(row.shape)
    spikes, membranes = shown(module, frames)
    found = reference.run(network, shape.to_memory(frames.numpy()))
    last = network.output
    handed_on = last.shape.to_axes(found.values[last.name])
    difference = np.abs(last.shape.to_axes(found.membranes[last.name]) - membranes.numpy()).max()
    fires = not isinstance(last, ir.Cell) or last.fires is not None
    assert difference <= row.within, f"membranes differ by {difference}"
    if fires:
        np.testing.assert_array_equal(handed_on, spikes.numpy())
        rate = float((spikes != 0).float().mean())
        assert 0.005 < rate < 0.95, f"{rate:.3f} of all neurons fire: the row means little"
    else:
        np.testing.assert_allclose(handed_on, spikes.numpy(), rtol=0, atol=row.within)


def test_every_reader_of_neurons_is_tested() -> None:
    tested = {type(row.build()) for row in ROWS.values()}
    assert tested | {snntorch.AssociativeLeaky} == set(NEURONS)


# What is refused.


def changed(module: Any, **attributes: Any) -> nn.Module:
    """A module of which something was assigned after it was built."""
    for name, value in attributes.items():
        setattr(module, name, value)
    return cast(nn.Module, module)


def pruned() -> nn.Module:
    made, mask = rleaky(), cast(Any, prune.l1_unstructured)
    mask(made.recurrent, "weight", 0.5)
    return cast(nn.Module, made)


def borrowed() -> nn.Module:
    """Neurons that run the state function of other neurons."""
    return changed(synaptic(), state_function=synaptic(reset_mechanism="none").state_function)


REFUSED: dict[str, tuple[Build, tuple[int, ...], str]] = {
    "RSynaptic raises without a reset_delay": (
        lambda: rsynaptic(reset_delay=False, init_hidden=True), ROW,
        "with which snnTorch's RSynaptic raises",
    ),
    "an SLSTM whose states do not fit its input": (
        lambda: snntorch.SLSTM(12, 5), ROW, "forgets both states at every step"
    ),
    "an SLSTM on a map": (slstm, MAP, "put nn.Flatten() before it"),
    "an SLSTM of another size": (slstm, (10,), "wants 12 inputs and gets 10"),
    "an SConv2dLSTM on a row": (sconv2dlstm, ROW, "wants a map of 3 channels"),
    "an even kernel of an LSTM": (
        lambda: sconv2dlstm(kernel_size=2), MAP, "use an odd kernel_size"
    ),
    "a pool larger than the map": (lambda: sconv2dlstm(max_pool=9), MAP, "its window (9, 9)"),
    "an even kernel of a recurrence": (
        lambda: rleaky(**{**CONV, "kernel_size": 2}), MAP, "which torch cannot add"
    ),
    "a recurrence of other channels": (
        lambda: rleaky(**{**CONV, "conv2d_channels": 2}), MAP, "wants 2 input channels and gets 3"
    ),
    "a linear recurrence on a map": (rleaky, MAP, "reads a map 3x5x4"),
    "a linear recurrence of another size": (rleaky, (11,), "wants 12 inputs and gets 11"),
    "a convolution on a row": (lambda: rleaky(**CONV), ROW, "Conv2d needs a map"),
    "V that is not the V that runs": (
        lambda: changed(rleaky(**ONE_TO_ONE, learn_recurrent=False), V=torch.ones(12)),
        ROW, "which is what runs",
    ),
    "a recurrent layer that was pruned": (pruned, ROW, "its recurrent has forward hooks"),
    "a recurrent layer of another kind": (
        lambda: changed(rleaky(), recurrent=nn.Identity()), ROW, "its recurrent is a Identity"
    ),
    "a reset mechanism that was changed": (
        lambda: changed(synaptic(), reset_mechanism="zero"), ROW,
        "reset_mechanism says 'zero' but the function that runs is 'subtract'",
    ),
    "a state function of other neurons": (borrowed, ROW, "or is another layer's"),
    "the reset of an LSTM that was changed": (
        lambda: changed(slstm(), reset_mechanism="zero"), ROW, "the function that runs is 'none'"
    ),
    "inhibition on a map": (lambda: synaptic(inhibition=True), MAP, "lets whole channels fire"),
    "inhibition on a line": (lambda: leaky(inhibition=True), (3, 4), "lets whole channels fire"),
    "inhibition of graded spikes": (
        lambda: graded(leaky(inhibition=True), 2.0), ROW, "leaves graded_spikes_factor out"
    ),
    "inhibition that an LSTM never reads": (
        lambda: slstm(inhibition=True), ROW, "SLSTM never reads it"
    ),
    "options that DeltaLeaky never reads": (
        lambda: delta(graded_spikes_factor=2.0), ROW, "its graded_spikes_factor is set"
    ),
    "a quantizer of one's own": (
        lambda: synaptic(state_quant=torch.round), ROW, "its state_quant is no function of snn"
    ),
    "True for a quantizer": (lambda: leaky(state_quant=True), ROW, "its state_quant is no"),
    "levels that are NaN": (
        lambda: synaptic(state_quant=levels(4, threshold=math.nan)), ROW, "NaN or infinite"
    ),
    "a kernel that forgets": (
        lambda: snntorch.StateLeaky(0.9, 12, kernel_truncation_steps=3), ROW,
        "kernel_truncation_steps is 3",
    ),
    "a sequence of maps": (lambda: snntorch.StateLeaky(0.9, 12), MAP, "needs sequences [T, B, N]"),
    "betas that LeakyParallel ignores": (
        lambda: snntorch.LeakyParallel(12, 12, beta=spread(12)), ROW,
        "snnTorch writes only a single one",
    ),
    "an alpha that a checkpoint made equal to beta": (
        lambda: changed(alpha(), alpha=torch.tensor(0.7)), ROW, "its tau_alpha holds NaN"
    ),
    "a beta for other neurons": (
        lambda: synaptic(beta=spread(11)), ROW, "its beta has shape (11,)"
    ),
    "a beta of doubles": (
        lambda: synaptic(beta=spread(12).double()), ROW, "its beta is float64"
    ),
    "a beta that is NaN": (lambda: synaptic(beta=math.nan), ROW, "its beta holds NaN"),
    "a threshold that is infinite": (lambda: alpha(threshold=math.inf), ROW, "its threshold holds"),
    "a surrogate that is no step": (
        lambda: synaptic(spike_grad=torch.sigmoid), ROW, "its spike_grad does not fire exactly"
    ),
    "a surrogate of LeakyParallel that is no step": (
        lambda: snntorch.LeakyParallel(12, 12, beta=0.5, spike_grad=torch.relu), ROW,
        "its spike_grad does not fire exactly",
    ),
    "spikes of size 0": (lambda: graded(synaptic(), 0.0), ROW, "graded_spikes_factor is 0"),
    "AssociativeLeaky": (
        lambda: snntorch.AssociativeLeaky(12, 3, 4, 12), ROW, "follow no rule that runs step"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_snntorch_gets_wrong_is_refused(name: str) -> None:
    build, axes, sentence = REFUSED[name]
    with pytest.raises(RefusedError) as caught:
        read(build(), shape_of(axes))
    assert sentence in f"{caught.value.found}; {caught.value.fix}"


def test_alpha_with_learn_alpha_cannot_be_built_at_all() -> None:
    with pytest.raises(TypeError):
        alpha(learn_alpha=True)


def test_rsynaptic_without_a_reset_delay_does_raise() -> None:
    with pytest.raises(TypeError):
        rsynaptic(reset_delay=False, init_hidden=True)(torch.zeros(1, 12))


def test_an_slstm_of_other_sizes_does_forget_its_states() -> None:
    module = snntorch.SLSTM(12, 5)
    with torch.no_grad():
        first, second = (module(torch.ones(1, 12))[2].clone() for _ in range(2))
    assert torch.equal(first, second)


def test_inhibition_on_a_map_does_depend_on_the_batch() -> None:
    frame = currents((3, 4, 4))[0].abs() + 1
    quiet = torch.zeros(1, 3, 4, 4)
    one = leaky(inhibition=True)(frame[None])[0][0]
    four = leaky(inhibition=True)(torch.cat([frame[None], quiet, quiet, quiet]))[0][0]
    assert not torch.equal(one, four)


def test_a_linear_recurrence_after_a_flattened_map_connects_the_right_neurons() -> None:
    module = prepared(Row("", lambda: snntorch.RLeaky(0.9, linear_features=60)))
    flat = dataclasses.replace(shape_of(MAP), flat=True)
    frames = currents(MAP)
    spikes, membranes = shown(module, frames.flatten(1))
    network = read(module, flat)
    network = dataclasses.replace(
        network,
        input=shape_of(MAP),
        layers=(
            ir.Flatten("flatten1", "", (ir.INPUT,), flat),
            dataclasses.replace(network.layers[0], inputs=("flatten1",)),
            *network.layers[1:],
        ),
    )
    assert soundness.fault(network) == ""
    found = reference.run(network, shape_of(MAP).to_memory(frames.numpy()))
    last = network.output
    np.testing.assert_array_equal(last.shape.to_axes(found.spikes[last.name]), spikes.numpy())
    np.testing.assert_array_equal(last.shape.to_axes(found.membranes[last.name]), membranes.numpy())
    assert spikes.any()
