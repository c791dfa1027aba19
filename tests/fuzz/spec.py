# SPDX-License-Identifier: Apache-2.0
"""A random network as a value: ``repr`` of it is Python, and ``build`` makes a torch module of it.

A ``Spec`` is a list of nodes, each of which reads earlier ones. What depends on shapes, such as a
layer's input channels, is found when it is built, so that a node can be left out or bypassed.
``build`` writes the module's source, in the style that is asked for, and runs it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from snntorch.functional import quant
from torch import nn
from torch.nn import functional

Axes: TypeAlias = tuple[int, ...]

Style: TypeAlias = Literal[
    "sequential", "whole sequential", "step", "arguments", "optional arguments", "loop",
    "hidden loop", "batch first", "held", "layers",
]  # fmt: skip
"""How the module is written:

``sequential``
    an ``nn.Sequential``, called for every time step.
``whole sequential``
    an ``nn.Sequential`` of what takes all time steps at once.
``step``
    a forward of one time step; neurons keep their own states.
``arguments``, ``optional arguments``
    a forward of one time step that takes and returns all states.
``loop``, ``hidden loop``
    a loop over ``x[step]`` of ``[T, B, ...]`` inside; neurons are given their states, or keep them.
``batch first``
    the same over ``x[:, step]`` of ``[B, T, ...]``.
``held``
    the same, with one frame that is shown in every step.
``layers``
    layer after layer, each for all of ``[T, B, ...]``.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """Values between ``low`` and ``high``: ``"one"``, one a ``"channel"`` or one a ``"neuron"``."""

    each: str
    low: float
    high: float


@dataclasses.dataclass(frozen=True, slots=True)
class Node:
    """One operation; ``inputs`` count earlier nodes from 1, and 0 is the network's input.

    The input of a ``previous`` is a later node, of which it is the value a time step before.
    ``seed`` draws its weights.
    """

    kind: str
    inputs: tuple[int, ...] = (0,)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seed: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Spec:
    """A network for frames ``[steps, *shape]`` that hands out what ``outputs`` count.

    On a ``grid`` weights and inputs are multiples of powers of two, so that sums are exact.
    """

    shape: Axes
    steps: int
    style: Style
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    seed: int = 0
    grid: bool = True

    def node(self, number: int) -> Node:
        """The node that inputs count as ``number``."""
        return self.nodes[number - 1]


class UnfitError(Exception):
    """A layer does not fit what it reads: no network, and no fault of anybody's."""


STATES: dict[str, tuple[str, ...]] = {
    "Leaky": ("mem",),
    "Lapicque": ("mem",),
    "Synaptic": ("syn", "mem"),
    "Alpha": ("exc", "inh", "mem"),
    "RLeaky": ("spk", "mem"),
    "RSynaptic": ("spk", "syn", "mem"),
    "SLSTM": ("syn", "mem"),
    "SConv2dLSTM": ("syn", "mem"),
    "DeltaLeaky": ("mem",),
}
"""The neurons that run step by step, and the states that their forwards take, in order."""

SEQUENTIAL = ("sequential", "whole sequential")
"""The styles that have no forward of their own."""

SEQUENCE = ("LeakyParallel", "StateLeaky", "LinearLeaky")
"""The neurons that take all time steps at once."""

NEURONS = (*STATES, *SEQUENCE)

TRANSCENDENTAL = ("SLSTM", "SConv2dLSTM", *SEQUENCE)
"""Those whose membranes are not snnTorch's to the bit."""

Equality: TypeAlias = Literal["grid", "equal", "near"]
"""Whether our value is snnTorch's to the bit, and then also whether any sum of such is exact."""


@dataclasses.dataclass(frozen=True, slots=True)
class Built:
    """A spec's network: its module, the source of its class, and what is known of each value.

    ``axes`` and ``equality`` are of node ``k``'s value at ``k``, the input's at 0; ``names`` are
    the torch names of the nodes that are modules.
    """

    spec: Spec
    net: nn.Module
    source: str
    axes: tuple[Axes, ...]
    equality: tuple[Equality, ...]
    names: Mapping[int, str]
    modules: Mapping[int, nn.Module]


