# SPDX-License-Identifier: Apache-2.0
"""Writes ``docs/coverage.md``: what is read of snnTorch and torch, and what each neuron computes.

Everything in it but a few notes comes from the readers themselves: small modules are built and
read, the equations are the programs that were made, the refusals the sentences that were said.

    bazel run //python/spikec/frontends/pytorch:coverage > docs/coverage.md

Imports torch.
"""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, cast

import snntorch
import torch
from snntorch.functional.quant import state_quant
from torch import nn

from spikec.frontends.pytorch.layers import IDENTITIES, LAYERS, RefusedError, affine_tt
from spikec.frontends.pytorch.neurons import NEURONS, Names, leaky_cell
from spikec.ir import network as ir
from spikec.ir.program import TEMPORARY

Build: TypeAlias = Callable[..., Any]

_ROW = ir.Shape(1, 1, 4, flat=True)
_LINE = ir.Shape(1, 8, 4, flat=False, line=True)
_MAP = ir.Shape(8, 8, 4, flat=False)
_RESETS = ("subtract", "zero", "none")


@dataclasses.dataclass(frozen=True, slots=True)
class Neuron:
    """A kind of neuron: how to build one, on what, and what its program does not say."""

    title: str
    build: Build
    shape: ir.Shape = _ROW
    note: str = ""


_RATE = torch.tensor([0.3, 0.4, 0.5, 0.6])
_EACH = torch.tensor([0.9, 1.0, 1.1, 1.2])
_ONE_TO_ONE = {"all_to_all": False, "V": _RATE}
_CONV = {"conv2d_channels": 4, "kernel_size": 3}
_STATES = "alpha and beta are clamped to 0..1."
_LSTM = (
    "sigmoid and tanh are computed in double precision and rounded to float32; torch's differ from "
    "them in the last bits, and so do the membranes."
)
_SUM = (
    "decay = exp(-1 / tau) with tau = 1 / (1 - beta + 1e-12), which snnTorch sums up as a "
    "convolution with exp(-k / tau) over the whole sequence [T, B, N]: equal but for rounding. A "
    "graded_spikes_factor is applied twice."
)

