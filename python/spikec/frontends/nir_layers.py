# SPDX-License-Identifier: Apache-2.0
"""Reads the nodes of a NIR graph: each becomes a layer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from spikec.ir import network as ir
from spikec.ir.program import Program, Value
from spikec.ir.soundness import LARGEST, LONGEST

_KNOWN_TO_FLOAT32 = 2.0**-21
"""Of a quotient of float32 numbers, each rounded a few times: how far off it may be."""


_KNOWN_TO_FLOAT64 = 2.0**-50


Graph: TypeAlias = Mapping[str, Any]
"""A node as ``nir.NIRNode.to_dict`` gives it and files hold it: ``type`` and its fields."""


Array: TypeAlias = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Steps:
    """What NIR leaves open: a time step of ``dt`` seconds, and the reset.

    With ``zero`` a neuron that fired is set to its ``v_reset``; with ``subtract`` its
    ``v_threshold`` is subtracted. ``reset_delay`` puts that off to the next time step, as snnTorch
    does: ``zero`` sets the membrane before it decays, ``subtract`` subtracts after the current has
    been added. snnTorch's exporter uses a ``dt`` of 0.0001 and keeps neither reset nor delay.
    """

    dt: float = 1e-4
    reset: ir.ResetMechanism = "zero"
    reset_delay: bool = False

    def __str__(self) -> str:
        """One sentence."""
        what = {
            "zero": "is set to v_reset",
            "subtract": "has v_threshold subtracted",
            "none": "is left as it is",
        }[self.reset]
        when = "" if self.reset == "none" else ", at once"
        if self.reset != "none" and self.reset_delay:
            when = ", in the next time step"
        return f"forward Euler, time steps of {self.dt:g} s; a neuron that fires {what}{when}"


class RefusedError(Exception):
    """Says what is wrong with a node, and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one node, and the shape of what it reads."""

    node: Graph
    shape: ir.Shape

    def floats(self, name: str, default: float | None = None) -> Array:
        """A field of finite numbers, whatever its shape."""
        value = self.node.get(name, default)
        if value is None:
            raise RefusedError(f"it has no {name}: write the file again with nir.write")
        values = np.asarray(value)
        if values.dtype.kind not in "fiu":
            raise RefusedError(f"its {name} is of type {values.dtype}, not of numbers")
        values = values.astype(np.float64)
        with np.errstate(over="ignore"):
            finite = np.isfinite(values.astype(np.float32)).all()
        if not finite:
            raise RefusedError(
                f"its {name} holds NaN, infinity or a number that does not fit float32: train or "
                "export it again"
            )
        return values

    def neurons(self, name: str, default: float | None = None) -> Array:
        """A field of one number for all neurons, or one for each: ``[1]`` or ``[*axes]``."""
        values = self.floats(name, default)
        if values.size == 1:
            return values.reshape(1)
        if values.shape != self.shape.axes:
            raise RefusedError(
                f"its {name} is of shape {values.shape} and what it reads of {self.shape.axes}: "
                "make it one number, or one for each neuron"
            )
        return values

    def parameter(self, values: Array) -> ir.Floats:
        """Numbers, as ``neurons`` gives them, in memory order."""
        with np.errstate(over="ignore"):
            found = ir.memory_parameter(values, self.shape)
        if not np.isfinite(found).all():
            raise RefusedError("a decay or a gain does not fit float32: check r, tau and w_in")
        return found


Layers: TypeAlias = Callable[[Fields, ir.Node, Steps, tuple[bool, ...]], ir.Layer]
"""Makes the layer of a node; what all layers have is given, but its shape is that of the input. The
last argument says of each input whether it brings what came round a loop."""


def read_integers(
    node: Graph, name: str, count: int | None, default: int | None = None
) -> list[int]:
    """A field of integers; one stands for ``count``."""
    value = node.get(name, default)
    array = np.asarray(value)
    if value is None or array.dtype.kind not in "iu" or array.ndim > 1:
        raise RefusedError(f"its {name} is {_short(value)} where integers are needed")
    numbers = [int(each) for each in array.reshape(-1)]
    if count is not None and len(numbers) == 1:
        numbers *= count
    if count is not None and len(numbers) != count:
        raise RefusedError(f"its {name} is {_short(value)} where {count} numbers are needed")
    return numbers


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) < 40 else f"{text[:37]}..."


def read_shape(axes: Sequence[int]) -> ir.Shape:
    """The shape of a value with the axes ``(N,)``, ``(C, L)`` or ``(C, H, W)``."""
    if min(axes, default=0) < 1 or math.prod(axes) > LARGEST or max(axes) > LARGEST:
        raise RefusedError(f"its shape {tuple(axes)} is empty or too large")
    match tuple(axes):
        case (features,):
            return ir.Shape(1, 1, features, flat=True)
        case (channels, length):
            return ir.Shape(1, length, channels, flat=False, line=True)
        case (channels, height, width):
            return ir.Shape(height, width, channels, flat=False)
        case _:
            raise RefusedError(
                f"its shape {tuple(axes)} is none of (N,), (C, L) and (C, H, W): leave out the "
                "axes of batch and time"
            )


def _linear(fields: Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    weight = fields.floats("weight").astype(np.float32)
    if not base.shape.flat:
        raise RefusedError(f"reads a map {base.shape}: put a Flatten before it")
    if weight.ndim != 2 or weight.shape[1] != base.shape.size:
        raise RefusedError(
            f"its weight is of shape {weight.shape}, and it reads {base.shape.size} values: make "
            "the nodes fit each other"
        )
    rows = base.shape.to_memory(weight).reshape(len(weight), -1)
    shape = read_shape((len(weight),))
    bias = _bias(fields, len(weight), fields.node["type"] == "Affine")
    return ir.Linear(
        base.name, base.source, base.inputs, shape, np.ascontiguousarray(rows.T), bias
    )  # fmt: skip


def _bias(fields: Fields, channels: int, needed: bool) -> ir.Floats:
    if not needed and fields.node.get("bias") is None:
        return np.zeros(channels, np.float32)
    bias = fields.floats("bias").astype(np.float32)
    if bias.shape != (channels,):
        raise RefusedError(f"its bias is of shape {bias.shape} where {(channels,)} is needed")
    return bias + np.float32(0.0)  # a sum that starts from -0.0 would tell a skipped zero


def _conv(fields: Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    """Reads a Conv1d or Conv2d node."""
    line = fields.node["type"] == "Conv1d"
    axes = 1 if line else 2
    if base.shape.flat or base.shape.line != line:
        wanted = "(C, L)" if line else "(C, H, W)"
        raise RefusedError(f"reads {base.shape}, and needs {wanted}")
    weight = fields.floats("weight").astype(np.float32)
    if weight.ndim != axes + 2 or 0 in weight.shape:
        raise RefusedError(f"its weight has the shape {weight.shape}")
    groups = read_integers(fields.node, "groups", 1, 1)[0]
    stride = read_integers(fields.node, "stride", axes)
    dilation = read_integers(fields.node, "dilation", axes)
    kernel = list(weight.shape[2:])
    reach = [dilation[i] * (kernel[i] - 1) for i in range(axes)]
    if min(*stride, *dilation, groups) < 1 or max(*stride, *dilation, *kernel) > LONGEST:
        raise RefusedError("its stride, dilation or groups are not positive, or too large")
    channels = len(weight)
    if weight.shape[1] * groups != base.shape.channels or channels % groups:
        raise RefusedError(
            f"its weight {weight.shape} in {groups} group(s) does not fit what it reads, "
            f"{base.shape}: make the nodes fit each other"
        )
    padding = fields.node.get("padding")
    match padding if isinstance(padding, str) else None:
        case "same" if max(stride) == 1:
            before, total = [each // 2 for each in reach], reach
        case "valid":
            before, total = [0] * axes, [0] * axes
        case _:
            before = read_integers(fields.node, "padding", axes)
            total = [2 * each for each in before]
    if line:
        weight = weight[:, :, None]
        reach, stride, dilation = [0, *reach], [1, *stride], [1, *dilation]
        before, total = [0, *before], [0, *total]
    shape = _windows(base.shape, reach, stride, total, channels)
    return ir.Conv2d(
        base.name, base.source, base.inputs, shape,
        np.ascontiguousarray(weight.transpose(2, 3, 1, 0)), _bias(fields, channels, needed=False),
        (stride[0], stride[1]), (before[0], before[1]), (dilation[0], dilation[1]), groups,
    )  # fmt: skip


def _windows(
    before: ir.Shape, reach: Sequence[int], stride: Sequence[int], total: Sequence[int],
    channels: int,
) -> ir.Shape:  # fmt: skip
    """The shape that windows make which reach ``reach`` further, with ``total`` padding."""
    sides = (before.height, before.width)
    out = [(sides[i] + total[i] - reach[i] - 1) // stride[i] + 1 for i in (0, 1)]
    if min(out) < 1 or min(total) < 0 or max(total) > LONGEST:
        raise RefusedError(f"its kernel or padding does not fit what it reads, {before}")
    return dataclasses.replace(before, height=out[0], width=out[1], channels=channels)


def _pool(fields: Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    if base.shape.flat or base.shape.line:
        raise RefusedError(f"reads {base.shape}, and needs (C, H, W)")
    kernel = read_integers(fields.node, "kernel_size", 2)
    stride = read_integers(fields.node, "stride", 2)
    padding = read_integers(fields.node, "padding", 2, 0)
    if min(*kernel, *stride) < 1 or max(*kernel, *stride) > LONGEST or min(padding) < 0:
        raise RefusedError("its kernel_size, stride or padding is too small or too large")
    if any(2 * padding[i] > kernel[i] for i in (0, 1)):
        raise RefusedError("its padding is more than half its kernel_size")
    reach = [kernel[0] - 1, kernel[1] - 1]
    total = [2 * padding[0], 2 * padding[1]]
    shape = _windows(base.shape, reach, stride, total, base.shape.channels)
    divisor = 1 if fields.node["type"] == "SumPool2d" else kernel[0] * kernel[1]
    return ir.AvgPool2d(
        base.name, base.source, base.inputs, shape, (kernel[0], kernel[1]), (stride[0], stride[1]),
        (padding[0], padding[1]), np.full((shape.height, shape.width), divisor, np.float32),
    )  # fmt: skip


def _flatten(fields: Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    axes = len(base.shape.axes)
    start = read_integers(fields.node, "start_dim", 1, 1)[0]
    end = read_integers(fields.node, "end_dim", 1, -1)[0]
    if axes > 1 and (start % axes, end % axes) != (0, axes - 1):
        raise RefusedError(
            f"flattens the axes {start} to {end} of {base.shape}; only all of them are supported: "
            "start_dim=0, end_dim=-1"
        )
    shape = dataclasses.replace(base.shape, flat=True, line=False)
    return ir.Flatten(base.name, base.source, base.inputs, shape)


def _scale(fields: Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    scale = fields.parameter(fields.neurons("scale"))
    shift = np.zeros((1, 1, 1), np.float32)
    return ir.Affine(base.name, base.source, base.inputs, base.shape, scale, shift)


def _neurons(fields: Fields, base: ir.Node, steps: Steps, round_: tuple[bool, ...]) -> ir.Layer:
    """Neurons: the equations at the top of this file."""
    leaky = _as_leaky(fields, base, steps) if round_ == (False,) else None
    if leaky is not None:
        return leaky
    kind = fields.node["type"]
    reset = steps.reset if kind in ("IF", "LIF", "CubaLIF") else "none"
    names = _current_names(round_)
    p = Program()
    threshold = p.constant("threshold", 0.0)
    if kind in _THRESHOLDS:
        threshold = p.parameter("threshold", fields.parameter(fields.neurons(_THRESHOLDS[kind])))
    v_reset = p.parameter("v_reset", fields.parameter(fields.neurons("v_reset", 0.0)))

    mem = p.state("mem")
    above = p.let("above", p.greater(mem, threshold))
    if reset == "zero" and steps.reset_delay:
        mem = p.where(above, v_reset, mem)
    states = _integrated(p, fields, steps, mem, [p.current(name) for name in names])
    if reset == "subtract" and steps.reset_delay:
        states["mem"] = states["mem"] - p.where(above, threshold)
    now = states["mem"] = p.let("potential", states["mem"])
    currents = tuple((name,) for name in names)
    if kind not in _THRESHOLDS:
        return p.cell(base, f"nir.{kind}", currents, states, value=now)
    spike = p.let("spike", p.greater(now, threshold))
    if reset == "zero" and not steps.reset_delay:
        states["mem"] = p.where(spike, v_reset, now)
    elif reset == "subtract" and not steps.reset_delay:
        states["mem"] = now - p.where(spike, threshold)
    return p.cell(base, f"nir.{kind}", currents, states, fires=spike)


def _as_leaky(fields: Fields, base: ir.Node, steps: Steps) -> ir.Leaky | None:
    """The neurons as ``ir.Leaky``, which computes them faster, if it computes the same bits."""
    kind = fields.node["type"]
    if kind not in ("IF", "LIF"):
        return None
    tau = "tau" if kind == "LIF" else None
    threshold, v_reset = fields.neurons("v_threshold"), fields.neurons("v_reset", 0.0)
    if np.any(_meant(fields, steps, "r", tau) != 1.0) or np.any(fields.neurons("v_leak", 0.0)):
        return None
    # Reset at once, Leaky would reset a second time what is above a threshold after its reset.
    match steps.reset:
        case "zero":
            same = not v_reset.any() and (steps.reset_delay or bool(np.all(threshold >= 0.0)))
        case "subtract":
            same = steps.reset_delay
        case "none":
            same = True
    if not same:
        return None
    decay = np.ones(1) if tau is None else _meant(fields, steps, None, tau)
    return ir.Leaky(
        base.name, base.source, base.inputs, base.shape, fields.parameter(decay),
        fields.parameter(threshold), np.ones((1, 1, 1), np.float32), steps.reset,
        steps.reset_delay,
    )  # fmt: skip


def _current_names(round_: tuple[bool, ...]) -> list[str]:
    names: list[str] = []
    for each in round_:
        name = "recurrent" if each else "current"
        count = sum(other.startswith(name) for other in names)
        names.append(f"{name}{count + 1}" if count else name)
    return names


def _integrated(
    p: Program, fields: Fields, steps: Steps, mem: Value, currents: list[Value]
) -> dict[str, Value]:
    """The states after a time step in which no neuron fired; the membrane first."""

    def meant(name: str, factor: str | None, tau: str | None) -> Value:
        return p.parameter(name, fields.parameter(_meant(fields, steps, factor, tau)))

    def leaking(tau: str, brought: list[Value]) -> Value:
        drift = steps.dt / fields.neurons(tau) * fields.neurons("v_leak")
        kept = meant("decay", None, tau) * mem
        now = _driven(kept, brought, meant("gain", "r", tau))
        return now + p.parameter("leak", fields.parameter(drift))

    match fields.node["type"]:
        case "Threshold":
            return {"mem": _driven(currents[0], currents[1:], p.constant("gain", 1.0))}
        case "I" | "IF":
            return {"mem": _driven(mem, currents, meant("gain", "r", None))}
        case "LI" | "LIF":
            return {"mem": leaking("tau", currents)}
        case _:
            kept = meant("syn_decay", None, "tau_syn") * p.state("syn")
            gain = meant("syn_gain", "w_in", "tau_syn")
            syn = p.let("syn_now", _driven(kept, currents, gain))
            return {"mem": leaking("tau_mem", [syn]), "syn": syn}


def _driven(value: Value, currents: list[Value], gain: Value) -> Value:
    """``value`` plus all currents times ``gain``; one current after the other if that is 1."""
    if gain * value is value:  # a program leaves out a factor of 1
        for each in currents:
            value = value + each
        return value
    total = currents[0]
    for each in currents[1:]:
        total = total + each
    return value + total * gain


def _meant(fields: Fields, steps: Steps, factor: str | None, tau: str | None) -> Array:
    """``factor * dt / tau``; without a ``factor`` the decay ``1 - dt / tau``.

    Of the numbers that it may have been before it was stored: that of the fewest decimals.
    """
    value, stored = np.full(1, steps.dt), []
    if tau is not None:
        times = fields.neurons(tau)
        shortest = float(times.min())
        if shortest <= 0.0 or steps.dt / shortest > 1.0 + _KNOWN_TO_FLOAT32:
            raise RefusedError(
                f"its {tau} of {shortest:g} s is shorter than a time step of {steps.dt:g} s, which "
                "forward Euler cannot follow: choose a shorter one with --nir-dt"
            )
        value, stored = value / times, [times]
    if factor is not None:
        stored.append(fields.neurons(factor, 1.0 if factor == "w_in" else None))
        value = value * stored[-1]
    rounded = any(np.array_equal(each, each.astype(np.float32)) for each in stored)
    off = np.abs(value) * (_KNOWN_TO_FLOAT32 if rounded else _KNOWN_TO_FLOAT64)
    value = value if factor is not None else 1.0 - value
    found = [_fewest_decimals(*pair) for pair in zip(value.flat, off.flat, strict=True)]
    return np.array(found).reshape(value.shape)


def _fewest_decimals(value: float, off: float) -> float:
    """The number of the fewest digits that is at most ``off`` away from ``value``."""
    if abs(value) <= off:
        return 0.0
    for digits in range(1, 17):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded - value) <= off:
            return rounded
    return value


_THRESHOLDS = {
    "IF": "v_threshold", "LIF": "v_threshold", "CubaLIF": "v_threshold", "Threshold": "threshold",
}  # fmt: skip
"""What fires, and the field that it fires above."""


NEURONS = {**_THRESHOLDS, "I": "r", "LI": "r", "CubaLI": "r"}
"""What has a state (or fires), and a field with one number for each neuron."""


NO_LAYER = ("Input", "Output", "Identity")


READERS: dict[str, tuple[str, Layers]] = {
    "Affine": ("linear", _linear),
    "Linear": ("linear", _linear),
    "Conv1d": ("conv", _conv),
    "Conv2d": ("conv", _conv),
    "Scale": ("scale", _scale),
    "AvgPool2d": ("avgpool", _pool),
    "SumPool2d": ("avgpool", _pool),
    "Flatten": ("flatten", _flatten),
    "Threshold": ("threshold", _neurons),
    "I": ("integrator", _neurons),
    "IF": ("if", _neurons),
    "LI": ("li", _neurons),
    "LIF": ("lif", _neurons),
    "CubaLI": ("cubali", _neurons),
    "CubaLIF": ("cubalif", _neurons),
}
"""The reader of every type of node, and what the names of its layers start with."""
