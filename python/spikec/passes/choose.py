# SPDX-License-Identifier: Apache-2.0
"""Chooses, layer by layer, between the event-driven and the dense kernel of Conv2d and Linear.

Both give the same bits. The event-driven one costs in proportion to what is active, the dense one
always the same, so from some share of active inputs on the dense one is cheaper. What each costs is
estimated in instructions of a Cortex-M7: counts that follow from the layer's shape and from which
inputs are active, times the instructions that each of them takes.

The instructions are measured: ``bazel run //tests/passes:choose_fit`` builds a table of layers for
the emulated Cortex-M7, counts, fits and prints ``COSTS`` anew. Do so after changing a kernel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.ir.operations import Choice
from spikec.ir.taps import Field, fields, spans, tap_step
from spikec.semantics import reference

Layer: TypeAlias = ir.Conv2d | ir.Linear
Terms: TypeAlias = Mapping[str, float]
Reads: TypeAlias = Literal["list", "gathered list", "array"]
"""What a layer reads: a list of spikes or events that its event-driven kernel scatters, one that
it gathers output by output, or an array."""

BLOCK = 8
"""Output channels that the dense kernel sums at a time; the last ones are 4, 2 and 1."""

COSTS: dict[str, float] = {
    "bias: four values, 16 channels": 10.06,
    "bias: four values, 8 channels": 8.58,
    "bias: four values, many channels": 13.32,
    "bias: one value, 16 channels": 1.32,
    "bias: one value, 8 channels": 2.34,
    "bias: one value, many channels": 1.69,
    "bias: position, 16 channels": 11.35,
    "bias: position, 8 channels": 1.54,
    "bias: position, many channels": 22.71,
    "gather: four channels of a summand": 4.9,
    "gather: four channels of an output": 2.81,
    "gather: layer": 242.81,
    "gather: output": 64.4,
    "gather: position": 5.82,
    "gather: row of a column": 0.0,
    "gather: spike": 1.75,
    "gather: spike of a column": 0.0,
    "gather: summand": 7.38,
    "dense: bias": 1.82,
    "dense: instruction of the inner loop": 1.0,
    "dense: kernel row": 13.84,
    "dense: layer": 57.38,
    "dense: row of one": 17.78,
    "dense: row of two": 8.86,
    "dense: tile of one": 0.0,
    "dense: tile of two": 27.68,
    "scatter: eight weights": 13.32,
    "scatter: four weights": 11.1,
    "scatter: input, convolution": 50.13,
    "scatter: input, linear": 1.14,
    "scatter: layer, convolution": 38.13,
    "scatter: layer, linear": 11.18,
    "scatter: one weight": 9.04,
    "scatter: one weight of a tap": 1.55,
    "scatter: row cut short": 1.33,
    "scatter: row of taps": 6.12,
    "scatter: tap": 6.16,
    "scatter: value looked at": 6.92,
    "expand: active input": 6.44,
    "expand: four inputs": 6.96,
}
"""Instructions of a Cortex-M7 each count below takes."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """What is asked for: "auto", "event" or "dense", and for "auto" what is active, if known.

    ``active`` holds for every Conv2d and Linear, by name, how many of its inputs at each position
    are not zero in a step, on average: ``[H, W]``.
    """

    mode: str
    active: Mapping[str, ir.Floats] | None = None

    def choose(self, layer: Layer, before: ir.Shape, reads: Reads) -> Choice:
        """The kernel of a layer whose input has the shape ``before``."""
        if self.mode != "auto":
            return Choice(self.mode == "dense", "asked for")
        if self.active is None:
            return Choice(False, "no calibration")
        active = self.active[layer.name]
        event = instructions(event_terms(layer, before, active, reads))
        dense = instructions(dense_terms(layer, before, float(active.sum()), reads))
        share = float(active.sum()) / before.size
        return Choice(
            dense < event,
            f"about {event:,.0f} instructions event-driven, {dense:,.0f} dense, at {share:.2%} of "
            "inputs active",
        )


AUTO = Kernels("auto")


def calibrate(network: ir.Network, recordings: Sequence[ir.Floats]) -> Kernels:
    """What is active in ``recordings``, each ``[T, H, W, C]`` in memory order, as ``Kernels``.

    Raises:
        SpikecError: there is no time step in them.
    """
    steps = sum(len(frames) for frames in recordings)
    if steps == 0:
        raise SpikecError("the calibration holds no time step; give recordings that are not empty.")
    layers = [layer for layer in network.layers if isinstance(layer, ir.Conv2d | ir.Linear)]
    active: dict[str, ir.Floats] = {}
    for frames in recordings:
        if not len(frames):
            continue
        values = reference.run(network, frames).values
        for layer in layers:
            count = np.count_nonzero(values[layer.inputs[0]], axis=(0, 3)) / steps
            active[layer.name] = active.get(layer.name, np.float32(0.0)) + count.astype(np.float32)
    return Kernels("auto", active)


def crossover(layer: Layer, before: ir.Shape, reads: Reads) -> float | None:
    """The share of active inputs, evenly scatter, from which on the dense kernel is cheaper.

    None: it never is.
    """

    def difference(share: float) -> float:
        active = np.full((before.height, before.width), share * before.channels, np.float32)
        event = instructions(event_terms(layer, before, active, reads))
        return event - instructions(dense_terms(layer, before, share * before.size, reads))

    at_none, at_all = difference(0.0), difference(1.0)  # and a line in between
    if at_none >= 0.0:
        return 0.0
    return None if at_all <= 0.0 else at_none / (at_none - at_all)


def instructions(terms: Terms) -> float:
    """What counts of things to do take of a Cortex-M7."""
    return sum(COSTS[name] * count for name, count in terms.items())


def event_terms(layer: Layer, before: ir.Shape, active: ir.Floats, reads: Reads) -> Terms:
    """What the event-driven kernel does in a step with ``active [H, W]`` inputs not zero."""
    if reads == "gathered list":
        assert isinstance(layer, ir.Conv2d), "a linear layer scatters"
        return _gather_terms(layer, before, active)
    inputs = float(active.sum())
    terms = _bias_terms(layer)
    if reads == "array":
        terms["scatter: value looked at"] = float(before.size)
    if isinstance(layer, ir.Linear):
        terms["scatter: layer, linear"] = 1.0
        terms["scatter: input, linear"] = inputs
        return terms | _runs(layer.shape.channels, inputs)
    group_out = layer.shape.channels // layer.groups
    kernel_width = layer.weight.shape[1]
    whole_row = tap_step(layer.stride[1], layer.dilation[1]) == 1 and layer.groups == 1
    rows, cols = spans(layer, 0, before.height), spans(layer, 1, before.width)
    tap_rows = np.array([span.taps for span in rows], np.float64) @ active  # [W]
    terms["scatter: layer, convolution"] = 1.0
    terms["scatter: input, convolution"] = inputs
    terms["scatter: row of taps"] = float(tap_rows.sum())
    for span, count in zip(cols, tap_rows.tolist(), strict=True):
        if whole_row:
            if span.taps != kernel_width:
                terms["scatter: row cut short"] = terms.get("scatter: row cut short", 0.0) + count
            found = _runs(span.taps * group_out, count)
        else:
            found = _runs(group_out, count * span.taps, " of a tap")
            terms["scatter: tap"] = terms.get("scatter: tap", 0.0) + count * span.taps
        for name, more in found.items():
            terms[name] = terms.get(name, 0.0) + more
    return terms


def _runs(length: int, count: float, kind: str = "") -> dict[str, float]:
    """``count`` runs of weights of one length; ``kind`` tells runs apart whose ends differ."""
    return {
        "scatter: eight weights": count * (length // 8),
        "scatter: four weights": count * (length % 8 // 4),
        f"scatter: one weight{kind}": count * (length % 4),
    }


def _gather_terms(conv: ir.Conv2d, before: ir.Shape, active: ir.Floats) -> dict[str, float]:
    outputs = float(conv.shape.height * conv.shape.width)
    row_taps, column_taps = (
        np.array([span.taps for span in spans(conv, axis, size)], np.float64)
        for axis, size in ((0, before.height), (1, before.width))
    )
    summands = float(row_taps @ active @ column_taps)
    return {
        "gather: layer": 1.0,
        "gather: spike": float(active.sum()),
        "gather: position": float(before.height * before.width),
        "gather: row of a column": float(before.height * conv.shape.width),
        "gather: spike of a column": float((active @ column_taps).sum()),
        "gather: output": outputs,
        "gather: four channels of an output": outputs * (conv.shape.channels // 4),
        "gather: summand": summands,
        "gather: four channels of a summand": summands * (conv.shape.channels // 4),
    }


def _bias_terms(layer: Layer) -> dict[str, float]:
    """Every output starts from its bias; what that takes depends on how compilers copy."""
    shape = layer.shape
    which = "8" if shape.channels <= 8 else "16" if shape.channels <= 16 else "many"
    positions = float(shape.height * shape.width)
    return {
        f"bias: position, {which} channels": positions,
        f"bias: four values, {which} channels": positions * (shape.channels // 4),
        f"bias: one value, {which} channels": positions * (shape.channels % 4),
    }


def dense_terms(layer: Layer, before: ir.Shape, active: float, reads: Reads) -> Terms:
    """What the dense kernel does in a step, with a list of ``active`` inputs made dense for it."""
    terms = {"dense: layer": 1.0}
    if reads != "array":
        terms |= {"expand: four inputs": before.size / 4, "expand: active input": active}

    def add(name: str, count: float) -> None:
        terms[name] = terms.get(name, 0.0) + count

    gathered = DenseWindows.of(layer, before)
    whole = range(*gathered.whole)
    cut = [field for x, field in enumerate(gathered.cols) if x not in whole]
    tiles = [(1, field.taps) for field in cut] + [(1, gathered.kernel[1])] * (len(whole) % 2)
    tiles += [(2, gathered.kernel[1])] * (len(whole) // 2)
    for channels in gathered.blocks:
        for outputs, taps in tiles:
            which = f"of {'one' if outputs == 1 else 'two'}"
            for field in gathered.rows:
                calls, rows, length = 1, field.taps, taps * gathered.group_in
                if not gathered.runs_on:
                    calls, rows, length = field.taps, taps, gathered.group_in
                    add("dense: kernel row", gathered.groups * calls)
                add(f"dense: tile {which}", gathered.groups)
                add("dense: bias", gathered.groups * outputs * channels)
                add(f"dense: row {which}", gathered.groups * calls * rows)
                add(
                    "dense: instruction of the inner loop",
                    gathered.groups * calls * rows * _inner(outputs, channels, length),
                )
    return terms


def _inner(outputs: int, channels: int, length: int) -> int:
    """Instructions of ``cc/arch/spk_dot_f32_cortex_m7.h`` for a row of ``length`` values."""
    value = 1 + outputs * channels  # one load of weights, then products and sums
    at_a_time = 8 // outputs
    whole, rest = divmod(length, at_a_time)
    return whole * (outputs + at_a_time * value + 2) + rest * (outputs + value + 2)


def blocks(channels: int) -> list[int]:
    """The blocks of output channels of one group that the dense kernel sums at a time."""
    return [BLOCK] * (channels // BLOCK) + [size for size in (4, 2, 1) if channels & size]


@dataclasses.dataclass(frozen=True, slots=True)
class DenseWindows:
    """A Conv2d or a Linear as the dense kernel sees it: a convolution, of one position or more.

    ``weight`` is ``[ky, kx, ic, oc]``; ``rows`` and ``cols`` are the receptive fields of every
    output row and column, those of the columns from ``whole[0]`` to before ``whole[1]`` whole.
    """

    before: ir.Shape
    shape: ir.Shape
    weight: ir.Weights
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    rows: tuple[Field, ...]
    cols: tuple[Field, ...]
    whole: tuple[int, int]

    @classmethod
    def of(cls, layer: Layer, before: ir.Shape) -> DenseWindows:
        """The layer that reads ``before``."""
        if isinstance(layer, ir.Linear):
            inputs, outputs = layer.weight.shape
            one = (Field(0, 0, 1),)
            return cls(
                ir.Shape(1, 1, inputs, True), ir.Shape(1, 1, outputs, True),
                layer.weight.reshape(1, 1, inputs, outputs), (1, 1), (1, 1), 1, one, one, (0, 1),
            )  # fmt: skip
        rows, cols = fields(layer, 0, before.height), fields(layer, 1, before.width)
        whole = [x for x, field in enumerate(cols) if field.taps == layer.weight.shape[1]]
        return cls(
            before, layer.shape, layer.weight, layer.stride, layer.dilation, layer.groups,
            tuple(rows), tuple(cols), (whole[0], whole[-1] + 1) if whole else (0, 0),
        )  # fmt: skip

    @property
    def kernel(self) -> tuple[int, int]:
        """Taps, down and across."""
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def group_in(self) -> int:
        """Input channels of one group."""
        return int(self.weight.shape[2])

    @property
    def blocks(self) -> list[int]:
        """The blocks of one group's output channels."""
        return blocks(self.shape.channels // self.groups)

    @property
    def runs_on(self) -> bool:
        """Whether a row of taps, all their channels, is one run of neighbouring values."""
        return self.dilation[1] == 1 and self.groups == 1
