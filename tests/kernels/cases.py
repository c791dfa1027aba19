# SPDX-License-Identifier: Apache-2.0
"""The table of kernel cases: one row a network, in the compiler's own terms, torch not needed.

A new kernel, or a new option of one, is one row more. Whether such a network is what snnTorch means
is the parity tests' business; here the C must equal the reference, bit for bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from spikec.ir import network as ir
from spikec.ir.program import Program, Value
from spikec.model import Model
from spikec.semantics import reference

STEPS = 10
MAP = (2, 7, 6)
LOWEST, HIGHEST = 0.02, 0.95  # the share of spikes between which a layer's vectors mean something

Both: TypeAlias = int | tuple[int, int]
Axes: TypeAlias = tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """A network under way: what the next layer is given to build upon."""

    layers: tuple[ir.Layer, ...]
    input: ir.Shape
    rng: np.random.Generator

    @property
    def shape(self) -> ir.Shape:
        """What the next layer reads."""
        return self.layers[-1].shape if self.layers else self.input

    def node(self, kind: str, height: int, width: int, channels: int, flat: bool) -> dict[str, Any]:
        """The fields that every layer has."""
        return {
            "name": f"{kind}{len(self.layers) + 1}",
            "source": str(len(self.layers)),
            "inputs": (self.back(1),),
            "shape": ir.Shape(height, width, channels, flat),
        }

    def back(self, layers: int) -> str:
        """The name of the layer that many layers before the next one; 0: the input."""
        return self.layers[-layers].name if layers and self.layers else ir.INPUT

    def then(self, grow: Grow) -> Draft:
        """The draft with what ``grow`` makes of it."""
        grown = grow(self)
        more = grown if isinstance(grown, tuple) else (grown,)
        return dataclasses.replace(self, layers=(*self.layers, *more))

    def same(self, kind: str) -> dict[str, Any]:
        """The fields of a layer that keeps the shape."""
        shape = self.shape
        return self.node(kind, shape.height, shape.width, shape.channels, shape.flat)


Grow: TypeAlias = Callable[[Draft], ir.Layer | tuple[ir.Layer, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A row: what is special about the network, one frame's axes ``(C, H, W)`` or ``(N,)``, layers.

    ``size`` scales weights and thresholds, ``steps`` is the recording's length. A ``wide`` network
    is for the host alone: it does not fit a microcontroller. On a ``grid`` inputs and weights are
    multiples of 1/4, so that membranes lie exactly on the threshold now and then. ``kernels`` is
    which kind convolutions and linear layers get. ``numbers`` is the format of weights and
    membranes, ``most`` the largest input that the network declares, and ``driven`` how many steps
    at the end push one neuron of the first layer as high as it goes, and then as low. A row for
    ``both`` is one of float32 that stands in the table in integers once more.
    """

    name: str
    axes: Axes
    layers: tuple[Grow, ...]
    size: float = 1.0
    steps: int = STEPS
    wide: bool = False
    grid: bool = False
    kernels: str = "event"
    numbers: ir.Numbers = "f32"
    most: int | None = None
    driven: int = 0
    both: bool = False


def case(name: str, axes: Axes, *layers: Grow, **options: Any) -> Case:
    """A row of the table."""
    return Case(name, axes, layers, **options)


