# SPDX-License-Identifier: Apache-2.0
"""Reads snnTorch's neurons into the intermediate representation. Imports torch.

What is read is what *executes*: the function that a neuron's ``forward`` calls, the tensors it
would use, the surrogate's forward. Where a module disagrees with itself it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias, cast

import numpy as np
import snntorch
import torch
from torch import nn

from spikec import ir
from spikec.import_layers import RefusedError, to_array


class Names:
    """Gives layers names of their own, such as ``conv1`` and ``conv2``."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def fresh(self, prefix: str) -> str:
        """The next name that starts with ``prefix``."""
        self._count[prefix] = self._count.get(prefix, 0) + 1
        return f"{prefix}{self._count[prefix]}"


def _leaky(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    leaky = cast(snntorch.Leaky, module)
    if leaky.inhibition:
        raise RefusedError(
            "inhibition is on: one winner a batch fires, which is not supported",
            "build it with inhibition=False",
        )
    if leaky.state_quant:
        raise RefusedError(
            "state_quant quantizes the membrane, which is not supported",
            "build it with state_quant=False",
        )
    reset = _executed_reset(leaky)
    _heaviside(leaky)
    return (
        ir.Leaky(
            base.name, base.source, base.inputs, base.shape,
            np.clip(_neuron_parameter(leaky.beta, "beta", base.shape), 0, 1),
            _neuron_parameter(leaky.threshold, "threshold", base.shape),
            _grade(leaky, base.shape),
            reset,
            bool(leaky.reset_delay),
        ),
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
        raise RefusedError(
            "its state_function is not one of snnTorch's own (or is another layer's)",
            "build the layer anew with reset_mechanism=...",
        )
    named = {0: "subtract", 1: "zero", 2: "none"}.get(int(leaky.reset_mechanism_val))
    if runs[function] != named:
        raise RefusedError(
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
        raise RefusedError(
            "its spike_grad does not fire exactly where membrane > threshold",
            "use one of snntorch.surrogate's functions whose forward is a step",
        )


def _neuron_parameter(value: torch.Tensor, name: str, shape: ir.Shape) -> ir.Floats:
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


def _grade(leaky: snntorch.Leaky, shape: ir.Shape) -> ir.Floats:
    grade = _neuron_parameter(leaky.graded_spikes_factor, "graded_spikes_factor", shape)
    if not math.isfinite(float(np.abs(grade).sum())) or np.any(grade == 0.0):
        raise RefusedError(
            "its graded_spikes_factor is 0 somewhere, so that its spikes are lost",
            "use a factor that is not 0",
        )
    return grade


NeuronReader: TypeAlias = Callable[[nn.Module, ir.Node, Names], tuple[ir.Layer, ...]]
"""Makes the layers of a module, in order; the last one, named as the given node, hands on what the
module does. ``Names`` gives the names of the others."""

NEURONS: dict[type[nn.Module], tuple[str, NeuronReader]] = {
    snntorch.Leaky: ("leaky", _leaky),
}
"""The reader of every kind of neuron, and what the names of its layers start with."""
