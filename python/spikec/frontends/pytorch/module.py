# SPDX-License-Identifier: Apache-2.0
"""Reads a snnTorch network into the intermediate representation. Imports torch.

What is read is what *executes*: the modules of an ``nn.Sequential`` one after the other, and of any
other module what its forward does, which ``trace`` finds out. Where a module disagrees with
itself it is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
from torch import nn

from spikec.errors import SpikecError
from spikec.frontends.pytorch import execute
from spikec.frontends.pytorch.calling import TRACED_STEPS, Calling, call_sequential, is_walkable
from spikec.frontends.pytorch.layers import IDENTITIES, RefusedError
from spikec.frontends.pytorch.lower import (
    READERS,
    Lowering,
    Refuse,
    check_sound,
    describe_unknown,
    ends_in_spikes,
    find_shape_after,
    first_line,
    list_layers,
    passes_on_spikes,
    shape_of_axes,
    take_apart,
)
from spikec.frontends.pytorch.neurons import Names
from spikec.frontends.pytorch.trace import trace
from spikec.frontends.pytorch.values import NEURON_TYPES, SEQUENCE, UntraceableError
from spikec.ir import network as ir
from spikec.ir import soundness
from spikec.semantics import parity

_KNOWN: tuple[type[nn.Module], ...] = (*READERS, *IDENTITIES)

_STEPS = 6
"""For how many time steps a compiled network is at least compared with its module."""
_MORE_STEPS = 64
"""For how many, if its forward is its own: steps after those that were traced may differ."""
_MORE_VALUES = 200_000
"""How many values all layers together may take in so many steps."""
_ROUNDING = 1e-4
"""How near its threshold, relative to the largest of its layer, a membrane may differ there: what
summing in another order makes of sums that are much larger than the threshold."""


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


def is_module(net: object) -> bool:
    """Whether something is a torch module."""
    return isinstance(net, nn.Module)


def check(net: nn.Module, input_shape: tuple[int, ...]) -> tuple[Problem, ...]:
    """Lists everything in ``net`` that cannot be compiled; empty when it can be."""
    return _read(net, input_shape).problems


def import_network(
    net: nn.Module, input_shape: tuple[int, ...], source: str, sha256: str | None = None
) -> ir.Network:
    """Reads ``net`` in eval mode for inputs of ``(C, H, W)``, ``(C, L)`` or ``(N,)``.

    An ``nn.Sequential`` is read as it stands. A module with a forward of its own, or with a part
    that has one, is run on random frames of batch 1, and what it does is read (``trace``).
    Its outputs are the spikes that it returns, several of them one after the other; states that it
    returns are no outputs: of a module that returns nothing else, the spikes of those neurons are,
    and ``Host.membranes`` gives the states. The network that was read is compared with the module
    on random frames.

    ``source`` and ``sha256`` are printed in the generated files; without ``sha256`` the digest of
    the network's own tensors is used.

    Raises:
        SpikecError: the network cannot be compiled; every reason is listed.
    """
    read = _read(net, input_shape)
    if read.problems:
        listed = "\n".join(f"  {problem}" for problem in read.problems)
        raise SpikecError(f"{source} cannot be compiled:\n{listed}")
    assert read.shape is not None
    assert read.calling is not None
    network = ir.Network(read.shape, read.layers, source, sha256 or _digest(net))
    _verify(net, network, read.calling)
    if read.calling.membranes_only:
        names = ", ".join(read.calling.membranes_only)
        warnings.warn(
            f"{source}: its forward returns membranes and no spikes. The outputs of the compiled "
            f"network are the spikes of {names}; read membranes with host.membranes(frames), or in "
            "C with NAME_membranes().",
            stacklevel=2,
        )
    return network


def _verify(net: nn.Module, network: ir.Network, calling: Calling) -> None:
    """Compares the reference with the module itself on random frames.

    Raises:
        SpikecError: they do not spike alike.
    """
    steps = _STEPS
    if not is_walkable(net):
        values = sum(layer.shape.size for layer in network.layers)
        steps = min(max(_MORE_VALUES // values, _STEPS), _MORE_STEPS)
    steps = calling.steps or min(steps, network.max_steps or steps)
    random = np.random.default_rng(0)
    shape = (steps, *network.input.axes)
    frames = np.where(random.random(shape) < 0.4, random.integers(1, 4, shape), 0)
    if calling.style == "held":
        frames[:] = frames[0]
    try:
        theirs = execute.run_called(net, calling, frames)[0]
    except Exception as error:  # whatever the user's own code raises
        raise SpikecError(
            f"{network.source}: its forward ran for {TRACED_STEPS} time steps, but not for "
            f"{steps} ({first_line(error)}); make it run for any number of time steps."
        ) from error
    fault = "" if is_walkable(net) else soundness.fault(network)
    if not fault:
        with np.errstate(all="ignore"):  # weights may be as large as they like
            ours = execute.run_reference(network, frames)
        found = parity.compare(network, ours.spikes, theirs.spikes, theirs.potentials)
        largest = {
            name: float(np.abs(potentials).max(initial=0.0))
            for name, potentials in theirs.potentials.items()
        }
        differ = [
            str(each)
            for each in found.failures
            if not abs(each.distance) <= _ROUNDING * max(largest[each.layer], abs(each.threshold))
        ]
        if not found.differing:
            differ += _unlike(network, ours.membranes, theirs.membranes)
        fault = differ[0] if differ else ""
    if fault:
        raise SpikecError(
            f"{network.source}: what spikec read does not do what the module does: "
            f"{fault.removesuffix('.')}. Does its forward depend on the time step, on more than "
            "its input, or change what it is given? Otherwise this is a fault of spikec; please "
            "report it, with the network."
        )


def _unlike(
    network: ir.Network,
    ours: Mapping[str, np.ndarray[Any, Any]],
    theirs: Mapping[str, np.ndarray[Any, Any]],
) -> list[str]:
    """Layers of Leaky whose membranes are not alike, though their spikes are."""
    found = []
    for layer in network.layers:
        if not isinstance(layer, ir.Leaky):
            continue
        mine, other = ours[layer.source], theirs[layer.source]
        if not (np.isfinite(mine).all() and np.isfinite(other).all()):
            continue
        size = max(float(np.abs(other).max(initial=0)), float(np.abs(layer.threshold).max()))
        apart = np.abs(mine - other)
        if not (apart <= 1e-3 * size).all():
            step = int(np.argmax((apart > 1e-3 * size).reshape(len(apart), -1).any(1)))
            found.append(f"layer {layer.source!r}, step {step}: membranes differ.")
    return found


def _digest(net: nn.Module) -> str:
    """The sha256 of the network's tensors, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True, slots=True)