NEURON_ROWS = (
    Neuron(
        "Leaky",
        lambda **o: snntorch.Leaky(_RATE, _EACH, **o),
        note="beta is clamped to 0..1. Without inhibition and state_quant it has kernels of its "
        "own, which compute the same.",
    ),
    Neuron(
        "Lapicque",
        lambda **o: _circuit(snntorch.Lapicque(R=2.0, C=2.0, time_step=0.5, **o)),
        note="inverse_rc = 1 / (R * C) and decay = 1 - time_step / (R * C). Given a beta, snnTorch "
        "sets R * C = time_step / log(1 / beta), so that the decay is 1 + log(beta).",
    ),
    Neuron("Synaptic", lambda **o: snntorch.Synaptic(_RATE, _RATE, _EACH, **o), note=_STATES),
    Neuron(
        "Alpha",
        lambda **o: snntorch.Alpha(_RATE + 0.1, _RATE, **o),
        note=f"{_STATES} tau_alpha = log(alpha) / (log(beta) - log(alpha)) + 1.",
    ),
    Neuron(
        "RLeaky, all to all",
        lambda **o: snntorch.RLeaky(_RATE, threshold=_EACH, linear_features=4, **o),
        note="beta is clamped to 0..1.",
    ),
    Neuron(
        "RLeaky, convolution", lambda **o: snntorch.RLeaky(_RATE[:, None, None], **_CONV, **o), _MAP
    ),
    Neuron(
        "RLeaky, one to one",
        lambda **o: snntorch.RLeaky(_RATE, threshold=_EACH, **_ONE_TO_ONE, **o),
    ),
    Neuron(
        "RSynaptic, all to all",
        lambda **o: snntorch.RSynaptic(_RATE, _RATE, linear_features=4, **o),
        note=f"{_STATES} With reset_delay=False snnTorch computes the reset at once and throws it "
        "away (or raises, with init_hidden=True).",
    ),
    Neuron(
        "RSynaptic, convolution",
        lambda **o: snntorch.RSynaptic(0.5, _RATE[:, None, None], **_CONV, **o),
        _MAP,
    ),
    Neuron(
        "RSynaptic, one to one", lambda **o: snntorch.RSynaptic(_RATE, _RATE, **_ONE_TO_ONE, **o)
    ),
    Neuron("SLSTM", lambda **o: snntorch.SLSTM(4, 4, **o), note=_LSTM),
    Neuron("SConv2dLSTM", lambda **o: snntorch.SConv2dLSTM(4, 4, 3, **o), _MAP, _LSTM),
    Neuron(
        "SConv2dLSTM, max_pool", lambda **o: snntorch.SConv2dLSTM(4, 4, 3, max_pool=2, **o), _MAP
    ),
    Neuron(
        "SConv2dLSTM, avg_pool", lambda **o: snntorch.SConv2dLSTM(4, 4, 3, avg_pool=2, **o), _MAP
    ),
    Neuron(
        "LeakyParallel",
        lambda **o: snntorch.LeakyParallel(4, 4, **o),
        note="snnTorch computes it with torch.nn.RNN for a whole sequence [T, B, N]: its membrane "
        "never falls below 0, and nothing resets it. beta is the diagonal of weight_hh.",
    ),
    Neuron(
        "LeakyParallel, weight_hh_enable",
        lambda **o: snntorch.LeakyParallel(4, 4, weight_hh_enable=True, **o),
    ),
    Neuron("StateLeaky", lambda **o: snntorch.StateLeaky(_RATE, 4, **o), note=_SUM),
    Neuron(
        "StateLeaky, output=False", lambda **o: snntorch.StateLeaky(_RATE, 4, output=False, **o)
    ),
    Neuron(
        "LinearLeaky",
        lambda **o: snntorch.LinearLeaky(_RATE, 4, 4, **o),
        note="An nn.Linear, then StateLeaky.",
    ),
    Neuron(
        "DeltaLeaky",
        lambda **o: snntorch.DeltaLeaky(0.5, beta=_RATE, init_hidden=True, **o),
        note="beta is not clamped. Its reset_mechanism and threshold are options that snnTorch "
        "never reads.",
    ),
)


def _circuit(neurons: Any) -> Any:
    neurons.R, neurons.C = _RATE + 1, _RATE + 2
    return neurons


def read(module: nn.Module, shape: ir.Shape) -> tuple[ir.Layer, ...]:
    """The layers of one module of neurons."""
    prefix, reader = NEURONS[type(module)]
    names = Names()
    return reader(module, ir.Node(names.fresh(prefix), "", (ir.INPUT,), shape), names)


def _made(neuron: Neuron, **options: Any) -> tuple[ir.Layer, ...] | None:
    """The layers, or None if snnTorch has no such option or it is refused."""
    try:
        module = neuron.build(**options)
        layers = read(module, neuron.shape)
        if isinstance(layers[-1], ir.Leaky):  # the same neurons as a program
            base = ir.Node("leaky1", "", (ir.INPUT,), neuron.shape)
            return (leaky_cell(module, base, layers[-1].reset),)
    except (TypeError, RefusedError):
        return None
    return layers


def _runs_at_once(neuron: Neuron) -> bool:
    later, at_once = _made(neuron), _made(neuron, reset_delay=False)
    return at_once is not None and equations(at_once) != equations(later or ())


# Programs as equations.


def equations(layers: Iterable[ir.Layer]) -> list[str]:
    """The layers of a neuron, a line each, those of programs a line for each statement."""
    known = {layer.name: layer for layer in layers}
    lines: list[str] = []
    for layer in known.values():
        match layer:
            case ir.Previous():
                continue
            case ir.Cell():
                lines += _statements(layer, known)
            case _:
                lines.append(f"{_reads(layer, known)} = {_call(layer, known)}")
    return lines