def conv(
    channels: int,
    kernel: Both,
    stride: Both = 1,
    padding: Both = 0,
    dilation: Both = 1,
    groups: int = 1,
    mean: float = 0.1,
    deviation: float = 0.6,
) -> Grow:
    """A convolution with random weights around ``mean``."""

    def grow(draft: Draft) -> ir.Layer:
        before = draft.shape
        kernels, strides, paddings, dilations = map(_pair, (kernel, stride, padding, dilation))
        out = [
            (size + 2 * paddings[i] - dilations[i] * (kernels[i] - 1) - 1) // strides[i] + 1
            for i, size in enumerate((before.height, before.width))
        ]
        weight = (*kernels, before.channels // groups, channels)
        return ir.Conv2d(
            **draft.node("conv", out[0], out[1], channels, False),
            weight=_normal(draft.rng, weight, mean, deviation),
            bias=_normal(draft.rng, (channels,), 0.0, 0.2 if deviation else 0.0),
            stride=strides,
            padding=paddings,
            dilation=dilations,
            groups=groups,
        )

    return grow


def linear(outputs: int, mean: float = 0.1) -> Grow:
    """A fully connected layer with random weights around ``mean``."""

    def grow(draft: Draft) -> ir.Layer:
        return ir.Linear(
            **draft.node("linear", 1, 1, outputs, True),
            weight=_normal(draft.rng, (draft.shape.size, outputs), mean, 0.6),
            bias=_normal(draft.rng, (outputs,), 0.0, 0.2),
        )

    return grow


def maxpool(
    kernel: Both,
    stride: Both | None = None,
    padding: Both = 0,
    dilation: Both = 1,
    clipped: bool = False,
) -> Grow:
    """Max pooling; ``clipped`` windows may reach beyond the map."""

    def grow(draft: Draft) -> ir.Layer:
        before = draft.shape
        kernels, paddings, dilations = map(_pair, (kernel, padding, dilation))
        strides = _pair(kernel if stride is None else stride)
        height, width = (
            _windows(size, kernels[i], strides[i], paddings[i], dilations[i], clipped)
            for i, size in enumerate((before.height, before.width))
        )
        return ir.MaxPool2d(
            **draft.node("pool", height, width, before.channels, False),
            kernel=kernels,
            stride=strides,
            padding=paddings,
            dilation=dilations,
            clipped=clipped,
        )

    return grow


def avgpool(kernel: Both, stride: Both | None = None, padding: Both = 0) -> Grow:
    """Average pooling whose windows are divided by the number of inputs that lie inside."""

    def grow(draft: Draft) -> ir.Layer:
        before = draft.shape
        kernels, paddings = _pair(kernel), _pair(padding)
        strides = _pair(kernel if stride is None else stride)
        sizes = (before.height, before.width)
        rows, cols = (
            [
                taps
                for _, taps in ir.extents(
                    _windows(size, kernels[i], strides[i], paddings[i], 1, False),
                    size, kernels[i], strides[i], paddings[i], 1,
                )
            ]
            for i, size in enumerate(sizes)
        )  # fmt: skip
        return ir.AvgPool2d(
            **draft.node("pool", len(rows), len(cols), before.channels, False),
            kernel=kernels,
            stride=strides,
            padding=paddings,
            divisors=np.outer(rows, cols).astype(np.float32),
        )

    return grow


def affine() -> Grow:
    """A scale and a shift for each channel, and for each neuron behind a flattened map."""

    def grow(draft: Draft) -> ir.Layer:
        shape = draft.shape
        axes = (shape.height, shape.width, shape.channels) if shape.flat else (1, 1, shape.channels)
        return ir.Affine(
            **draft.same("norm"),
            scale=draft.rng.uniform(0.5, 1.5, axes).astype(np.float32),
            shift=_normal(draft.rng, axes, 0.1, 0.3),
        )

    return grow


def flatten() -> Grow:
    """A map becomes a vector; nothing moves."""

    def grow(draft: Draft) -> ir.Layer:
        shape = draft.shape
        node = draft.node("flat", shape.height, shape.width, shape.channels, True)
        return ir.Flatten(**node)

    return grow


SCALAR, CHANNEL, NEURON = "scalar", "channel", "neuron"


def leaky(
    reset: ir.ResetMechanism = "subtract",
    delay: bool = True,
    beta: str | float = 0.9,
    threshold: str | float | tuple[float, ...] = 1.0,
    grade: str | float = 1.0,
) -> Grow:
    """Neurons; a parameter is a number, or random values one a CHANNEL or one a NEURON.

    Or it is several numbers, one a channel in turn.
    """

    def grow(draft: Draft) -> ir.Layer:
        shape = draft.shape

        def parameter(value: str | float | tuple[float, ...], low: float, high: float) -> ir.Floats:
            if isinstance(value, float):
                return np.full((1, 1, 1), value, np.float32)
            if isinstance(value, tuple):
                return np.resize(np.array(value, np.float32), (1, 1, shape.channels))
            axes = {
                SCALAR: (1, 1, 1),
                CHANNEL: (1, 1, shape.channels),
                NEURON: (shape.height, shape.width, shape.channels),
            }[value]
            return draft.rng.uniform(low, high, axes).astype(np.float32)

        return ir.Leaky(
            **draft.same("leaky"),
            beta=parameter(beta, 0.4, 1.0),
            threshold=parameter(threshold, 0.5, 1.3),
            grade=parameter(grade, -1.5, 2.0),
            reset=reset,
            reset_delay=delay,
        )

    return grow


def _values(draft: Draft, value: str | float, low: float = 0.4, high: float = 1.0) -> ir.Floats:
    """One value, or random ones, one a CHANNEL or one a NEURON."""
    if isinstance(value, float):
        return np.full((1, 1, 1), value, np.float32)
    shape = draft.shape
    whole = (shape.height, shape.width) if value == NEURON else (1, 1)
    return draft.rng.uniform(low, high, (*whole, shape.channels)).astype(np.float32)


def _node(draft: Draft, kind: str, **changes: Any) -> ir.Node:
    return ir.Node(**(draft.same(kind) | changes))


def _firing(
    p: Program, mem: Value, reset: Value, threshold: Value, how: ir.ResetMechanism, delay: bool
) -> tuple[Value, Value]:
    """The membrane that is kept and the spike, resets as snnTorch makes them."""
    if how == "subtract":
        mem = mem - p.where(reset, threshold)
    elif how == "zero":
        mem = p.unless(reset, mem)
    mem = p.let("mem_now", mem)
    spike = p.let("spike", p.greater(mem, threshold))
    if delay or how == "none":
        return mem, spike
    undo = p.number(spike) - p.number(reset)
    return p.let("mem_after", mem - undo * (threshold if how == "subtract" else mem)), spike


def synaptic(
    reset: ir.ResetMechanism = "subtract",
    delay: bool = True,
    alpha: str | float = 0.6,
    beta: str | float = 0.8,
    threshold: str | float = 1.0,
    grade: str | float = 1.0,
    wins: bool = False,
    reads: int = 1,
) -> Grow:
    """Neurons with a second state, ``snntorch.Synaptic``; ``wins``: only the largest fires."""

    def grow(draft: Draft) -> ir.Layer:
        p = Program()
        above = p.parameter("threshold", _values(draft, threshold))
        was = p.let("reset", p.greater(p.state("mem"), above))
        syn = p.parameter("alpha", _values(draft, alpha)) * p.state("syn") + p.current("current")
        syn = p.let("syn_now", syn)
        mem = p.parameter("beta", _values(draft, beta)) * p.state("mem") + syn
        kept, spike = _firing(p, mem, was, above, reset, delay)
        winner = Value(p, "mem_now") if wins else None
        base = _node(draft, "synaptic", inputs=(draft.back(reads),))
        return p.cell(
            base, "snntorch.Synaptic", states={"mem": kept, "syn": syn}, fires=spike,
            winner=winner, grade=_values(draft, grade, -1.5, 2.0),
        )  # fmt: skip

    return grow


def recurrent(through: Grow | None, grade: str | float = 1.0, delay: bool = True) -> Grow:
    """Neurons that read their own spikes of the step before, ``snntorch.RLeaky``.

    ``through`` is what these pass; None: a weight for each neuron.
    """

    def grow(draft: Draft) -> tuple[ir.Layer, ...]:
        at = len(draft.layers)
        own = f"rleaky{at + (2 if through is None else 3)}"
        loop = ir.Previous(**(draft.same("previous") | {"inputs": (own,)}))
        grown: tuple[ir.Layer, ...] = (loop,)
        if through is not None:
            back = through(Draft((*draft.layers, loop), draft.input, draft.rng))
            assert not isinstance(back, tuple), "one layer"
            grown = (loop, back)
        p = Program()
        threshold = p.constant("threshold", 1.0)
        was = p.let("reset", p.greater(p.state("mem"), threshold))
        again = p.current("recurrent")
        if through is None:
            again = again * p.parameter("weight", _values(draft, NEURON, -0.5, 0.5))
        mem = p.constant("beta", 0.7) * p.state("mem") + p.current("current") + again
        kept, spike = _firing(p, mem, was, threshold, "subtract", delay)
        base = _node(draft, "rleaky", name=own, inputs=(draft.back(1), grown[-1].name))
        cell = p.cell(
            base, "snntorch.RLeaky", (("current",), ("recurrent",)), {"mem": kept}, fires=spike,
            grade=_values(draft, grade, -1.5, 2.0),
        )  # fmt: skip
        return (*grown, cell)

    return grow


def lstm(through: Grow) -> Grow:
    """Cells with four gates that read what they handed on before, then neurons.

    ``through`` gives four channels for every channel of the four gates that it reads.
    """

    def grow(draft: Draft) -> tuple[ir.Layer, ...]:
        at = len(draft.layers)
        own = f"lstm{at + 3}"
        shape = draft.shape
        small = dataclasses.replace(shape, channels=shape.channels // 4)
        loop = ir.Previous(**(draft.same("previous") | {"inputs": (own,), "shape": small}))
        back = through(Draft((*draft.layers, loop), draft.input, draft.rng))
        assert not isinstance(back, tuple), "one layer"
        p = Program()
        gate = {
            name: p.current(f"{name}_in") + p.current(f"{name}_back") for name in ("i", "f", "g")
        }
        i, f = (p.let(name, p.step("sigmoid", gate[name])) for name in ("i", "f"))
        syn = p.let("syn_now", f * p.state("syn") + i * p.step("tanh", gate["g"]))
        o = p.step("sigmoid", p.current("o_in") + p.current("o_back"))
        mem = p.let("mem_now", o * p.step("tanh", syn))
        gates = tuple(tuple(f"{name}_{of}" for name in "ifgo") for of in ("in", "back"))
        base = _node(draft, "lstm", name=own, shape=small, inputs=(draft.back(1), back.name))
        cell = p.cell(base, "snntorch.SLSTM", gates, {"mem": mem, "syn": syn}, value=mem)
        return (loop, back, cell)

    return grow


def integrator() -> Grow:
    """Leaky integrators, which never fire: ``nir.LI``."""

    def grow(draft: Draft) -> ir.Layer:
        p = Program()
        mem = p.parameter("beta", _values(draft, CHANNEL)) * p.state("mem") + p.current("current")
        base = _node(draft, "li")
        mem = p.let("mem_now", mem)
        return p.cell(base, "nir.LI", states={"mem": mem}, value=mem)

    return grow


def every_statement() -> Grow:
    """Neurons whose program has what no other here has, and names that C keeps for itself."""

    def grow(draft: Draft) -> ir.Layer:
        p = Program()
        levels = np.linspace(-1.0, 2.0, 7).astype(np.float32)
        mem = p.step("nearest", p.state("mem"), p.parameter("levels", levels))
        bent = p.step("maximum", p.let("double", -mem + p.current("n")), p.constant("zero", 0.0))
        mem = p.let("int", abs(mem - p.state("count")) * p.constant("float", 0.75) + bent)
        spike = p.let("fired", p.step("at_least", mem, p.parameter("k", _values(draft, CHANNEL))))
        states = {"mem": p.let("mem_now", p.unless(spike, mem)), "count": p.state("mem")}
        return p.cell(_node(draft, "odd"), "made.Up", (("n",),), states, fires=spike)

    return grow


def folded() -> Grow:
    """Neurons whose membrane is bounded below, and fires by its magnitude."""

    def grow(draft: Draft) -> ir.Layer:
        p = Program()
        decayed = p.constant("beta", 0.75) * p.state("mem") + p.current("current")
        mem = p.let("bounded", p.step("maximum", decayed, p.constant("floor", -0.5)))
        spike = p.let("fired", p.step("at_least", abs(mem), p.constant("threshold", 0.4)))
        states = {"mem": p.let("mem_now", p.unless(spike, mem))}
        return p.cell(_node(draft, "folded"), "made.Up", states=states, fires=spike)

    return grow


def added(*back: int) -> Grow:
    """The sum of what the layers that many layers back hand on."""

    def grow(draft: Draft) -> ir.Layer:
        p = Program()
        names = tuple(f"x{i}" for i in range(len(back)))
        total = p.current(names[0])
        for name in names[1:]:
            total = total + p.current(name)
        inputs = tuple(draft.back(layers) for layers in back)
        shape = next(layer.shape for layer in draft.layers if layer.name == inputs[0])
        base = _node(draft, "add", inputs=inputs, shape=shape)
        return p.cell(base, "add", tuple((name,) for name in names), value=p.let("sum", total))

    return grow


def joined(*back: int) -> Grow:
    """What the layers that many layers back hand on, one after the other."""

    def grow(draft: Draft) -> ir.Layer:
        found = [draft.layers[-layers] for layers in back]
        shape = found[0].shape
        if shape.flat:
            shape = ir.Shape(1, 1, sum(layer.shape.size for layer in found), True)
        else:
            channels = sum(layer.shape.channels for layer in found)
            shape = dataclasses.replace(shape, channels=channels)
        inputs = tuple(layer.name for layer in found)
        return ir.Concat(**(draft.same("join") | {"inputs": inputs, "shape": shape}))

    return grow


def unflatten(channels: int, height: int, width: int) -> Grow:
    """A vector becomes a map."""

    def grow(draft: Draft) -> ir.Layer:
        return ir.Unflatten(**draft.node("map", height, width, channels, False))

    return grow


def stepped(steps: int = STEPS) -> Grow:
    """A scale and a shift for every time step, per channel or, of a flattened map, per neuron."""

    def grow(draft: Draft) -> ir.Layer:
        shape = draft.shape
        axes = (shape.height, shape.width, shape.channels) if shape.flat else (1, 1, shape.channels)
        return ir.AffineTT(
            **draft.same("norm"),
            scale=draft.rng.uniform(0.5, 1.5, (steps, *axes)).astype(np.float32),
            shift=_normal(draft.rng, (steps, *axes), 0.1, 0.3),
        )

    return grow


def again(back: int, grow: Grow) -> Grow:
    """A layer that reads the one that many layers back; 0: the input."""

    def grown(draft: Draft) -> ir.Layer:
        layers = draft.layers[: len(draft.layers) - back + 1] if back else ()
        layer = grow(Draft(layers, draft.input, draft.rng))
        assert not isinstance(layer, tuple), "one layer"
        kind = layer.name.rstrip("0123456789")
        return dataclasses.replace(layer, name=f"{kind}{len(draft.layers) + 1}")

    return grown


def _synaptics(reset: ir.ResetMechanism, delay: bool) -> Case:
    """Two states and every form of the parameters, of one kind of reset."""
    when = "a step later" if delay else "at once"
    return case(
        f"synaptic: reset {reset} {when}; parameters of every form",
        MAP,
        *(conv(4, 2), synaptic(reset, delay)),
        *(conv(5, 3), maxpool(2), synaptic(reset, delay, CHANNEL, CHANNEL, CHANNEL)),
        *(conv(3, 1), synaptic(reset, delay, CHANNEL, NEURON, 0.7)),
        *(linear(70), synaptic(reset, delay, NEURON, 0.7)),
        *(linear(33), synaptic(reset, delay, 0.4, CHANNEL, NEURON)),
        both=reset == "subtract",
    )


def _resets(reset: ir.ResetMechanism, delay: bool) -> Case:
    """Every form of the parameters, with and without a pooling in front, of one kind of reset."""
    when = "a step later" if delay else "at once"
    return case(
        f"reset {reset} {when}; parameters of every form",
        MAP,
        *(conv(4, 2), leaky(reset, delay)),
        *(conv(5, 3), maxpool(2), leaky(reset, delay, CHANNEL, CHANNEL)),
        *(linear(9), leaky(reset, delay, NEURON, 0.7)),
        *(linear(6), leaky(reset, delay, 0.6, NEURON)),
        *(linear(4), leaky(reset, delay, SCALAR, SCALAR)),
        both=reset != "none",
    )


_FLOATS = (
    case("linear layers", (11,), linear(9), leaky(), linear(33), leaky(), linear(1), leaky()),
    case("a current through two linear layers", (8,), linear(7), linear(6), leaky()),
    _resets("subtract", True),
    _resets("subtract", False),
    _resets("zero", True),
    _resets("zero", False),
    _resets("none", True),
    _resets("none", False),
    case("parameters of neurons on a map, pooled or not", MAP,
         conv(4, 2), leaky(beta=NEURON, threshold=CHANNEL),
         conv(4, 2), maxpool((2, 1)), leaky(beta=CHANNEL, threshold=NEURON),
         conv(3, 1), leaky(beta=NEURON, threshold=NEURON), both=True),
    case("one channel with parameters of neurons", MAP,
         conv(1, 2), leaky(beta=NEURON, threshold=NEURON),
         conv(1, 2), maxpool((2, 1)), leaky(threshold=NEURON), both=True),
    case("more channels than a block of neurons", MAP,
         conv(40, 3, 2), leaky(threshold=CHANNEL), conv(32, 1), leaky("zero", False)),
    case("four neurons at a time: pooled by 2, by (2, 1), by (2, 3); three left over", (2, 17, 16),
         conv(8, 2), maxpool(2), leaky(), conv(4, 1), maxpool((2, 1)), leaky(),
         conv(12, (1, 2)), maxpool((2, 3)), leaky(), linear(7), leaky(), both=True),
    case("four neurons at a time: on the threshold", MAP,
         conv(4, 2), maxpool(2), leaky(beta=1.0), conv(8, (2, 1)), maxpool((1, 2)),
         leaky(beta=0.5), linear(13), leaky(beta=1.0), grid=True),
    case("four neurons at a time: thresholds of 0 and below, pooled", MAP,
         conv(4, 2, mean=-0.3), maxpool(2), leaky(beta=0.5, threshold=-0.1),
         conv(8, 1, mean=-0.3), leaky(beta=0.5, threshold=0.0)),
    case("four neurons at a time: subnormal numbers, pooled", MAP,
         conv(4, 2), maxpool(2), leaky(), conv(8, 1), maxpool((3, 1)), leaky(), size=2.0**-130),
    case("kernels of one tap and not square", MAP, conv(5, 1), leaky(), conv(4, (2, 5)), leaky()),
    case("stride 2, padded; stride (3, 1)", MAP,
         conv(6, 3, 2, 1), leaky(), conv(5, (3, 2), (3, 1), (2, 0)), leaky()),
    case("strides larger than the kernel", (1, 11, 12),
         conv(4, 2, 3), leaky(), conv(4, (1, 2), (2, 3)), leaky()),
    case("padding (2, 1); larger than the kernel", MAP,
         conv(4, 3, 1, (2, 1)), leaky(), conv(4, 2, 3, 4), leaky(), both=True),
    case("dilation 2; (1, 3) and padded", MAP,
         conv(4, 3, dilation=2), leaky(), conv(4, 2, padding=(0, 2), dilation=(1, 3)), leaky()),
    case("dilation with a stride", (2, 10, 9),
         conv(4, 3, 2, 2, 2), leaky(), conv(4, (3, 2), (2, 3), 3, (3, 2)), leaky(), both=True),
    case("groups", (4, 6, 5),
         conv(6, 3, groups=2), leaky(), conv(9, 2, padding=1, groups=3), leaky(), both=True),
    case("one channel a group, dilated and strided", (3, 8, 7),
         conv(6, 2, groups=3, dilation=2), leaky(), conv(6, 3, 2, 1, groups=6), leaky(), both=True),
    case("a current through two convolutions", MAP, conv(4, 3), conv(5, 2, padding=1), leaky()),
    case("one column, one row", (3, 7, 1),
         conv(4, (3, 1)), leaky(), conv(3, (5, 1), padding=(1, 0)), leaky()),
    case("graded spikes into a convolution and a linear layer", MAP,
         conv(4, 2), leaky(grade=0.7), conv(4, 3), leaky(grade=CHANNEL), linear(5),
         leaky(grade=-1.5)),
    case("graded spikes pooled, one grade a neuron", MAP,
         conv(4, 2), leaky(grade=NEURON), maxpool(2), conv(4, 2), leaky(), linear(4), leaky()),
    case("fused pooling with a remainder, of (3, 2) and of (1, 3)", (2, 9, 10),
         conv(4, 2), maxpool((3, 2)), leaky(), conv(6, 2, padding=2), maxpool((1, 3)),
         leaky("zero"), both=True),
    case("pooling on its own: overlapping, then with gaps", (2, 9, 10),
         conv(4, 2), maxpool(3, 1), leaky(), conv(4, 2), maxpool(2, (2, 3)), leaky()),
    case("pooling on its own: padded, dilated, clipped", (2, 9, 10),
         conv(4, 2), maxpool(2, padding=1), leaky(),
         conv(4, 2), maxpool(2, 1, 1, (1, 2)), leaky(),
         conv(4, 2), maxpool(3, 2, clipped=True), leaky(), both=True),
    case("pooling twice, then into a convolution", MAP,
         conv(4, 2), maxpool(2, 1), maxpool(2), conv(4, 2), leaky()),
    case("spikes pooled: overlapping, padded", MAP,
         conv(4, 2), leaky(), maxpool((3, 2), 1), conv(4, 2), leaky(), maxpool(2, padding=1),
         linear(4), leaky()),
    case("spikes pooled: dilated, clipped; the last layer is a pool", (2, 9, 10),
         conv(4, 2), leaky(), maxpool(2, 1, 0, (3, 2)), conv(4, 1), leaky(),
         maxpool(2, clipped=True)),
    case("averages of currents, overlapping and padded", MAP,
         conv(4, 2), avgpool((3, 2), (1, 2)), leaky(), conv(4, 2), avgpool(3, 2, 1), leaky(),
         both=True),
    case("averages of spikes, of graded spikes and of the input", MAP,
         avgpool(2, 1), conv(4, 2), leaky(), avgpool(2, 1), conv(4, 1), leaky(grade=CHANNEL),
         avgpool(2), linear(4), leaky(), both=True),
    case("a declared range of inputs", MAP, conv(4, 2), leaky(), most=9),
    case("the input pooled", MAP, maxpool((2, 1)), conv(4, 2), leaky()),
    case("batch norm of the input and of spikes", MAP,
         affine(), conv(4, 2), leaky(), affine(), conv(4, 2), leaky()),
    case("batch norm of a flattened map and of graded spikes", MAP,
         conv(3, 3), leaky(grade=NEURON), affine(), flatten(), affine(), linear(5), leaky()),
    case("neurons first, neurons on neurons, thresholds of 0 and below", MAP,
         leaky(threshold=0.5, beta=0.0), leaky(threshold=0.0, beta=0.0), leaky(threshold=1.4),
         conv(3, 2, mean=-0.3), leaky(beta=0.5, threshold=-0.1), leaky(threshold=1.1)),
    case("membranes exactly on the threshold", MAP,
         conv(4, 2), leaky(beta=1.0), conv(4, 2), maxpool(2, 1), leaky("zero", False, 0.5),
         linear(9), leaky("none", beta=0.5), linear(9), leaky("subtract", False, 1.0), grid=True),
    case("subnormal numbers", MAP, conv(4, 2), leaky(), conv(4, 3), leaky("zero", False),
         size=2.0**-130),
    case("a layer of more than 65,536 neurons", (1, 58, 58),
         conv(20, 1), leaky(beta=CHANNEL), maxpool(2), conv(3, 3, 2), leaky(),
         steps=4, wide=True, both=True),
    case("collecting: odd and even maps, 12 and 68 channels", (2, 12, 11),
         conv(8, 3), leaky(), conv(12, 4), leaky(), conv(68, (5, 4)), maxpool(2), leaky(),
         linear(5), leaky(), both=True),
    case("collecting: stride and padding, 16 and 36 channels", (2, 11, 12),
         conv(16, 3, padding=1), leaky(), conv(36, 3, 2, 1), leaky(),
         conv(4, (2, 3), (1, 2), (2, 1)), leaky()),
    case("collecting: one row of outputs, windows outside of the map", (2, 6, 9),
         conv(32, (3, 1), padding=(0, 1)), leaky(), conv(40, (4, 3), (5, 1)), leaky(),
         conv(8, (1, 4), 3, (2, 5)), leaky()),
    case("collecting: averages read all but the last row", (1, 13, 13),
         conv(16, 3), leaky(), conv(20, 3), avgpool(2), leaky(), conv(4, 2), avgpool(3, 1),
         leaky()),
    case("collecting, with 32-bit positions", (2, 80, 80),
         conv(12, 3, padding=1), leaky(), conv(16, 3, padding=1), leaky(), maxpool(2),
         conv(8, 5, 2), leaky(), steps=4, wide=True),
    case("bands of rows, of a list of inputs and of spikes, pooled and not", (2, 40, 20),
         conv(8, 3), leaky(), conv(10, (5, 3), padding=(2, 1), dilation=(1, 2)), maxpool(2),
         leaky(), linear(3), leaky(), steps=6),
    case("bands: stride and padding, a row more than the pooling reads", (1, 75, 9),
         conv(16, (5, 3), (2, 1), (3, 1)), leaky("zero"), conv(20, 3, 1, (2, 0)), maxpool((3, 2)),
         leaky("subtract", False), linear(3), leaky(), steps=6),
    case("dense: linear layers of odd sizes", (11,),
         linear(9), leaky(), linear(33), leaky(), linear(7), leaky(grade=0.7), linear(1),
         leaky(), kernels="dense"),
    case("dense: blocks of 8, 4, 2 and 1 channels, an odd and an even map", (2, 7, 8),
         conv(15, 2), leaky(), conv(16, 3), maxpool(2), leaky(), conv(4, 1), leaky(), linear(10),
         leaky(), kernels="dense"),
    case("dense: stride, padding, kernels not square", (2, 9, 12),
         conv(9, 3, 2, 1), leaky(), conv(6, (2, 4), 1, (2, 1)), leaky(), conv(3, 2, 3, 4), leaky(),
         kernels="dense"),
    case("dense: wide maps and one column", (1, 5, 19),
         conv(8, (3, 7), padding=(0, 2)), leaky(), conv(2, (1, 17)), leaky(), conv(5, (2, 1)),
         leaky(), kernels="dense"),
    case("dense: dilation, with padding and with a stride", (2, 10, 9),
         conv(8, 3, dilation=2), leaky(), conv(5, 2, padding=(0, 2), dilation=(1, 3)), leaky(),
         conv(4, (3, 2), (2, 3), 3, (3, 2)), leaky(), kernels="dense"),
    case("dense: groups, of one channel and dilated", (4, 8, 7),
         conv(6, 3, groups=2), leaky(), conv(33, 2, padding=1, groups=3), leaky(),
         conv(66, 2, 2, dilation=2, groups=33), leaky(), kernels="dense"),
    case("dense: of currents, of averages, of graded spikes", MAP,
         avgpool(2, 1), conv(4, 2), conv(5, 2, padding=1), leaky(grade=NEURON), conv(4, 2),
         leaky(grade=-0.7), linear(5), leaky(), kernels="dense"),
    case("dense: exactly on the threshold", MAP,
         conv(4, 2), leaky(beta=1.0), linear(9), leaky("subtract", False, 1.0), grid=True,
         kernels="dense"),
    case("dense: subnormal numbers", MAP, conv(4, 2), leaky(), linear(9), leaky("zero", False),
         size=2.0**-130, kernels="dense"),
)  # fmt: skip

_CELLS = (
    _synaptics("subtract", True),
    _synaptics("subtract", False),
    _synaptics("zero", True),
    _synaptics("zero", False),
    _synaptics("none", True),
    case("cells: every statement, and names that C keeps for itself", MAP,
         conv(4, 2), every_statement(), linear(40), every_statement()),
    case("leaky: without a reset, at once and a step later", MAP,
         conv(4, 2), leaky("none", False), linear(9), leaky("none"), linear(6),
         leaky("none", False), both=True),
    case("cells: bounded below, and fired by their magnitude", MAP,
         conv(4, 2), folded(), linear(9), folded(), both=True),
    case("cells: graded spikes into a convolution, a linear layer and neurons", MAP,
         conv(4, 2), synaptic(grade=NEURON), conv(4, 2), synaptic(grade=CHANNEL), linear(9),
         synaptic(grade=1.5), synaptic(threshold=0.3), leaky(threshold=0.5)),
    case("cells: only the largest fires, of equal ones the first", (11,),
         linear(40), synaptic(wins=True, threshold=0.3), linear(9),
         synaptic("zero", False, wins=True, threshold=0.3), linear(7), leaky(), linear(6),
         synaptic("subtract", False, NEURON, wins=True, threshold=0.2), leaky(threshold=0.1)),
    case("cells: only the largest of a flattened map fires", MAP,
         conv(3, 6), flatten(), synaptic(wins=True, threshold=0.3)),
    case("cells: exactly on the threshold", MAP,
         conv(4, 2), synaptic(alpha=1.0, beta=0.5), linear(9),
         synaptic("zero", alpha=0.0, beta=1.0), linear(9), synaptic("subtract", False, 0.0, 0.5),
         grid=True),
    case("cells: more than 65,536 of them", (1, 58, 58),
         conv(20, 1), synaptic(alpha=CHANNEL), maxpool(2), conv(3, 3, 2), synaptic(),
         steps=4, wide=True),
    case("recurrent through a linear layer, spikes of size 1 and graded", (11,),
         linear(40), recurrent(linear(40, 0.0)), linear(9), recurrent(linear(9, 0.0), CHANNEL),
         linear(6), recurrent(linear(6, 0.0), delay=False), both=True),
    case("recurrent through a convolution", MAP,
         conv(4, 2), recurrent(conv(4, 3, 1, 1, mean=0.0)), conv(16, 2),
         recurrent(conv(16, 3, 1, 1, mean=0.0), NEURON), linear(5), leaky()),
    case("recurrent through a convolution that collects", (2, 9, 8),
         conv(16, 2), recurrent(conv(16, 3, 1, 1, mean=0.0)), linear(5), leaky()),
    case("recurrent one to one", MAP, conv(4, 2), recurrent(None), linear(9), recurrent(None, 0.7)),
    case("recurrent, dense", MAP, conv(4, 2), recurrent(conv(4, 3, 1, 1, mean=0.0)), linear(9),
         recurrent(linear(9, 0.0)), kernels="dense"),
    case("four gates, of a vector and of a map", MAP,
         conv(12, 2), lstm(conv(12, 3, 1, 1, mean=0.0)), synaptic(threshold=0.1),
         linear(8), lstm(linear(8, 0.0)), leaky(threshold=0.1)),
    case("integrators in between and at the end", MAP,
         conv(4, 2), integrator(), conv(3, 2), leaky(), linear(5), integrator()),
    case("branches that are added: of spikes, of currents, of the input", MAP,
         conv(2, 3, 1, 1), leaky(), conv(2, 3, 1, 1), synaptic(), added(1, 3),
         again(0, conv(2, 1)), added(1, 2), leaky(), again(4, conv(3, 2)), leaky(),
         linear(4), leaky()),
    case("branches that are joined: maps of spikes and of currents", MAP,
         conv(4, 2), leaky(), again(0, conv(3, 2)), joined(1, 2), conv(5, 2), synaptic(),
         maxpool(2), linear(4), leaky()),
    case("branches that are joined: vectors, flattened maps, spikes of size 1 and graded", MAP,
         conv(3, 2), leaky(), flatten(), again(0, linear(6)), leaky(), joined(1, 3), linear(9),
         leaky(), again(5, linear(8)), synaptic(grade=CHANNEL), joined(1, 3, 6), linear(5),
         leaky()),
    case("branches that are added and joined: spikes, and currents from weights", MAP,
         conv(3, 2), leaky(), conv(3, 3, 1, 1), again(2, conv(3, 3, 1, 1)), added(1, 2), synaptic(),
         joined(1, 5), conv(4, 2), leaky(), flatten(), linear(9), leaky(), joined(1, 3),
         linear(6), leaky(), both=True),
    case("several outputs: lists joined", (11,),
         linear(9), leaky(), linear(5), leaky(), again(3, linear(4)), synaptic(), joined(3, 1)),
    case("several outputs: graded ones joined, and a flattened map", MAP,
         conv(3, 2), leaky(), flatten(), again(2, linear(4)), leaky(grade=CHANNEL), joined(3, 1)),
    case("a vector becomes a map, and a flattened map another one", MAP,
         linear(24), leaky(), unflatten(4, 2, 3), conv(6, (2, 1)), leaky(), flatten(),
         unflatten(3, 3, 2), conv(4, 2), leaky(), flatten(), unflatten(4, 2, 1), flatten(),
         unflatten(1, 1, 8), linear(5), leaky(), both=True),
    case("batch norm for every time step", MAP,
         conv(4, 2), stepped(), leaky(), flatten(), stepped(), again(2, conv(3, 2)), leaky(),
         again(3, linear(6)), stepped(), synaptic()),
    case("batch norm beside another reader of the same currents", MAP,
         conv(4, 2), affine(), leaky(), again(3, leaky()), added(1, 2), conv(4, 1), affine(),
         leaky()),
    case("the input read again behind layers that read it first", (2, 40, 20),
         conv(8, 3), leaky(), conv(10, (5, 3), padding=(2, 1)), leaky(),
         again(0, conv(4, 3)), leaky(), joined(1, 1), again(3, maxpool(2)), linear(3), leaky(),
         steps=6),
)  # fmt: skip

_WHOLE = (
    case("linear layers of odd and of even sizes", (11,),
         linear(9), leaky(), linear(32), leaky(beta=CHANNEL), linear(3), leaky(beta=0.5),
         linear(20), leaky(), most=20),
    case("inputs of 0 and 1; decays of nearly 1", MAP,
         conv(8, 2), leaky("none", beta=0.9999), conv(5, 3, 2), leaky(beta=0.9999), linear(12),
         leaky("zero", beta=0.9999), most=1),
    case("inputs up to 32,767", (11,), linear(9), leaky(beta=0.5), linear(8), leaky(), most=32767),
    case("four and eight channels a group, dilated and strided", (4, 8, 7),
         conv(8, 3, groups=2), leaky(), conv(16, 2, padding=1, groups=2), leaky(),
         conv(32, 3, 2, 2, 2, groups=8), leaky(), most=9),
    case("neurons first, neurons on neurons, thresholds of 0 and below, pooled or not", MAP,
         leaky(threshold=0.5, beta=0.0), leaky(threshold=0.0, beta=0.0), leaky(threshold=1.4),
         conv(4, 2, mean=-1.0), maxpool(2), leaky(threshold=-0.1), conv(8, 1, mean=-0.3),
         leaky("zero", beta=0.5, threshold=0.0), linear(6, mean=-0.1),
         leaky("subtract", False, threshold=-0.2)),
    case("averages over windows that the edge cuts: neurons of their own threshold and bias", MAP,
         conv(4, 2), avgpool(3, 2, 1), leaky(), flatten(), linear(9), leaky()),
    case("membranes exactly on the threshold, pooled or not", MAP,
         leaky(beta=0.5), leaky("subtract", False, 0.5), maxpool(2), leaky("zero", False, 0.97),
         leaky("none", beta=0.97), most=7),
    case("membranes exactly on the threshold, four neurons at a time", MAP,
         conv(4, 1, mean=1.0, deviation=0.0), leaky(beta=0.99, threshold=(2.0, 3.0)),
         conv(8, 1, mean=1.0, deviation=0.0), leaky(beta=0.5, threshold=(2.0, 4.0))),
    case("membranes of 16 bits at their bounds", (30,),
         linear(8), leaky("none"), linear(8), leaky(), driven=50),
    case("membranes of 32 bits at their bounds", (30,),
         linear(8), leaky("none"), linear(8), leaky(), most=20000, driven=50),
    case("currents of 32 bits, of eight channels and of five, pooled or not", (3, 9, 8),
         conv(8, 3), maxpool(2), leaky(), conv(5, 2), leaky("subtract", False), most=255),
    case("currents of 32 bits, averaged and pooled on their own", (3, 9, 8),
         avgpool(2, 1), conv(5, 3, 1, 1), avgpool(2, 1), maxpool(3, 1), leaky("zero"),
         avgpool(2), linear(6), leaky(), most=255),
    case("currents of 32 bits, of linear layers", (60,),
         linear(420), leaky(beta=CHANNEL, threshold=CHANNEL), linear(10, mean=4.0), leaky(),
         most=255),
    case("currents of 32 bits, of averages, into a linear layer", (2, 7, 6),
         avgpool(2, 1), flatten(), linear(12), leaky(beta=0.5), linear(5), leaky(), most=255),
    case("currents of 32 bits, of a convolution that reads spikes", MAP,
         conv(64, 2), leaky(), conv(6, 3, mean=2.0), leaky("zero", False), steps=6),
    case("bands of 16 bits, of a list of inputs and of spikes, pooled and not", (2, 40, 20),
         conv(12, 3), leaky(), conv(16, (5, 3), padding=(2, 1), dilation=(1, 2)), maxpool(2),
         leaky(beta=0.5), linear(3), leaky(), steps=3),
    case("bands of 16 bits: stride and padding, a row more than the pooling reads", (1, 75, 12),
         conv(20, (5, 3), (2, 1), (3, 1)), leaky(beta=0.5), conv(22, 3, 1, (2, 0)),
         maxpool((3, 2)), leaky("subtract", False), linear(3), leaky(), steps=3),
    case("bands of 32 bits", (1, 30, 28),
         conv(6, 3), leaky(threshold=99.0), conv(8, 9, 1, 4, mean=2.0), leaky(beta=0.0),
         steps=3, most=255),
)  # fmt: skip


def _in_whole_numbers(row: Case) -> Case:
    """A row of float32 once more, in integers."""
    name, most = f"int8: {row.name}", row.most or 3
    steps = 2 if row.wide else row.steps
    return dataclasses.replace(row, name=name, numbers="int8", most=most, steps=steps)


CASES: tuple[Case, ...] = (
    *_FLOATS, *_CELLS,
    *map(_in_whole_numbers, (*(row for row in (*_FLOATS, *_CELLS) if row.both), *_WHOLE)),
)  # fmt: skip


def program(row: Case) -> str | None:
    """The program of the Cortex-M7 that holds a row; None: it does not fit."""
    if row.wide:
        return None
    if row.numbers == "int8":
        return "narrow_integer"
    return "narrow_cells" if row in _CELLS else "narrow"


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """A row with its weights, and the frames ``[T, H, W, C]`` in memory order it is shown."""

    network: ir.Network
    frames: ir.Floats


def draw(row: Case) -> Drawn:
    """Gives a row its weights and its frames; the same row, the same bits.

    Weights are scaled, layer by layer, until every layer of neurons spikes now and then. Of a row
    in integers the network is still the one before that; ``model`` quantises it.

    Raises:
        ValueError: a layer's neurons cannot be brought to spike now and then, or no membrane lies
            on the threshold although the row is there for it.
    """
    digest = hashlib.sha256(row.name.encode()).hexdigest()
    rng = np.random.default_rng(int(digest[:8], 16))
    channels, height, width = row.axes if len(row.axes) == 3 else (row.axes[0], 1, 1)
    shape = ir.Shape(height, width, channels, len(row.axes) == 1)
    if row.most is None:
        frames = _frames(rng, row.steps, shape)
        frames = _on_grid(frames) if row.grid else frames
    else:
        frames = _counts(rng, row.steps, shape, row.most)
    layers: tuple[ir.Layer, ...] = ()
    for grow in row.layers:
        grown = grow(Draft(layers, shape, rng))
        for layer in grown if isinstance(grown, tuple) else (grown,):
            if isinstance(layer, ir.Leaky):
                layer = dataclasses.replace(layer, threshold=layer.threshold * np.float32(row.size))
            layers = (*layers, layer)
        last = layers[-1]
        if isinstance(last, ir.Leaky) or (isinstance(last, ir.Cell) and last.fires is not None):
            layers = _lively(row, shape, layers, frames)
            if row.grid:
                _check_ties(row, shape, layers, frames)
    if row.driven:
        frames = np.concatenate([frames, _extremes(row, layers[0], shape)])
    return Drawn(ir.Network(shape, layers, f"kernel case {row.name!r}", digest, row.most), frames)


def model(row: Case, drawn: Drawn, name: str) -> Model:
    """The row's network, compiled."""
    if row.numbers == "int8":
        return Model.of(drawn.network, name, "int8")
    return Model.of(drawn.network, name, "f32", row.kernels)


def _lively(
    row: Case, shape: ir.Shape, layers: tuple[ir.Layer, ...], frames: ir.Floats
) -> tuple[ir.Layer, ...]:
    """Scales the last weights before the last layer until that one spikes at a middling rate."""
    weighted = [i for i, layer in enumerate(layers) if isinstance(layer, ir.Conv2d | ir.Linear)]
    last = layers[-1].name
    factor = row.size
    rate = 0.0
    for _ in range(16):
        if weighted:
            at = weighted[-1]
            layer = layers[at]
            assert isinstance(layer, ir.Conv2d | ir.Linear)
            weight, bias = layer.weight * np.float32(factor), layer.bias * np.float32(factor)
            if row.grid:
                weight, bias = _on_grid(weight), _on_grid(bias)
            scaled = dataclasses.replace(layer, weight=weight, bias=bias)
            layers = (*layers[:at], scaled, *layers[at + 1 :])
        trace = reference.run(ir.Network(shape, layers, "", ""), frames)
        rate = float(trace.spikes[last].mean())
        if 0.08 <= rate <= 0.6 or not weighted:
            break
        factor = 1.6 if rate < 0.08 else 0.7
    if not LOWEST <= rate <= HIGHEST:
        raise ValueError(
            f"kernel case {row.name!r}: {last} spikes at a rate of {rate:.3f}, which tests little; "
            f"choose parameters that bring it between {LOWEST} and {HIGHEST}."
        )
    return layers


def _check_ties(
    row: Case, shape: ir.Shape, layers: tuple[ir.Layer, ...], frames: ir.Floats
) -> None:
    """Whether a membrane of the last layer lies exactly on the threshold in some step."""
    last = layers[-1]
    assert isinstance(last, ir.Leaky | ir.Cell)
    membranes = reference.run(ir.Network(shape, layers, "", ""), frames).membranes[last.name]
    if not (membranes == last.threshold).any():
        raise ValueError(
            f"kernel case {row.name!r}: no membrane of {last.name} lies on the threshold; choose "
            "weights or a decay for which one does."
        )


def _on_grid(values: ir.Floats) -> ir.Floats:
    quarters: ir.Floats = np.round(values * 4) / np.float32(4)
    return quarters + np.float32(0.0)


def _frames(rng: np.random.Generator, steps: int, shape: ir.Shape) -> ir.Floats:
    """Frames ``[T, H, W, C]``: counts sparse and dense, empty ones, real numbers of either sign."""
    axes = (shape.height, shape.width, shape.channels)
    kinds = (
        lambda: rng.poisson(0.3, axes),
        lambda: rng.normal(0.2, 1.0, axes),
        lambda: rng.poisson(0.05, axes),
        lambda: np.zeros(axes),
        lambda: np.ones(axes),
        lambda: rng.normal(0.3, 1.0, axes) * (rng.random(axes) < 0.3),
        lambda: np.zeros(axes),
        lambda: rng.poisson(1.5, axes),
        lambda: np.eye(1, shape.size, shape.size - 1).reshape(axes) * 3,
        lambda: np.eye(1, shape.size).reshape(axes),
    )
    return np.stack([kinds[t % len(kinds)]() for t in range(steps)]).astype(np.float32)


def _counts(rng: np.random.Generator, steps: int, shape: ir.Shape, most: int) -> ir.Floats:
    """Frames ``[T, H, W, C]`` of counts up to ``most``: sparse and dense, empty ones and full."""
    axes = (shape.height, shape.width, shape.channels)
    kinds = (
        lambda: rng.poisson(0.3, axes),
        lambda: rng.integers(0, most, axes, endpoint=True) * (rng.random(axes) < 0.3),
        lambda: rng.poisson(0.05, axes),
        lambda: np.zeros(axes),
        lambda: np.ones(axes),
        lambda: rng.poisson(1.5, axes),
        lambda: np.full(axes, most),
        lambda: np.zeros(axes),
        lambda: np.eye(1, shape.size, shape.size - 1).reshape(axes) * most,
        lambda: np.eye(1, shape.size).reshape(axes),
    )
    made = [np.minimum(kinds[t % len(kinds)](), most) for t in range(steps)]
    return np.stack(made).astype(np.float32)


def _extremes(row: Case, layer: ir.Layer, shape: ir.Shape) -> ir.Floats:
    """Frames ``[T, H, W, C]`` that push one neuron behind ``layer`` as high as it goes, then down.

    It is the one that the largest weights reach.
    """
    assert isinstance(layer, ir.Conv2d | ir.Linear)
    axes = (shape.height, shape.width, shape.channels)
    each = np.eye(shape.size, dtype=np.float64).reshape(shape.size, *axes)
    reach = reference.weigh(layer, layer.weight.astype(np.float64), np.zeros(len(layer.bias)), each)
    reach = reach.reshape(shape.size, -1)  # [input, output]
    most = np.float32(row.most or 0)
    frames = []
    for sign in (1, -1):
        used = np.maximum(sign * reach, 0)
        frames.append((used[:, used.sum(axis=0).argmax()] > 0).reshape(axes) * most)
    return np.repeat(np.stack(frames).astype(np.float32), row.driven, axis=0)


def _pair(value: Both) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _normal(rng: np.random.Generator, axes: Axes, mean: float, deviation: float) -> ir.Floats:
    return rng.normal(mean, deviation, axes).astype(np.float32)


def _windows(
    size: int, kernel: int, stride: int, padding: int, dilation: int, clipped: bool
) -> int:
    """How many pooling windows there are; the last one must start inside the map."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if clipped else room // stride) + 1
    if clipped and (count - 1) * stride >= size + padding:
        count -= 1
    return count
