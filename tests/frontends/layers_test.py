# SPDX-License-Identifier: Apache-2.0
"""Every layer of torch that is read does what torch does, and what is not read is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from spikec.frontends.pytorch.layers import LAYERS, RefusedError, affine_tt
from spikec.ir import network as ir
from spikec.ir import soundness
from spikec.semantics import reference

STEPS = 6
ROW = (12,)
LINE = (3, 12)
MAP = (3, 8, 6)


def shape_of(axes: tuple[int, ...]) -> ir.Shape:
    match axes:
        case (features,):
            return ir.Shape(1, 1, features, flat=True)
        case (channels, length):
            return ir.Shape(1, length, channels, flat=False, line=True)
        case (channels, height, width):
            return ir.Shape(height, width, channels, flat=False)
    raise AssertionError(axes)


def gridded(module: nn.Module) -> Any:
    """The module in eval mode, with weights that are multiples of 1/64."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if tensor.is_floating_point():
                low = 1 if name.endswith("running_var") else -32
                tensor.copy_(torch.randint(low, 33, tensor.shape, generator=generator) / 64)
    return module.eval()


def frames_of(axes: tuple[int, ...]) -> torch.Tensor:
    """``[T, *axes]``, multiples of 1/8."""
    values = np.random.default_rng(2).integers(-8, 9, (STEPS, *axes)) / 8
    return torch.tensor(values, dtype=torch.float32)


def node(axes: tuple[int, ...]) -> ir.Node:
    return ir.Node("layer1", "0", (ir.INPUT,), shape_of(axes))


def ran(layer: ir.Layer, axes: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """What a layer hands on, ``[T, *axes]``; neurons behind it make the network sound."""
    one = np.ones((1, 1, 1), np.float32)
    neurons = ir.Leaky(
        "leaky1", "1", (layer.name,), layer.shape, one, one, one, "none", reset_delay=True
    )
    network = ir.Network(shape_of(axes), (layer, neurons), "test", "0" * 64)
    assert soundness.fault(network) == ""
    trace = reference.run(network, network.input.to_memory(frames_of(axes).numpy()))
    return layer.shape.to_axes(trace.values[layer.name])


LAYER_ROWS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], float]] = {
    "Conv1d": (lambda: nn.Conv1d(3, 4, 3), LINE, 0.0),
    "Conv1d with options": (
        lambda: nn.Conv1d(3, 6, 3, stride=2, padding=2, dilation=2, groups=3, bias=False), LINE, 0.0
    ),
    "Conv1d, same": (lambda: nn.Conv1d(3, 4, 4, padding="same"), LINE, 0.0),
    "Conv1d, valid": (lambda: nn.Conv1d(3, 4, 5, padding="valid"), LINE, 0.0),
    "Conv2d": (lambda: nn.Conv2d(3, 4, (3, 2), padding=(1, 0), stride=(2, 1)), MAP, 0.0),
    "MaxPool1d": (lambda: nn.MaxPool1d(2), LINE, 0.0),
    "MaxPool1d with options": (
        lambda: nn.MaxPool1d(3, stride=2, padding=1, dilation=2, ceil_mode=True), LINE, 0.0
    ),
    "MaxPool2d": (lambda: nn.MaxPool2d((2, 3)), MAP, 0.0),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), LINE, 0.0),
    "AvgPool1d with options": (
        lambda: nn.AvgPool1d(4, stride=3, padding=2, ceil_mode=True), LINE, 0.0
    ),
    "AvgPool1d without its padding": (
        lambda: nn.AvgPool1d(3, stride=1, padding=1, count_include_pad=False), LINE, 0.0
    ),
    "AvgPool2d": (lambda: nn.AvgPool2d(2, divisor_override=3), MAP, 0.0),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(4), LINE, 1e-6),
    "AdaptiveAvgPool1d to one": (lambda: nn.AdaptiveAvgPool1d(1), LINE, 1e-6),
    "AdaptiveAvgPool2d": (lambda: nn.AdaptiveAvgPool2d((4, 2)), MAP, 1e-6),
    "AdaptiveAvgPool2d to one": (lambda: nn.AdaptiveAvgPool2d(1), MAP, 1e-6),
    "AdaptiveAvgPool2d of one side": (lambda: nn.AdaptiveAvgPool2d((None, 3)), MAP, 1e-6),
    "AdaptiveAvgPool2d, windows that overlap": (lambda: nn.AdaptiveAvgPool2d(2), (3, 7, 5), 1e-6),
    "AdaptiveMaxPool1d": (lambda: nn.AdaptiveMaxPool1d(6), LINE, 0.0),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d((2, 3)), (3, 7, 6), 0.0),
    "BatchNorm1d of a row": (lambda: nn.BatchNorm1d(12), ROW, 1e-5),
    "BatchNorm1d of a line": (lambda: nn.BatchNorm1d(3), LINE, 1e-5),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3), MAP, 1e-5),
    "Flatten a line": (lambda: nn.Flatten(), LINE, 0.0),
    "Flatten a map": (lambda: nn.Flatten(), MAP, 0.0),
    "Unflatten to a map": (lambda: nn.Unflatten(1, (2, 3, 2)), ROW, 0.0),
    "Unflatten to a line": (lambda: nn.Unflatten(1, (3, -1)), ROW, 0.0),
    "Linear": (lambda: nn.Linear(12, 5), ROW, 0.0),
    "ReLU": (lambda: nn.ReLU(), MAP, 0.0),
    "GradedSpikes of a line": (lambda: snntorch.GradedSpikes(3, None), LINE, 0.0),
    "GradedSpikes of the rows of a map": (lambda: snntorch.GradedSpikes(8, None), MAP, 0.0),
    "GradedSpikes of one size": (lambda: snntorch.GradedSpikes(1, 0.5), ROW, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYER_ROWS)