def build(spec: Spec) -> Built:
    """The network of ``spec`` in eval mode; the same spec, the same network.

    Raises:
        UnfitError: its layers do not fit each other.
    """
    snntorch.SpikingNeuron.instances.clear()  # where snnTorch keeps every neuron ever made
    axes: list[Axes] = [spec.shape]
    equality: list[Equality] = ["grid" if spec.grid else "equal"]
    modules: dict[int, nn.Module] = {}
    for number, node in enumerate(spec.nodes, 1):
        if node.kind == "previous":
            later = _shape_without_loops(spec, node.inputs[0])
            axes.append(later)
            equality.append(_spikes(spec.node(node.inputs[0]), spec))
            continue
        given = [axes[i] for i in node.inputs]
        module, after = _module(node, given, spec)
        if module is not None:
            modules[number] = module.eval()
        axes.append(after)
        equality.append(_equality(node, [equality[i] for i in node.inputs], given[0], spec))
    names = {
        number: str(number - 1) if spec.style in SEQUENTIAL else _name(spec, number)
        for number in modules
    }
    if spec.style in SEQUENTIAL:
        net: nn.Module = nn.Sequential(*(modules[k] for k in range(1, len(spec.nodes) + 1)))
        source = repr(net)
    else:
        source = write(spec, tuple(axes))
        room: dict[str, Any] = {"nn": nn, "torch": torch, "F": functional, "STEPS": spec.steps}
        exec(compile(source, "<network>", "exec"), room)
        net = room["Net"]({names[number]: module for number, module in modules.items()})
    return Built(spec, net.eval(), source, tuple(axes), tuple(equality), names, modules)


def _name(spec: Spec, number: int) -> str:
    return f"{spec.node(number).kind.lower()}{number}"


def _shape_without_loops(spec: Spec, number: int) -> Axes:
    """The shape of a later node that a loop hands back: that of a layer that sets its own."""
    node = spec.node(number)
    if "axes" not in node.options:
        raise UnfitError("only a node that knows its axes can be read before it runs")
    return tuple(node.options["axes"])


# Modules.


def _module(node: Node, given: list[Axes], spec: Spec) -> tuple[nn.Module | None, Axes]:
    """A node's module, if it has one, and the axes of what it hands on."""
    if len(set(given)) > 1 and node.kind != "concat":
        raise UnfitError(f"{node.kind} of {given}")
    axes = given[0]
    match node.kind:
        case "add" | "sub" | "scale":
            return None, axes
        case "concat":
            if len({(len(each), each[1:]) for each in given}) > 1:
                raise UnfitError(f"cannot join {given}")
            return None, (sum(each[0] for each in given), *axes[1:])
        case kind if kind in NEURONS:
            return _neurons(node, axes, spec)
    try:
        module = layer(node, axes, spec)
        with torch.no_grad():
            value = (module[0] if isinstance(module, nn.ModuleList) else module)(
                torch.zeros(1, *axes)
            )
    except (RuntimeError, ValueError, IndexError) as error:
        raise UnfitError(f"{node.kind} of {axes}: {error}") from error
    if bool((value == -math.inf).any()):
        raise UnfitError("a pooling window without an input in it")
    return (None if node.options.get("function") else module), tuple(value.shape[1:])


def layer(node: Node, axes: Axes, spec: Spec) -> nn.Module:
    """torch's module for a node that is no neurons, with its weights, in eval mode."""
    torch.manual_seed(node.seed)
    module: nn.Module = _layer(node, axes, spec)
    _fill(module, node, spec.grid)
    return module.eval()


def _layer(node: Node, axes: Axes, spec: Spec) -> Any:
    o = dict(node.options)
    o.pop("function", "")
    o.pop("zero", None)
    kind = node.kind
    needed = {"1d": 2, "2d": 3}.get(kind[-2:])
    if needed is not None and len(axes) != needed and kind not in ("BatchNorm1d", "BatchNormTT1d"):
        raise UnfitError(f"{kind} of {axes}")
    match kind:
        case "Conv1d" | "Conv2d":
            groups = o.pop("groups", 1)
            groups = axes[0] if groups == "depthwise" else groups
            out = o.pop("out") * groups
            made = nn.Conv1d if kind == "Conv1d" else nn.Conv2d
            return made(axes[0], out, groups=groups, **o)
        case "Linear":
            if len(axes) != 1:
                raise UnfitError(f"Linear of {axes}")
            return nn.Linear(axes[0], o.pop("out"), **o)
        case "BatchNorm1d" | "BatchNorm2d":
            return getattr(nn, kind)(axes[0], **o)
        case "BatchNormTT1d":
            if len(axes) != 1:
                raise UnfitError(f"BatchNormTT1d of {axes}")
            return snntorch.BatchNormTT1d(axes[0], spec.steps, **o)
        case "BatchNormTT2d":
            return snntorch.BatchNormTT2d(axes[0], spec.steps, **o)
        case "Unflatten":
            return nn.Unflatten(1, o["axes"])
        case "Flatten" | "ReLU" | "Identity":
            return getattr(nn, kind)()
        case _:  # pooling and dropout
            return getattr(nn, kind)(**o)


