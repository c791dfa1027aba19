# SPDX-License-Identifier: Apache-2.0
"""Draws networks: one for each cell of the coverage table in turn, everything else at random."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tests.fuzz import spec as specs
from tests.fuzz.spec import Axes, Node, Spec, Spread, UnfitError

Frames = npt.NDArray[np.float32]

LARGEST = 220
"""Neurons of one layer."""
LOWEST, HIGHEST = 0.02, 0.7
"""The spike rates to which thresholds are fitted."""

VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "Leaky": ("Leaky", {}),
    "Lapicque": ("Lapicque", {}),
    "Synaptic": ("Synaptic", {}),
    "Alpha": ("Alpha", {}),
    "RLeaky, linear": ("RLeaky", {"recurrence": "linear"}),
    "RLeaky, convolution": ("RLeaky", {"recurrence": "conv"}),
    "RLeaky, one to one": ("RLeaky", {"recurrence": "one"}),
    "RSynaptic, linear": ("RSynaptic", {"recurrence": "linear"}),
    "RSynaptic, convolution": ("RSynaptic", {"recurrence": "conv"}),
    "RSynaptic, one to one": ("RSynaptic", {"recurrence": "one"}),
    "SLSTM": ("SLSTM", {}),
    "SConv2dLSTM": ("SConv2dLSTM", {}),
    "LeakyParallel": ("LeakyParallel", {}),
    "StateLeaky": ("StateLeaky", {}),
    "LinearLeaky": ("LinearLeaky", {}),
    "DeltaLeaky": ("DeltaLeaky", {}),
}
"""The neurons of the table, each with its class and what makes it this variant."""

ANY = ("map", "line", "flat")

_TAKES = {
    "RLeaky, linear": ("flat",), "RSynaptic, linear": ("flat",), "SLSTM": ("flat",),
    "RLeaky, convolution": ("map",), "RSynaptic, convolution": ("map",), "SConv2dLSTM": ("map",),
    "LeakyParallel": ("flat",), "StateLeaky": ("flat",), "LinearLeaky": ("flat",),
}  # fmt: skip
"""What neurons can read that cannot read everything."""

BEFORE: Mapping[str, tuple[str, ...]] = {
    "input": ANY,
    "Conv1d": ("line",),
    "Conv2d": ("map",),
    "Linear": ("flat",),
    "MaxPool1d": ("line",),
    "MaxPool2d": ("map",),
    "AvgPool1d": ("line",),
    "AvgPool2d": ("map",),
    "AdaptiveAvgPool1d": ("line",),
    "AdaptiveAvgPool2d": ("map",),
    "AdaptiveMaxPool1d": ("line",),
    "AdaptiveMaxPool2d": ("map",),
    "BatchNorm1d": ("flat", "line"),
    "BatchNorm2d": ("map",),
    "BatchNormTT1d": ("flat",),
    "BatchNormTT2d": ("map",),
    "Flatten": ("flat",),
    "Unflatten": ("map", "line"),
    "ReLU": ANY,
    "Dropout": ANY,
    "concat": ANY,
    "add": ANY,
    "neurons": ANY,
}
"""What can stand before neurons, and of which shape its value is."""

RESETS = ("subtract", "zero", "none")


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the table; ``reset`` and ``delay`` are ``"-"`` where neurons have no such."""

    neurons: str
    reset: str
    delay: str
    before: str

    @property
    def kind(self) -> str:
        """The class of its neurons."""
        return VARIANTS[self.neurons][0]

    @property
    def domains(self) -> tuple[str, ...]:
        """The shapes that its neurons can read from the layer before."""
        if self.kind == "RSynaptic" and self.delay == "at once":
            return ()  # snnTorch's raises
        takes = _TAKES.get(self.neurons, ANY)
        return tuple(each for each in BEFORE[self.before] if each in takes)


def cells() -> tuple[Cell, ...]:
    """All cells, those that cannot run included."""
    found = []
    for name, (kind, _) in VARIANTS.items():
        resets = ("-",) if kind in (*specs.SEQUENCE, "DeltaLeaky") else RESETS
        delays = ("delayed", "at once") if kind in ("Leaky", "Synaptic", "RLeaky") else ("-",)
        if kind == "RSynaptic":
            delays = ("delayed", "at once")
        for reset in resets:
            for delay in delays:
                found += [Cell(name, reset, delay, before) for before in BEFORE]
    return tuple(found)