def test_a_layer_does_what_torch_does(name: str) -> None:
    build, axes, within = LAYER_ROWS[name]
    module = gridded(build())
    layer = LAYERS[type(module)][1](module, node(axes))
    with torch.no_grad():
        wanted = module(frames_of(axes)).numpy()
    assert wanted.any()
    np.testing.assert_allclose(ran(layer, axes), wanted, rtol=within, atol=within)


def test_every_reader_of_a_layer_is_tested() -> None:
    assert {type(build()) for build, _, _ in LAYER_ROWS.values()} == set(LAYERS)


@pytest.mark.parametrize("make", [snntorch.BatchNormTT1d, snntorch.BatchNormTT2d])
def test_batch_norm_through_time_has_a_scale_and_a_shift_for_every_step(
    make: Callable[..., Any],
) -> None:
    axes = MAP if make is snntorch.BatchNormTT2d else ROW
    modules = make(axes[0], STEPS)
    for module in modules:
        gridded(module)
        module.running_mean += torch.rand(axes[0])
    layer = affine_tt(list(modules), node(axes))
    frames = frames_of(axes)
    with torch.no_grad():
        wanted = [modules[t](frames[t : t + 1])[0].numpy() for t in range(STEPS)]
    np.testing.assert_allclose(ran(layer, axes), np.stack(wanted), rtol=1e-5, atol=1e-5)


REFUSED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str]] = {
    "a convolution of lines on a map": (
        lambda: nn.Conv1d(3, 4, 3), MAP, "Conv1d needs a line (C, L)"
    ),
    "a convolution of maps on a line": (lambda: nn.Conv2d(3, 4, 3), LINE, "Conv2d needs a map"),
    "a pooling of lines on a row": (lambda: nn.MaxPool1d(2), ROW, "reads a flat input of 12"),
    "padding that is no constant": (
        lambda: nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular"), LINE,
        "padding_mode is 'circular'; only 'zeros' is supported",
    ),
    "windows that differ": (
        lambda: nn.AdaptiveAvgPool1d(5), LINE, "makes 5 of 12 positions, with windows that differ"
    ),
    "more outputs than positions": (
        lambda: nn.AdaptiveAvgPool2d(16), MAP, "makes 16 of 8 positions"
    ),
    "indices": (lambda: nn.MaxPool1d(2, return_indices=True), LINE, "return_indices is True"),
    "indices of an adaptive pooling": (
        lambda: nn.AdaptiveMaxPool2d(2, return_indices=True), MAP, "return_indices is True"
    ),
    "a batch normalization of maps on a line": (
        lambda: nn.BatchNorm2d(3), LINE, "BatchNorm1d with flat inputs and lines"
    ),
    "one axis flattened": (lambda: nn.Flatten(2), MAP, "flattens axes 2 to -1"),
    "a map unflattened": (lambda: nn.Unflatten(1, (1, 3)), MAP, "of axis 1 of an input 3x8x6"),
    "features that do not fit": (
        lambda: nn.Unflatten(1, (5, -1)), ROW, "makes (5, -1) of axis 1 of an input 12"
    ),
    "four axes": (
        lambda: nn.Unflatten(1, (2, 3, 2, 1)), ROW, "only nn.Unflatten(1, (C, H, W))"
    ),
    "an axis of the batch": (lambda: nn.Unflatten(0, (1, 1)), ROW, "of axis 0 of an input 12"),
    "a factor for each sample": (
        lambda: snntorch.GradedSpikes(12, None), ROW, "a factor for each sample of the batch"
    ),
    "factors for other rows": (
        lambda: snntorch.GradedSpikes(5, None), MAP, "its weights has shape (5, 1)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused(name: str) -> None:
    build, axes, sentence = REFUSED[name]
    module = build().eval()
    with pytest.raises(RefusedError) as caught:
        LAYERS[type(module)][1](module, node(axes))
    assert sentence in f"{caught.value.found}; {caught.value.fix}"


def test_a_batch_norm_through_time_of_other_modules_is_refused() -> None:
    for modules, sentence in (([], "holds no steps"), ([nn.ReLU()], "holds a ReLU")):
        with pytest.raises(RefusedError) as caught:
            affine_tt(cast("list[nn.Module]", modules), node(ROW))
        assert sentence in caught.value.found