def _call(layer: ir.Layer, known: dict[str, ir.Layer]) -> str:
    functions = {ir.Linear: "linear", ir.Conv2d: "conv2d", ir.Concat: "concat"}
    functions |= {ir.MaxPool2d: "max_pool2d", ir.AvgPool2d: "avg_pool2d"}
    given = ", ".join(_handed_on(name, known) for name in layer.inputs)
    return f"{functions[type(layer)]}({given})"


def _handed_on(name: str, known: dict[str, ir.Layer]) -> str:
    """What a layer hands on, as an equation calls it."""
    match known.get(name):
        case None:
            return "input[t]"
        case ir.Previous(inputs=(source,)):
            return _handed_on(source, known).replace("[t]", "[t-1]")
        case ir.Cell() as cell:
            return "spk[t]" if cell.fires else "mem[t]"
        case layer:
            return _reads(layer, known)


def _reads(layer: ir.Layer, known: dict[str, ir.Layer]) -> str:
    """The currents that what a layer hands on becomes."""
    for reader in known.values():
        if isinstance(reader, ir.Cell) and layer.name in reader.inputs:
            return ", ".join(reader.currents[reader.inputs.index(layer.name)])
    return layer.name


def _statements(cell: ir.Cell, known: dict[str, ir.Layer]) -> Iterator[str]:
    """The named statements of a program, with those that have no name inside them."""
    words: dict[str, tuple[str, bool]] = {"zero": ("0", False)}  # text, and whether it is a sum
    for names, source in zip(cell.currents, cell.inputs, strict=True):
        for name in names:
            whole = isinstance(known.get(source), ir.Previous | ir.Cell)
            words[name] = (_handed_on(source, known) if whole else name, False)
    left = {state.next: f"{state.name}[t]" for state in cell.states}
    words |= {state.name: (f"{state.name}[t-1]", False) for state in cell.states}
    if cell.value is not None and cell.value not in left:
        left[cell.value] = "mem[t]"
    if cell.fires is not None:
        left[cell.fires] = "spike" if "spk" in {state.name for state in cell.states} else "spk[t]"
    for step in cell.program:
        text, is_sum = _expression(step, words)
        if step.name == cell.fires and cell.winner is not None:
            text += f" and {cell.winner} is the largest of all, or the first of the largest"
        name = left.get(step.name, step.name)
        if TEMPORARY.fullmatch(step.name) and step.name not in left:
            words[step.name] = (text, is_sum)
        else:
            words[step.name] = (name, False)
            yield f"{name} = {text}"


def _expression(step: ir.Step, words: dict[str, tuple[str, bool]]) -> tuple[str, bool]:
    """One statement as text, and whether it needs brackets inside a product."""
    given = [words.get(name, (name, False)) for name in step.arguments]
    text = [word for word, _ in given]
    tight = [f"({word})" if is_sum else word for word, is_sum in given]
    match step.op:
        case "add":
            return f"{text[0]} + {text[1]}", True
        case "sub":
            return f"{text[0]} - {tight[1]}", True
        case "mul":
            return f"{tight[0]} * {tight[1]}", False
        case "neg":
            return f"-{tight[0]}", False
        case "greater":
            return f"{text[0]} > {text[1]}", True
        case "at_least":
            return f"{text[0]} >= {text[1]}", True
        case "select":
            return f"({text[1]} if {text[0]} else {text[2]})", False
        case _:
            return f"{step.op}({', '.join(text)})", False


# The document.


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield f"| {' | '.join('---' for _ in names)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _yes(it: object) -> str:
    return "yes" if it else "-"


def _neuron_row(neuron: Neuron) -> Iterator[str]:
    layers = _made(neuron) or ()
    cells = [layer for layer in layers if isinstance(layer, ir.Cell)]
    yield f"`{neuron.title}`"
    yield ", ".join(sorted({state.name for cell in cells for state in cell.states}))
    yield ", ".join(_resets(neuron)) or "-"
    yield _yes(_runs_at_once(neuron))
    yield _yes(_made(neuron, inhibition=True))
    yield _yes(_made(neuron, state_quant=state_quant(num_bits=2)))
    yield _yes(_graded(neuron))


