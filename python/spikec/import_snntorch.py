# SPDX-License-Identifier: Apache-2.0
"""Reads a snnTorch network into the intermediate representation. Imports torch.

What is read is what *executes*: the function that ``snntorch.Leaky`` calls, the tensors it would
use, the surrogate's forward. Where a module disagrees with itself it is refused.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

from spikec import ir
from spikec.errors import SpikecError
from spikec.soundness import LARGEST, LONGEST

SUPPORTED = (
    "Conv2d, Linear, MaxPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Flatten, Dropout, "
    "Dropout1d, Dropout2d, Identity and snntorch.Leaky in an nn.Sequential"
)
"""The layers that can be compiled, as an error message lists them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One thing that cannot be compiled: where, what was found, why not, and what to do."""

    layer: str
    kind: str
    found: str
    fix: str

    def __str__(self) -> str:
        """One sentence or two."""
        where = (
            f"layer {self.layer!r} ({self.kind})" if self.layer else f"the network ({self.kind})"
        )
        return f"{where}: {self.found}; {self.fix}."


class _RefusedError(Exception):
    """Carries what is wrong with one layer from where it is found to where it is listed."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.found = found
        self.fix = fix


def load_checkpoint(net: nn.Module, path: Path) -> None:
    """Loads the weights in ``path``, a ``state_dict`` saved by ``torch.save``, into ``net``.

    Raises:
        SpikecError: the file cannot be read, holds more than tensors, or its tensors are not
            the network's.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SpikecError(f"{path}: there is no such file; name a checkpoint.") from error
    except pickle.UnpicklingError as error:
        raise SpikecError(
            f"{path}: this pickle holds more than tensors (or is no checkpoint at all), and "
            "loading it could run code, so it is refused; save the weights alone with "
            "torch.save(net.state_dict(), path)."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpikecError(
            f"{path}: cannot be read as a torch checkpoint ({reason}); it may be truncated: "
            "save it again with torch.save(net.state_dict(), path)."
        ) from error
    if isinstance(state, Mapping):
        for key in ("state_dict", "model_state_dict"):
            if isinstance(state.get(key), Mapping):
                state = state[key]
    tensors = isinstance(state, Mapping) and all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in state.items()
    )
    if not tensors:
        raise SpikecError(
            f"{path}: holds a {type(state).__name__} where a state_dict (names to tensors) is "
            "needed; save it with torch.save(net.state_dict(), path)."
        )
    expected = net.state_dict()
    missing = sorted(set(expected) - set(state))
    extra = sorted(set(state) - set(expected))
    wrong = [
        f"{name} is {tuple(state[name].shape)} in the file and {tuple(tensor.shape)} in the network"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    other = [
        f"{name} is {_type(state[name])} in the file and {_type(tensor)} in the network"
        for name, tensor in expected.items()
        if name in state and _type(state[name]) != _type(tensor)
    ]
    faults = []
    if missing:
        faults.append(f"tensors are missing: {', '.join(missing)}")
    if extra:
        faults.append(f"tensors are not in the network: {', '.join(extra)}")
    if wrong:
        faults.append(f"shapes differ: {', '.join(wrong)}")
    if other:
        faults.append(f"types differ: {', '.join(other)}")
    if faults:
        raise SpikecError(
            f"{path}: does not fit the network that --net builds: {'; '.join(faults)}; use the "
            "function that built the network which was saved."
        )
    net.load_state_dict(dict(state))


def _type(tensor: torch.Tensor) -> str:
    """A tensor's type in a word or two: ``float32``, ``sparse float32``."""
    layout = "" if tensor.layout == torch.strided else "sparse "
    return f"{layout}{str(tensor.dtype).removeprefix('torch.')}"


def check(net: nn.Module, input_shape: tuple[int, ...]) -> tuple[Problem, ...]:
    """Lists everything in ``net`` that cannot be compiled; empty when it can be."""
    return _read(net, input_shape)[1]


