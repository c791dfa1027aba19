# SPDX-License-Identifier: Apache-2.0
"""Any network as a trainable snnTorch module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never, cast

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from snntorch import surrogate
from torch import nn
from torch.nn import functional

from spikec.errors import SpikecError
from spikec.ir import network as ir

_SLOPE = 25.0  # of the surrogate gradient, as snnTorch's fast_sigmoid has it


def to_torch(network: ir.Network, slope: float = _SLOPE) -> nn.Module:
    """Returns a network as a trainable module of torch and snnTorch, in eval mode.

    A call takes one time step's frame, ``[B, *axes]`` as snnTorch has them, and returns the spikes
    of the outputs, ``[B, *axes]``; neurons keep their states (``init_hidden``), which
    ``snntorch.utils.reset`` forgets. In eval mode its spikes are the network's. Weights and biases
    are parameters; decays and thresholds are buffers, as in snnTorch.

    A chain of layers becomes an ``nn.Sequential``, which ``spikec.compile`` reads back where torch
    and snnTorch have all of them. Any other network, or one with neurons other than ``Leaky``,
    which run their program statement by statement, becomes a ``NetworkModule``.

    Args:
        network: a network of float32.
        slope: of the surrogate gradient of spikes, ``snntorch.surrogate.fast_sigmoid``.

    Raises:
        SpikecError: it is a network of integers, which has no gradient.
    """
    if network.numbers != "f32":
        raise SpikecError(
            "a network of integers cannot be trained; give the float32 network that it was "
            "quantized from."
        )
    modules = {layer.name: _module_of(layer, network, slope) for layer in network.layers}
    before = ir.INPUT
    for layer in network.layers:
        if layer.inputs != (before,) or isinstance(layer, _REMEMBERS):
            return NetworkModule(network, modules).eval()
        before = layer.name
    if isinstance(network.output, ir.Leaky):
        return nn.Sequential(*modules.values()).eval()
    return NetworkModule(network, modules).eval()


_REMEMBERS = (ir.Cell, ir.AffineTT, ir.Previous)
"""Layers whose states ``snntorch.utils.reset`` does not know."""


class NetworkModule(nn.Module):
    """A network that is no chain of torch's own layers; each call is a time step."""

    def __init__(self, network: ir.Network, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        self.network = network
        self.parts = nn.ModuleDict(modules)
        self._last: dict[str, torch.Tensor] = {}

    def reset(self) -> None:
        """Forgets all states, as before the first time step."""
        self._last = {}
        for part in self.parts.values():
            if isinstance(part, snntorch.SpikingNeuron):
                part.reset_mem()
            elif isinstance(part, _Cells | _AffineTT):
                part.reset()

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """One time step: ``frame [B, *axes]``; returns the last layer's values ``[B, *axes]``."""
        values = {ir.INPUT: frame}
        for layer in self.network.layers:
            if isinstance(layer, ir.Previous):
                shape = (len(frame), *layer.shape.axes)
                last = self._last.get(layer.inputs[0])
                values[layer.name] = frame.new_zeros(shape) if last is None else last
            else:
                given = [values[name] for name in layer.inputs]
                values[layer.name] = self.parts[layer.name](*given)
        looped = [one.inputs[0] for one in self.network.layers if isinstance(one, ir.Previous)]
        self._last = {name: values[name] for name in looped}
        return values[self.network.output.name]


def _module_of(layer: ir.Layer, network: ir.Network, slope: float) -> nn.Module:
    """The module that computes a layer."""
    before = network.shape_of(layer.inputs[0])
    match layer:
        case ir.Conv2d():
            conv = _convolution(layer, before)
            if not before.flat:
                return conv
            axes = (before.channels, before.height, before.width)
            return nn.Sequential(nn.Unflatten(1, axes), conv)
        case ir.Linear():
            linear = _linear(layer, before)
            return linear if before.flat else nn.Sequential(nn.Flatten(), linear)
        case ir.MaxPool2d():
            return _max_pool(layer, before)
        case ir.AvgPool2d():
            return _average_pool(layer, before)
        case ir.Affine():
            return _Affine(layer)
        case ir.AffineTT():
            return _AffineTT(layer)
        case ir.Flatten():
            return nn.Flatten()
        case ir.Unflatten():
            return nn.Unflatten(1, layer.shape.axes)
        case ir.Concat():
            return _Concat()
        case ir.Previous():
            return nn.Identity()
        case ir.Leaky():
            return _leaky(layer, slope)
        case ir.Cell():
            return _Cells(layer, slope)
        case ir.IntegerLeaky():
            raise AssertionError("to_torch refuses networks of integers")
        case _:
            assert_never(layer)


def _tensor(values: npt.NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _by_axes(values: npt.NDArray[np.generic], shape: ir.Shape) -> torch.Tensor:
    """A parameter of neurons, ``[..., y, x, c]``, to broadcast against snnTorch's axes."""
    lead = values.shape[:-3]
    if values.shape[-3:] == (1, 1, 1):
        return _tensor(values.reshape(lead)) if lead else _tensor(values).reshape(())
    if values.shape[-3:-1] == (1, 1) and not shape.flat:
        return _tensor(values.reshape(*lead, -1, *(1,) * (len(shape.axes) - 1)))
    whole = np.broadcast_to(values, (*lead, shape.height, shape.width, shape.channels))
    return _tensor(np.moveaxis(whole, -1, -3).reshape(*lead, *shape.axes))


def _convolution(conv: ir.Conv2d, before: ir.Shape) -> nn.Module:
    """A convolution; where its padding differs from side to side, the input is padded before."""
    ky, kx, inputs, outputs = conv.weight.shape
    ends = []
    for axis, (kernel, size, out) in enumerate(
        ((ky, before.height, conv.shape.height), (kx, before.width, conv.shape.width))
    ):
        read = (out - 1) * conv.stride[axis] + (kernel - 1) * conv.dilation[axis] + 1
        ends.append(read - size - conv.padding[axis])
    weight = conv.weight.transpose(3, 2, 0, 1)
    line = before.line
    even = all(
        end in range(pad - stride + 1, pad + 1)
        for end, pad, stride in zip(ends, conv.padding, conv.stride, strict=True)
    )
    padding = conv.padding if even else (0, 0)
    kind = nn.Conv1d if line else nn.Conv2d
    at = slice(1, 2) if line else slice(0, 2)
    module = kind(
        inputs * conv.groups, outputs, (ky, kx)[at], conv.stride[at], padding[at],
        conv.dilation[at], conv.groups,
    )  # fmt: skip
    with torch.no_grad():
        module.weight.copy_(_tensor(weight[:, :, 0] if line else weight))
        assert module.bias is not None
        module.bias.copy_(_tensor(conv.bias))
    if even:
        return module
    sides = [conv.padding[1], ends[1]]
    if not line:
        sides += [conv.padding[0], ends[0]]
    return _Padded(tuple(sides), module)


def _linear(linear: ir.Linear, before: ir.Shape) -> nn.Linear:
    inputs, outputs = linear.weight.shape
    # Memory order is channel last; snnTorch flattens a map channel by channel.
    maps = linear.weight.reshape(before.height, before.width, before.channels, outputs)
    module = nn.Linear(inputs, outputs)
    with torch.no_grad():
        module.weight.copy_(_tensor(np.moveaxis(maps, 2, 0).reshape(inputs, outputs).T))
        module.bias.copy_(_tensor(linear.bias))
    return module


def _max_pool(pool: ir.MaxPool2d, before: ir.Shape) -> nn.Module:
    if before.line:
        return nn.MaxPool1d(
            pool.kernel[1], pool.stride[1], pool.padding[1], pool.dilation[1],
            ceil_mode=pool.clipped,
        )  # fmt: skip
    return nn.MaxPool2d(
        pool.kernel, pool.stride, pool.padding, pool.dilation, ceil_mode=pool.clipped
    )


def _average_pool(pool: ir.AvgPool2d, before: ir.Shape) -> nn.Module:
    sizes = zip((before.height, before.width), pool.kernel, pool.stride, pool.padding, strict=True)
    whole = tuple((size + 2 * pad - kernel) // stride + 1 for size, kernel, stride, pad in sizes)
    plain = np.all(pool.divisors == pool.kernel[0] * pool.kernel[1])
    if before.line or not plain or whole != (pool.shape.height, pool.shape.width):
        return _AveragePool(pool)
    return nn.AvgPool2d(pool.kernel, pool.stride, pool.padding)


def _leaky(leaky: ir.Leaky, slope: float) -> nn.Module:
    neurons: nn.Module = snntorch.Leaky(
        beta=_by_axes(leaky.beta, leaky.shape),
        threshold=_by_axes(leaky.threshold, leaky.shape),
        graded_spikes_factor=_by_axes(leaky.grade, leaky.shape),
        reset_mechanism=leaky.reset,
        reset_delay=leaky.reset_delay,
        spike_grad=surrogate.fast_sigmoid(slope),
        init_hidden=True,
    )
    return neurons


def weighted_part(module: nn.Module) -> nn.Conv1d | nn.Conv2d | nn.Linear | None:
    """The layer with weights that a module of ``to_torch`` is or holds, if any."""
    if isinstance(module, _Padded):
        return weighted_part(module.layer)
    if isinstance(module, nn.Sequential):
        return weighted_part(module[-1])
    return module if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear) else None


class _Padded(nn.Module):
    """A layer whose input is padded with zeros, otherwise on one side than on the other."""

    def __init__(self, sides: tuple[int, ...], layer: nn.Module) -> None:
        super().__init__()
        self.sides = sides
        self.layer = layer

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, self.layer(functional.pad(value, self.sides)))


class _AveragePool(nn.Module):
    """Sums over windows, each divided by a number of its own."""

    divisors: torch.Tensor

    def __init__(self, pool: ir.AvgPool2d) -> None:
        super().__init__()
        self.pool = pool
        self.register_buffer("divisors", _tensor(pool.divisors))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        pool, shape = self.pool, self.pool.shape
        maps = value.reshape(len(value), shape.channels, -1, value.shape[-1])
        (ky, kx), (sy, sx), (py, px) = pool.kernel, pool.stride, pool.padding
        low = max(0, (shape.height - 1) * sy + ky - py - maps.shape[2])
        right = max(0, (shape.width - 1) * sx + kx - px - maps.shape[3])
        padded = functional.pad(maps, (px, right, py, low))
        sums = functional.avg_pool2d(padded, pool.kernel, pool.stride, divisor_override=1)
        sums = sums[:, :, : shape.height, : shape.width]
        return (sums / self.divisors).reshape(len(value), *shape.axes)


class _Affine(nn.Module):
    """A scale and a shift, by channel or by neuron."""

    def __init__(self, affine: ir.Affine) -> None:
        super().__init__()
        self.scale = nn.Parameter(_by_axes(affine.scale, affine.shape))
        self.shift = nn.Parameter(_by_axes(affine.shift, affine.shape))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return value * self.scale + self.shift


class _AffineTT(nn.Module):
    """A scale and a shift for every time step."""

    def __init__(self, affine: ir.AffineTT) -> None:
        super().__init__()
        self.scale = nn.Parameter(_by_axes(affine.scale, affine.shape))
        self.shift = nn.Parameter(_by_axes(affine.shift, affine.shape))
        self.step = 0

    def reset(self) -> None:
        """Starts again with the first time step."""
        self.step = 0

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        self.step += 1
        return value * self.scale[self.step - 1] + self.shift[self.step - 1]


class _Concat(nn.Module):
    """Joins values along channels, or features."""

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return torch.cat(values, 1)


class _Cells(nn.Module):
    """Neurons, or other cells, that run their program; a spike has a surrogate gradient."""

    def __init__(self, cell: ir.Cell, slope: float) -> None:
        super().__init__()
        self.cell = cell
        self.spike = surrogate.fast_sigmoid(slope)
        for each in cell.parameters:
            values = each.values
            tensor = _tensor(values) if values.ndim == 1 else _by_axes(values, cell.shape)
            self.register_buffer(f"parameter_{each.name}", tensor)
        self.register_buffer("grade", _by_axes(cell.grade, cell.shape))
        self._states: dict[str, torch.Tensor] = {}

    def reset(self) -> None:
        """Puts all states to 0."""
        self._states = {}

    def forward(self, *currents: torch.Tensor) -> torch.Tensor:
        cell = self.cell
        values: dict[str, torch.Tensor] = {
            each.name: cast(torch.Tensor, getattr(self, f"parameter_{each.name}"))
            for each in cell.parameters
        }
        for names, current in zip(cell.currents, currents, strict=True):
            parts = current.chunk(len(names), 1) if len(names) > 1 else (current,)
            values |= {
                name: part.reshape(len(part), *cell.shape.axes)
                for name, part in zip(names, parts, strict=True)
            }
        zero = currents[0].new_zeros((len(currents[0]), *cell.shape.axes))
        values |= {state.name: self._states.get(state.name, zero) for state in cell.states}
        for step in cell.program:
            arguments = [values[name] for name in step.arguments]
            found = _run(step.op, arguments)
            if step.name == cell.fires:
                # Forward it is the comparison; backward the surrogate of the distance.
                smooth = self.spike(arguments[0] - arguments[1])
                found = smooth + (found.to(smooth.dtype) - smooth).detach()
                if cell.winner is not None:
                    found = found * _largest(values[cell.winner])
            values[step.name] = found
        self._states = {state.name: values[state.next] + zero for state in cell.states}
        if cell.fires is not None:
            return values[cell.fires] * cast(torch.Tensor, self.grade)
        assert cell.value is not None, "a cell that never fires hands on a value"
        return values[cell.value] + zero


def _largest(values: torch.Tensor) -> torch.Tensor:
    """1 where a layer's value ``[B, *axes]`` is the largest, of equal ones the first; else 0."""
    flat = values.flatten(1)
    marks = torch.zeros_like(flat).scatter(1, flat.argmax(1, keepdim=True), 1.0)
    return marks.reshape(values.shape)


def _run(op: ir.Op, of: Sequence[torch.Tensor]) -> torch.Tensor:
    """One statement of a program. Flags are 0 or 1, as numbers, so that gradients pass."""
    match op:
        case "add":
            return of[0] + of[1]
        case "sub":
            return of[0] - of[1]
        case "mul":
            return of[0] * of[1]
        case "neg":
            return -of[0]
        case "abs":
            return of[0].abs()
        case "maximum":
            return torch.where(of[1] > of[0], of[1], of[0])
        case "greater":
            return (of[0] > of[1]).to(torch.float32)
        case "at_least":
            return (of[0] >= of[1]).to(torch.float32)
        case "select":
            return torch.where(of[0] != 0, of[1], of[2])
        case "number":
            return of[0]
        case "sigmoid":
            return torch.sigmoid(of[0])
        case "tanh":
            return torch.tanh(of[0])
        case "nearest":
            nearest = of[1][(of[0][..., None] - of[1]).abs().argmin(-1)]
            return of[0] + (nearest - of[0]).detach()
        case "decay" | "shift":
            raise AssertionError("these are of programs of integers")
        case _:
            assert_never(op)
