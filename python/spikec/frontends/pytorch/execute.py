# SPDX-License-Identifier: Apache-2.0
"""Runs a snnTorch network and records its spiking layers; compares spikec's runs with that."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

from spikec.errors import SpikecError
from spikec.frontends.pytorch import calling, values
from spikec.frontends.pytorch.calling import Calling
from spikec.frontends.pytorch.trace import trace as trace_module
from spikec.frontends.pytorch.values import SEQUENCE, UntraceableError
from spikec.ir import network as ir
from spikec.semantics import parity, reference

Rows = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """What a network did: per layer of neurons, by its torch name, float32 ``[T, *axes]``.

    ``spikes`` are what the layer hands on, ``potentials`` what it compares with the threshold,
    ``membranes`` those kept after the step.
    """

    spikes: dict[str, Rows]
    potentials: dict[str, Rows]
    membranes: dict[str, Rows]


class _Watch:
    """Records one layer of neurons through hooks, and through what judges its potential."""

    def __init__(self, module: nn.Module) -> None:
        self.module: Any = module
        self.whole = isinstance(module, SEQUENCE)
        self.spikes: list[torch.Tensor] = []
        self.potentials: list[torch.Tensor] = []
        self.membranes: list[torch.Tensor] = []
        self.hooks = [module.register_forward_hook(self.after)]
        if isinstance(module, snntorch.LeakyParallel):
            self.hooks.append(module.rnn.register_forward_hook(self.after_rnn))
        else:
            for name in ("fire", "fire_inhibition"):
                setattr(module, name, self.judging(getattr(module, name)))

    def judging(self, judge: Any) -> Any:
        """``fire`` that shows the potential that it was given, its last argument."""

        def fire(*arguments: Any) -> Any:
            potential = arguments[-1]
            if self.module.state_quant and len(arguments) == 1:
                potential = self.module.state_quant(potential)
            self.potentials.append(potential)
            return judge(*arguments)

        return fire

    def after_rnn(self, module: nn.Module, given: object, result: Any) -> None:
        self.potentials.append(result[0])

    def after(self, module: nn.Module, given: object, result: Any) -> None:
        spikes = result[0] if isinstance(result, tuple) else result
        self.spikes.append(spikes.clone())  # what comes next may change them in place
        if isinstance(module, snntorch.DeltaLeaky):
            self.potentials.append((self.module.mem - self.module.mem_prev).abs())
        elif len(self.potentials) < len(self.spikes):
            self.potentials.append(self.spikes[-1])  # it hands on its membrane
        if isinstance(module, (*SEQUENCE, snntorch.SLSTM, snntorch.SConv2dLSTM)):
            self.membranes.append(self.potentials[-1])  # what its last layer keeps
        else:
            self.membranes.append(self.module.mem)

    def rows(self, tensors: list[torch.Tensor], axes: tuple[int, ...] | None) -> Rows:
        """What was recorded as ``[T, *axes]``, without the axis of the batch."""
        parts = [tensor.detach().to(torch.float32) for tensor in tensors]
        whole = torch.cat(parts) if self.whole else torch.stack(parts)
        if axes is None:
            axes = tuple(whole.shape[2:])
        return whole.reshape(-1, *axes).numpy().copy()


def trace(net: nn.Module, frames: npt.NDArray[np.generic]) -> Trace:
    """Runs ``net`` over ``frames [T, *axes]`` on one thread, from reset membranes.

    It is called as it wants to be: frame by frame, with the states that it returned; with all
    frames; or with one frame that it sees in each of its own steps, of which ``frames`` are copies.
    The network is left as it was.

    Raises:
        SpikecError: it cannot be run for so many frames, or for such ones.
    """
    return run_called(net, find_calling(net, frames.shape[1:]), frames)[0]


def find_outputs(net: nn.Module, frames: npt.NDArray[np.generic]) -> Rows:
    """What ``net`` hands out over ``frames [T, *axes]``: ``[T, *output axes]``; several are joined.

    Raises:
        SpikecError: as ``trace``, or it hands out nothing of single time steps.
    """
    return run_called(net, find_calling(net, frames.shape[1:]), frames)[1]


def find_calling(net: nn.Module, axes: tuple[int, ...]) -> Calling:
    """How ``net`` is called with frames of ``axes``.

    Raises:
        SpikecError: that cannot be found out.
    """
    if calling.is_walkable(net):
        return calling.call_sequential(net)
    try:
        return trace_module(net, axes).calling
    except UntraceableError as error:
        raise SpikecError(f"{type(net).__name__}: {error.found}; {error.fix}.") from error


def run_called(net: nn.Module, how: Calling, frames: npt.NDArray[np.generic]) -> tuple[Trace, Rows]:
    """What ``trace`` and ``outputs`` return, of a module that is called as ``how`` says.

    Outputs of a module that returns one value for all time steps are the spikes of its neurons.
    """
    if how.steps is not None and len(frames) != how.steps:
        raise SpikecError(
            f"{type(net).__name__} runs for {how.steps} time steps of its own; give it so many "
            f"frames instead of {len(frames)}."
        )
    if how.style == "held" and (frames != frames[:1]).any():
        raise SpikecError(
            f"{type(net).__name__} sees one frame in all of its {how.steps} time steps; give it "
            "copies of one frame."
        )
    watches = {}
    with calling.untouched(net):
        calling.reset(net)
        for name, module in calling.named_neurons(net).items():
            if not how.axes or name in how.axes:
                watches[name] = _Watch(module)
        given = torch.tensor(frames, dtype=torch.float32)
        results = calling.run(net, how, given)
        axes = {name: how.axes.get(name) for name in watches}
        found = Trace(
            *(
                {
                    name: watch.rows(getattr(watch, what), axes[name])
                    for name, watch in watches.items()
                }
                for what in ("spikes", "potentials", "membranes")
            )
        )
        for name, rows in found.spikes.items():
            if len(rows) != len(frames):
                raise SpikecError(
                    f"{type(net).__name__}: {name!r} ran for {len(rows)} time steps of "
                    f"{len(frames)}; it has a number of steps of its own: give it so many frames."
                )
        return found, _handed_out(how, results, found, len(frames))


def _handed_out(how: Calling, results: list[Any], found: Trace, steps: int) -> Rows:
    """The outputs among what a module returned."""
    parts: list[Any]
    if not how.outputs:
        parts = [next(iter(values.leaves(result, None))) for result in results]
        whole = torch.cat(parts)
        return whole.reshape(steps, *whole.shape[1 + (how.style != "step") :]).numpy().copy()
    rows = []
    listed = None if how.style == "step" else steps
    for place, source, axes in how.outputs:
        if place is None:
            if source is None:
                raise SpikecError(
                    "the module hands out one value for all time steps, which is not made of the "
                    "spikes of single neurons; let it return what every step gives."
                )
            rows.append(found.spikes[source])
            continue
        parts = [list(values.leaves(result, listed))[place] for result in results]
        whole = torch.stack(parts if isinstance(parts[0], torch.Tensor) else parts[0])
        rows.append(whole.reshape(steps, *axes).numpy().copy())
    if len(rows) == 1:
        return rows[0]
    return np.concatenate([each.reshape(steps, -1) for each in rows], axis=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of a compiled network: per torch name, spikes as handed on and membranes."""

    spikes: Mapping[str, npt.NDArray[np.generic]]
    membranes: Mapping[str, npt.NDArray[np.generic]]