def import_network(
    net: nn.Module, input_shape: tuple[int, ...], source: str, sha256: str | None = None
) -> ir.Network:
    """Reads ``net`` in eval mode for inputs of ``input_shape``, ``(C, H, W)`` or ``(N,)``.

    ``source`` and ``sha256`` are printed in the generated files; without ``sha256`` the digest of
    the network's own tensors is used.

    Raises:
        SpikecError: the network cannot be compiled; every reason is listed.
    """
    layers, problems, shape = _read(net, input_shape)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise SpikecError(f"{source} cannot be compiled:\n{listed}")
    assert shape is not None
    return ir.Network(shape, layers, source, sha256 or _digest(net))


def _digest(net: nn.Module) -> str:
    """The sha256 of the network's tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read(
    net: nn.Module, input_shape: tuple[int, ...]
) -> tuple[tuple[ir.Layer, ...], tuple[Problem, ...], ir.Shape | None]:
    """Walks the network once; goes on after a problem, so that all are listed."""
    problems: list[Problem] = []

    def refuse(name: str, kind: str, found: str, fix: str) -> None:
        problems.append(Problem(name, kind, found, fix))

    if not isinstance(net, nn.Module):
        refuse("", type(net).__name__, "is not a torch nn.Module", "pass the network itself")
        return (), tuple(problems), None
    kind = type(net).__name__
    if net.training or any(module.training for module in net.modules()):
        refuse("", kind, "is in train mode", "call net.eval() first")
    shape: ir.Shape | None = None
    try:
        shape = _input_shape(input_shape)
    except _RefusedError as error:
        refuse("", kind, error.found, error.fix)
    current = shape
    layers: list[ir.Layer] = []
    count: dict[str, int] = {}
    modules = [] if type(net) is not nn.Sequential else list(_flattened(net, ""))
    if type(net) is not nn.Sequential:
        refuse(
            "", kind, "has a forward of its own", "only nn.Sequential is supported: write it as one"
        )
        # Name what else stands in the way, though the order of the layers is unknown.
        for name, module in net.named_modules():
            if not list(module.children()) and type(module) not in (*_READERS, *_IDENTITIES):
                refuse(name, type(module).__name__, *_unknown(module))
    for name, module in net.named_modules():
        if type(module) is nn.Sequential:
            try:
                _no_hooks(module)
            except _RefusedError as error:
                refuse(name, "Sequential", error.found, error.fix)
    for position, (name, module) in enumerate(modules):
        layer_kind = type(module).__name__
        try:
            _no_hooks(module)
            _sound(module)
            if type(module) in _IDENTITIES:
                continue
            if type(module) not in _READERS:
                raise _RefusedError(*_unknown(module))
            if isinstance(module, snntorch.Leaky):
                if any(module is other for _, other in modules[:position]):
                    raise _RefusedError(
                        "stands twice in the network, so both places share one membrane",
                        "build one Leaky for each place",
                    )
                _passes_on_spikes(module, last=position == len(modules) - 1)
            if current is None:
                continue
            prefix, reader = _READERS[type(module)]
            count[prefix] = count.get(prefix, 0) + 1
            inputs = (layers[-1].name if layers else ir.INPUT,)
            base = ir.Node(f"{prefix}{count[prefix]}", name, inputs, current)
            layer = _agreed(module, _read_by(reader, module, base), current)
        except _RefusedError as error:
            refuse(name, layer_kind, error.found, error.fix)
            if current is not None and not isinstance(module, snntorch.Leaky):
                current = _shape_after(module, current)
            continue
        layers.append(layer)
        current = layer.shape
    if type(net) is nn.Sequential and current is not None and not problems:
        _ends_in_spikes(layers, refuse)
    return tuple(layers), tuple(problems), shape


def _read_by(
    reader: Callable[[nn.Module, ir.Node], ir.Layer], module: nn.Module, base: ir.Node
) -> ir.Layer:
    """Reads a layer; what no reader expects, such as a stride of 0, is refused as well."""
    try:
        layer = reader(module, base)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise _RefusedError(
            f"cannot be read ({_first_line(error)})", "check its sizes and options"
        ) from error
    _bounded(layer.shape)
    return layer


def _agreed(module: nn.Module, layer: ir.Layer, before: ir.Shape) -> ir.Layer:
    """Returns ``layer`` if torch, too, can run it and gets the same shape."""
    if isinstance(module, snntorch.Leaky):
        return layer  # its shape is its input's, and it may hold a membrane that cannot be copied
    try:
        axes = _axes_after(module, before)
    except Exception as error:  # whatever torch raises
        raise _RefusedError(
            f"torch itself cannot run it on an input {before} ({_first_line(error)})",
            "make the layers fit each other and the input shape",
        ) from error
    if axes != layer.shape.axes:
        raise _RefusedError(
            f"gives {axes} in torch and {layer.shape.axes} by its options",
            "check that its tensors are those that its options ask for",
        )
    return layer


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _axes_after(module: nn.Module, shape: ir.Shape) -> tuple[int, ...]:
    """What a layer hands on, found by running a copy of it."""
    with torch.no_grad():
        result = copy.deepcopy(module)(torch.zeros(1, *shape.axes))
    result = result[0] if isinstance(result, tuple) else result
    return tuple(result.shape[1:])


def _shape_after(module: nn.Module, shape: ir.Shape) -> ir.Shape | None:
    """What a refused layer hands on, so that what follows is read as well; None if unknown."""
    try:
        return _input_shape(_axes_after(module, shape))
    except Exception:  # whatever an unknown layer raises: it stays unknown
        return None


def _bounded(shape: ir.Shape) -> None:
    if shape.size > LARGEST or max(shape.height, shape.width) > LONGEST:
        raise _RefusedError(
            f"its size {shape} is too large",
            f"at most {LONGEST:,} rows or columns and {LARGEST:,} values are supported: use a "
            "smaller input or layer",
        )


def _input_shape(input_shape: tuple[int, ...]) -> ir.Shape:
    axes = tuple(input_shape) if isinstance(input_shape, Iterable) else (input_shape,)
    if len(axes) not in (1, 3) or not all(isinstance(a, int) and a > 0 for a in axes):
        raise _RefusedError(
            f"the input shape {axes} is neither (C, H, W) nor (N,)",
            "give one frame's shape without time and batch, such as 2,34,34",
        )
    shape = ir.Shape(1, 1, axes[0], flat=True)
    if len(axes) == 3:
        shape = ir.Shape(axes[1], axes[2], axes[0], flat=False)
    _bounded(shape)
    return shape


def _flattened(net: nn.Sequential, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules of nested Sequentials in order, with their dotted names."""
    for name, module in net._modules.items():  # named_children leaves out a module's second use
        if module is None:
            continue
        if type(module) is nn.Sequential:
            yield from _flattened(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _unknown(module: nn.Module) -> tuple[str, str]:
    for known in _READERS:
        if isinstance(module, known):
            return (
                f"is a subclass of {known.__name__}, whose forward may compute something else",
                f"use {known.__name__} itself (for torch's parametrizations, remove them first)",
            )
    return "is not supported", f"supported are {SUPPORTED}"


def _no_hooks(module: nn.Module) -> None:
    replaced = [name for name in vars(module) if callable(getattr(type(module), name, None))]
    if replaced:
        raise _RefusedError(
            f"its {replaced[0]} was replaced on this one module, so it may compute something else",
            "build the layer anew",
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise _RefusedError(
            "has forward hooks, which may change what it computes",
            "remove them (for torch.nn.utils.prune, call prune.remove)",
        )


def _sound(module: nn.Module) -> None:
    """Refuses tensors that are not finite float32."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if not tensor.is_floating_point() or name == "mem":
            continue
        if tensor.dtype == torch.float64 and tensor.ndim == 0:
            continue  # a Python scalar to torch: it takes the membrane's float32
        if tensor.is_meta or tensor.layout != torch.strided:
            raise _RefusedError(
                f"its {name} is a {'meta' if tensor.is_meta else 'sparse'} tensor",
                "load its values as an ordinary tensor",
            )
        if tensor.dtype != torch.float32:
            raise _RefusedError(
                f"its {name} is {str(tensor.dtype).removeprefix('torch.')}, not float32",
                "call net.float()",
            )
        if not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise _RefusedError(
                f"its {name} holds {bad} value(s) that are NaN or infinite",
                "train it again or load another checkpoint",
            )


def _passes_on_spikes(leaky: snntorch.Leaky, last: bool) -> None:
    if not last and (leaky.output or not leaky.init_hidden):
        raise _RefusedError(
            "returns the pair (spikes, membrane), which the next layer cannot read",
            "build it with init_hidden=True and output=False",
        )


def _ends_in_spikes(layers: list[ir.Layer], refuse: Callable[[str, str, str, str], None]) -> None:
    """The outputs are spikes: nothing after the last Leaky may turn them into other numbers."""
    fix = "end it with snntorch.Leaky"
    spiking = [layer for layer in layers if isinstance(layer, ir.Leaky)]
    if not spiking:
        refuse("", "Sequential", "has no spiking layer", fix)
        return
    for layer in reversed(layers):
        match layer:
            case ir.Leaky():
                return
            case ir.Flatten():
                continue
            case ir.MaxPool2d() if spiking[-1].unit_spikes:
                continue
            case _:
                found = "stands after the last spiking layer, so the outputs are not spikes"
                refuse(layer.source, type(layer).__name__, found, fix)
                return


def _array(tensor: torch.Tensor) -> npt.NDArray[np.float32]:
    return tensor.detach().cpu().to(torch.float32).numpy().copy()


def _no_negative_zero(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A sum that starts from -0.0 would tell a skipped zero from an added one."""
    return values + np.float32(0.0)


def _bias(module: nn.Conv2d | nn.Linear, channels: int) -> npt.NDArray[np.float32]:
    if module.bias is None:
        return np.zeros(channels, np.float32)
    return _no_negative_zero(_array(module.bias))


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _not_flat(shape: ir.Shape, name: str) -> None:
    if shape.flat:
        raise _RefusedError(
            f"reads a flat input of {shape}",
            f"{name} needs a map (C, H, W): give such an input shape or move Flatten behind it",
        )


def _conv2d(module: nn.Module, base: ir.Node) -> ir.Layer:
    conv = cast(nn.Conv2d, module)
    _not_flat(base.shape, "Conv2d")
    if conv.padding_mode != "zeros":
        raise _RefusedError(f"padding_mode is {conv.padding_mode!r}", "only 'zeros' is supported")
    if conv.in_channels != base.shape.channels:
        raise _RefusedError(
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
        raise _RefusedError(
            f"its kernel {kernel} with dilation {dilation} is larger than its input {base.shape}",
            "use a smaller kernel, more padding or a larger input",
        )
    weight = np.ascontiguousarray(_array(conv.weight).transpose(2, 3, 1, 0))
    shape = ir.Shape(out[0], out[1], conv.out_channels, flat=False)
    return ir.Conv2d(
        base.name, base.source, base.inputs, shape, weight, _bias(conv, conv.out_channels),
        stride, before, dilation, conv.groups,
    )  # fmt: skip


def _linear(module: nn.Module, base: ir.Node) -> ir.Layer:
    linear = cast(nn.Linear, module)
    if not base.shape.flat:
        raise _RefusedError(f"reads a map {base.shape}", "put nn.Flatten() before it")
    if linear.in_features != base.shape.size:
        raise _RefusedError(
            f"wants {linear.in_features} inputs and gets {base.shape.size}",
            "make the layers fit each other and the input shape",
        )
    weight = base.shape.to_memory(_array(linear.weight))  # [out, y, x, c]
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
        raise _RefusedError(
            f"its window {kernel} is larger than its input {shape}", "use a smaller one"
        )
    return ir.Shape(out[0], out[1], shape.channels, flat=False)


def _max_pool2d(module: nn.Module, base: ir.Node) -> ir.Layer:
    pool = cast(nn.MaxPool2d, module)
    _not_flat(base.shape, "MaxPool2d")
    if pool.return_indices:
        raise _RefusedError("return_indices is True", "build it with return_indices=False")
    kernel, stride = _pair(pool.kernel_size), _pair(pool.stride)
    padding, dilation = _pair(pool.padding), _pair(pool.dilation)
    shape = _pool_shape(base.shape, kernel, stride, padding, dilation, pool.ceil_mode)
    size = (base.shape.height, base.shape.width)
    out = (shape.height, shape.width)
    for i in (0, 1):
        for start in range(-padding[i], out[i] * stride[i] - padding[i], stride[i]):
            if not any(0 <= start + tap * dilation[i] < size[i] for tap in range(kernel[i])):
                raise _RefusedError(
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
        raise _RefusedError("divisor_override is 0", "use another divisor")
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
        raise _RefusedError(
            f"reads an input {base.shape}",
            "BatchNorm2d goes with maps (C, H, W) and BatchNorm1d with flat inputs",
        )
    if norm.running_mean is None or norm.running_var is None:
        raise _RefusedError(
            "keeps no running statistics, so it depends on the batch",
            "build it with track_running_stats=True and train it",
        )
    if norm.num_features != base.shape.axes[0]:
        raise _RefusedError(
            f"wants {norm.num_features} channels and gets {base.shape.axes[0]}",
            "make the layers fit each other and the input shape",
        )
    # y = (x - mean) / sqrt(var + eps) * gamma + beta, in double until the end.
    with np.errstate(invalid="ignore"):
        deviation = np.sqrt(_array(norm.running_var).astype(np.float64) + norm.eps)
    gamma = 1.0 if norm.weight is None else _array(norm.weight).astype(np.float64)
    offset = 0.0 if norm.bias is None else _array(norm.bias).astype(np.float64)
    with np.errstate(all="ignore"):
        scale = gamma / deviation
        shift = offset - _array(norm.running_mean) * scale
    axes = (-1, *(1,) * (len(base.shape.axes) - 1))
    with np.errstate(all="ignore"):  # what does not fit float32 is refused just below
        scales = ir.memory_parameter(scale.reshape(axes), base.shape)
        shifts = ir.memory_parameter(shift.reshape(axes), base.shape)
    if not (np.isfinite(scales).all() and np.isfinite(shifts).all()):
        raise _RefusedError(
            "its scale or shift is not finite: running_var + eps is not positive, or too small",
            "train it again",
        )
    return ir.Affine(
        base.name, base.source, base.inputs, base.shape, scales, _no_negative_zero(shifts)
    )  # fmt: skip


def _flatten(module: nn.Module, base: ir.Node) -> ir.Layer:
    flatten = cast(nn.Flatten, module)
    axes = len(base.shape.axes)
    if flatten.start_dim not in (1, -axes) or flatten.end_dim not in (-1, axes):
        raise _RefusedError(
            f"flattens axes {flatten.start_dim} to {flatten.end_dim}",
            "only nn.Flatten() over all axes but the batch is supported",
        )
    shape = dataclasses.replace(base.shape, flat=True)
    return ir.Flatten(base.name, base.source, base.inputs, shape)


def _leaky(module: nn.Module, base: ir.Node) -> ir.Layer:
    leaky = cast(snntorch.Leaky, module)
    if leaky.inhibition:
        raise _RefusedError(
            "inhibition is on: one winner a batch fires, which is not supported",
            "build it with inhibition=False",
        )
    if leaky.state_quant:
        raise _RefusedError(
            "state_quant quantizes the membrane, which is not supported",
            "build it with state_quant=False",
        )
    reset = _executed_reset(leaky)
    _heaviside(leaky)
    return ir.Leaky(
        base.name, base.source, base.inputs, base.shape,
        np.clip(_neuron_parameter(leaky.beta, "beta", base.shape), 0, 1),
        _neuron_parameter(leaky.threshold, "threshold", base.shape),
        _grade(leaky, base.shape),
        reset,
        bool(leaky.reset_delay),
    )  # fmt: skip


def _executed_reset(leaky: snntorch.Leaky) -> ir.ResetMechanism:
    """The reset that runs: the bound ``state_function``, not the buffer that names one."""
    runs: dict[object, ir.ResetMechanism] = {
        snntorch.Leaky._base_sub: "subtract",
        snntorch.Leaky._base_zero: "zero",
        snntorch.Leaky._base_int: "none",
    }
    function = getattr(leaky.state_function, "__func__", None)
    owner: object = getattr(leaky.state_function, "__self__", None)
    if function not in runs or id(owner) != id(leaky):
        raise _RefusedError(
            "its state_function is not one of snnTorch's own (or is another layer's)",
            "build the layer anew with reset_mechanism=...",
        )
    named = {0: "subtract", 1: "zero", 2: "none"}.get(int(leaky.reset_mechanism_val))
    if runs[function] != named:
        raise _RefusedError(
            f"reset_mechanism says {named!r} but the function that runs is {runs[function]!r} "
            "(snnTorch does not change it when a checkpoint or an assignment changes the name)",
            f"build the layer with reset_mechanism={named!r}",
        )
    return runs[function]


def _heaviside(leaky: snntorch.Leaky) -> None:
    """The surrogate's forward must be the step function that Leaky's equations assume."""
    probe = torch.tensor([-1.0, -1e-30, 0.0, 1e-30, 1.0])
    with torch.no_grad():
        fired = leaky.spike_grad(probe)
    if fired.tolist() != [0.0, 0.0, 0.0, 1.0, 1.0]:
        raise _RefusedError(
            "its spike_grad does not fire exactly where membrane > threshold",
            "use one of snntorch.surrogate's functions whose forward is a step",
        )


def _neuron_parameter(value: torch.Tensor, name: str, shape: ir.Shape) -> ir.Floats:
    array = _array(value)
    if array.ndim == len(shape.axes) + 1 and array.shape[0] == 1:
        array = array[0]  # a batch axis of one
    if not np.isfinite(array).all():
        raise _RefusedError(f"its {name} holds NaN or infinity", "train it again")
    try:
        return ir.memory_parameter(array, shape)
    except ValueError:
        raise _RefusedError(
            f"its {name} has shape {tuple(value.shape)}, which does not fit its neurons {shape}",
            "use one value for all or a shape that broadcasts to the layer's",
        ) from None


def _grade(leaky: snntorch.Leaky, shape: ir.Shape) -> ir.Floats:
    grade = _neuron_parameter(leaky.graded_spikes_factor, "graded_spikes_factor", shape)
    if not math.isfinite(float(np.abs(grade).sum())) or np.any(grade == 0.0):
        raise _RefusedError(
            "its graded_spikes_factor is 0 somewhere, so that its spikes are lost",
            "use a factor that is not 0",
        )
    return grade


_IDENTITIES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)
_READERS: dict[type[nn.Module], tuple[str, Callable[[nn.Module, ir.Node], ir.Layer]]] = {
    nn.Conv2d: ("conv", _conv2d),
    nn.Linear: ("linear", _linear),
    nn.MaxPool2d: ("maxpool", _max_pool2d),
    nn.AvgPool2d: ("avgpool", _avg_pool2d),
    nn.BatchNorm1d: ("norm", _batch_norm),
    nn.BatchNorm2d: ("norm", _batch_norm),
    nn.Flatten: ("flatten", _flatten),
    snntorch.Leaky: ("leaky", _leaky),
}
