# SPDX-License-Identifier: Apache-2.0
"""Reads snnTorch's neurons into the intermediate representation. Imports torch.

What is read is what *executes*: the function that a neuron's ``forward`` calls, the tensors it
would use, the surrogate's forward. Where a module disagrees with itself it is refused.

A neuron's program has the order and the association of snnTorch's own tensor arithmetic, so that
equal currents give equal membranes to the bit. Constants of it are computed by torch.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import numpy as np
import snntorch
import torch
from snntorch._neurons import rleaky, rsynaptic
from snntorch.functional import quant
from torch import nn

from spikec.frontends.pytorch.layers import (
    LAYERS,
    RefusedError,
    convolution,
    linear,
    parameter,
    to_array,
)
from spikec.ir import network as ir
from spikec.ir.program import Program, Value


class Names:
    """Gives layers names of their own, such as ``conv1`` and ``conv2``."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}

    def fresh(self, prefix: str) -> str:
        """The next name that starts with ``prefix``."""
        self._count[prefix] = self._count.get(prefix, 0) + 1
        return f"{prefix}{self._count[prefix]}"


# What neurons share.


class _Neurons:
    """The program of a layer of neurons: what all kinds share, around their own equations."""

    def __init__(self, module: Any, base: ir.Node) -> None:
        self.module = module
        self.base = base
        self.program = Program()
        self.kind = f"snntorch.{type(module).__name__}"
        self.mem = self.program.state("mem")
        self.current = self.program.current("current")
        self.threshold = self.parameter("threshold", self.module.threshold)
        _heaviside(self.module)
        self.reset = self.program.let("reset", self.program.greater(self.mem, self.threshold))

    def parameter(self, name: str, value: torch.Tensor) -> Value:
        """A parameter of the neurons, in memory order."""
        return self.program.parameter(name, parameter(value, name, self.base.shape))

    def decay(self, name: str) -> Value:
        """A parameter that snnTorch clamps to 0..1 when it runs."""
        return self.parameter(name, getattr(self.module, name).clamp(0, 1))

    def after_reset(self, mem: Value) -> Value:
        """The membrane after the reset that a spike of the step before asks for."""
        match _executed_reset(self.module):
            case "subtract":
                return mem - self.program.where(self.reset, self.threshold)
            case "zero":
                return self.program.unless(self.reset, mem)
            case "none":
                return mem

    def quantized(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The states after a time step by name, quantized if ``state_quant`` asks for it."""
        p = self.program
        named = {name: p.let(f"{name}_now", value) for name, value in values.items()}
        if not self.module.state_quant:
            return named
        levels = p.parameter("levels", _levels(self.module.state_quant))
        return {
            name: p.let(f"{name}_level", p.step("nearest", value, levels))
            for name, value in named.items()
        }

    def firing(
        self,
        states: Mapping[str, Value],
        currents: tuple[tuple[str, ...], ...] = (("current",),),
        remembers_spikes: bool = False,
    ) -> ir.Cell:
        """The finished neurons, which fire where the membrane is above the threshold."""
        p, module = self.program, self.module
        after = self.quantized(states)
        mem = after["mem"]
        grade = _grade(module, self.base.shape)
        winner = None
        if module.inhibition:
            _can_inhibit(module, self.base.shape, grade)
            winner = p.let("excess", mem - self.threshold)
        spike = p.let("spike", p.greater(mem, self.threshold))
        # Given its states, RSynaptic computes the reset at once, and throws it away.
        at_once = not getattr(module, "reset_delay", True)
        if at_once and not isinstance(module, snntorch.RSynaptic):
            undo = p.number(spike) - p.number(self.reset)
            match _executed_reset(module):
                case "subtract":
                    after["mem"] = p.let("mem_after", mem - undo * self.threshold)
                case "zero":
                    after["mem"] = p.let("mem_after", mem - undo * mem)
                case "none":
                    pass
        if remembers_spikes:
            after["spk"] = p.let("spk_now", p.where(spike, p.parameter("grade", grade)))
        return p.cell(
            self.base, self.kind, currents, after, fires=spike, winner=winner, grade=grade
        )


def _executed_reset(module: Any) -> ir.ResetMechanism:
    """The reset that runs: the bound ``state_function``, not the buffer that names one."""
    kind = type(module)
    runs: dict[object, ir.ResetMechanism] = {
        kind._base_sub: "subtract",
        kind._base_zero: "zero",
        kind._base_int: "none",
    }
    function = getattr(module.state_function, "__func__", None)
    owner: object = getattr(module.state_function, "__self__", None)
    if function not in runs or id(owner) != id(module):
        raise RefusedError(
            "its state_function is not one of snnTorch's own (or is another layer's)",
            "build the layer anew with reset_mechanism=...",
        )
    named = {0: "subtract", 1: "zero", 2: "none"}.get(int(module.reset_mechanism_val))
    if runs[function] != named:
        raise RefusedError(
            f"reset_mechanism says {named!r} but the function that runs is {runs[function]!r} "
            "(snnTorch does not change it when a checkpoint or an assignment changes the name)",
            f"build the layer with reset_mechanism={named!r}",
        )
    return runs[function]


def _heaviside(module: Any) -> None:
    """The surrogate's forward must be the step function that the equations assume."""
    probe = torch.tensor([-1.0, -1e-30, 0.0, 1e-30, 1.0])
    with torch.no_grad():
        fired = module.spike_grad(probe)
    if fired.tolist() != [0.0, 0.0, 0.0, 1.0, 1.0]:
        raise RefusedError(
            "its spike_grad does not fire exactly where membrane > threshold",
            "use one of snntorch.surrogate's functions whose forward is a step",
        )


def _grade(module: Any, shape: ir.Shape, times: int = 1) -> ir.Floats:
    """The size of a spike, to which ``graded_spikes_factor`` is applied some times."""
    factor = parameter(module.graded_spikes_factor, "graded_spikes_factor", shape)
    grade = factor
    with np.errstate(over="ignore", under="ignore"):  # refused just below
        for _ in range(times - 1):
            grade = grade * factor
    if not np.isfinite(grade).all() or np.any(grade == 0.0):
        raise RefusedError(
            "its graded_spikes_factor is 0 somewhere, so that its spikes are lost",
            "use a factor that is not 0",
        )
    return grade


def _can_inhibit(module: Any, shape: ir.Shape, grade: ir.Floats) -> None:
    """Whether snnTorch's ``fire_inhibition`` does what it is for."""
    if not shape.flat:
        raise RefusedError(
            f"inhibition is on for an input {shape}: snnTorch then lets whole channels fire, and "
            "which ones depends on the size of the batch",
            "use inhibition on flat layers only (put nn.Flatten() before it)",
        )
    if np.any(grade != 1.0):
        raise RefusedError(
            "inhibition is on, and snnTorch then leaves graded_spikes_factor out of the spikes "
            "(but not out of the reset)",
            "use one of the two",
        )


def _unread(module: Any, *options: str) -> None:
    """Refuses options that are set and that the forward of this kind of neuron does not read."""
    for option in options:
        value = getattr(module, option)
        if bool((value != 1).any()) if torch.is_tensor(value) else bool(value):
            raise RefusedError(
                f"its {option} is set, but snnTorch's {type(module).__name__} never reads it",
                f"build it without {option}",
            )


_QUANTIZER = next(
    each
    for each in quant.state_quant.__code__.co_consts
    if isinstance(each, types.CodeType) and each.co_name == "inner"
)
"""The code of the functions that ``state_quant`` makes."""


def _levels(quantize: object) -> ir.Floats:
    """The levels of a function that snnTorch's ``state_quant`` made, out of its closure."""
    if getattr(quantize, "__code__", None) is not _QUANTIZER:
        raise RefusedError(
            "its state_quant is no function of snntorch.functional.quant.state_quant",
            "use that one, or quantize the trained network with --numbers int8",
        )
    made = cast(Any, quantize)
    levels = to_array(made.__closure__[_QUANTIZER.co_freevars.index("levels")].cell_contents)
    if not np.isfinite(levels).all():
        raise RefusedError("its state_quant has levels that are NaN or infinite", "build it anew")
    return levels


def _part(module: nn.Module, name: str, *kinds: type[nn.Module]) -> Any:
    """A module inside a neuron, if it is one of torch's own and nothing was changed on it."""
    part = getattr(module, name)
    if type(part) not in kinds:
        raise RefusedError(
            f"its {name} is a {type(part).__name__}, not a "
            f"{' or '.join(kind.__name__ for kind in kinds)}",
            "build the layer anew (for torch's parametrizations, remove them first)",
        )
    if part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part):
        raise RefusedError(
            f"its {name} has forward hooks, which may change what it computes",
            "remove them (for torch.nn.utils.prune, call prune.remove)",
        )
    return part


