# SPDX-License-Identifier: Apache-2.0
"""Runs a snnTorch network and records its spiking layers; compares spikec's runs with that."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

from spikec import ir, parity, reference


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """What a network did: per ``snntorch.Leaky``, by its torch name, float32 ``[T, *axes]``.

    ``spikes`` are what the layer hands on, ``potentials`` the membranes that are compared with the
    threshold, ``membranes`` those kept after the step; the two differ only without reset delay.
    """

    spikes: dict[str, npt.NDArray[np.float32]]
    potentials: dict[str, npt.NDArray[np.float32]]
    membranes: dict[str, npt.NDArray[np.float32]]


class _Watch:
    """Records one layer through a hook and through ``fire``, which sees the membrane it judges."""

    def __init__(self, leaky: snntorch.Leaky) -> None:
        self.leaky = leaky
        self.spikes: list[npt.NDArray[np.float32]] = []
        self.potentials: list[npt.NDArray[np.float32]] = []
        self.membranes: list[npt.NDArray[np.float32]] = []
        self.hook = leaky.register_forward_hook(self.after)
        self.judge = leaky.fire
        leaky.fire = self.fire

    def fire(self, membrane: torch.Tensor) -> torch.Tensor:
        self.potentials.append(membrane[0].numpy().copy())
        spikes: torch.Tensor = self.judge(membrane)
        return spikes

    def after(self, module: nn.Module, given: object, result: object) -> None:
        spikes = result[0] if isinstance(result, tuple) else result
        assert isinstance(spikes, torch.Tensor)
        self.spikes.append(spikes[0].numpy().copy())
        self.membranes.append(self.leaky.mem[0].numpy().copy())

    def remove(self) -> None:
        self.hook.remove()
        del self.leaky.fire


def trace(net: nn.Module, frames: npt.NDArray[np.generic]) -> Trace:
    """Runs ``net`` over ``frames [T, *axes]`` on one thread, from reset membranes.

    The network is left as it was: without hooks, its membranes reset.
    """
    layers = {name: m for name, m in net.named_modules() if isinstance(m, snntorch.Leaky)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    watches = {}
    try:
        for name, leaky in layers.items():
            leaky.reset_mem()
            watches[name] = _Watch(leaky)
        with torch.no_grad():
            for frame in frames:
                net(torch.tensor(frame, dtype=torch.float32)[None])
    finally:
        for watch in watches.values():
            watch.remove()
        for leaky in layers.values():
            leaky.reset_mem()
        torch.set_num_threads(threads)
    return Trace(
        {name: np.stack(watch.spikes) for name, watch in watches.items()},
        {name: np.stack(watch.potentials) for name, watch in watches.items()},
        {name: np.stack(watch.membranes) for name, watch in watches.items()},
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """One run of a compiled network: per torch name, spikes as handed on and membranes."""

    spikes: Mapping[str, npt.NDArray[np.generic]]
    membranes: Mapping[str, npt.NDArray[np.generic]]


def reference_run(network: ir.Network, frames: npt.NDArray[np.generic]) -> Run:
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
    """C and the reference by their bits, and C with snnTorch by the rule of ``spikec.parity``."""

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


def outputs(net: nn.Module, frames: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """What ``net`` hands out over ``frames [T, *axes]``: ``[T, *output axes]``."""
    layers = [module for module in net.modules() if isinstance(module, snntorch.Leaky)]
    for leaky in layers:
        leaky.reset_mem()
    given = []
    with torch.no_grad():
        for frame in frames:
            result = net(torch.tensor(frame, dtype=torch.float32)[None])
            given.append((result[0] if isinstance(result, tuple) else result)[0].numpy().copy())
    for leaky in layers:
        leaky.reset_mem()
    return np.stack(given)
