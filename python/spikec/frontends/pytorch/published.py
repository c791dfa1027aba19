# SPDX-License-Identifier: Apache-2.0
"""Reads networks in the published runtime's JSON: an architecture and its weights. Imports torch.

They were trained in snnTorch with ``Leaky`` as it is by default, and that is how they are read.
``semantics="published"`` is the runtime's own rule instead, for comparison. It is another one: a
neuron fires where ``v >= threshold``, with the default threshold 1, which is subtracted at once::

    v = beta * v + I;  spike = v >= threshold;  v = v - threshold * spike

The architecture is ``{"layers": [{"type": ..., ...}, ...]}``; the weights are nested lists by the
names of a torch ``state_dict``: ``{"0.weight": ..., "0.bias": ...}``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import snntorch
import torch
from torch import nn

from spikec.errors import SpikecError
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir.program import Program

Semantics: TypeAlias = Literal["snntorch", "published"]
"""Whose ``Leaky`` it is."""


def read_published(
    architecture: Path, weights: Path, input_shape: tuple[int, ...],
    semantics: Semantics = "snntorch",
) -> ir.Network:  # fmt: skip
    """Reads a network for inputs of ``input_shape``, ``(C, H, W)`` or ``(N,)``.

    Its source names both files, its digest is that of the one and then the other.

    Raises:
        SpikecError: the files cannot be read, do not fit each other, or the network cannot be
            compiled.
    """
    net = published_module(architecture, weights)
    digest = hashlib.sha256(architecture.read_bytes() + weights.read_bytes()).hexdigest()
    source = f"{architecture.name} with {weights.name}"
    network = import_network(net, input_shape, source, digest)
    if semantics == "snntorch":
        return network
    layers = tuple(
        _published(layer) if isinstance(layer, ir.Leaky) else layer for layer in network.layers
    )
    return dataclasses.replace(network, layers=layers)


def published_module(architecture: Path, weights: Path) -> nn.Sequential:
    """The snnTorch network that the files hold, in eval mode.

    Raises:
        SpikecError: the files cannot be read or do not fit each other.
    """
    described = _json(architecture, "an architecture")
    layers = described.get("layers")
    if not isinstance(layers, list) or not layers:
        raise SpikecError(
            f"{architecture}: has no list of layers; an architecture is "
            '{"layers": [{"type": "Conv2d", ...}, ...]}.'
        )
    given = _json(weights, "weights")
    unused = set(given)
    modules = []
    for number, fields in enumerate(layers):
        where = f"{architecture}: layer {number}"
        if not isinstance(fields, dict):
            raise SpikecError(f"{where}: is {_short(fields)} where an object is needed.")
        kind = fields.get("type")
        if not isinstance(kind, str) or kind not in _READERS:
            raise SpikecError(
                f"{where}: is of type {_short(kind)}; supported are {', '.join(_READERS)}."
            )
        layer = _Layer(f"{where} ({kind})", fields, number, weights, given, unused)
        modules.append(_READERS[kind](layer))
        layer.finish()
    if unused:
        raise SpikecError(
            f"{weights}: holds {', '.join(sorted(unused)[:5])}, which no layer of {architecture} "
            "has; give the weights of this architecture."
        )
    return nn.Sequential(*modules).eval()


def _json(path: Path, what: str) -> dict[str, Any]:
    """The object in a JSON file."""

    def refuse(constant: str) -> float:
        raise ValueError(f"it holds {constant}, which is no number")

    try:
        read = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except OSError as error:
        raise SpikecError(
            f"{path}: {what} cannot be read ({error.strerror or error}); name a JSON file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SpikecError(f"{path}: {what} cannot be read as JSON ({error}).") from error
    if not isinstance(read, dict):
        raise SpikecError(f"{path}: holds {_short(read)} where {what}, an object, is needed.")
    return read


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 40 else f"{text[:37]}..."


@dataclasses.dataclass(slots=True)
class _Layer:
    """One layer's fields, of which each is to be asked for, and its weights."""

    where: str
    fields: dict[str, Any]
    number: int
    weights: Path
    given: Mapping[str, Any]
    unused: set[str]
    known: set[str] = dataclasses.field(default_factory=lambda: {"type"})

    def integer(self, name: str) -> int:
        """An integer of at least 1."""
        value = self._field(name)
        if type(value) is not int or value < 1:
            raise self._wrong(name, "an integer of at least 1")
        return value

    def pair(self, name: str, default: int | None = None, least: int = 1) -> tuple[int, int]:
        """Two integers, or one that stands for both."""
        value = self._field(name, default)
        both = value if isinstance(value, list) else [value, value]
        if len(both) != 2 or any(type(each) is not int or each < least for each in both):
            raise self._wrong(name, f"one or two integers of at least {least}")
        return both[0], both[1]

    def number_within(self, name: str, low: float, high: float, default: float | None) -> float:
        """A number from ``low`` to ``high``."""
        value = self._field(name, default)
        if type(value) not in (int, float) or not low <= value <= high:
            raise self._wrong(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._field(name, default)
        if type(value) is not bool:
            raise self._wrong(name, "true or false")
        return value

    def only(self, name: str, *supported: object) -> None:
        """A field that may be left out, or be one of those that mean what is built anyway."""
        value = self._field(name, supported[0])
        if value not in supported:
            raise self._wrong(name, " or ".join(map(json.dumps, supported)))

    def ignored(self, name: str) -> None:
        """A field that changes nothing once a network is trained."""
        self.known.add(name)

    def finish(self) -> None:
        """Refuses what nobody asked for, since it may change what the layer computes."""
        for name in self.fields:
            if name not in self.known:
                raise SpikecError(
                    f"{self.where}: has a field {_short(name)}, which is not supported; supported "
                    f"are {', '.join(sorted(self.known))}."
                )

    def load(self, make: Callable[[bool], nn.Module], shape: tuple[int, ...]) -> nn.Module:
        """The layer that ``make`` makes, with or without a bias, with its weights."""
        weight = self._tensor("weight", shape)
        biased = f"{self.number}.bias" in self.given
        state = {"weight": weight}
        if biased:
            state["bias"] = self._tensor("bias", shape[:1])
        module = make(biased)  # not before its sizes are known to be those of a file
        module.load_state_dict(state)
        return module

    def _tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        full = f"{self.number}.{name}"
        if full not in self.given:
            raise SpikecError(
                f"{self.weights}: has no {full!r}, which {self.where} needs; give the weights of "
                "this architecture."
            )
        self.unused.discard(full)
        try:
            values = np.array(self.given[full])
        except ValueError:  # lists of unequal lengths
            values = np.array(None)
        if values.dtype.kind not in "fi":
            raise SpikecError(f"{self.weights}: {full!r} is no array of numbers.")
        if values.shape != shape:
            raise SpikecError(
                f"{self.weights}: {full!r} has the shape {values.shape} where {self.where} needs "
                f"{shape}; give the weights of this architecture."
            )
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise SpikecError(f"{self.weights}: {full!r} holds numbers that do not fit float32.")
        return torch.from_numpy(values)

    def _field(self, name: str, default: object = None) -> Any:
        self.known.add(name)
        value = self.fields.get(name, default)
        if value is None:
            raise SpikecError(f"{self.where}: has no {name!r}, which this type of layer needs.")
        return value

    def _wrong(self, name: str, wanted: str) -> SpikecError:
        return SpikecError(
            f"{self.where}: its {name!r} is {_short(self.fields[name])} where {wanted} is needed."
        )


def _conv2d(layer: _Layer) -> nn.Module:
    inputs, outputs = layer.integer("in_channels"), layer.integer("out_channels")
    kernel, stride = layer.pair("kernel_size"), layer.pair("stride", 1)
    padding = layer.pair("padding", 0, least=0)
    return layer.load(
        lambda bias: nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias),
        (outputs, inputs, *kernel),
    )


