# SPDX-License-Identifier: Apache-2.0
"""What things are called in generated C: names that it may have, and layers in a few words."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterator
from typing import assert_never

import numpy as np

from spikec.backend.c.text import KEYWORDS, one_line
from spikec.errors import SpikecError
from spikec.ir import network as ir

_C_HEADERS = frozenset(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal "
    "stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath "
    "threads time uchar wchar wctype".split()
)  # a NAME.h of ours would be found in their place


def check_name(name: str) -> str:
    """Returns ``name`` if generated symbols can start with it.

    Raises:
        SpikecError: it is no C identifier, or one that C or the runtime keeps for itself.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise SpikecError(
            f"the name {name!r} is no C identifier, and generated symbols start with it; use "
            "letters, digits and underscores, and a letter first."
        )
    taken = name in KEYWORDS or name.lower() in _C_HEADERS
    ending = re.search(r"_(model|v[34])$", name)
    if ending:
        raise SpikecError(
            f"the name {name!r} ends in {ending[0]}, as one of the files generated for another "
            "network may; choose another one."
        )
    if taken or name.lower().startswith("spk"):
        raise SpikecError(
            f"the name {name!r} is kept by C or by spikec's runtime; choose another one."
        )
    return name


def describe_layer(layer: ir.Layer) -> str:
    """A layer in a few words."""
    match layer:
        case ir.Conv2d(weight=weight):
            return f"conv {weight.shape[3]}@{weight.shape[0]}x{weight.shape[1]}"
        case ir.Linear(weight=weight):
            return f"linear {weight.shape[1]}"
        case ir.MaxPool2d(kernel=kernel) | ir.AvgPool2d(kernel=kernel):
            kind = "maxpool" if isinstance(layer, ir.MaxPool2d) else "avgpool"
            return f"{kind} {kernel[0]}x{kernel[1]}"
        case ir.Affine() | ir.AffineTT():
            steps = f" of {len(layer.scale)} steps" if isinstance(layer, ir.AffineTT) else ""
            return f"batch norm{steps}"
        case ir.Unflatten():
            return f"unflatten {layer.shape}"
        case ir.Concat():
            return "concat"
        case ir.Previous():
            return "the step before"
        case ir.Cell(kind=kind, winner=winner):
            short = one_line(kind).rpartition(".")[2].lower()
            return short if winner is None else f"{short}, one wins"
        case ir.Flatten():
            return "flatten"
        case (
            ir.Leaky(reset=reset, reset_delay=delay)
            | ir.IntegerLeaky(reset=reset, reset_delay=delay)
        ):
            how = "" if reset == "subtract" else f" reset {reset}"
            return f"leaky{how}{'' if delay or reset == 'none' else ' at once'}"
        case _:
            assert_never(layer)


def describe_network(network: ir.Network) -> str:
    """The network on one line."""
    found = str(network.input)
    before = ir.INPUT
    for layer in network.layers:
        # In a chain every layer reads the one before; elsewhere it says what it reads.
        reads = "" if layer.inputs == (before,) else f" of {' and '.join(layer.inputs)}"
        found += f" -> {describe_layer(layer)}{reads}"
        before = layer.name
    return found


def digest_network(network: ir.Network) -> int:
    """32 bits that tell a compiled network from others, NAME_digest in C: layers and weights."""
    digest = hashlib.sha256(describe_network(network).encode())
    digest.update(f"{network.numbers} {network.input_max}".encode())
    for layer in network.layers:
        for value in _values_of(layer):
            digest.update(
                value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            )
    return int.from_bytes(digest.digest()[:4], "big")


def _values_of(held: object) -> Iterator[object]:
    """What a layer consists of, what it was called before apart."""
    if dataclasses.is_dataclass(held):
        for field in dataclasses.fields(held):
            if field.name != "source":
                yield from _values_of(getattr(held, field.name))
    elif isinstance(held, tuple):
        for each in held:
            yield from _values_of(each)
    else:
        yield held