def tensor(value: object, axes: Axes, rng: np.random.Generator, grid: bool) -> Any:
    """An option's value: a ``Spread`` drawn, whatever else as it is."""
    if not isinstance(value, Spread):
        return value
    size: Axes = {"one": (), "channel": (axes[0], *(1,) * (len(axes) - 1))}.get(value.each, axes)
    values = rng.uniform(value.low, value.high, size)
    if grid:
        values = np.maximum(np.round(values * 16), 1) / 16
    return torch.tensor(values, dtype=torch.float32)


def _neurons(node: Node, axes: Axes, spec: Spec) -> tuple[nn.Module, Axes]:
    """snnTorch's neurons for a node; those that keep their states where the style asks for it."""
    torch.manual_seed(node.seed)
    rng = np.random.default_rng(node.seed)
    o = dict(node.options)
    kind = node.kind
    factor = o.pop("threshold_factor", 1.0)
    recurrence = o.pop("recurrence", "")
    grade = o.pop("grade", None)
    out = o.pop("out", None)
    o.pop("axes", None)
    forced = o.pop("forced", False)  # to see what snnTorch says
    after = axes
    levels = o.pop("levels", None)
    needs = {"linear": 1, "conv": 3}.get(recurrence) or {"SConv2dLSTM": 3}.get(kind)
    if kind in (*SEQUENCE, "SLSTM"):
        needs = 1
    if needs not in (None, len(axes)) and not forced:
        raise UnfitError(f"{kind} of {axes}")
    if kind in ("LinearLeaky", "LeakyParallel"):
        after = (out,)
    o = {name: tensor(value, after, rng, spec.grid) for name, value in o.items()}
    threshold = o.pop("threshold", 1.0)
    o["threshold"] = threshold * factor
    if levels is not None:
        span = float(torch.as_tensor(o["threshold"]).max())
        o["state_quant"] = quant.state_quant(threshold=span, **levels)
    if kind in STATES:
        o["init_hidden"] = spec.style in ("sequential", "step", "hidden loop")
    match recurrence:
        case "linear":
            o["linear_features"] = axes[-1]
        case "conv":
            o["conv2d_channels"] = axes[0]
        case "one":
            o["all_to_all"] = False
            o["V"] = tensor(o.get("V", 0.5), axes, rng, spec.grid)
    made = getattr(snntorch, kind)
    try:
        match kind:
            case "DeltaLeaky":
                threshold = o.pop("threshold")
                module = made(threshold, **o)
            case "SLSTM":
                module = made(axes[-1], axes[-1], **o)
            case "SConv2dLSTM":
                module = made(axes[0], out, **o)
                pool = o.get("max_pool", 0) or o.get("avg_pool", 0)
                after = (out, *(side // pool if pool else side for side in axes[1:]))
                if min(after) < 1:
                    raise UnfitError(f"SConv2dLSTM of {axes}")
            case "StateLeaky":
                module = made(channels=axes[-1], **o)
            case "LinearLeaky":
                module = made(in_features=axes[-1], out_features=out, **o)
            case "LeakyParallel":
                module = made(axes[-1], out, **o)
            case _:
                module = made(**o)
    except ValueError as error:
        raise UnfitError(f"{kind}: {error}") from error
    if grade is not None:
        factor = tensor(grade, after, rng, spec.grid)
        module.graded_spikes_factor = torch.as_tensor(factor, dtype=torch.float32)
    _fill(module, node, spec.grid)
    return module, after


def _fill(module: Any, node: Node, grid: bool) -> None:
    """Gives layers weights that make neurons spike, on the grid if asked for."""
    rng = np.random.default_rng([node.seed, 7])

    def put(weight: torch.Tensor | None, values: npt.NDArray[np.float64]) -> None:
        if weight is not None:
            rounded = np.round(values * 16) / 16 if grid else values
            weight.data = torch.tensor(rounded, dtype=torch.float32)

    for part in module.modules():
        match part:
            case nn.Conv1d() | nn.Conv2d() | nn.Linear():
                size = tuple(part.weight.shape)
                put(part.weight, rng.normal(0.05, 1.5 / math.sqrt(math.prod(size[1:])), size))
                if part.bias is not None:
                    put(part.bias, rng.normal(0, 0.2, tuple(part.bias.shape)))
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                features = (part.num_features,)
                put(part.running_mean, rng.normal(0, 0.3, features))
                put(part.running_var, rng.uniform(0.3, 2.0, features))
                if part.weight is not None:
                    put(part.weight, rng.uniform(0.4, 1.6, features) * rng.choice([-1, 1, 1, 1]))
                if part.bias is not None:
                    put(part.bias, rng.normal(0.1, 0.3, features))
            case nn.LSTMCell():
                for weight in part.parameters():
                    put(weight, rng.normal(0.1, 0.6, tuple(weight.shape)))
            case nn.RNN():
                rnn = cast(Any, part)
                size = tuple(rnn.weight_ih_l0.shape)
                put(rnn.weight_ih_l0, rng.normal(0.05, 1.5 / math.sqrt(size[1]), size))
                if rnn.bias:
                    put(rnn.bias_ih_l0, rng.normal(0, 0.2, size[:1]))
                    put(rnn.bias_hh_l0, rng.normal(0, 0.2, size[:1]))
                hidden = rnn.weight_hh_l0.detach().numpy().astype(np.float64)
                put(rnn.weight_hh_l0, hidden)
    if node.options.get("zero"):
        for parameter in module.parameters():
            parameter.data.zero_()


def exact_membrane(built: Built, number: int) -> bool:
    """Whether our membrane must be snnTorch's to the bit."""
    node = built.spec.node(number)
    if node.kind in TRANSCENDENTAL:
        return False
    if node.options.get("recurrence") in ("linear", "conv") and built.equality[number] != "grid":
        return False
    return built.equality[node.inputs[0]] != "near"


def _equality(node: Node, given: list[Equality], axes: Axes, spec: Spec) -> Equality:
    """How near a node's value is to snnTorch's."""
    worst: Equality = "near" if "near" in given else "equal" if "equal" in given else "grid"
    match node.kind:
        case "Linear" | "Conv1d" | "Conv2d":
            return worst if worst == "grid" else "near"
        case "BatchNorm1d" | "BatchNorm2d" | "BatchNormTT1d" | "BatchNormTT2d":
            return "near"
        case "scale":
            power = math.log2(abs(node.options["by"])).is_integer()
            return worst if worst != "grid" or power else "equal"
        case "AvgPool1d" | "AvgPool2d" | "AdaptiveAvgPool1d" | "AdaptiveAvgPool2d":
            if worst != "grid" or _power_of_two(node, axes):
                return "near" if worst != "grid" else "grid"
            return "near" if node.kind == "AdaptiveAvgPool2d" else "equal"  # torch divides twice
        case "StateLeaky" | "LinearLeaky" if not node.options.get("output", True):
            return "near"
        case kind if kind in NEURONS:
            return _spikes(node, spec)
    return worst


def _spikes(node: Node, spec: Spec) -> Equality:
    """Spikes are snnTorch's; the few that rounding flips are found out."""
    grade = node.options.get("grade", 1.0)
    exact = isinstance(grade, Spread) or math.log2(abs(grade)).is_integer()
    return "grid" if spec.grid and exact else "equal"


def _power_of_two(node: Node, axes: Axes) -> bool:
    """Whether all windows of a mean divide by a power of two."""
    o = node.options
    if node.kind.startswith("Adaptive"):
        out = o["output_size"]
        sides = axes[1:]
        outs = out if isinstance(out, tuple) else (out,) * len(sides)
        sizes = [s // (t or s) for s, t in zip(sides, outs, strict=True)]
        exact = all(s % (t or s) == 0 for s, t in zip(sides, outs, strict=True))
        return exact and math.log2(math.prod(sizes)).is_integer()
    if o.get("divisor_override"):
        return math.log2(o["divisor_override"]).is_integer()
    kernel = o["kernel_size"]
    area = math.prod(kernel) if isinstance(kernel, tuple) else kernel ** (len(axes) - 1)
    plain = not o.get("ceil_mode") and o.get("count_include_pad", True)
    return plain and math.log2(area).is_integer()


# Source.

_INIT = {kind: f"init_{kind.lower()}" for kind in STATES} | {"DeltaLeaky": "reset_mem"}


def write(spec: Spec, axes: tuple[Axes, ...]) -> str:
    """The source of a class ``Net`` that is ``spec``'s network, given its modules by name."""
    lines = [
        "class Net(nn.Module):",
        "    def __init__(self, modules):",
        "        super().__init__()",
        "        for name, module in modules.items():",
        "            self.add_module(name, module)",
        "",
    ]
    body = _Writer(spec, axes).forward()
    return "\n".join([*lines, *(f"    {line}".rstrip() for line in body), ""])


class _Writer:
    """Writes the forward of one spec."""

    def __init__(self, spec: Spec, axes: tuple[Axes, ...]) -> None:
        self.spec = spec
        self.axes = axes
        self.hidden = spec.style in ("step", "hidden loop")

    def forward(self) -> list[str]:
        spec = self.spec
        outputs = [self.value(k) for k in spec.outputs]
        states = [name for k in range(1, len(spec.nodes) + 1) for name in self.states(k)]
        step = [self.step(k) for k in range(1, len(spec.nodes) + 1)]
        step += [f"{self.previous(k)} = {self.value(k)}" for k in self.loops()]
        step = [line for line in step if line]
        match spec.style:
            case "step":
                return [
                    "def forward(self, v0):",
                    *_indented(step),
                    f"    return {', '.join(outputs)}",
                ]
            case "arguments" | "optional arguments":
                states += [self.previous(k) for k in self.loops()]
                default = "=None" if spec.style == "optional arguments" else ""
                arguments = ", ".join(["self", "v0", *(f"{name}{default}" for name in states)])
                return [
                    f"def forward({arguments}):",
                    *_indented(step),
                    f"    return {', '.join([*outputs, *states])}",
                ]
            case "layers":
                return [
                    "def forward(self, v0):",
                    *_indented([line for k in self.numbers() for line in self.whole(k)]),
                    f"    return {', '.join(outputs)}",
                ]
            case _:
                return self.loop(step, outputs)

    def loop(self, step: list[str], outputs: list[str]) -> list[str]:
        spec = self.spec
        over, frame = {
            "batch first": ("range(x.size(1))", "v0 = x[:, step]"),
            "held": ("range(STEPS)", "v0 = x"),
        }.get(spec.style, ("range(x.size(0))", "v0 = x[step]"))
        start = [line for k in self.numbers() for line in self.start(k)]
        start += [
            f"{self.previous(k)} = torch.zeros(1, {', '.join(map(str, self.axes[k]))})"
            for k in self.loops()
        ]
        lists = [f"record{i}" for i in range(len(outputs))]
        append = [f"{each}.append({value})" for each, value in zip(lists, outputs, strict=True)]
        stacked = ", ".join(f"torch.stack({each})" for each in lists)
        return [
            "def forward(self, x):",
            *_indented([*start, *(f"{each} = []" for each in lists), f"for step in {over}:"]),
            *_indented([frame, *step, *append], 2),
            f"    return {stacked}",
        ]

    def numbers(self) -> range:
        return range(1, len(self.spec.nodes) + 1)

    def loops(self) -> list[int]:
        """The nodes whose values a loop carries over."""
        return sorted({n.inputs[0] for n in self.spec.nodes if n.kind == "previous"})

    def previous(self, number: int) -> str:
        return f"before{number}"

    def value(self, number: int) -> str:
        node = self.spec.node(number) if number else None
        if node is not None and node.kind in NEURONS:
            return f"spk{number}"
        if node is not None and node.kind == "previous":
            return self.previous(node.inputs[0])
        return f"v{number}"

    def states(self, number: int) -> list[str]:
        return [f"{state}{number}" for state in STATES.get(self.spec.node(number).kind, ())]

    def start(self, number: int) -> list[str]:
        """Lines that give a node its first states."""
        kind = self.spec.node(number).kind
        if kind not in STATES:
            return []
        name = _name(self.spec, number)
        if self.hidden:
            return [f"self.{name}.reset_mem()"]
        return [f"{', '.join(self.states(number))} = self.{name}.{_INIT[kind]}()"]

    def step(self, number: int, source: str = "") -> str:
        """The line of one time step."""
        node = self.spec.node(number)
        into = source or self.value(node.inputs[0])
        name, to = f"self.{_name(self.spec, number)}", self.value(number)
        if node.kind == "previous":
            return ""
        if node.kind in STATES:
            if self.hidden:
                rest = ", _" if node.kind == "DeltaLeaky" else ""
                return f"{to}{rest} = {name}({into})"
            states = self.states(number)
            result = states if states[0] == to else [to, *states]
            return f"{', '.join(result)} = {name}({', '.join([into, *states])})"
        if node.kind.startswith("BatchNormTT"):
            return f"{to} = {name}[step]({into})"
        return f"{to} = {self.call(number, into)}"

    def call(self, number: int, into: str) -> str:
        """What a node without states does."""
        node = self.spec.node(number)
        o = dict(node.options)
        function = o.pop("function", "")
        o.pop("zero", None)
        match node.kind:
            case "add" | "sub":
                sign = {"add": " + ", "sub": " - "}[node.kind]
                return sign.join(self.value(i) for i in node.inputs)
            case "scale":
                return f"{into} * {o['by']!r}"
            case "concat":
                dim = 2 if self.spec.style == "layers" else 1
                return f"torch.cat([{', '.join(self.value(i) for i in node.inputs)}], dim={dim})"
        if not function:
            return f"self.{_name(self.spec, number)}({into})"
        match node.kind:
            case "Flatten":
                rows = f"{into}.size(0)" if self.spec.style == "layers" else "1"
                return {
                    "flatten": f"{into}.flatten(1)",
                    "torch": f"torch.flatten({into}, 1)",
                    "view": f"{into}.view({into}.size(0), -1)",
                    "reshape": f"{into}.reshape({rows}, -1)",
                }[function]
            case "Unflatten":
                return f"{into}.view(-1, {', '.join(map(str, o['axes']))})"
            case "ReLU":
                return f"F.relu({into})"
            case "MaxPool1d" | "MaxPool2d" | "AvgPool1d" | "AvgPool2d":
                kind = {"M": "max", "A": "avg"}[node.kind[0]]
                options = ", ".join(f"{key}={value!r}" for key, value in o.items())
                return f"F.{kind}_pool{node.kind[-2:]}({into}, {options})"
            case _:
                kind = node.kind[-2:]
                return f"F.adaptive_avg_pool{kind}({into}, {o['output_size']!r})"

    def whole(self, number: int) -> list[str]:
        """Lines that run one node for all time steps."""
        node = self.spec.node(number)
        into, to = self.value(node.inputs[0]), self.value(number)
        name = f"self.{_name(self.spec, number)}"
        if node.kind in ("add", "sub", "scale", "concat"):
            return [f"{to} = {self.call(number, into)}"]
        if node.kind in SEQUENCE:
            pair = node.kind != "LeakyParallel" and node.options.get("output", True)
            return [f"{to}{', _' if pair else ''} = {name}({into})"]
        if node.kind in ("Linear", "ReLU", "Dropout", "Identity"):
            return [f"{to} = {self.call(number, into)}"]
        if node.kind.startswith("BatchNormTT"):
            call = f"{name}[step]({into}[step])"
            return [f"{to} = torch.stack([{call} for step in range({into}.size(0))])"]
        if node.kind not in STATES:
            if node.seed % 2 and self.spec.shape:
                return [
                    f"{to} = {self.call(number, f'{into}.flatten(0, 1)')}",
                    f"{to} = {to}.view({into}.size(0), 1, *{to}.shape[1:])",
                ]
            return [f"{to} = torch.stack([{self.call(number, 'each')} for each in {into}])"]
        return [
            *self.start(number),
            f"record{number} = []",
            f"for each in {into}:",
            f"    {self.step(number, 'each')}",
            f"    record{number}.append({to})",
            f"{to} = torch.stack(record{number})",
        ]


def _indented(lines: list[str], depth: int = 1) -> list[str]:
    return [f"{'    ' * depth}{line}" for line in lines]
