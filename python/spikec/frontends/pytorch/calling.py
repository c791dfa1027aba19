# SPDX-License-Identifier: Apache-2.0
"""How a module is called: a frame a time, all frames at once, with states or without."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Generator, Mapping
from typing import Any, Literal, TypeAlias

import snntorch
import torch
from torch import nn

from spikec.frontends.pytorch.layers import IDENTITIES, LAYERS
from spikec.frontends.pytorch.neurons import NEURONS
from spikec.frontends.pytorch.values import NEURON_TYPES, SEQUENCE, Constant

TRACED_STEPS = 7
"""How many time steps a module runs that does not say so itself."""


MOST_STEPS = 1000
"""How many time steps of its input a forward may want that says itself how many it reads."""


Feedback: TypeAlias = tuple[str, int, tuple[int, ...] | None]


Style: TypeAlias = Literal["step", "held", "time first", "batch first"]
"""How a module is called: with one frame a time step; once, with one frame that it sees in all of
its steps; once, with ``[T, B, ...]``; once, with ``[B, T, ...]``."""


@dataclasses.dataclass(frozen=True, slots=True)
class Calling:
    """How to run a module over frames.

    ``steps`` are the module's own, if it has them. ``feedback`` says of arguments which result, by
    its place, goes into them in the next step, and the shape of the zeros that do in the first;
    None if nothing does. ``axes`` are those of every neuron's spikes.
    ``outputs`` are the network's: each a result, by its place, or (of a result that is one for all
    time steps, such as a sum) neurons, by their name; and its axes. Without any it is the first
    result. ``membranes_only`` names the neurons of which it returns states and no spikes, if it
    returns nothing else.
    """

    style: Style
    steps: int | None = None
    feedback: tuple[Feedback, ...] = ()
    axes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    outputs: tuple[tuple[int | None, str | None, tuple[int, ...]], ...] = ()
    membranes_only: tuple[str, ...] = ()


PlaceKind: TypeAlias = Literal[
    "concat", "elementwise", "input", "layer", "layers", "neuron", "previous", "reshape", "zero",
]  # fmt: skip
"""What an operation is; ``Place`` says what of."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Place:
    """One operation of every time step.

    ``layer``: a module of ``LAYERS``; ``layers``: one for each step; ``neuron``; ``elementwise``:
    ``op`` of ``operands``, which are constants or count ``inputs``; ``concat``; ``reshape``;
    ``previous``: what its input was in the step before; ``input``; ``zero``.
    ``inputs`` count places; those of a ``previous`` may come later. ``axes`` are of the result.
    """

    kind: PlaceKind
    source: str
    inputs: tuple[int, ...]
    axes: tuple[int, ...]
    modules: tuple[nn.Module, ...] = ()
    op: str = ""
    operands: tuple[int | Constant, ...] = ()
    where: str = ""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What a module does in one time step; ``outputs`` are the places that it hands out."""

    places: tuple[Place, ...]
    outputs: tuple[int, ...]
    calling: Calling


@contextlib.contextmanager
def untouched(net: nn.Module) -> Generator[None]:
    """Puts back what a run changes in ``net``: attributes, buffers, lists; torch's randomness.

    ``snntorch.utils.reset``, which resets all networks there are, meanwhile sees ``net`` only.
    """
    modules = list(net.modules())
    kept = [
        (
            dict(vars(module)),
            {
                key: (held, held.copy())
                for key, held in vars(module).items()
                if isinstance(held, dict | list | set)
            },
            {
                name: (buffer, buffer.detach().clone())
                for name, buffer in module._buffers.items()
                if buffer is not None
            },
        )
        for module in modules
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    instances = snntorch.SpikingNeuron.instances
    snntorch.SpikingNeuron.instances = [
        module for module in modules if isinstance(module, snntorch.SpikingNeuron)
    ]
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        snntorch.SpikingNeuron.instances = instances
        for module, (attributes, held, buffers) in zip(modules, kept, strict=True):
            vars(module).clear()
            vars(module).update(attributes)
            for container, content in held.values():
                container.clear()
                if isinstance(container, list):
                    container.extend(content)
                else:
                    container.update(content)
            with torch.no_grad():
                for buffer, values in buffers.values():
                    if not torch.equal(buffer, values):
                        buffer.copy_(values)


def reset(net: nn.Module) -> None:
    """Gives all neurons in ``net`` their initial states."""
    for module in net.modules():
        if isinstance(module, NEURON_TYPES) and hasattr(module, "reset_mem"):
            module.reset_mem()


def named_neurons(net: nn.Module) -> dict[str, nn.Module]:
    """The layers of neurons by their torch names."""
    return {name: module for name, module in net.named_modules() if type(module) in NEURONS}


def run(
    net: nn.Module,
    calling: Calling,
    frames: torch.Tensor,
    after: Callable[[Any], None] | None = None,
) -> list[Any]:
    """Calls ``net`` over ``frames [T, *axes]`` as it wants to be called; returns what it returned.

    ``after`` sees every result before the next call.
    """
    match calling.style:
        case "time first":
            return [net(frames[:, None])]
        case "batch first":
            return [net(frames[None])]
        case "held":
            return [net(frames[:1])]
        case "step":
            results: list[Any] = []
            for frame in frames:
                result = net(frame[None], **feed_frames(calling.feedback, results))
                results.append(result)
                if after is not None:
                    after(result)
            return results


def feed_frames(feedback: tuple[Feedback, ...], results: list[Any]) -> dict[str, Any]:
    """The arguments that carry a module's states: zeros at first, then results."""
    if results:
        return {name: results[-1][place] for name, place, _ in feedback}
    return {name: torch.zeros(shape) for name, _, shape in feedback if shape is not None}


def snapshot_parameters(net: nn.Module) -> list[tuple[str, bool]]:
    """The arguments of a forward that can be states, each with whether it must be given."""
    found = []
    for parameter in list(inspect.signature(net.forward).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty or parameter.default is None:
            found.append((parameter.name, parameter.default is parameter.empty))
    return found


def is_walkable(net: nn.Module) -> bool:
    """Whether ``net`` is an ``nn.Sequential`` of modules none of which is the user's own."""

    def own(module: nn.Module) -> bool:
        package = type(module).__module__.split(".")[0]
        known = isinstance(module, (*LAYERS, *IDENTITIES, *NEURON_TYPES))
        return not known and package not in ("torch", "snntorch")

    return type(net) is nn.Sequential and not any(own(module) for module in net.modules())


def call_sequential(net: nn.Module) -> Calling:
    """How an ``nn.Sequential`` is called: with all frames if its neurons want them."""
    whole = any(isinstance(module, SEQUENCE) for module in net.modules())
    return Calling("time first" if whole else "step")