class _Reading:
    """What was read of a module; the layers mean something if there are no problems."""

    layers: tuple[ir.Layer, ...]
    problems: tuple[Problem, ...]
    shape: ir.Shape | None = None
    calling: Calling | None = None


def _read(net: nn.Module, input_shape: tuple[int, ...]) -> _Reading:
    """Reads the network once; goes on after a problem, so that all are listed."""
    problems: list[Problem] = []

    def refuse(name: str, kind: str, found: str, fix: str) -> None:
        problems.append(Problem(name, kind, found, fix))

    if not isinstance(net, nn.Module):
        refuse("", type(net).__name__, "is not a torch nn.Module", "pass the network itself")
        return _Reading((), tuple(problems))
    kind = type(net).__name__
    if net.training or any(module.training for module in net.modules()):
        refuse("", kind, "is in train mode", "call net.eval() first")
    for name, module in net.named_modules():
        if hasattr(module, "_orig_mod"):
            refuse(name, kind, "was made by torch.compile", "give its _orig_mod, the module itself")
            return _Reading((), tuple(problems))
    shape: ir.Shape | None = None
    try:
        shape = _input_shape(input_shape)
    except RefusedError as error:
        refuse("", kind, error.found, error.fix)
    if is_walkable(net):
        layers = _walked(cast(nn.Sequential, net), shape, refuse)
        calling: Calling | None = call_sequential(net)
    else:
        layers, calling = _traced(net, shape, refuse)
    return _Reading(tuple(layers), tuple(problems), shape, calling)


