# SPDX-License-Identifier: Apache-2.0
"""Reads torch's own layers into the intermediate representation. Imports torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spikec import ir


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


def _bias(module: nn.Conv2d | nn.Linear, channels: int) -> npt.NDArray[np.float32]:
    if module.bias is None:
        return np.zeros(channels, np.float32)
    return no_negative_zero(to_array(module.bias))


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _not_flat(shape: ir.Shape, name: str) -> None:
    if shape.flat:
        raise RefusedError(
            f"reads a flat input of {shape}",
            f"{name} needs a map (C, H, W): give such an input shape or move Flatten behind it",
        )


def _conv2d(module: nn.Module, base: ir.Node) -> ir.Layer:
    conv = cast(nn.Conv2d, module)
    _not_flat(base.shape, "Conv2d")
    if conv.padding_mode != "zeros":
        raise RefusedError(f"padding_mode is {conv.padding_mode!r}", "only 'zeros' is supported")
    if conv.in_channels != base.shape.channels:
        raise RefusedError(
            f"wants {conv.in_channels} input channels and gets {base.shape.channels} "
            f"(input {base.shape})",
            "make the layers fit each other and the input shape",
        )
    kernel, stride, dilation = _pair(conv.kernel_size), _pair(conv.stride), _pair(conv.dilation)
    reach = (dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1))
    if conv.padding == "same":
        before, total = (reach[0] // 2, reach[1] // 2), reach
    elif isinstance(conv.padding, str):
        before, total = (0, 0), (0, 0)
    else:
        before = _pair(conv.padding)
        total = (2 * before[0], 2 * before[1])
    size = (base.shape.height, base.shape.width)
    out = tuple((size[i] + total[i] - reach[i] - 1) // stride[i] + 1 for i in (0, 1))
    if min(out) < 1:
        raise RefusedError(
            f"its kernel {kernel} with dilation {dilation} is larger than its input {base.shape}",
            "use a smaller kernel, more padding or a larger input",
        )
    weight = np.ascontiguousarray(to_array(conv.weight).transpose(2, 3, 1, 0))
    shape = ir.Shape(out[0], out[1], conv.out_channels, flat=False)
    return ir.Conv2d(
        base.name, base.source, base.inputs, shape, weight, _bias(conv, conv.out_channels),
        stride, before, dilation, conv.groups,
    )  # fmt: skip


def _linear(module: nn.Module, base: ir.Node) -> ir.Layer:
    linear = cast(nn.Linear, module)
    if not base.shape.flat:
        raise RefusedError(f"reads a map {base.shape}", "put nn.Flatten() before it")
    if linear.in_features != base.shape.size:
        raise RefusedError(
            f"wants {linear.in_features} inputs and gets {base.shape.size}",
            "make the layers fit each other and the input shape",
        )
    weight = base.shape.to_memory(to_array(linear.weight))  # [out, y, x, c]
    weight = np.ascontiguousarray(weight.reshape(linear.out_features, -1).T)
    shape = ir.Shape(1, 1, linear.out_features, flat=True)
    bias = _bias(linear, linear.out_features)
    return ir.Linear(base.name, base.source, base.inputs, shape, weight, bias)


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
    return ir.Shape(out[0], out[1], shape.channels, flat=False)


def _max_pool2d(module: nn.Module, base: ir.Node) -> ir.Layer:
    pool = cast(nn.MaxPool2d, module)
    _not_flat(base.shape, "MaxPool2d")
    if pool.return_indices:
        raise RefusedError("return_indices is True", "build it with return_indices=False")
    kernel, stride = _pair(pool.kernel_size), _pair(pool.stride)
    padding, dilation = _pair(pool.padding), _pair(pool.dilation)
    shape = _pool_shape(base.shape, kernel, stride, padding, dilation, pool.ceil_mode)
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


def _avg_pool2d(module: nn.Module, base: ir.Node) -> ir.Layer:
    pool = cast(nn.AvgPool2d, module)
    _not_flat(base.shape, "AvgPool2d")
    kernel, stride = _pair(pool.kernel_size), _pair(pool.stride)
    padding = _pair(pool.padding)
    if pool.divisor_override == 0:
        raise RefusedError("divisor_override is 0", "use another divisor")
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
            divisors[y, x] = pool.divisor_override or (padded if pool.count_include_pad else inside)
    return ir.AvgPool2d(
        base.name, base.source, base.inputs, shape, kernel, stride, padding, divisors
    )


def _batch_norm(module: nn.Module, base: ir.Node) -> ir.Layer:
    norm = cast(nn.BatchNorm1d, module)
    flat = isinstance(module, nn.BatchNorm1d)
    if flat != base.shape.flat:
        raise RefusedError(
            f"reads an input {base.shape}",
            "BatchNorm2d goes with maps (C, H, W) and BatchNorm1d with flat inputs",
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


def _flatten(module: nn.Module, base: ir.Node) -> ir.Layer:
    flatten = cast(nn.Flatten, module)
    axes = len(base.shape.axes)
    if flatten.start_dim not in (1, -axes) or flatten.end_dim not in (-1, axes):
        raise RefusedError(
            f"flattens axes {flatten.start_dim} to {flatten.end_dim}",
            "only nn.Flatten() over all axes but the batch is supported",
        )
    shape = dataclasses.replace(base.shape, flat=True)
    return ir.Flatten(base.name, base.source, base.inputs, shape)


LayerReader: TypeAlias = Callable[[nn.Module, ir.Node], ir.Layer]
"""Makes a layer of a module; what all layers have is given, but its shape is that of the input."""

IDENTITIES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)
"""Modules that do nothing in eval mode."""

LAYERS: dict[type[nn.Module], tuple[str, LayerReader]] = {
    nn.Conv2d: ("conv", _conv2d),
    nn.Linear: ("linear", _linear),
    nn.MaxPool2d: ("maxpool", _max_pool2d),
    nn.AvgPool2d: ("avgpool", _avg_pool2d),
    nn.BatchNorm1d: ("norm", _batch_norm),
    nn.BatchNorm2d: ("norm", _batch_norm),
    nn.Flatten: ("flatten", _flatten),
}
"""The reader of every module, and what the names of its layers start with."""
