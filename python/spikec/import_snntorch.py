# SPDX-License-Identifier: Apache-2.0
"""Reads a snnTorch network into the intermediate representation. Imports torch.

What is read is what *executes*: the function that ``snntorch.Leaky`` calls, the tensors it would
use, the surrogate's forward. Where a module disagrees with itself it is refused.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import snntorch
import torch
from torch import nn

from spikec import ir
from spikec.errors import SpikecError
from spikec.import_layers import IDENTITIES, LAYERS, RefusedError
from spikec.import_neurons import NEURONS, Names
from spikec.soundness import LARGEST, LONGEST

SUPPORTED = (
    "Conv2d, Linear, MaxPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Flatten, Dropout, "
    "Dropout1d, Dropout2d, Identity and snntorch.Leaky in an nn.Sequential"
)
"""The layers that can be compiled, as an error message lists them."""

_READERS = {**LAYERS, **NEURONS}


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
    except RefusedError as error:
        refuse("", kind, error.found, error.fix)
    current = shape
    layers: list[ir.Layer] = []
    names = Names()
    modules = [] if type(net) is not nn.Sequential else list(_flattened(net, ""))
    if type(net) is not nn.Sequential:
        refuse(
            "", kind, "has a forward of its own", "only nn.Sequential is supported: write it as one"
        )
        # Name what else stands in the way, though the order of the layers is unknown.
        for name, module in net.named_modules():
            if not list(module.children()) and type(module) not in (*_READERS, *IDENTITIES):
                refuse(name, type(module).__name__, *_unknown(module))
    for name, module in net.named_modules():
        if type(module) is nn.Sequential:
            try:
                _no_hooks(module)
            except RefusedError as error:
                refuse(name, "Sequential", error.found, error.fix)
    for position, (name, module) in enumerate(modules):
        layer_kind = type(module).__name__
        try:
            _no_hooks(module)
            _sound(module)
            if type(module) in IDENTITIES:
                continue
            if type(module) not in _READERS:
                raise RefusedError(*_unknown(module))
            if isinstance(module, snntorch.Leaky):
                if any(module is other for _, other in modules[:position]):
                    raise RefusedError(
                        "stands twice in the network, so both places share one membrane",
                        "build one Leaky for each place",
                    )
                _passes_on_spikes(module, last=position == len(modules) - 1)
            if current is None:
                continue
            inputs = (layers[-1].name if layers else ir.INPUT,)
            made = _layers_of(module, names, name, inputs, current)
        except RefusedError as error:
            refuse(name, layer_kind, error.found, error.fix)
            if current is not None and not isinstance(module, snntorch.Leaky):
                current = _shape_after(module, current)
            continue
        layers += made
        current = made[-1].shape
    if type(net) is nn.Sequential and current is not None and not problems:
        _ends_in_spikes(layers, refuse)
    return tuple(layers), tuple(problems), shape


def _layers_of(
    module: nn.Module, names: Names, source: str, inputs: tuple[str, ...], before: ir.Shape
) -> tuple[ir.Layer, ...]:
    """Reads a module; what no reader expects, such as a stride of 0, is refused as well."""
    kind = type(module)
    prefix = _READERS[kind][0]
    base = ir.Node(names.fresh(prefix), source, inputs, before)
    try:
        if kind in NEURONS:
            made = NEURONS[kind][1](module, base, names)
        else:
            made = (LAYERS[kind][1](module, base),)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise RefusedError(
            f"cannot be read ({_first_line(error)})", "check its sizes and options"
        ) from error
    for layer in made:
        _bounded(layer.shape)
    return (*made[:-1], _agreed(module, made[-1], before))


def _agreed(module: nn.Module, layer: ir.Layer, before: ir.Shape) -> ir.Layer:
    """Returns ``layer`` if torch, too, can run it and gets the same shape."""
    if isinstance(module, snntorch.Leaky):
        return layer  # its shape is its input's, and it may hold a membrane that cannot be copied
    try:
        axes = _axes_after(module, before)
    except Exception as error:  # whatever torch raises
        raise RefusedError(
            f"torch itself cannot run it on an input {before} ({_first_line(error)})",
            "make the layers fit each other and the input shape",
        ) from error
    if axes != layer.shape.axes:
        raise RefusedError(
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
        raise RefusedError(
            f"its size {shape} is too large",
            f"at most {LONGEST:,} rows or columns and {LARGEST:,} values are supported: use a "
            "smaller input or layer",
        )


def _input_shape(input_shape: tuple[int, ...]) -> ir.Shape:
    axes = tuple(input_shape) if isinstance(input_shape, Iterable) else (input_shape,)
    if len(axes) not in (1, 3) or not all(isinstance(a, int) and a > 0 for a in axes):
        raise RefusedError(
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
        raise RefusedError(
            f"its {replaced[0]} was replaced on this one module, so it may compute something else",
            "build the layer anew",
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise RefusedError(
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
            raise RefusedError(
                f"its {name} is a {'meta' if tensor.is_meta else 'sparse'} tensor",
                "load its values as an ordinary tensor",
            )
        if tensor.dtype != torch.float32:
            raise RefusedError(
                f"its {name} is {str(tensor.dtype).removeprefix('torch.')}, not float32",
                "call net.float()",
            )
        if not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise RefusedError(
                f"its {name} holds {bad} value(s) that are NaN or infinite",
                "train it again or load another checkpoint",
            )


def _passes_on_spikes(leaky: snntorch.Leaky, last: bool) -> None:
    if not last and (leaky.output or not leaky.init_hidden):
        raise RefusedError(
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