def draw(seed: int, cell: Cell) -> Spec:
    """A network with ``cell`` in it whose neurons spike; the same arguments, the same network."""
    for attempt in range(1000):
        rng = np.random.default_rng([seed, attempt])
        try:
            drawn = _Draw(rng, cell).spec()
            fitted, silent = fit(drawn)
        except UnfitError:
            continue
        built = specs.build(fitted)
        if any(
            "levels" in node.options and not specs.exact_membrane(built, number)
            for number, node in enumerate(fitted.nodes, 1)
        ):
            continue  # the middle between two levels is no threshold: no rule tells a rounding tie
        if not silent or attempt > 30:
            return fitted
    raise AssertionError(f"no network was found for {cell}")


def covered(spec: Spec) -> list[Cell]:
    """The cells that a network covers."""
    found = []
    for node in spec.nodes:
        if node.kind not in specs.NEURONS:
            continue
        o = node.options
        way = {"linear": ", linear", "conv": ", convolution", "one": ", one to one"}
        name = node.kind + way.get(o.get("recurrence", ""), "")
        reset = o.get("reset_mechanism", "-")
        delay = "at once" if o.get("reset_delay") is False else "delayed"
        if node.kind not in ("Leaky", "Synaptic", "RLeaky", "RSynaptic"):
            delay = "-"
        before = spec.node(node.inputs[0]).kind if node.inputs[0] else "input"
        before = {"sub": "add", "Identity": "Dropout"}.get(before, before)
        if before in specs.NEURONS:
            before = "neurons"
        if before in BEFORE:
            found.append(Cell(name, reset, delay, before))
    return found


def impossible(cell: Cell) -> Spec:
    """The network of a cell that cannot run, as far as it can be written down."""
    style: specs.Style = "layers" if cell.kind in specs.SEQUENCE else "step"
    for attempt in range(100):
        draw = _Draw(np.random.default_rng(attempt), dataclasses.replace(cell, neurons="Leaky"))
        draw.style = "loop" if cell.before.startswith("BatchNormTT") else style
        domain = BEFORE[cell.before][0]
        start = {"Flatten": "map", "Unflatten": "flat"}.get(cell.before, domain)
        draw.start = dataclasses.replace(draw.start, style=draw.style, shape=draw.shape(start))
        draw.axes = [draw.start.shape]
        try:
            draw.before(0, domain)
        except UnfitError:
            continue
        kind, options = VARIANTS[cell.neurons]
        needed: dict[str, Any] = {} if kind in ("SLSTM", "SConv2dLSTM") else {"beta": 0.5}
        if kind in ("SConv2dLSTM", "LinearLeaky", "LeakyParallel"):
            needed["out"] = 3
        options = {**options, **needed, "forced": True}
        if kind == "RSynaptic":
            options["alpha"] = 0.5
        if "kernel_size" not in options and ("conv" in options.values() or kind == "SConv2dLSTM"):
            options["kernel_size"] = 3
        if cell.reset != "-":
            options["reset_mechanism"] = cell.reset
        if cell.delay == "at once":
            options["reset_delay"] = False
        nodes = (*draw.nodes, Node(kind, (len(draw.nodes),), options))
        return dataclasses.replace(draw.start, nodes=nodes, outputs=(len(nodes),))
    raise AssertionError(f"no layer before {cell}")