def _flat(base: ir.Node, features: int) -> None:
    """Refuses what is not a row of so many features."""
    if not base.shape.flat:
        raise RefusedError(f"reads a map {base.shape}", "put nn.Flatten() before it")
    if base.shape.size != features:
        raise RefusedError(
            f"wants {features} inputs and gets {base.shape.size}",
            "make the layers fit each other and the input shape",
        )


# Neurons of the first order, and their likes.


def _leaky(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    leaky: Any = module
    reset = _executed_reset(leaky)
    if leaky.inhibition or leaky.state_quant:
        return (leaky_cell(leaky, base, reset),)
    _heaviside(leaky)
    return (
        ir.Leaky(
            base.name, base.source, base.inputs, base.shape,
            np.clip(parameter(leaky.beta, "beta", base.shape), 0, 1),
            parameter(leaky.threshold, "threshold", base.shape),
            _grade(leaky, base.shape),
            reset,
            bool(leaky.reset_delay),
        ),
    )  # fmt: skip


def leaky_cell(leaky: Any, base: ir.Node, reset: ir.ResetMechanism) -> ir.Cell:
    """Leaky neurons as a program: those that no kernel of their own computes."""
    n = _Neurons(leaky, base)
    beta = n.decay("beta")
    match reset:
        case "subtract":
            mem = beta * n.mem + n.current - n.program.where(n.reset, n.threshold)
        case "zero":  # of the membrane before the step, so that the input is kept
            mem = beta * n.program.unless(n.reset, n.mem) + n.current
        case "none":
            mem = beta * n.mem + n.current
    return n.firing({"mem": mem})


def _lapicque(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    lapicque: Any = module
    n = _Neurons(lapicque, base)
    resistance, step = lapicque.R, lapicque.time_step
    r = n.parameter("r", resistance)
    inverse = n.parameter("inverse_rc", 1 / (resistance * lapicque.C))
    time_step = n.parameter("time_step", step)
    decay = n.parameter("decay", 1 - step / (resistance * lapicque.C))
    return (n.firing({"mem": n.after_reset(n.current * r * inverse * time_step + decay * n.mem)}),)


def _synaptic(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    n = _Neurons(module, base)
    alpha, beta = n.decay("alpha"), n.decay("beta")
    syn = n.program.let("syn_now", alpha * n.program.state("syn") + n.current)
    return (n.firing({"mem": n.after_reset(beta * n.mem + syn), "syn": syn}),)


def _alpha(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    n = _Neurons(module, base)
    p = n.program
    alpha, beta = n.decay("alpha"), n.decay("beta")
    log_alpha, log_beta = (torch.log(each.clamp(0, 1)) for each in (n.module.alpha, n.module.beta))
    tau = n.parameter("tau_alpha", log_alpha / (log_beta - log_alpha) + 1)
    syn_inh_before = p.state("syn_inh")
    syn_exc = p.let("exc", alpha * p.state("syn_exc") + n.current)
    syn_inh = p.let("inh", beta * syn_inh_before - n.current)
    mem = p.let("potential", tau * (syn_exc + syn_inh))
    match _executed_reset(module):
        case "subtract":
            mem = mem - p.where(n.reset, -syn_inh_before)
            syn_exc = p.let("syn_exc_now", syn_exc - p.where(n.reset, n.threshold))
            syn_inh = p.let("syn_inh_now", p.unless(n.reset, syn_inh))
        case "zero":
            mem, syn_exc, syn_inh = (p.unless(n.reset, each) for each in (mem, syn_exc, syn_inh))
        case "none":
            pass
    return (n.firing({"mem": mem, "syn_exc": syn_exc, "syn_inh": syn_inh}),)


def _delta_leaky(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    delta: Any = module
    _unread(delta, "inhibition", "state_quant", "graded_spikes_factor")
    n = _Neurons(delta, base)
    threshold = n.parameter("delta_threshold", torch.as_tensor(delta.delta_threshold))
    beta = n.parameter("beta", delta.beta)  # not clamped
    mem = n.program.let("mem_now", beta * n.mem + n.current)
    change = n.program.let("change", abs(mem - n.mem))
    spike = n.program.let("spike", n.program.greater(change, threshold))
    return (n.program.cell(base, n.kind, states={"mem": mem}, fires=spike),)


# Neurons that snnTorch computes for a whole sequence [T, B, N] at once.


def _state_leaky(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    """Reads a StateLeaky, whose membrane is a decayed sum that nothing resets."""
    if not base.shape.flat:
        raise RefusedError(
            f"reads an input {base.shape}",
            f"{type(module).__name__} needs sequences [T, B, N]: put nn.Flatten(2) before it",
        )
    leaky: Any = module
    if leaky.kernel_truncation_steps is not None:
        raise RefusedError(
            f"kernel_truncation_steps is {leaky.kernel_truncation_steps}: the membrane is the sum "
            "of the last inputs only, which no neuron can keep in one number",
            "build it without kernel_truncation_steps",
        )
    n = _Neurons(leaky, base)
    p = n.program
    # The membrane is a sum of exp(-k / tau) * input over the k steps since it came.
    decay = n.parameter("decay", torch.exp(-torch.ones(1, dtype=torch.int64) / leaky.tau))
    if leaky.state_quant:  # what is quantized is handed on, but not what is summed up
        total = p.let("total_now", decay * p.state("total") + n.current)
        states = {"mem": n.quantized({"mem": total})["mem"], "total": total}
    else:
        states = {"mem": p.let("mem_now", decay * n.mem + n.current)}
    if not leaky.output:
        return (p.cell(base, n.kind, states=states, value=states["mem"]),)
    spike = p.let("spike", p.greater(states["mem"], n.threshold))
    grade = _grade(leaky, base.shape, times=2)  # snnTorch applies the factor twice
    return (p.cell(base, n.kind, states=states, fires=spike, grade=grade),)


def _linear_leaky(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    inner = _part(module, "linear", nn.Linear)
    node = dataclasses.replace(base, name=names.fresh("linear"))
    before = LAYERS[nn.Linear][1](inner, node)
    after = dataclasses.replace(base, inputs=(before.name,), shape=before.shape)
    return (before, *_state_leaky(module, after, names))


def _leaky_parallel(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    parallel: Any = module
    rnn = _part(module, "rnn", nn.RNN)
    _flat(base, rnn.input_size)
    hidden = rnn.weight_hh_l0.detach()
    beta = parallel.beta
    if beta is not None and beta.numel() > 1 and not torch.equal(hidden.diag(), beta):
        raise RefusedError(
            f"its beta has {beta.numel()} values, but snnTorch writes only a single one into "
            "rnn.weight_hh_l0, which is what runs",
            "write the decays into the diagonal of rnn.weight_hh_l0, too",
        )
    bias_ih, bias_hh = (rnn.bias_ih_l0, rnn.bias_hh_l0) if rnn.bias else (None, None)
    node = dataclasses.replace(base, name=names.fresh("linear"))
    before = linear(node, rnn.weight_ih_l0, bias_ih)
    base = dataclasses.replace(base, inputs=(before.name,), shape=before.shape)
    if torch.count_nonzero(hidden - hidden.diag().diag()):
        return (before, *_recurrent_parallel(parallel, base, names, hidden, bias_hh))
    n = _Neurons(module, base)
    bias = torch.zeros(1) if bias_hh is None else bias_hh
    recurrent = n.parameter("beta", hidden.diag()) * n.mem + n.parameter("bias", bias)
    mem = n.program.let("mem_now", _relu(n.program, recurrent + n.current))
    spike = n.program.let("spike", n.program.greater(mem, n.threshold))
    grade = _grade(module, base.shape)
    return (before, n.program.cell(base, n.kind, states={"mem": mem}, fires=spike, grade=grade))


def _recurrent_parallel(
    parallel: Any, base: ir.Node, names: Names, hidden: torch.Tensor, bias: torch.Tensor | None
) -> tuple[ir.Layer, ...]:
    """The membrane of every neuron reaches every other in the next step."""
    p = Program()
    name = names.fresh("membrane")
    loop = _previous(base, names, name)
    node = dataclasses.replace(base, name=names.fresh("recurrent"), inputs=(loop.name,))
    back = linear(node, hidden, bias)
    mem = _relu(p, p.current("recurrent") + p.current("current"))
    node = dataclasses.replace(base, name=name, inputs=(*base.inputs, back.name))
    cell = p.cell(
        node, "snntorch.LeakyParallel", (("current",), ("recurrent",)), value=p.let("mem", mem)
    )
    last = dataclasses.replace(base, inputs=(name,))
    return (loop, back, cell, _threshold(parallel, last))


def _relu(p: Program, value: Value) -> Value:
    return p.step("maximum", value, p.constant("zero", 0.0))


def _threshold(module: Any, base: ir.Node) -> ir.Cell:
    """Neurons whose membrane is computed by the layer before."""
    n = _Neurons(module, base)
    mem = n.current
    if getattr(module, "avg_pool", 0):  # a mean of levels is no level
        mem = n.quantized({"mem": mem})["mem"]
    spike = n.program.let("spike", n.program.greater(mem, n.threshold))
    grade = _grade(module, base.shape)
    return n.program.cell(base, n.kind, states={"mem": mem}, fires=spike, grade=grade)


def _previous(base: ir.Node, names: Names, source: str) -> ir.Previous:
    """What the later layer ``source``, of the shape of ``base``, handed on a step before."""
    return ir.Previous(names.fresh("previous"), base.source, (source,), base.shape)


# Recurrent neurons.


def _rleaky(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    loop = _loop(module, base, names)
    n = _Neurons(module, loop.base)
    mem = n.decay("beta") * n.mem + n.current + loop.current(n)
    return (*loop.layers, loop.firing(n, {"mem": n.after_reset(mem)}))


def _rsynaptic(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    neurons: Any = module
    if neurons.init_hidden and not neurons.reset_delay:
        raise RefusedError(
            "reset_delay is False with init_hidden=True, with which snnTorch's RSynaptic raises an "
            "error (it divides spikes that it was not given)",
            "build it with reset_delay=True",
        )
    loop = _loop(module, base, names)
    n = _Neurons(module, loop.base)
    alpha, beta = n.decay("alpha"), n.decay("beta")
    syn = alpha * n.program.state("syn") + n.current + loop.current(n)
    syn = n.program.let("syn_now", syn)
    mem = n.after_reset(beta * n.mem + syn)
    return (*loop.layers, loop.firing(n, {"mem": mem, "syn": syn}))


@dataclasses.dataclass(frozen=True, slots=True)
class _Loop:
    """How the spikes of ``base`` reach it in the next step: through layers, or one to one."""

    base: ir.Node
    layers: tuple[ir.Layer, ...]
    weight: torch.Tensor | None

    def current(self, n: _Neurons) -> Value:
        """The recurrent current."""
        if self.weight is None:
            return n.program.current("recurrent")
        return n.program.state("spk") * n.parameter("v", self.weight)

    def firing(self, n: _Neurons, states: Mapping[str, Value]) -> ir.Cell:
        """The finished neurons."""
        if self.weight is None:
            return n.firing(states, (("current",), ("recurrent",)))
        return n.firing(states, remembers_spikes=True)


def _loop(module: nn.Module, base: ir.Node, names: Names) -> _Loop:
    """Reads the recurrence of RLeaky and RSynaptic."""
    one_to_one = (rleaky.RecurrentOneToOne, rsynaptic.RecurrentOneToOne)
    inner = _part(module, "recurrent", nn.Linear, nn.Conv2d, *one_to_one)
    if type(inner) in one_to_one:
        if not torch.equal(inner.V, cast(Any, module).V):
            raise RefusedError(
                "its V is not the V of its recurrent part, which is what runs",
                "give both the same values",
            )
        return _Loop(base, (), inner.V)
    first: tuple[ir.Layer, ...] = ()
    if type(inner) is nn.Linear:
        _flat(base, inner.in_features)
        if base.shape != ir.Shape(1, 1, base.shape.size, flat=True):
            # In the order of the recurrent layer's outputs, that of snnTorch's features.
            shape = ir.Shape(1, 1, base.shape.size, flat=True)
            joined = ir.Concat(names.fresh("features"), base.source, base.inputs, shape)
            first = (joined,)
            base = dataclasses.replace(base, inputs=(joined.name,), shape=shape)
    loop = _previous(base, names, base.name)
    node = dataclasses.replace(base, name=names.fresh("recurrent"), inputs=(loop.name,))
    back = LAYERS[type(inner)][1](inner, node)
    if back.shape != base.shape:
        raise RefusedError(
            f"its recurrent layer makes {back.shape} of {base.shape}, which torch cannot add to "
            "the input",
            "build it with an odd kernel_size and as many channels as its input has",
        )
    base = dataclasses.replace(base, inputs=(*base.inputs, back.name))
    return _Loop(base, (*first, loop, back), None)


_GATES = {snntorch.SLSTM: ("i", "f", "g", "o"), snntorch.SConv2dLSTM: ("i", "f", "o", "g")}
"""The order of the gates in the weights."""


def _slstm(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    lstm = _part(module, "lstm_cell", nn.LSTMCell)
    if lstm.input_size != lstm.hidden_size:
        raise RefusedError(
            f"its hidden_size {lstm.hidden_size} is not its input_size {lstm.input_size}: "
            "snnTorch then forgets both states at every step",
            "make them equal, with an nn.Linear before it",
        )
    _flat(base, lstm.input_size)
    shape = ir.Shape(1, 1, lstm.hidden_size, flat=True)
    bias_ih, bias_hh = (lstm.bias_ih, lstm.bias_hh) if lstm.bias else (None, None)
    loop = _previous(dataclasses.replace(base, shape=shape), names, name := names.fresh("lstm"))
    node = dataclasses.replace(base, name=names.fresh("linear"))
    gates = linear(node, lstm.weight_ih, bias_ih)
    node = ir.Node(names.fresh("recurrent"), base.source, (loop.name,), shape)
    back = linear(node, lstm.weight_hh, bias_hh)
    inputs = (gates.name, back.name, loop.name)
    cell = _lstm(module, ir.Node(name, base.source, inputs, shape))
    last = ir.Node(base.name, base.source, (name,), shape)
    return (loop, gates, back, cell, _threshold(module, last))


def _sconv2dlstm(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    """Reads an SConv2dLSTM: its convolutions, its gates and the pooling of its membrane."""
    lstm: Any = module
    conv = _part(module, "conv", nn.Conv2d)
    before, channels = base.shape, lstm.out_channels
    if before.flat or before.line or before.channels != lstm.in_channels:
        raise RefusedError(
            f"wants a map of {lstm.in_channels} channels and gets an input {before}",
            "make the layers fit each other and the input shape",
        )
    shape = dataclasses.replace(before, channels=channels)
    loop = _previous(dataclasses.replace(base, shape=shape), names, name := names.fresh("lstm"))
    # One convolution of the input and the membrane is the sum of two.
    node = dataclasses.replace(base, name=names.fresh("conv"))
    weight = conv.weight.detach()
    gates = convolution(conv, node, weight[:, : lstm.in_channels], conv.bias)
    node = ir.Node(names.fresh("recurrent"), base.source, (loop.name,), shape)
    back = convolution(conv, node, weight[:, lstm.in_channels :], None)
    if (gates.shape.height, gates.shape.width) != (shape.height, shape.width):
        raise RefusedError(
            f"its kernel_size {lstm.kernel_size} makes {gates.shape} of {before}, which torch "
            "cannot join to its states",
            "use an odd kernel_size, the same in both directions",
        )
    inputs = (gates.name, back.name, loop.name)
    cell = _lstm(module, ir.Node(name, base.source, inputs, shape))
    layers: tuple[ir.Layer, ...] = (loop, gates, back, cell)
    size = lstm.max_pool or lstm.avg_pool
    if size:
        pool = nn.MaxPool2d(size) if lstm.max_pool else nn.AvgPool2d(size)
        prefix, read = LAYERS[type(pool)]
        layers += (read(pool, ir.Node(names.fresh(prefix), base.source, (name,), shape)),)
    last = ir.Node(base.name, base.source, (layers[-1].name,), layers[-1].shape)
    return (*layers, _threshold(module, last))


def _lstm(module: Any, node: ir.Node) -> ir.Cell:
    """The cell of an LSTM, which hands on its membrane.

    It reads its gates' currents from the input and from the membrane of the step before, and that
    membrane.
    """
    _unread(module, "inhibition")
    n = _Neurons(module, node)
    p = n.program
    gates = _GATES[type(module)]
    into = {gate: p.current(f"{gate}_in") + p.current(f"{gate}_rec") for gate in gates}
    i, f, o = (p.let(gate, p.step("sigmoid", into[gate])) for gate in ("i", "f", "o"))
    g = p.let("g", p.step("tanh", into["g"]))
    syn = p.let("syn_now", f * p.state("syn") + i * g)
    after = n.quantized({"mem": n.after_reset(o * p.step("tanh", syn)), "syn": syn})
    inputs, currents = (
        node.inputs,
        [tuple(f"{gate}_{way}" for gate in gates) for way in ("in", "rec")],
    )
    if _executed_reset(module) == "none":
        inputs = inputs[:2]
    else:
        currents.append(("mem",))
    node = dataclasses.replace(node, inputs=inputs)
    return p.cell(node, n.kind, tuple(currents), {"syn": after["syn"]}, value=after["mem"])


def _associative(module: nn.Module, base: ir.Node, names: Names) -> tuple[ir.Layer, ...]:
    raise RefusedError(
        "divides running products over the whole sequence, which become 0 after some steps, so "
        "that its spikes follow no rule that runs step by step (and with use_q_projection it "
        "hands on numbers that are no spikes)",
        "use LeakyParallel or LinearLeaky",
    )


NeuronReader: TypeAlias = Callable[[nn.Module, ir.Node, Names], tuple[ir.Layer, ...]]
"""Makes the layers of a module, in order; the last one, named as the given node, hands on what the
module does. ``Names`` gives the names of the others."""

NEURONS: dict[type[nn.Module], tuple[str, NeuronReader]] = {
    snntorch.Leaky: ("leaky", _leaky),
    snntorch.Lapicque: ("lapicque", _lapicque),
    snntorch.Synaptic: ("synaptic", _synaptic),
    snntorch.Alpha: ("alpha", _alpha),
    snntorch.RLeaky: ("rleaky", _rleaky),
    snntorch.RSynaptic: ("rsynaptic", _rsynaptic),
    snntorch.SLSTM: ("slstm", _slstm),
    snntorch.SConv2dLSTM: ("sconv2dlstm", _sconv2dlstm),
    snntorch.LeakyParallel: ("leakyparallel", _leaky_parallel),
    snntorch.StateLeaky: ("stateleaky", _state_leaky),
    snntorch.LinearLeaky: ("linearleaky", _linear_leaky),
    snntorch.DeltaLeaky: ("deltaleaky", _delta_leaky),
    snntorch.AssociativeLeaky: ("associative", _associative),
}
"""The reader of every kind of neuron, and what the names of its layers start with."""