def _linear(layer: _Layer) -> nn.Module:
    inputs, outputs = layer.integer("in_features"), layer.integer("out_features")
    return layer.load(lambda bias: nn.Linear(inputs, outputs, bias=bias), (outputs, inputs))


def _max_pool2d(layer: _Layer) -> nn.Module:
    kernel = layer.pair("kernel_size")
    stride = layer.pair("stride") if "stride" in layer.fields else kernel
    return nn.MaxPool2d(kernel, stride)


def _flatten(layer: _Layer) -> nn.Module:
    return nn.Flatten()


def _spiking(layer: _Layer) -> nn.Module:
    beta = layer.number_within("beta", 0.0, 1.0, None)
    threshold = layer.number_within("threshold", 0.0, math.inf, 1.0)
    layer.only("neuron_type", "Leaky")
    layer.only("init_hidden", True)
    layer.ignored("spike_grad")
    output = layer.flag("output", default=False)
    leaky: nn.Module = snntorch.Leaky(beta, threshold, init_hidden=True, output=output)
    return leaky


_READERS: dict[str, Callable[[_Layer], nn.Module]] = {
    "Conv2d": _conv2d,
    "Linear": _linear,
    "MaxPool2d": _max_pool2d,
    "Flatten": _flatten,
    "SpikingLayer": _spiking,
}
"""The reader of every type of layer."""


def _published(leaky: ir.Leaky) -> ir.Cell:
    """The published runtime's neurons in the place of snnTorch's."""
    p = Program()
    threshold = p.parameter("threshold", leaky.threshold)
    decayed = p.parameter("beta", leaky.beta) * p.state("mem")
    potential = p.let("potential", decayed + p.current("current"))
    spike = p.let("spike", p.step("at_least", potential, threshold))
    after = potential - p.where(spike, threshold)
    return p.cell(leaky, "published SpikingLayer", states={"mem": after}, fires=spike)
