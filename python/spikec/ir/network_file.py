# SPDX-License-Identifier: Apache-2.0
"""Spikec's own network file, NAME.spikec: a whole network in one file, read without torch.

The file is in the safetensors format: 8 bytes, the header's length (uint64, little-endian); a JSON
header padded by spaces to a multiple of 8; then the arrays, float32, little-endian, in C order and
one after the other. The header names each array's ``dtype``, ``shape`` and ``data_offsets``, and
its ``__metadata__`` has two strings: ``spikec``, the version of this format, and ``network``, JSON
that follows the classes of ``ir.py`` field by field; a field that is an array names it. The same
network gives the same bytes, and a file with any other bytes is refused.
"""

from __future__ import annotations

import dataclasses
import json
import math
import stat
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spikec.errors import SpikecError
from spikec.files import write_whole
from spikec.ir import network as ir
from spikec.ir import soundness

SUFFIX = ".spikec"
_VERSION = "3"
_LARGEST_HEADER = 1 << 24  # bytes
_LARGEST_FILE = 1 << 30  # bytes
_LARGEST_NUMBER = (1 << 31) - 1


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What a file holds: a network, and the time steps its module bins a recording into, if any."""

    network: ir.Network
    steps: int | None


class _FaultError(Exception):
    """Carries what is wrong with a file from where it is found to where the file is named."""


def write(path: Path, saved: Saved) -> int:
    """Writes ``saved`` to ``path``, whole or not at all; returns the file's size in bytes.

    Raises:
        SpikecError: the place cannot be written, or no file can hold this network.
    """
    if path.suffix != SUFFIX:
        raise SpikecError(f"{path}: a network file's name ends in {SUFFIX}; name it so.")
    try:
        data = encode(saved)
        decode(data)
    except _FaultError as error:
        raise SpikecError(f"{path}: this network cannot be saved: {error}.") from error
    write_whole(path, data, "network file")
    return len(data)


def read(path: Path) -> Saved:
    """Reads a network file.

    Raises:
        SpikecError: it cannot be read, or is not what ``write`` writes.
    """
    try:
        found = path.stat()
        fits = stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST_FILE
        data = path.read_bytes() if fits else b""
    except FileNotFoundError as error:
        raise SpikecError(f"{path}: there is no such file; name a network file.") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise SpikecError(
            f"{path}: cannot be read ({getattr(error, 'strerror', error)}); name a network file."
        ) from error
    if not fits:
        raise SpikecError(
            f"{path}: is no file of at most {_LARGEST_FILE:,} bytes; name one that `spikec save` "
            "has written."
        )
    try:
        return decode(data)
    except _FaultError as error:
        raise SpikecError(
            f"{path}: is no network file that this spikec can read: {error}; write it again with "
            "`spikec save`."
        ) from error


def encode(saved: Saved) -> bytes:
    """The bytes of the file that holds ``saved``."""
    arrays: dict[str, ir.Floats] = {}
    content = {"steps": saved.steps, "network": _plain(saved.network, "", arrays)}
    metadata = {"spikec": _VERSION, "network": json.dumps(content, separators=(",", ":"))}
    header: dict[str, object] = {"__metadata__": metadata}
    blocks = []
    start = 0
    for name, values in arrays.items():
        block = np.ascontiguousarray(values, "<f4").tobytes()
        header[name] = {
            "dtype": "F32", "shape": values.shape, "data_offsets": (start, start + len(block)),
        }  # fmt: skip
        start += len(block)
        blocks.append(block)
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return b"".join((len(text).to_bytes(8, "little"), text, *blocks))


def decode(data: bytes) -> Saved:
    """Reverses ``encode``; what ``encode`` cannot have made is refused."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > _LARGEST_HEADER or data[8:9] != b"{":
        raise _FaultError("it does not begin as one")
    if len(data) < 8 + size:
        raise _FaultError("it is truncated")
    header = _json(data[8 : 8 + size])
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("spikec"), str):
        raise _FaultError("it holds tensors, but no network")
    if metadata["spikec"] != _VERSION:
        raise _FaultError(
            f"it is of version {metadata['spikec'][:20]!r}, and this is version {_VERSION!r}"
        )
    arrays = _arrays(header, memoryview(data)[8 + size :])
    content = _json(str(metadata.get("network")).encode("utf-8", "replace"))
    if set(content) != {"steps", "network"}:
        raise _FaultError("it does not hold steps and a network")
    steps = content["steps"]
    if steps is not None and (type(steps) is not int or not 0 < steps <= _LARGEST_NUMBER):
        raise _FaultError("steps is no number of steps")
    network: ir.Network = _typed(ir.Network, content["network"], "", arrays)
    if arrays:
        raise _FaultError(f"its array {next(iter(arrays))[:40]!r} belongs to no layer")
    saved = Saved(network, steps)
    found = soundness.fault(network)
    if found:
        raise _FaultError(found)
    if encode(saved) != data:
        raise _FaultError("it has other bytes than the file of its network")
    return saved


