# SPDX-License-Identifier: Apache-2.0
"""Reads torch's own layers into the intermediate representation. Imports torch."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

from spikec.ir import network as ir
from spikec.ir.program import Program


class RefusedError(Exception):
    """Carries what is wrong with one layer from where it is found to where it is listed."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found = found
        self.fix = fix


def to_array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    """A tensor as a float32 array of its own."""
    return tensor.detach().cpu().to(torch.float32).numpy().copy()


def no_negative_zero(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A sum that starts from -0.0 would tell a skipped zero from an added one."""
    return values + np.float32(0.0)


def _bias(bias: torch.Tensor | None, channels: int) -> npt.NDArray[np.float32]:
    if bias is None:
        return np.zeros(channels, np.float32)
    return no_negative_zero(to_array(bias))


def _pair(value: int | tuple[int, ...], shape: ir.Shape, across: int) -> tuple[int, int]:
    """An option for both directions; a line's is for its own, with ``across`` for its height."""
    values = (value,) if isinstance(value, int) else tuple(value)
    if shape.line:
        return (across, values[0])
    return (values[0], values[-1])


def _wants(shape: ir.Shape, name: str) -> None:
    """Layers whose names end in 1d go with lines, those that end in 2d with maps."""
    line = name.endswith("1d")
    if shape.flat or shape.line != line:
        flat = "a flat input of " if shape.flat else "an input "
        needed = "a line (C, L)" if line else "a map (C, H, W)"
        raise RefusedError(
            f"reads {flat}{shape}",
            f"{name} needs {needed}: give such an input shape or move Flatten behind it",
        )


def _conv(module: nn.Module, base: ir.Node) -> ir.Layer:
    conv = cast(nn.Conv2d, module)
    return convolution(conv, base, conv.weight, conv.bias)


def convolution(
    conv: nn.Conv1d | nn.Conv2d, base: ir.Node, kernels: torch.Tensor, bias: torch.Tensor | None
) -> ir.Conv2d:
    """A convolution with the options of ``conv`` and torch's ``kernels [oc, ic, ky, kx]``."""
    _wants(base.shape, type(conv).__name__)
    if conv.padding_mode != "zeros":
        raise RefusedError(f"padding_mode is {conv.padding_mode!r}", "only 'zeros' is supported")
    channels = kernels.shape[1] * conv.groups
    if channels != base.shape.channels:
        raise RefusedError(
            f"wants {channels} input channels and gets {base.shape.channels} (input {base.shape})",
            "make the layers fit each other and the input shape",
        )
    kernel = _pair(conv.kernel_size, base.shape, 1)
    stride, dilation = _pair(conv.stride, base.shape, 1), _pair(conv.dilation, base.shape, 1)
    reach = (dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1))
    if conv.padding == "same":
        before, total = (reach[0] // 2, reach[1] // 2), reach
    elif isinstance(conv.padding, str):
        before, total = (0, 0), (0, 0)
    else:
        before = _pair(conv.padding, base.shape, 0)
        total = (2 * before[0], 2 * before[1])
    size = (base.shape.height, base.shape.width)
    out = tuple((size[i] + total[i] - reach[i] - 1) // stride[i] + 1 for i in (0, 1))
    if min(out) < 1:
        raise RefusedError(
            f"its kernel {kernel} with dilation {dilation} is larger than its input {base.shape}",
            "use a smaller kernel, more padding or a larger input",
        )
    outputs = len(kernels)
    taps = to_array(kernels[:, :, None] if base.shape.line else kernels)
    shape = dataclasses.replace(base.shape, height=out[0], width=out[1], channels=outputs)
    return ir.Conv2d(
        base.name, base.source, base.inputs, shape,
        np.ascontiguousarray(taps.transpose(2, 3, 1, 0)), _bias(bias, outputs),
        stride, before, dilation, conv.groups,
    )  # fmt: skip


def _linear(module: nn.Module, base: ir.Node) -> ir.Layer:
    layer = cast(nn.Linear, module)
    return linear(base, layer.weight, layer.bias)


def linear(base: ir.Node, weight: torch.Tensor, bias: torch.Tensor | None) -> ir.Linear:
    """A fully connected layer of torch's ``weight [out, in]`` and ``bias [out]``."""
    outputs, inputs = weight.shape
    if not base.shape.flat:
        raise RefusedError(f"reads a map {base.shape}", "put nn.Flatten() before it")
    if inputs != base.shape.size:
        raise RefusedError(
            f"wants {inputs} inputs and gets {base.shape.size}",
            "make the layers fit each other and the input shape",
        )
    rows = base.shape.to_memory(to_array(weight))  # [out, y, x, c]
    return ir.Linear(
        base.name, base.source, base.inputs, ir.Shape(1, 1, outputs, flat=True),
        np.ascontiguousarray(rows.reshape(outputs, -1).T),
        _bias(bias, outputs),
    )  # fmt: skip


def _pooled_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """torch's own rule: with ceil_mode the last window must start inside the input or left pad."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    out = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (out - 1) * stride >= size + padding:
        out -= 1
    return out


def _pool_shape(
    shape: ir.Shape, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
    dilation: tuple[int, int], ceil_mode: bool,
) -> ir.Shape:  # fmt: skip
    size = (shape.height, shape.width)
    out = tuple(
        _pooled_size(size[i], kernel[i], stride[i], padding[i], dilation[i], ceil_mode)
        for i in (0, 1)
    )
    if min(out) < 1:
        raise RefusedError(
            f"its window {kernel} is larger than its input {shape}", "use a smaller one"
        )
    return dataclasses.replace(shape, height=out[0], width=out[1])


def _max_pool(module: nn.Module, base: ir.Node) -> ir.Layer:
    pool = cast(nn.MaxPool2d, module)
    _wants(base.shape, type(module).__name__)
    if pool.return_indices:
        raise RefusedError("return_indices is True", "build it with return_indices=False")
    return _maximum(
        base,
        _pair(pool.kernel_size, base.shape, 1),
        _pair(pool.stride, base.shape, 1),
        _pair(pool.padding, base.shape, 0),
        _pair(pool.dilation, base.shape, 1),
        pool.ceil_mode,
    )


def _maximum(
    base: ir.Node, kernel: tuple[int, int], stride: tuple[int, int],
    padding: tuple[int, int] = (0, 0), dilation: tuple[int, int] = (1, 1), ceil_mode: bool = False,
) -> ir.MaxPool2d:  # fmt: skip
    shape = _pool_shape(base.shape, kernel, stride, padding, dilation, ceil_mode)
    size = (base.shape.height, base.shape.width)
    out = (shape.height, shape.width)
    for i in (0, 1):
        for start in range(-padding[i], out[i] * stride[i] - padding[i], stride[i]):
            if not any(0 <= start + tap * dilation[i] < size[i] for tap in range(kernel[i])):
                raise RefusedError(
                    f"one of its windows reaches no input of {base.shape}, so its maximum is "
                    "minus infinity",
                    "use less padding or dilation",
                )
    clipped = any((out[i] - 1) * stride[i] + kernel[i] > size[i] for i in (0, 1))
    return ir.MaxPool2d(
        base.name, base.source, base.inputs, shape, kernel, stride, padding, dilation, clipped
    )


def _avg_pool(module: nn.Module, base: ir.Node) -> ir.Layer:
    pool = cast(nn.AvgPool2d, module)
    _wants(base.shape, type(module).__name__)
    divisor = getattr(pool, "divisor_override", None)
    if divisor == 0:
        raise RefusedError("divisor_override is 0", "use another divisor")
    kernel, stride = _pair(pool.kernel_size, base.shape, 1), _pair(pool.stride, base.shape, 1)
    padding = _pair(pool.padding, base.shape, 0)
    shape = _pool_shape(base.shape, kernel, stride, padding, (1, 1), pool.ceil_mode)
    divisors = np.empty((shape.height, shape.width), np.float32)
    for y in range(shape.height):
        for x in range(shape.width):
            inside = padded = 1
            for i, at, size in ((0, y, base.shape.height), (1, x, base.shape.width)):
                start = at * stride[i] - padding[i]
                end = min(start + kernel[i], size + padding[i])
                padded *= end - start
                inside *= min(end, size) - max(start, 0)
            divisors[y, x] = divisor or (padded if pool.count_include_pad else inside)
    return ir.AvgPool2d(
        base.name, base.source, base.inputs, shape, kernel, stride, padding, divisors
    )


def _adaptive_windows(
    module: nn.Module, shape: ir.Shape
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The kernel and the stride of windows, torch's own, if these are the same everywhere."""
    pool = cast(nn.AdaptiveAvgPool2d, module)
    _wants(shape, type(module).__name__)
    asked = pool.output_size
    wanted = (asked, asked) if isinstance(asked, int) or asked is None else tuple(asked)
    sizes = (shape.height, shape.width)
    kernel, stride = [], []
    for size, out in zip(sizes, (1, wanted[0]) if shape.line else wanted, strict=True):
        out = size if out is None else out
        if out < 1:
            raise RefusedError(f"its output_size is {asked}", "use at least 1")
        starts = [at * size // out for at in range(out)]
        lengths = {-((-(at + 1) * size) // out) - start for at, start in enumerate(starts)}
        steps = {after - before for before, after in itertools.pairwise(starts)} or {1}
        if len(lengths) > 1 or len(steps) > 1 or 0 in steps:
            raise RefusedError(
                f"makes {out} of {size} positions, with windows that differ from place to place",
                "use an output_size that divides the input's size",
            )
        kernel.append(lengths.pop())
        stride.append(steps.pop())
    return (kernel[0], kernel[1]), (stride[0], stride[1])


def _adaptive_max_pool(module: nn.Module, base: ir.Node) -> ir.Layer:
    if cast(nn.AdaptiveMaxPool2d, module).return_indices:
        raise RefusedError("return_indices is True", "build it with return_indices=False")
    return _maximum(base, *_adaptive_windows(module, base.shape))


def _adaptive_avg_pool(module: nn.Module, base: ir.Node) -> ir.Layer:
    kernel, stride = _adaptive_windows(module, base.shape)
    pool = nn.AvgPool1d(kernel[1], stride[1]) if base.shape.line else nn.AvgPool2d(kernel, stride)
    return _avg_pool(pool, base)


def _batch_norm(module: nn.Module, base: ir.Node) -> ir.Layer:
    """Reads a batch norm in eval mode as one scale and one shift a channel."""
    norm = cast(nn.BatchNorm1d, module)
    one = isinstance(module, nn.BatchNorm1d)
    if one != (base.shape.flat or base.shape.line):
        raise RefusedError(
            f"reads an input {base.shape}",
            "BatchNorm2d goes with maps (C, H, W), BatchNorm1d with flat inputs and lines (C, L)",
        )
    if norm.running_mean is None or norm.running_var is None:
        raise RefusedError(
            "keeps no running statistics, so it depends on the batch",
            "build it with track_running_stats=True and train it",
        )
    if norm.num_features != base.shape.axes[0]:
        raise RefusedError(
            f"wants {norm.num_features} channels and gets {base.shape.axes[0]}",
            "make the layers fit each other and the input shape",
        )
    # y = (x - mean) / sqrt(var + eps) * gamma + beta, in double until the end.
    with np.errstate(invalid="ignore"):
        deviation = np.sqrt(to_array(norm.running_var).astype(np.float64) + norm.eps)
    gamma = 1.0 if norm.weight is None else to_array(norm.weight).astype(np.float64)
    offset = 0.0 if norm.bias is None else to_array(norm.bias).astype(np.float64)
    with np.errstate(all="ignore"):
        scale = gamma / deviation
        shift = offset - to_array(norm.running_mean) * scale
    axes = (-1, *(1,) * (len(base.shape.axes) - 1))
    with np.errstate(all="ignore"):  # what does not fit float32 is refused just below
        scales = ir.memory_parameter(scale.reshape(axes), base.shape)
        shifts = ir.memory_parameter(shift.reshape(axes), base.shape)
    if not (np.isfinite(scales).all() and np.isfinite(shifts).all()):
        raise RefusedError(
            "its scale or shift is not finite: running_var + eps is not positive, or too small",
            "train it again",
        )
    return ir.Affine(
        base.name, base.source, base.inputs, base.shape, scales, no_negative_zero(shifts)
    )  # fmt: skip


def affine_tt(modules: Sequence[nn.Module], base: ir.Node) -> ir.AffineTT:
    """snntorch's ``BatchNormTT1d`` or ``BatchNormTT2d``: a batch normalization for every step."""
    if not modules:
        raise RefusedError("holds no steps", "build it with at least one time step")
    steps: list[ir.Affine] = []
    for module in modules:
        if type(module) not in (nn.BatchNorm1d, nn.BatchNorm2d):
            raise RefusedError(
                f"holds a {type(module).__name__}, not a batch normalization for every step",
                "build it with snntorch.BatchNormTT1d or BatchNormTT2d",
            )
        steps.append(cast(ir.Affine, _batch_norm(module, base)))
    size = np.broadcast_shapes(
        *(each.scale.shape for each in steps), *(each.shift.shape for each in steps)
    )
    return ir.AffineTT(
        base.name, base.source, base.inputs, base.shape,
        np.stack([np.broadcast_to(each.scale, size) for each in steps]),
        np.stack([np.broadcast_to(each.shift, size) for each in steps]),
    )  # fmt: skip


def _graded_spikes(module: nn.Module, base: ir.Node) -> ir.Layer:
    weights = cast(torch.Tensor, module.weights)
    if base.shape.flat and weights.numel() > 1:
        raise RefusedError(
            f"multiplies its input [batch, {base.shape}] by {tuple(weights.shape)}: a factor for "
            "each sample of the batch, not for each neuron",
            "use a graded_spikes_factor of the neurons",
        )
    scale = parameter(weights, "weights", base.shape)
    shift = np.zeros((1, 1, 1), np.float32)
    return ir.Affine(base.name, base.source, base.inputs, base.shape, scale, shift)


def parameter(value: torch.Tensor, name: str, shape: ir.Shape) -> ir.Floats:
    """A tensor that broadcasts to neurons or values of ``shape``, in memory order."""
    if value.dtype == torch.float64 and value.ndim:
        raise RefusedError(f"its {name} is float64, not float32", "call net.float()")
    array = to_array(value)
    if array.ndim == len(shape.axes) + 1 and array.shape[0] == 1:
        array = array[0]  # a batch axis of one
    if not np.isfinite(array).all():
        raise RefusedError(f"its {name} holds NaN or infinity", "train it again")
    try:
        return ir.memory_parameter(array, shape)
    except ValueError:
        raise RefusedError(
            f"its {name} has shape {tuple(value.shape)}, which does not fit its neurons {shape}",
            "use one value for all or a shape that broadcasts to the layer's",
        ) from None


def _flatten(module: nn.Module, base: ir.Node) -> ir.Layer:
    layer = cast(nn.Flatten, module)
    axes = len(base.shape.axes)
    if layer.start_dim not in (1, -axes) or layer.end_dim not in (-1, axes):
        raise RefusedError(
            f"flattens axes {layer.start_dim} to {layer.end_dim}",
            "only nn.Flatten() over all axes but the batch is supported",
        )
    shape = dataclasses.replace(base.shape, flat=True, line=False)
    return ir.Flatten(base.name, base.source, base.inputs, shape)


def _unflatten(module: nn.Module, base: ir.Node) -> ir.Layer:
    layer = cast(nn.Unflatten, module)
    sizes = list(layer.unflattened_size)
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = base.shape.size // max(1, -math.prod(sizes))
    fits = base.shape.flat and math.prod(sizes) == base.shape.size
    if layer.dim not in (1, -1) or len(sizes) not in (2, 3) or not fits:
        raise RefusedError(
            f"makes {tuple(layer.unflattened_size)} of axis {layer.dim} of an input {base.shape}",
            "only nn.Unflatten(1, (C, H, W)) or nn.Unflatten(1, (C, L)) of a flat input is "
            "supported",
        )
    height = sizes[1] if len(sizes) == 3 else 1
    shape = ir.Shape(height, sizes[-1], sizes[0], flat=False, line=len(sizes) == 2)
    return ir.Unflatten(base.name, base.source, base.inputs, shape)


def _relu(module: nn.Module, base: ir.Node) -> ir.Layer:
    p = Program()
    value = p.step("maximum", p.current("current"), p.constant("zero", 0.0))
    return p.cell(base, "torch.nn.ReLU", value=p.let("value", value))


LayerReader: TypeAlias = Callable[[nn.Module, ir.Node], ir.Layer]
"""Makes a layer of a module; what all layers have is given, but its shape is that of the input."""

IDENTITIES = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
    nn.Identity,
)  # fmt: skip
"""Modules that do nothing in eval mode."""

LAYERS: dict[type[nn.Module], tuple[str, LayerReader]] = {
    nn.Conv1d: ("conv", _conv),
    nn.Conv2d: ("conv", _conv),
    nn.Linear: ("linear", _linear),
    nn.MaxPool1d: ("maxpool", _max_pool),
    nn.MaxPool2d: ("maxpool", _max_pool),
    nn.AvgPool1d: ("avgpool", _avg_pool),
    nn.AvgPool2d: ("avgpool", _avg_pool),
    nn.AdaptiveMaxPool1d: ("maxpool", _adaptive_max_pool),
    nn.AdaptiveMaxPool2d: ("maxpool", _adaptive_max_pool),
    nn.AdaptiveAvgPool1d: ("avgpool", _adaptive_avg_pool),
    nn.AdaptiveAvgPool2d: ("avgpool", _adaptive_avg_pool),
    nn.BatchNorm1d: ("norm", _batch_norm),
    nn.BatchNorm2d: ("norm", _batch_norm),
    nn.Flatten: ("flatten", _flatten),
    nn.Unflatten: ("unflatten", _unflatten),
    nn.ReLU: ("relu", _relu),
    snntorch.GradedSpikes: ("graded", _graded_spikes),
}
"""The reader of every module, and what the names of its layers start with."""