def _walked(net: nn.Sequential, shape: ir.Shape | None, refuse: Refuse) -> list[ir.Layer]:
    """Reads an ``nn.Sequential`` module by module; the shape is that of the input, if known."""
    current = shape
    layers: list[ir.Layer] = []
    names = Names()
    readable = True
    modules = list(take_apart(net, ""))
    whole = any(isinstance(module, SEQUENCE) for _, module in modules)
    for name, module in net.named_modules():
        if type(module) is nn.Sequential:
            try:
                _no_hooks(module)
            except RefusedError as error:
                refuse(name, "Sequential", error.found, error.fix)
    for position, (name, module) in enumerate(modules):
        try:
            _readable(module)
            if type(module) in IDENTITIES:
                continue
            if isinstance(module, NEURON_TYPES):
                if any(module is other for _, other in modules[:position]):
                    raise RefusedError(
                        "stands twice in the network, so both places share one membrane",
                        f"build one {type(module).__name__} for each place",
                    )
                passes_on_spikes(module, last=position == len(modules) - 1)
            if whole and not isinstance(module, (*SEQUENCE, nn.Linear, nn.ReLU)):
                raise RefusedError(
                    "stands in one nn.Sequential with neurons that take all time steps at once",
                    "write a module with a forward of its own, which calls it step by step",
                )
            if current is None:
                continue
            inputs = (layers[-1].name if layers else ir.INPUT,)
            made = list_layers(module, names, name, inputs, current)
        except RefusedError as error:
            refuse(name, type(module).__name__, error.found, error.fix)
            readable = False
            if current is not None and not isinstance(module, NEURON_TYPES):
                current = find_shape_after(module, current)
            continue
        layers += made
        current = made[-1].shape
    if shape is not None and readable:
        ends_in_spikes(layers, "Sequential", refuse)
    return layers


def _traced(
    net: nn.Module, shape: ir.Shape | None, refuse: Refuse
) -> tuple[list[ir.Layer], Calling | None]:
    """Reads a module with a forward of its own by running it."""
    spoiled = False
    for name, module in net.named_modules():
        if not isinstance(module, _KNOWN):
            continue
        try:
            _readable(module)
        except RefusedError as error:
            refuse(name, type(module).__name__, error.found, error.fix)
            spoiled = True
    if shape is None or spoiled or any(module.training for module in net.modules()):
        return [], None
    try:
        graph = trace(net, shape.axes)
    except UntraceableError as error:
        refuse(error.layer, error.kind or type(net).__name__, error.found, error.fix)
        # Name what else stands in the way, though nobody knows where it is used.
        for name, module in net.named_modules():
            leaf = not list(module.children()) and type(module).__module__.startswith("torch.nn")
            if leaf and not isinstance(module, _KNOWN):
                refuse(name, type(module).__name__, *describe_unknown(module))
        return [], None
    return Lowering(graph, shape, type(net).__name__, refuse).layers, graph.calling


def _input_shape(input_shape: tuple[int, ...]) -> ir.Shape:
    axes = tuple(input_shape) if isinstance(input_shape, Iterable) else (input_shape,)
    if len(axes) not in (1, 2, 3) or not all(isinstance(a, int) and a > 0 for a in axes):
        raise RefusedError(
            f"the input shape {axes} is none of (C, H, W), (C, L) and (N,)",
            "give one frame's shape without time and batch, such as 2,34,34",
        )
    return shape_of_axes(axes)


def _readable(module: nn.Module) -> None:
    """Refuses a module that is not what its type says, and one that has no reader."""
    _no_hooks(module)
    check_sound(module)
    if type(module) not in _KNOWN:
        raise RefusedError(*describe_unknown(module))


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