def run_reference(network: ir.Network, frames: npt.NDArray[np.generic]) -> Run:
    """What ``reference.py`` computes over ``frames [T, *axes]``, in snnTorch's names and axes."""
    memory = network.input.to_memory(frames.astype(np.float32)).astype(np.float32)
    maps = memory.reshape(len(frames), *memory.shape[-3:])
    ran = reference.run(network, maps)
    return Run(
        {x.source: x.shape.to_axes(ran.values[x.name]) for x in network.spiking},
        {x.source: x.shape.to_axes(ran.membranes[x.name]) for x in network.spiking},
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """C and the reference by their bits, and C with snnTorch by ``semantics.parity``'s rule."""

    bits: tuple[parity.BitDifference, ...]
    parity: parity.Parity

    @property
    def holds(self) -> bool:
        """Whether all bits are equal, and all spikes but for ties that are listed."""
        return not self.bits and self.parity.holds

    def __str__(self) -> str:
        return "\n".join([*(f"C and reference.py: {bit}" for bit in self.bits), str(self.parity)])


def compare(network: ir.Network, c: Run, reference_: Run, torch_: Trace) -> Comparison:
    """Compares a run of compiled C, of the reference and of snnTorch over the same frames."""
    bits = []
    zero = np.float32(0.0)  # added: a spike that is not sent has no sign, whatever its grade's
    for layer in network.spiking:
        name = layer.source
        for ours, theirs in (
            (np.add(c.spikes[name], zero), np.add(reference_.spikes[name], zero)),
            (c.membranes[name], reference_.membranes[name]),
        ):
            found = parity.first_bit_difference(name, ours, theirs)
            if found is not None:
                bits.append(found)
    return Comparison(
        tuple(bits), parity.compare(network, c.spikes, torch_.spikes, torch_.potentials)
    )