def frames(spec: Spec, whole: bool = False) -> Frames:
    """A recording ``[steps, *shape]``: event counts, or numbers of either sign, from its seed."""
    rng = np.random.default_rng([spec.seed, 3])
    size = (spec.steps, *spec.shape)
    counts = rng.poisson(0.5, size).astype(np.float32)
    reals = rng.normal(0.2, 1.0, size) * (rng.random(size) < 0.8)
    reals = np.round(reals * 8) / 8 if spec.grid else reals
    chosen: Frames = counts if whole or spec.seed % 2 else reals.astype(np.float32)
    if spec.steps > 4:
        chosen[spec.steps // 2] = 0
        chosen[spec.steps // 2 + 1] = 1
    if spec.style == "held" and not whole:
        chosen[:] = chosen[0]
    return chosen


class _Draw:
    """Draws one network."""

    def __init__(self, rng: np.random.Generator, cell: Cell) -> None:
        self.rng = rng
        self.cell = cell
        self.nodes: list[Node] = []
        self.grid = self.chance(0.7)
        self.tame = self.chance(0.35)  # as integers want it
        self.style = self._style()
        self.start = Spec((1,), int(rng.integers(8, 13)), self.style, (), (), grid=self.grid)
        self.axes: list[Axes] = []

    # Choices.

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def some(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def _style(self) -> Any:
        cell = self.cell
        loops: tuple[specs.Style, ...] = ("loop", "hidden loop", "batch first", "held", "layers")
        steps: tuple[specs.Style, ...] = ("step", "arguments", "optional arguments")
        if cell.kind in specs.SEQUENCE:
            chain = cell.before in ("input", "Linear", "ReLU", "neurons")
            return "whole sequential" if chain and self.chance(0.3) else "layers"
        if cell.before.startswith("BatchNormTT"):
            return self.some("loop", "hidden loop", "batch first", "layers")
        if cell.kind == "DeltaLeaky":
            return self.some("step", *loops)
        if cell.before in ("concat", "add") or self.chance(0.6):
            return self.some(*loops, *steps)
        return "sequential"

    # The whole.

    def spec(self) -> Spec:
        cell = self.cell
        if not cell.domains:
            raise AssertionError(f"{cell} cannot run")
        domain = self.some(*cell.domains)
        start = domain
        converts = cell.before != "input" and self.style != "whole sequential"
        if cell.before == "Flatten":
            start = self.some("map", "line")
        elif cell.before == "Unflatten":
            start = "flat"
        elif converts and self.chance(0.3):
            start = self.some(*ANY)
        shape = self.shape(start)
        self.start = dataclasses.replace(self.start, shape=shape)
        self.axes = [shape]
        now = 0
        if cell.before != "input":
            for _ in range(self.some(0, 0, 0, 1, 1, 2)):
                now = self.block(now)
            if cell.before not in ("Flatten", "Unflatten"):
                now = self.moved(now, domain)
        now = self.before(now, domain)
        variant = VARIANTS[cell.neurons]
        target = now = self.neurons(now, variant[0], cell.reset, cell.delay, variant[1])
        silent = not self.nodes[-1].options.get("output", True)
        last = cell.kind in ("DeltaLeaky", "StateLeaky", "LinearLeaky")  # in an nn.Sequential
        for _ in range(0 if last and self.style in specs.SEQUENTIAL else self.some(0, 0, 1, 1, 2)):
            now = self.block(now)
        readout = now == target and self.chance(0.4)
        if last and self.style in specs.SEQUENTIAL:
            readout = False
        if readout or not self.nodes[now - 1].options.get("output", True):  # a membrane
            now = self.moved(now, "flat")
            now = self.layer("Linear", now, {"out": self.count(3, 10)})
            now = self.neurons(
                now, "LeakyParallel" if self.style == "whole sequential" else "Leaky"
            )
        if self.chance(0.2):
            now = self.loop(now)
        outputs: tuple[int, ...] = (now,)
        more = now != target and not silent and self.style not in specs.SEQUENTIAL
        if more and self.chance(0.2):
            outputs = (target, now) if self.chance(0.5) else (now, target)
        seed = int(self.rng.integers(1 << 30))
        return dataclasses.replace(self.start, nodes=tuple(self.nodes), outputs=outputs, seed=seed)

    def count(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def shape(self, domain: str) -> Axes:
        match domain:
            case "map":
                return (self.count(1, 4), self.count(4, 8), self.count(4, 8))
            case "line":
                return (self.count(1, 4), self.count(5, 13))
        return (self.some(6, 8, 12, 16, self.count(4, 20)),)

    def domain(self, number: int) -> str:
        return {1: "flat", 2: "line", 3: "map"}[len(self.axes[number])]

    # Nodes.

    def add(self, kind: str, inputs: Iterable[int], options: Mapping[str, Any]) -> int:
        node = Node(kind, tuple(inputs), dict(options), int(self.rng.integers(1 << 30)))
        given = [self.axes[i] for i in node.inputs]
        after = specs._module(node, given, self.start)[1]
        if int(np.prod(after)) > LARGEST:
            raise UnfitError("too large")
        self.nodes.append(node)
        self.axes.append(after)
        return len(self.nodes)

    def layer(self, kind: str, now: int, options: Mapping[str, Any]) -> int:
        return self.add(kind, (now,), options)

    def function(self, *ways: str) -> dict[str, Any]:
        """Whether a layer is called as a function of torch."""
        if self.style in specs.SEQUENTIAL or self.chance(0.5):
            return {}
        return {"function": self.some(*ways)}

    def moved(self, now: int, domain: str) -> int:
        """The value as a map, a line or flat."""
        if self.domain(now) == domain:
            return now
        if self.domain(now) != "flat":
            now = self.flattened(now)
        return now if domain == "flat" else self.unflattened(now, domain)

    def flattened(self, now: int) -> int:
        return self.layer("Flatten", now, self.function("flatten", "torch", "view", "reshape"))

    def unflattened(self, now: int, domain: str) -> int:
        size = self.axes[now][0]
        sides = 1 if domain == "line" else 2
        fits = [
            axes
            for c in range(1, 5)
            for axes in ([(c, size // c)] if sides == 1 else
                         [(c, h, size // c // h) for h in range(2, 8) if size % (c * h) == 0])
            if int(np.prod(axes)) == size and min(axes[1:]) >= 2
        ]  # fmt: skip
        if not fits:
            raise UnfitError("cannot be a map")
        options = {"axes": fits[int(self.rng.integers(len(fits)))]}
        return self.layer("Unflatten", now, options | self.function("view"))

    def weighted(self, now: int, same: bool = False) -> int:
        """A convolution or linear layer; with ``same`` one that keeps the shape."""
        axes = self.axes[now]
        if len(axes) == 1:
            out = axes[0] if same else self.count(3, 16)
            return self.layer("Linear", now, {"out": out, "bias": self.chance(0.7)})
        kind = "Conv1d" if len(axes) == 2 else "Conv2d"
        kernel = self.some(1, 3) if same else self.some(1, 2, 3, 3)
        options: dict[str, Any] = {
            "out": axes[0] if same else self.count(1, 4),
            "kernel_size": kernel,
            "padding": kernel // 2 if same else self.some(0, 1, "same", "valid"),
            "bias": self.chance(0.7),
        }
        if not same:
            if options["padding"] != "same":
                options["stride"] = self.some(1, 1, 2)
            options["dilation"] = self.some(1, 1, 1, 2)
            if self.chance(0.2):
                options["groups"] = "depthwise"
                options["out"] = self.some(1, 2)
            if len(axes) == 3 and self.chance(0.2):
                options["kernel_size"] = (kernel, self.some(1, 2, 3))
        return self.layer(kind, now, options)

    def pool(self, now: int, kind: str) -> int:
        axes = self.axes[now]
        if kind.startswith("Adaptive"):
            out = tuple(
                self.some(*(n for n in range(1, side + 1) if side % n == 0)) for side in axes[1:]
            )
            size = out[0] if len(out) == 1 else out
            function = {} if "Max" in kind else self.function("f")
            return self.layer(kind, now, {"output_size": size} | function)
        options: dict[str, Any] = {"kernel_size": self.some(2, 2, 2, 3)}
        if kind.endswith("2d") and self.chance(0.2):
            options["kernel_size"] = (self.some(1, 2, 3), self.some(1, 2, 4))
        if self.chance(0.4):
            options["stride"] = self.some(1, 2, 3)
        if options["kernel_size"] in (2, 3) and self.chance(0.3):
            options["padding"] = 1
        if self.chance(0.3):
            options["ceil_mode"] = True
        if kind.startswith("Avg") and self.chance(0.3):
            options["count_include_pad"] = False
        if kind.startswith("Max") and self.chance(0.1):
            options["dilation"] = 2
        if kind == "AvgPool2d" and self.chance(0.2):
            options["divisor_override"] = self.some(2, 3, 4)
        return self.layer(kind, now, options | self.function("f"))

    def before(self, now: int, domain: str) -> int:
        """The layer of the cell."""
        kind = self.cell.before
        match kind:
            case "input":
                return now
            case "Linear" | "Conv1d" | "Conv2d":
                return self.weighted(now)
            case "Flatten":
                return self.flattened(self.weighted(now) if self.chance(0.5) else now)
            case "Unflatten":
                return self.unflattened(self.weighted(now) if self.chance(0.3) else now, domain)
            case "add":
                return self.sum(now)
            case "concat":
                return self.joined(now)
            case "neurons":
                return self.neurons(now, self.kind(self.domain(now)))
        if self.chance(0.6):
            now = self.weighted(now)
        return self.simple(kind, now)

    def simple(self, kind: str, now: int) -> int:
        match kind:
            case "ReLU":
                return self.layer(kind, now, self.function("f"))
            case "Dropout":
                return self.layer(self.some("Dropout", "Identity"), now, {})
            case "BatchNorm1d" | "BatchNorm2d":
                return self.layer(kind, now, {"affine": self.chance(0.7)})
            case "BatchNormTT1d" | "BatchNormTT2d":
                return self.layer(kind, now, {"affine": self.chance(0.7)})
        return self.pool(now, kind)

    def sum(self, now: int) -> int:
        first = self.weighted(now, same=True)
        if self.chance(0.3):
            first = self.neurons(first, "Leaky")
        second = now if self.chance(0.6) else self.weighted(now, same=True)
        if self.chance(0.2):
            second = self.layer("scale", second, {"by": self.some(0.5, 2.0, -1.0, 0.3)})
        inputs = (first, second) if self.chance(0.5) else (second, first)
        return self.add(self.some("add", "add", "sub"), inputs, {})

    def joined(self, now: int) -> int:
        parts = [self.weighted(now, same=self.chance(0.5) or len(self.axes[now]) > 1)]
        if self.chance(0.3):
            parts[0] = self.neurons(parts[0], "Leaky")
        second = self.weighted(now, same=True)
        parts.append(now if self.chance(0.4) else second)
        if self.chance(0.2):
            parts.append(second)
        return self.add("concat", parts if self.chance(0.5) else parts[::-1], {})

    def block(self, now: int) -> int:
        """Some layers and neurons."""
        if self.chance(0.15) and self.domain(now) != "flat":
            now = self.flattened(now)
        branches = self.style not in specs.SEQUENTIAL and not self.tame
        if branches and self.chance(0.15):
            now = self.sum(now)
        elif branches and self.chance(0.1):
            now = self.joined(now)
        else:
            now = self.weighted(now)
        suffix = {"flat": "1d", "line": "1d", "map": "2d"}[self.domain(now)]
        if self.chance(0.15) and not self.grid and self.style != "whole sequential":
            now = self.simple(f"BatchNorm{suffix}", now)
        if self.chance(0.1):
            now = self.simple("Dropout" if self.tame else self.some("ReLU", "Dropout"), now)
        if self.domain(now) != "flat" and self.chance(0.3):
            now = self.pool(now, self.some("MaxPool", "AvgPool", "AdaptiveAvgPool") + suffix)
        return self.neurons(now, self.kind(self.domain(now)))

    def loop(self, now: int) -> int:
        """Neurons whose spikes reach them through a layer that the forward calls itself."""
        if self.style not in ("loop", "hidden loop", "batch first", "arguments"):
            return now
        size = self.count(3, 9)
        now = self.layer("Linear", self.moved(now, "flat"), {"out": size})
        place = len(self.nodes) + 4
        self.nodes.append(Node("previous", (place,)))
        self.axes.append((size,))
        back = self.layer("Linear", len(self.nodes), {"out": size, "bias": self.chance(0.5)})
        added = self.add("add", (now, back) if self.chance(0.7) else (back, now), {})
        return self.neurons(added, self.some("Leaky", "Synaptic"), options={"axes": (size,)})

    def kind(self, domain: str) -> str:
        """Some class of neurons that the style and the shape allow."""
        if self.style == "whole sequential":
            return "LeakyParallel"
        kinds = ["Leaky", "Leaky", "Leaky", "Lapicque", "Synaptic", "Alpha", "RLeaky", "RSynaptic"]
        if self.tame:
            return str(self.some("Leaky", "Leaky", "Synaptic", "RLeaky", "RSynaptic"))
        if domain == "flat":
            kinds.append("SLSTM")
        if domain == "map":
            kinds.append("SConv2dLSTM")
        if self.style not in ("sequential", "arguments", "optional arguments"):
            kinds.append("DeltaLeaky")
        if self.style == "layers" and domain == "flat":
            kinds += [*specs.SEQUENCE]
        return str(self.some(*kinds))

    def neurons(
        self, now: int, kind: str, reset: str = "", delay: str = "",
        options: Mapping[str, Any] | None = None,
    ) -> int:  # fmt: skip
        """Neurons of a class, with what is not given at random."""
        flat = self.domain(now) == "flat"
        o: dict[str, Any] = dict(options or {})
        decay = self.some(0.5, 0.9, 0.75, 1.0, 0.3, Spread("neuron", 0.3, 1.0),
                          Spread("channel", 0.3, 1.0))  # fmt: skip
        if self.tame:
            decay = self.some(0.5, 0.9, 0.75, Spread("neuron", 0.3, 0.9))
        elif self.chance(0.05):
            decay = self.some(0.0, 1.3, -0.2)
        spread = Spread(self.some("neuron", "channel", "one"), 0.4, 1.4)
        o["threshold"] = self.some(1.0, 1.0, 0.5, spread, spread)
        if kind not in (*specs.SEQUENCE, "DeltaLeaky"):
            o["reset_mechanism"] = reset if reset not in ("", "-") else self.some(*RESETS)
        if kind in ("Leaky", "Synaptic", "RLeaky"):
            o["reset_delay"] = delay == "delayed" if delay else self.chance(0.6)
        common = kind not in (*specs.SEQUENCE, "DeltaLeaky", "SLSTM", "SConv2dLSTM")
        if common and flat and self.chance(0.1) and not self.tame:
            o["inhibition"] = True
        quantizes = kind not in ("DeltaLeaky", "LeakyParallel") and not self.tame
        if quantizes and self.chance(0.08):
            o["levels"] = {
                "num_bits": self.some(2, 4, 6), "uniform": self.chance(0.8),
                "lower_limit": self.some(0.0, 0.5), "upper_limit": self.some(0.2, 1.0),
            }  # fmt: skip
        if kind != "DeltaLeaky" and not o.get("inhibition") and self.chance(0.15):
            o["grade"] = self.some(0.5, 2.0, -1.0, 0.7, Spread("neuron", 0.5, 2.0),
                                   Spread("channel", 0.5, 2.0))  # fmt: skip
        if kind not in ("SLSTM", "SConv2dLSTM", "Alpha", "Lapicque"):
            o["beta"] = decay
        if self.chance(0.15) and kind not in ("LeakyParallel", "DeltaLeaky", *specs.SEQUENCE):
            o["learn_threshold"] = True
        match kind:
            case "Lapicque":
                o |= self.some(
                    {"beta": 0.8}, {"beta": 0.5, "R": 2.0}, {"beta": 0.7, "C": 1.5},
                    {"R": 1.0, "C": 4.0, "time_step": 0.5}, {"R": 2.0, "C": 1.0},
                    {"beta": 0.9, "time_step": 0.25},
                )  # fmt: skip
            case "Synaptic" | "RSynaptic":
                o["alpha"] = self.some(0.5, 0.9, 0.25, Spread("neuron", 0.2, 0.9))
            case "Alpha":
                o["alpha"] = self.some(0.85, 0.75, Spread("neuron", 0.6, 0.95))
                o["beta"] = self.some(0.5, 0.25, Spread("neuron", 0.1, 0.5))
            case "LeakyParallel":
                o["out"] = self.count(3, 12)
                o["beta"] = self.some(0.5, 0.9, None)
                o["bias"] = self.chance(0.6)
                o["weight_hh_enable"] = o["beta"] is None and self.chance(0.4)
            case "StateLeaky" | "LinearLeaky":
                o["beta"] = self.some(0.5, 0.9, 0.8, Spread("neuron", 0.3, 0.95))
                if self.chance(0.15) and "grade" not in o and self.style == "layers":
                    o["output"] = False
                if kind == "LinearLeaky":
                    o["out"] = self.count(3, 12)
                    o["bias"] = self.chance(0.7)
            case "SConv2dLSTM":
                o["out"] = self.count(1, 4)
                o["kernel_size"] = self.some(1, 3, 3)
                o["bias"] = self.chance(0.7)
                o |= self.some({}, {}, {"max_pool": 2}, {"avg_pool": 2})
                if "avg_pool" in o and min(self.axes[now][1:]) < 2:
                    raise UnfitError("too small a map")
            case "SLSTM":
                o["bias"] = self.chance(0.7)
        if kind in ("SLSTM", "SConv2dLSTM"):
            o["threshold"] = self.some(0.125, 0.25, Spread("one", 0.1, 0.4))
            if isinstance(o.get("grade"), Spread) and o["grade"].each == "neuron":
                o["grade"] = 0.5
        if kind in ("RLeaky", "RSynaptic"):
            if "recurrence" not in o:
                ways = ["one", {1: "linear", 2: "one", 3: "conv"}[len(self.axes[now])]]
                o["recurrence"] = self.some(*ways)
            if o["recurrence"] == "conv":
                o["kernel_size"] = self.some(1, 3, 3, (1, 3))
            if o["recurrence"] == "one":
                o["V"] = self.some(0.5, 1.0, -0.5, Spread("neuron", 0.1, 0.8),
                                   Spread("channel", 0.1, 0.8))  # fmt: skip
                o["learn_recurrent"] = self.chance(0.5)
        return self.add(kind, (now,), o)


# Fitting thresholds, so that neurons spike.


def fit(spec: Spec) -> tuple[Spec, int]:
    """The network with thresholds at which its neurons spike, and how many layers stay silent.

    Every node runs over the recording by itself; what a loop hands back counts as 0.
    """
    specs.build(spec)  # raises what does not fit as a whole
    nodes = list(spec.nodes)
    values: list[torch.Tensor] = [torch.tensor(frames(spec))[:, None]]
    silent = 0
    with torch.no_grad():
        for number, node in enumerate(spec.nodes, 1):
            if node.kind == "previous":
                axes = spec.node(node.inputs[0]).options["axes"]
                values.append(torch.zeros(spec.steps, 1, *axes))
                continue
            given = [values[i] for i in node.inputs]
            result, rate = _ran(node, given, spec)
            for _ in range(10):
                if rate is None or LOWEST <= rate <= HIGHEST:
                    break
                old = node.options.get("threshold_factor", 1.0)
                factor = old / 2 if rate < LOWEST else old * 2
                node = dataclasses.replace(
                    node, options={**node.options, "threshold_factor": factor}
                )
                result, rate = _ran(node, given, spec)
            silent += rate == 0.0
            nodes[number - 1] = node
            values.append(result)
    return dataclasses.replace(spec, nodes=tuple(nodes)), silent


def _ran(node: Node, given: list[torch.Tensor], spec: Spec) -> tuple[torch.Tensor, float | None]:
    """What a node makes of ``[T, 1, ...]`` each, and neurons' rate of spikes."""
    match node.kind:
        case "add":
            return given[0] + given[1], None
        case "sub":
            return given[0] - given[1], None
        case "scale":
            return given[0] * node.options["by"], None
        case "concat":
            return torch.cat(given, dim=2), None
    axes = tuple(given[0].shape[2:])
    if node.kind not in specs.NEURONS:
        module = specs.layer(node, axes, spec)
        parts = [
            (module[t] if isinstance(module, torch.nn.ModuleList) else module)(each)
            for t, each in enumerate(given[0])
        ]
        return torch.stack(parts), None
    hidden = dataclasses.replace(spec, style="step")
    neurons = specs._neurons(node, axes, hidden)[0].eval()
    if node.kind in specs.SEQUENCE:
        result = neurons(given[0])
        if not node.options.get("output", True):
            return result, None
        result = result[0] if isinstance(result, tuple) else result
    else:
        steps = [neurons(each) for each in given[0]]
        result = torch.stack([each[0] if isinstance(each, tuple) else each for each in steps])
    most = 1 / result[0].numel() if node.options.get("inhibition") else 1.0
    return result, float((result != 0).float().mean()) / max(most, 1e-9) * (1 if most == 1 else 0.5)