def _json(text: bytes) -> dict[str, Any]:
    """A JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _FaultError("its header is damaged") from error
    if not isinstance(value, dict):
        raise _FaultError("its header is damaged")
    return value


def _arrays(header: Mapping[str, Any], data: memoryview) -> dict[str, ir.Floats]:
    """The arrays by name; they must lie one after the other and fill ``data``."""
    arrays = {}
    end = 0
    for name, entry in header.items():
        match entry:
            case {"dtype": "F32", "shape": [*shape], "data_offsets": [int(start), int(stop)]}:
                sides = [side for side in shape if type(side) is int and side > 0]
            case _:
                raise _FaultError(f"its array {name[:40]!r} is not described as float32")
        if sides != shape or (start, stop) != (end, end + 4 * math.prod(sides)):
            raise _FaultError(f"its array {name[:40]!r} is not where or as large as it says")
        if stop > len(data):
            raise _FaultError("it is truncated")
        arrays[name] = np.frombuffer(data[start:stop], "<f4").astype(np.float32).reshape(sides)
        end = stop
    if end != len(data):
        raise _FaultError("more follows its last array")
    return arrays


def _plain(value: object, where: str, arrays: dict[str, ir.Floats]) -> object:
    """``value`` for JSON; its arrays go to ``arrays``. A layer becomes {its class: its fields}."""
    if isinstance(value, np.ndarray):
        arrays[where] = value
        return where
    if isinstance(value, tuple):
        return [_plain(item, f"{where}[{place}]", arrays) for place, item in enumerate(value)]
    if not dataclasses.is_dataclass(value):
        return value
    layer = isinstance(value, ir.Node)
    inside = value.name if isinstance(value, ir.Node) else where
    fields = {
        field.name: _plain(getattr(value, field.name), _joined(inside, field.name), arrays)
        for field in dataclasses.fields(value)
    }
    return {type(value).__name__: fields} if layer else fields


def _typed(hint: Any, value: object, where: str, arrays: dict[str, ir.Floats]) -> Any:
    """Reverses ``_plain`` for a value of the type ``hint``; takes arrays out of ``arrays``."""
    what = where or "the network"
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in (ir.Floats, ir.Weights, ir.Floats | ir.Integers):
        if value != where or where not in arrays:
            raise _FaultError(f"it lacks the array {where!r}")
        return arrays.pop(where)
    if hint in (str, int, bool):
        if type(value) is not hint or (isinstance(value, int) and abs(value) > _LARGEST_NUMBER):
            raise _FaultError(f"{what} is no {hint.__name__}, or one that is too large")
        return value
    if origin is Literal:
        if value not in parts:
            raise _FaultError(f"{what} is none of {', '.join(parts)}")
        return value
    if origin is tuple:
        if not isinstance(value, list) or (parts[-1] is not ... and len(value) != len(parts)):
            raise _FaultError(f"{what} is no list as it should be")
        hints = parts[:1] * len(value) if parts[-1] is ... else parts
        return tuple(
            _typed(hints[place], item, f"{where}[{place}]", arrays)
            for place, item in enumerate(value)
        )
    if origin is types.UnionType and type(None) in parts:
        (kept,) = (part for part in parts if part is not type(None))
        return None if value is None else _typed(kept, value, where, arrays)
    if hint == ir.Integers:
        raise _FaultError(f"{what} is of a network in integers, which no file holds")
    if origin is types.UnionType:  # layers
        kinds = {kind.__name__: kind for kind in parts}
        if not isinstance(value, dict) or len(value) != 1:
            raise _FaultError(f"{what} is no layer")
        name, fields = next(iter(value.items()))
        if name not in kinds:
            raise _FaultError(f"{what} is a layer of an unknown kind, {name[:40]!r}")
        called = fields.get("name") if isinstance(fields, dict) else None
        if isinstance(called, str) and called.isidentifier():  # nothing that upsets a terminal
            where = called
        return _typed(kinds[name], fields, where, arrays)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _fields(hint, value, where, arrays)
    raise TypeError(f"{what}: a network file cannot hold a {hint}; teach network_file.py to")


def _fields(hint: type, value: object, where: str, arrays: dict[str, ir.Floats]) -> Any:
    """A dataclass from an object that has its fields and no others."""
    hints = typing.get_type_hints(hint)
    if not isinstance(value, dict) or set(value) != set(hints):
        raise _FaultError(f"{where or 'the network'} has not the fields of a {hint.__name__}")
    return hint(
        **{
            name: _typed(part, value[name], _joined(where, name), arrays)
            for name, part in hints.items()
        }
    )


def _joined(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
