# SPDX-License-Identifier: Apache-2.0
"""Takes channels and taps out of a network, which leaves a smaller one, and finds what may go.

A *segment* is a convolution or linear layer and what follows it up to the next one: poolings,
neurons, batch norms, flattening. All of them have the same channels (a linear layer's neurons are
its channels), and only the next segment's weights read them, so a channel goes as a whole: a column
of its own weights, its neurons' parameters, and its rows of the next weights.

What is found here is exact: no spike of a neuron that stays changes, ever.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.semantics import bounds

Reason: TypeAlias = Literal[
    "proven silent", "unreachable", "silent on calibration", "rarely active", "redundant"
]
Kept: TypeAlias = Mapping[str, npt.NDArray[np.int64]]
"""The channels that stay, ascending, by the name of the segment's convolution or linear layer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """``weights`` and ``layers``, itself and all up to ``reader``, the next one with weights.

    ``fixed`` says why none of its channels may go; empty when they may.
    """

    weights: ir.Conv2d | ir.Linear
    layers: tuple[ir.Layer, ...]
    reader: ir.Conv2d | ir.Linear | None
    fixed: str

    @property
    def name(self) -> str:
        """What it is called in ``Kept``."""
        return self.weights.name

    @property
    def spiking(self) -> ir.Leaky | None:
        """Its first spiking layer."""
        return next((layer for layer in self.layers if isinstance(layer, ir.Leaky)), None)


@dataclasses.dataclass(frozen=True, slots=True)
class Removal:
    """One channel that went, and why.

    ``layer`` and ``torch`` name the spiking layer it was of, or the layer with weights where there
    is none; ``channel`` counts in the original network; ``neurons`` are how many went with it.
    ``bound`` is the highest its membrane can get and ``threshold`` that neuron's, where it is
    proven silent; ``rate`` its spikes a neuron and step on calibration recordings; ``error`` the
    share of the next layer's currents that the others could not make up for.
    """

    layer: str
    torch: str
    channel: int
    neurons: int
    reason: Reason
    bound: float | None = None
    threshold: float | None = None
    rate: float | None = None
    error: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """A smaller network, which channels of the original are in it, what went, what could not."""

    network: ir.Network
    kept: Kept
    removed: tuple[Removal, ...]
    notes: tuple[str, ...]


def segments(network: ir.Network) -> tuple[Segment, ...]:
    """The segments of ``network``, first to last; what reads the input itself is in none.

    Raises:
        SpikecError: its layers are no chain, or there are other neurons than ``Leaky`` among them.
    """
    before = ir.INPUT
    for layer in network.layers:
        if isinstance(layer, _NOT_YET) or layer.inputs != (before,):
            raise SpikecError(
                f"layer {layer.name} (torch {layer.source!r}): pruning takes chains of layers with "
                "snntorch.Leaky neurons (without inhibition or state_quant) so far, and this is "
                "something else; compile the network as it is."
            )
        before = layer.name
    starts = [i for i, layer in enumerate(network.layers) if isinstance(layer, _WEIGHTS)]
    found = []
    for start, stop in zip(starts, [*starts[1:], len(network.layers)], strict=True):
        layers = network.layers[start:stop]
        weights, reader = layers[0], network.layers[stop] if stop < len(network.layers) else None
        assert isinstance(weights, _WEIGHTS) and (reader is None or isinstance(reader, _WEIGHTS))
        fixed = ""
        if reader is None:
            fixed = "its channels are the classes"
        for conv in (weights, reader):
            if isinstance(conv, ir.Conv2d) and conv.groups > 1:
                fixed = f"{conv.name} has {conv.groups} groups, which must stay equal"
        found.append(Segment(weights, layers, reader, fixed))
    return tuple(found)


def everything(network: ir.Network) -> dict[str, npt.NDArray[np.int64]]:
    """``Kept`` of a network from which nothing went."""
    return {part.name: np.arange(part.weights.shape.channels) for part in segments(network)}


def keep(network: ir.Network, kept: Kept) -> ir.Network:
    """``network`` with only the channels ``kept``, its axes numbered anew.

    Every channel of a segment that ``kept`` does not name stays.
    """
    layers: list[ir.Layer] = []
    own = np.arange(network.input.channels)  # of the value that the next layer reads
    changed: ir.Layer
    for layer in network.layers:
        match layer:
            case ir.Conv2d() | ir.Linear():
                before = network.shape_of(layer.inputs[0])
                new = np.asarray(kept.get(layer.name, np.arange(layer.shape.channels)))
                changed = _sliced(layer, before, own, new)
                own = new
            case ir.MaxPool2d() | ir.AvgPool2d() | ir.Flatten():
                changed = layer
            case ir.Affine():
                changed = dataclasses.replace(
                    layer,
                    scale=_channels(layer.scale, layer.shape, own),
                    shift=_channels(layer.shift, layer.shape, own),
                )
            case ir.Leaky():
                changed = dataclasses.replace(
                    layer,
                    beta=_channels(layer.beta, layer.shape, own),
                    threshold=_channels(layer.threshold, layer.shape, own),
                    grade=_channels(layer.grade, layer.shape, own),
                )
            case ir.IntegerLeaky():
                raise TypeError("pruning comes before quantizing")
            case ir.AffineTT() | ir.Unflatten() | ir.Concat() | ir.Previous() | ir.Cell():
                raise TypeError("segments() refuses it")
            case _:
                assert_never(layer)
        shape = dataclasses.replace(layer.shape, channels=len(own))
        layers.append(dataclasses.replace(changed, shape=shape))
    return dataclasses.replace(network, layers=tuple(layers))


def trim(network: ir.Network, name: str, axis: int) -> ir.Network:
    """``network`` without the last row (axis 0) or column (1) of taps of a convolution's kernel.

    Its map keeps its size.
    """
    layers = tuple(
        dataclasses.replace(layer, weight=np.delete(layer.weight, -1, axis))
        if isinstance(layer, ir.Conv2d) and layer.name == name
        else layer
        for layer in network.layers
    )
    return dataclasses.replace(network, layers=layers)


def prune(network: ir.Network) -> Pruned:
    """Removes what is proven silent for inputs 0 to ``input_max``, and what nothing reads.

    ``network`` has its batch norms folded already: what is bounded is what runs.
    """
    kept = everything(network)
    removed: list[Removal] = []
    while True:
        now = keep(network, kept)
        found = _removable(now)
        if not found:
            return Pruned(now, kept, tuple(removed), _notes(now))
        for part, gone in found:
            removed += [
                dataclasses.replace(one, channel=int(kept[part.name][one.channel])) for one in gone
            ]
            kept[part.name] = np.delete(kept[part.name], [one.channel for one in gone])


def removal(part: Segment, channel: int, reason: Reason, **figures: float | None) -> Removal:
    """One channel of a segment, as the report has it."""
    layer = part.spiking or part.weights
    neurons = layer.shape.height * layer.shape.width if part.spiking else 0
    return Removal(layer.name, layer.source, channel, neurons, reason, **figures)


_WEIGHTS = (ir.Conv2d, ir.Linear)
_NOT_YET = (ir.AffineTT, ir.Unflatten, ir.Concat, ir.Previous, ir.Cell)


def _removable(network: ir.Network) -> list[tuple[Segment, list[Removal]]]:
    """The channels that may go at once, by segment; at least one of each segment stays."""
    limits = bounds.of(network)
    found = []
    for part in segments(network):
        if part.fixed:
            continue
        assert part.reader is not None, "the last segment is fixed"
        unread = ~np.any(_rows(part.reader, part.weights.shape.channels), axis=(0, 2))
        zero = _zero(part, limits)
        gone = []
        for channel in np.flatnonzero(unread | zero).tolist():
            if not zero[channel]:
                gone.append(removal(part, channel, "unreachable"))
                continue
            bound, threshold = _closest(part, limits, channel)
            gone.append(
                removal(part, channel, "proven silent", bound=bound, threshold=threshold)
            )  # fmt: skip
        if len(gone) == part.weights.shape.channels:
            del gone[0]
        if gone:
            found.append((part, gone))
    return found


def _zero(part: Segment, limits: bounds.Bounds) -> npt.NDArray[np.bool_]:
    """Which channels of a segment never hand on anything but 0."""
    zero = np.zeros(part.weights.shape.channels, np.bool_)
    for layer in part.layers:
        if isinstance(layer, ir.Leaky):
            zero = _silent(layer, limits)
        if isinstance(layer, ir.Affine):
            zero = zero & np.all(layer.shift == 0, axis=(0, 1))
    return zero


def _silent(leaky: ir.Leaky, limits: bounds.Bounds) -> npt.NDArray[np.bool_]:
    """Which channels of a layer can never fire."""
    silent: npt.NDArray[np.bool_] = limits.membranes[leaky.name].high <= leaky.threshold
    return np.asarray(silent.all(axis=(0, 1)))


def _closest(
    part: Segment, limits: bounds.Bounds, channel: int
) -> tuple[float, float] | tuple[None, None]:
    """The membrane's upper bound and the threshold of the channel's neuron nearest to firing."""
    leaky = part.spiking
    if leaky is None:
        return None, None
    high = limits.membranes[leaky.name].high[..., channel]
    threshold = np.broadcast_to(leaky.threshold, limits.membranes[leaky.name].high.shape)
    at = int(np.argmax(high - threshold[..., channel]))
    return float(high.flat[at]), float(threshold[..., channel].flat[at])


def _notes(network: ir.Network) -> tuple[str, ...]:
    """What stays although it never fires, and why."""
    limits = bounds.of(network)
    notes = []
    for part in segments(network):
        leaky = part.spiking
        if leaky is None:
            continue
        quiet = _silent(leaky, limits)
        if not quiet.any():
            continue
        why = part.fixed
        if not why and part.weights.shape.channels > 1:
            why = "a batch norm or a neuron behind it turns silence into a number"
        notes.append(
            f"{leaky.name}: channel(s) {listed(np.flatnonzero(quiet).tolist())} (as numbered now) "
            f"are proven silent and stay: {why or 'a layer needs at least one channel'}."
        )
    return tuple(notes)


def listed(channels: Sequence[int]) -> str:
    """Numbers as text, neighbours as a range: ``0, 4-7``."""
    runs: list[list[int]] = []
    for channel in sorted(channels):
        if runs and runs[-1][-1] == channel - 1:
            runs[-1].append(channel)
        else:
            runs.append([channel])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _sliced(
    layer: ir.Conv2d | ir.Linear,
    before: ir.Shape,
    inputs: npt.NDArray[np.int64],
    outputs: npt.NDArray[np.int64],
) -> ir.Conv2d | ir.Linear:
    """A layer that reads only channels ``inputs`` of ``before`` and makes only ``outputs``."""
    weight = np.asarray(layer.weight, np.float32)
    if len(inputs) < before.channels:
        rows = _rows(layer, before.channels)[:, inputs]
        inner = (*weight.shape[:2], len(inputs)) if isinstance(layer, ir.Conv2d) else (-1,)
        weight = rows.reshape(*inner, rows.shape[-1])
    weight = np.ascontiguousarray(weight[..., outputs])
    return dataclasses.replace(layer, weight=weight, bias=layer.bias[outputs])


def _rows(layer: ir.Conv2d | ir.Linear, channels: int) -> ir.Floats:
    """A layer's weights as ``[taps or positions, channels in, channels out]``; without groups."""
    weight = np.asarray(layer.weight, np.float32)
    return weight.reshape(-1, channels, weight.shape[-1])


def _channels(values: ir.Floats, shape: ir.Shape, kept: npt.NDArray[np.int64]) -> ir.Floats:
    """A neuron's or batch norm's parameter for the channels that stay."""
    if values.shape[2] == 1 and shape.channels > 1:
        return values
    return np.ascontiguousarray(values[..., kept])