def _graded(neuron: Neuron) -> bool:
    module = neuron.build()
    module.graded_spikes_factor = torch.tensor(0.5)
    try:
        last = cast(ir.Cell, read(module, neuron.shape)[-1])
    except RefusedError:
        return False
    return not last.unit_spikes and getattr(last, "value", None) is None


def _resets(neuron: Neuron) -> list[str]:
    """The reset mechanisms that a kind of neuron has and runs, its default first."""
    made = {reset: _made(neuron, reset_mechanism=reset) for reset in _RESETS}
    texts = {tuple(equations(layers)) for layers in made.values() if layers}
    default = neuron.build().reset_mechanism if len(texts) > 1 else ""
    return sorted((reset for reset in made if default), key=lambda reset: reset != default)


def _variants(neuron: Neuron) -> Iterator[tuple[str, list[str]]]:
    """The resets, and their equations."""
    for reset in _resets(neuron):
        layers = _made(neuron, reset_mechanism=reset) or ()
        yield f'reset "{reset}"', equations(layers)
        at_once = equations(_made(neuron, reset_mechanism=reset, reset_delay=False) or layers)
        if at_once != equations(layers):
            yield f'reset "{reset}", reset_delay=False', at_once


def _equation_block(kind: str, neurons: list[Neuron]) -> Iterator[str]:
    """The equations of one class: of its first row all, then what differs."""
    yield f"### {kind}"
    yield ""
    yield from textwrap.wrap(neurons[0].note, 96)
    yield ""
    yield "```text"
    variants = dict(_variants(neurons[0])) or {"": equations(_made(neurons[0]) or ())}
    first = next(iter(variants.values()))
    variants |= {each.title: equations(_made(each) or ()) for each in neurons[1:]}
    yield from _aligned(first)
    for other, lines in variants.items():
        differing = [line for line in lines if line not in first]
        if differing:
            yield ""
            yield f"{other}:"
            yield from (f"  {line}" for line in _aligned(differing))
    yield "```"
    yield ""


def _aligned(lines: list[str]) -> Iterator[str]:
    parts = [line.partition(" = ") for line in lines]
    width = max((len(name) for name, _, _ in parts), default=0)
    for name, _, text in parts:
        yield f"{name:{width}} = {text}"


_LAYER_NOTES = {
    "Conv1d": "any stride, padding (zeros), dilation, groups",
    "Conv2d": "any stride, padding (zeros), dilation, groups",
    "MaxPool1d": "any stride, padding, dilation, ceil_mode; no indices",
    "MaxPool2d": "any stride, padding, dilation, ceil_mode; no indices",
    "AvgPool1d": "any stride, padding, ceil_mode, count_include_pad",
    "AvgPool2d": "any stride, padding, ceil_mode, count_include_pad, divisor_override",
    "AdaptiveMaxPool1d": "where all windows are alike; no indices",
    "AdaptiveMaxPool2d": "where all windows are alike; no indices",
    "AdaptiveAvgPool1d": "where all windows are alike",
    "AdaptiveAvgPool2d": "where all windows are alike",
    "BatchNorm1d": "with running statistics",
    "BatchNorm2d": "with running statistics",
    "BatchNormTT1d": "one for every time step; the network then runs for at most so many",
    "BatchNormTT2d": "one for every time step; the network then runs for at most so many",
    "Flatten": "over all axes but the batch",
    "Unflatten": "to (C, L) or (C, H, W)",
    "GradedSpikes": "its factors, (size, 1), meet the last axis but one",
}

LAYER_EXAMPLES: tuple[Callable[[], nn.Module], ...] = (
    lambda: nn.Linear(4, 4),
    lambda: nn.Conv1d(4, 4, 3),
    lambda: nn.Conv2d(4, 4, 3),
    lambda: nn.MaxPool1d(2),
    lambda: nn.MaxPool2d(2),
    lambda: nn.AvgPool1d(2),
    lambda: nn.AvgPool2d(2),
    lambda: nn.AdaptiveMaxPool1d(2),
    lambda: nn.AdaptiveMaxPool2d(2),
    lambda: nn.AdaptiveAvgPool1d(2),
    lambda: nn.AdaptiveAvgPool2d(2),
    lambda: nn.BatchNorm1d(4),
    lambda: nn.BatchNorm2d(4),
    lambda: snntorch.BatchNormTT1d(4, 2),
    lambda: snntorch.BatchNormTT2d(4, 2),
    lambda: nn.Flatten(),
    lambda: nn.Unflatten(1, (2, 2)),
    lambda: nn.ReLU(),
    lambda: snntorch.GradedSpikes(4, 1.0),
)


def _layer_row(module: nn.Module) -> tuple[str, str, str, str]:
    kind = type(module).__name__
    if isinstance(module, nn.ModuleList):
        kind = type(module[0]).__name__.replace("Norm", "NormTT")
    reads, makes = [], ""
    for name, shape in (("(N,)", _ROW), ("(C, L)", _LINE), ("(C, H, W)", _MAP)):
        node = ir.Node("layer1", "", (ir.INPUT,), shape)
        try:
            if isinstance(module, nn.ModuleList):
                layer: ir.Layer = affine_tt(list(module), node)
            else:
                layer = LAYERS[type(module)][1](module, node)
        except RefusedError:
            continue
        reads.append(name)
        makes = type(layer).__name__
    return f"`{kind}`", ", ".join(reads), f"`{makes}`", _LAYER_NOTES.get(kind, "")


REFUSALS: tuple[tuple[str, Callable[[], Any], ir.Shape], ...] = (
    ("AssociativeLeaky", lambda: snntorch.AssociativeLeaky(4, 2, 2, 4), _ROW),
    (
        "RSynaptic, reset_delay=False",
        lambda: snntorch.RSynaptic(
            0.5, 0.5, linear_features=4, reset_delay=False, init_hidden=True
        ),
        _ROW,
    ),
    ("SLSTM, hidden_size != input_size", lambda: snntorch.SLSTM(4, 3), _ROW),
    (
        "a reset_mechanism changed after construction",
        lambda: _assigned(snntorch.Synaptic(0.5, 0.5), "reset_mechanism", "zero"),
        _ROW,
    ),
    (
        "StateLeaky, LinearLeaky",
        lambda: snntorch.StateLeaky(0.5, 4, kernel_truncation_steps=3),
        _ROW,
    ),
    ("LeakyParallel, several betas", lambda: snntorch.LeakyParallel(4, 4, beta=_RATE), _ROW),
    ("inhibition on a map", lambda: snntorch.Leaky(0.5, inhibition=True), _MAP),
    (
        "inhibition and graded spikes",
        lambda: snntorch.Leaky(0.5, inhibition=True, graded_spikes_factor=2.0),
        _ROW,
    ),
    ("SLSTM, SConv2dLSTM, inhibition", lambda: snntorch.SLSTM(4, 4, inhibition=True), _ROW),
    ("state_quant by another function", lambda: snntorch.Leaky(0.5, state_quant=torch.round), _ROW),
    ("spike_grad", lambda: snntorch.Synaptic(0.5, 0.5, spike_grad=torch.sigmoid), _ROW),
    ("graded_spikes_factor", lambda: snntorch.Leaky(0.5, graded_spikes_factor=0.0), _ROW),
    (
        "RLeaky, an even kernel_size",
        lambda: snntorch.RLeaky(0.5, conv2d_channels=4, kernel_size=2),
        _MAP,
    ),
    ("Conv1d, Conv2d", lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), _MAP),
    ("AdaptiveAvgPool1d and its likes", lambda: nn.AdaptiveAvgPool1d(5), _LINE),
    ("BatchNorm1d, BatchNorm2d", lambda: nn.BatchNorm1d(4, track_running_stats=False), _ROW),
    ("GradedSpikes", lambda: snntorch.GradedSpikes(4, 1.0), _ROW),
)  # fmt: skip


def _assigned(module: Any, name: str, value: object) -> Any:
    setattr(module, name, value)
    return module


def refusal(build: Callable[[], Any], shape: ir.Shape) -> RefusedError:
    """What is said of a module that is refused."""
    module = build()
    try:
        if type(module) in NEURONS:
            read(module, shape)
        else:
            LAYERS[type(module)][1](module, ir.Node("layer1", "", (ir.INPUT,), shape))
    except RefusedError as error:
        return error
    raise AssertionError(f"{module} is not refused")


def document() -> str:
    """The text of ``docs/coverage.md``."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # snnTorch's own on inhibition and unused options
        return "\n".join(_lines())


_HEAD = """\
<!-- SPDX-License-Identifier: Apache-2.0 -->
<!-- Generated: bazel run //python/spikec/frontends/pytorch:coverage > docs/coverage.md -->
# What is covered

The neurons of snnTorch 1.0.0, the layers of torch, what each neuron computes, and what is refused.
This page is generated from the readers, and a test keeps it so.

## Neurons

Resets act in the time step after the spike; where `reset_delay=False` is a yes, they can act at
once. The default comes first. Rates, thresholds and sizes of spikes are one value for all neurons,
one a channel, or one a neuron. `inhibition` is for flat layers, `state_quant` snnTorch's own.
"""

_EQUATIONS = """\
## Equations

The programs that neurons become, statement by statement, in the order and association of snnTorch's
own arithmetic: each operation is rounded to float32 by itself, so that equal currents give equal
membranes to the bit, unless a note says otherwise. States are 0 before the first step; `current` is
what the layer before hands on in step `t`. The first lines are complete; under other options stand
the lines that differ. A factor that is 1 for all neurons is left out.
"""

_OPTIONS = """\
### Options of all kinds

Of `Synaptic` neurons, as an example, the lines that differ. `nearest` is the nearest level, of
equally near ones the first.
"""

_LAYERS = """\
## Layers

Shapes are without the batch. These do nothing in eval mode and are left out:
"""

_REFUSED = """\
## What is refused, and why

`Alpha` with `learn_alpha=True` cannot be built in snnTorch 1.0.0. Of the rest, what `spikec check`
says:
"""


def _lines() -> Iterator[str]:
    yield _HEAD
    head = ("`snntorch.`", "states", "reset", "`reset_delay=False`", "`inhibition`")
    yield from _table(
        (*head, "`state_quant`", "graded spikes"), (_neuron_row(each) for each in NEURON_ROWS)
    )
    yield _EQUATIONS
    kinds = itertools.groupby(NEURON_ROWS, key=lambda neuron: neuron.title.partition(",")[0])
    for kind, neurons in kinds:
        yield from _equation_block(kind, list(neurons))
    yield _OPTIONS
    yield "```text"
    synaptic = next(each for each in NEURON_ROWS if each.title == "Synaptic")
    plain = equations(_made(synaptic) or ())
    options = {"inhibition": True, "state_quant": state_quant(num_bits=2)}
    for name, value in options.items():
        lines = equations(_made(synaptic, **{name: value}) or ())
        yield f"{name}:"
        yield from (f"  {line}" for line in _aligned([each for each in lines if each not in plain]))
        yield ""
    yield "graded_spikes_factor:"
    yield "  what is handed on = spk[t] * graded_spikes_factor"
    yield "```"
    yield ""
    yield _LAYERS.rstrip()
    yield from textwrap.wrap(", ".join(f"`{kind.__name__}`" for kind in IDENTITIES) + ".", 96)
    yield ""
    yield from _table(
        ("module", "reads", "becomes", "options"),
        (_layer_row(build().eval()) for build in LAYER_EXAMPLES),
    )
    yield _REFUSED
    sentences = ((what, refusal(build, shape)) for what, build, shape in REFUSALS)
    yield from _table(
        ("what", "why", "instead"), ((what, each.found, each.fix) for what, each in sentences)
    )


def main() -> None:
    """Prints the document."""
    print(document(), end="")


if __name__ == "__main__":
    main()
