# SPDX-License-Identifier: Apache-2.0
"""Network files: what comes back, what is refused, and the command without torch."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

import spikec
from benchmarks.seed_networks import SEED_NETWORKS, seed_network
from models.nmnist.net import INPUT_SHAPE, net
from spikec.backend.c.tables import float_literal, float_literals
from spikec.cli import main as cli
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.ir.network_file import Saved
from spikec.model import Model
from spikec.recordings.events import Recording, write_nmnist
from spikec.recordings.shared import shared_folder
from spikec.semantics import reference
from tests import networks

CHECKPOINT = Path(__file__).parents[2] / "models/nmnist/nmnist.pt"
NET = "models.nmnist.net:net"


def network_of(*layers: nn.Module, shape: tuple[int, ...] = (2, 9, 8)) -> ir.Network:
    torch.manual_seed(0)
    return import_network(nn.Sequential(*layers).eval(), shape, "some.pt")


def neurons(**options: Any) -> snntorch.Leaky:
    return networks.leaky(**options)


def every_layer() -> ir.Network:
    """A network with a layer of every kind that a file holds."""
    return network_of(
        nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3, padding="same", groups=2), nn.MaxPool2d(2),
        neurons(graded_spikes_factor=0.5), nn.AvgPool2d(2, 1, 1), nn.Flatten(),
        nn.Linear(100, 6),
        neurons(beta=torch.rand(6), threshold=torch.rand(6) + 0.5, reset_mechanism="zero"),
    )  # fmt: skip


def every_graph() -> ir.Network:
    """A network with a layer of every kind that a chain of modules does not have.

    ``rsynaptic1`` hears its own spikes of the step before; its input comes by two ways.
    """
    rng = np.random.default_rng(0)

    def some(*shape: int, over: float = 1.0) -> ir.Floats:
        return (rng.uniform(0.25, 1.0, shape) / over).astype(np.float32)

    flat, wide = ir.Shape(1, 1, 6, flat=True), ir.Shape(1, 1, 12, flat=True)
    line = ir.Shape(1, 3, 4, flat=False, line=True)
    one, none = np.ones((1, 1, 1), np.float32), np.zeros(6, np.float32)
    loop = ir.Previous("previous1", "rec", ("rsynaptic1",), flat)
    cell = ir.Cell(
        "rsynaptic1", "rec", ("linear1", "linear2"), flat, "snntorch.RSynaptic",
        (("current",), ("recurrent",)),
        (
            ir.Parameter("alpha", some(1, 1, 6)), ir.Parameter("beta", some(1, 1, 1)),
            ir.Parameter("threshold", one), ir.Parameter("zero", 0 * one),
            ir.Parameter("levels", np.linspace(-4, 4, 9, dtype=np.float32)),
        ),
        (ir.State("mem", "kept"), ir.State("syn", "syn_next")),
        (
            ir.Step("reset", "greater", ("mem", "threshold")),
            ir.Step("syn_decayed", "mul", ("alpha", "syn")),
            ir.Step("syn_driven", "add", ("syn_decayed", "current")),
            ir.Step("syn_next", "add", ("syn_driven", "recurrent")),
            ir.Step("decayed", "mul", ("beta", "mem")),
            ir.Step("driven", "add", ("decayed", "syn_next")),
            ir.Step("off", "select", ("reset", "threshold", "zero")),
            ir.Step("full", "sub", ("driven", "off")),
            ir.Step("kept", "nearest", ("full", "levels")),
            ir.Step("spike", "greater", ("kept", "threshold")),
        ),
        "spike", None, None, one, None,
    )  # fmt: skip
    relu = ir.Cell(
        "relu1", "relu", ("concat1",), wide, "torch.relu", (("current",),),
        (ir.Parameter("zero", 0 * one),), (),
        (ir.Step("value", "maximum", ("current", "zero")),),
        None, None, "value", one, None,
    )  # fmt: skip
    return ir.Network(
        wide,
        (
            ir.AffineTT("norm1", "bntt", ("input",), wide, some(20, 1, 1, 12), some(20, 1, 1, 12)),
            loop,
            ir.Linear("linear1", "fc", ("norm1",), flat, some(12, 6, over=8), some(6, over=8)),
            ir.Linear("linear2", "rec", ("previous1",), flat, some(6, 6, over=8), none),
            cell,
            ir.Concat("concat1", "cat", ("rsynaptic1", "linear1"), wide),
            relu,
            ir.Unflatten("unflatten1", "view", ("relu1",), line),
            ir.Flatten("flatten1", "flatten", ("unflatten1",), dataclasses.replace(
                line, flat=True, line=False)),
            ir.Linear("linear3", "out", ("flatten1",), flat, some(12, 6, over=4), none),
            ir.Leaky("leaky1", "lif", ("linear3",), flat, one, one, one, "zero", True),
        ),
        "graph.pt",
        "0" * 64,
    )  # fmt: skip


def assert_equal(ours: object, theirs: object) -> None:
    """Equal, array bits and all."""
    assert type(ours) is type(theirs)
    if isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.tobytes() == theirs.tobytes()
    elif isinstance(ours, tuple) and isinstance(theirs, tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    elif dataclasses.is_dataclass(ours):
        for field in dataclasses.fields(ours):
            assert_equal(getattr(ours, field.name), getattr(theirs, field.name))
    else:
        assert ours == theirs


def assert_comes_back(path: Path, network: ir.Network, steps: int | None = None) -> None:
    """The same network, and the same C to the last byte; written twice, the same file."""
    assert network_file.write(path, Saved(network, steps)) == path.stat().st_size
    read = network_file.read(path)
    assert_equal(read, Saved(network, steps))
    files = Model.of(read.network, "net", "f32").files()
    assert files == Model.of(network, "net", "f32").files()
    first = path.read_bytes()
    network_file.write(path, read)
    assert path.read_bytes() == first


def test_a_network_with_every_layer_comes_back(tmp_path: Path) -> None:
    kinds = set(typing.get_args(ir.Layer))
    found = set()
    for network in (every_layer(), every_graph()):
        found |= {type(layer) for layer in network.layers}
        assert_comes_back(tmp_path / "net.spikec", network, steps=30)
    assert found == kinds - {ir.IntegerLeaky}


@pytest.mark.parametrize("most", [1, 255, 32767])
def test_a_declared_range_of_inputs_comes_back(tmp_path: Path, most: int) -> None:
    network = dataclasses.replace(every_layer(), input_max=most)
    path = tmp_path / "net.spikec"
    assert_comes_back(path, network)
    assert network_file.read(path).network.input_max == most
    content = parts(path.read_bytes())[1]
    assert content["network"]["input_max"] == most
    model = Model.of(network_file.read(path).network, "net", "f32")
    assert f"for inputs from 0 to {most}" in " ".join(
        model.files()["net.h"].split("\n//          ")
    )


def test_a_file_bounds_the_range_that_a_network_is_compiled_for() -> None:
    """What was removed from it was proven for that range alone."""
    network = dataclasses.replace(
        network_of(nn.Flatten(), nn.Linear(144, 3), neurons(beta=0.5)), input_max=15
    )
    read = network_file.decode(network_file.encode(Saved(network, None))).network
    for numbers in ("f32", "int8"):
        assert Model.of(read, "net", numbers).network.input_max == 15
        assert Model.of(read, "net", numbers, input_max=7).network.input_max == 7
        with pytest.raises(spikec.SpikecError, match="input_max=16 is more than the 15 that the"):
            Model.of(read, "net", numbers, input_max=16)


def test_a_network_in_whole_numbers_is_not_written(tmp_path: Path) -> None:
    network = network_of(nn.Flatten(), nn.Linear(144, 3), neurons(beta=0.5))
    whole = Model.of(network, "net", "int8").network
    with pytest.raises(spikec.SpikecError, match="of a network in integers, which no file"):
        network_file.write(tmp_path / "net.spikec", Saved(whole, None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(25))
def test_a_random_network_comes_back(tmp_path: Path, seed: int) -> None:
    prepared = networks.prepare(networks.random_case(seed), seed)
    network = import_network(prepared.net, prepared.recordings[0].shape[1:], "random.pt")
    assert_comes_back(tmp_path / "net.spikec", network)


@pytest.mark.parametrize("name", SEED_NETWORKS)
def test_the_seed_networks_come_back(tmp_path: Path, name: str) -> None:
    folder = shared_folder("data", "seed")
    if folder is None:
        pytest.skip("the shared folder data/seed is not here")
    network = import_network(seed_network(folder, name), SEED_NETWORKS[name][2], f"{name}.json")
    assert_comes_back(tmp_path / "net.spikec", network)


def test_the_file_is_laid_out_as_its_module_says(tmp_path: Path) -> None:
    network = network_of(nn.Flatten(), nn.Linear(144, 3), neurons(beta=0.5))
    path = tmp_path / "net.spikec"
    network_file.write(path, Saved(network, None))
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    assert size % 8 == 0
    header = json.loads(data[8 : 8 + size])
    assert header["__metadata__"]["spikec"] == "3"
    layer = network.layers[1]
    assert isinstance(layer, ir.Linear)
    entry = header["linear1.weight"]
    assert (entry["dtype"], entry["shape"]) == ("F32", [144, 3])
    start, stop = entry["data_offsets"]
    block = np.frombuffer(data[8 + size :][start:stop], "<f4")
    np.testing.assert_array_equal(block, layer.weight.ravel())


# What is refused. Each row changes the header or the network inside it.


def parts(data: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The header, what its metadata says of the network, and the arrays."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    return header, json.loads(header["__metadata__"]["network"]), data[8 + size :]


def packed(header: dict[str, Any], content: object, arrays: bytes) -> bytes:
    header["__metadata__"]["network"] = json.dumps(content, separators=(",", ":"))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + arrays


def refused(path: Path, *said: str) -> None:
    with pytest.raises(spikec.SpikecError) as caught:
        network_file.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert message.endswith(".")
    for part in said:
        assert part in message


def layer(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The fields of a layer in the JSON of a network."""
    found = [next(iter(entry.values())) for entry in content["network"]["layers"]]
    return next(fields for fields in found if fields["name"] == name)


def rename_kind(header: dict[str, Any], content: dict[str, Any]) -> None:
    entry = content["network"]["layers"][0]
    entry["Transformer"] = entry.pop("Affine")


DAMAGE: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], object], str]] = {
    "old version": (lambda h, c: h["__metadata__"].update(spikec="1"), "version '1', and this is"),
    "new version": (lambda h, c: h["__metadata__"].update(spikec="4"), "version '4', and this is"),
    "version type": (lambda h, c: h["__metadata__"].update(spikec=1), "tensors, but no network"),
    "no metadata": (lambda h, c: h["__metadata__"].pop("spikec"), "tensors, but no network"),
    "missing array": (lambda h, c: h.pop("conv1.bias"), "'leaky1.beta' is not where"),
    "lost array": (lambda h, c: h.pop("leaky2.grade"), "more follows its last array"),
    "extra array": (
        lambda h, c: h.update(x={"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}),
        "'x' is not where or as large",
    ),
    "float16": (lambda h, c: h["conv1.bias"].update(dtype="F16"), "'conv1.bias' is not described"),
    "shape": (lambda h, c: h["conv1.bias"].update(shape=[5]), "'conv1.bias' is not where"),
    "other shape": (lambda h, c: h["conv1.bias"].update(shape=[2, 2]), "its bias is (2, 2) where"),
    "huge shape": (lambda h, c: h["conv1.bias"].update(shape=[1 << 60]), "'conv1.bias' is not"),
    "no side": (lambda h, c: h["conv1.bias"].update(shape=[4, 0]), "'conv1.bias' is not"),
    "offsets": (
        lambda h, c: h["conv1.bias"].update(data_offsets=[0, 16]), "'conv1.bias' is not where"
    ),
    "offsets that are no integers": (
        lambda h, c: h["conv1.bias"].update(
            data_offsets=[float(at) for at in h["conv1.bias"]["data_offsets"]]
        ),
        "'conv1.bias' is not described",
    ),
    "more fields": (lambda h, c: h["conv1.bias"].update(x=1), "other bytes"),
    "no steps": (lambda h, c: c.pop("steps"), "does not hold steps"),
    "steps": (lambda h, c: c.update(steps=0), "steps is no number"),
    "true steps": (lambda h, c: c.update(steps=True), "steps is no number"),
    "no layers": (lambda h, c: c["network"].update(layers=[]), "belongs to no layer"),
    "unknown layer": (rename_kind, "unknown kind, 'Transformer'"),
    "two kinds": (lambda h, c: c["network"]["layers"][0].update(Leaky={}), "is no layer"),
    "unknown field": (lambda h, c: layer(c, "conv1").update(bits=8), "not the fields of a Conv2d"),
    "missing field": (lambda h, c: layer(c, "conv1").pop("groups"), "not the fields of a Conv2d"),
    "text for a number": (lambda h, c: layer(c, "conv1").update(groups="2"), "conv1.groups is no"),
    "true for a number": (lambda h, c: layer(c, "conv1").update(groups=True), "conv1.groups is no"),
    "endless number": (lambda h, c: layer(c, "conv1").update(groups=1 << 40), "conv1.groups is no"),
    "one of two": (lambda h, c: layer(c, "conv1").update(stride=[1]), "conv1.stride is no list"),
    "reset": (lambda h, c: layer(c, "leaky1").update(reset="half"), "leaky1.reset is none of"),
    "reset list": (lambda h, c: layer(c, "leaky1").update(reset=[]), "leaky1.reset is none of"),
    "name": (lambda h, c: layer(c, "conv1").update(name="a;b\x1b[2J"), "it lacks the array"),
    "array's name": (lambda h, c: layer(c, "conv1").update(bias="conv1.weight"), "it lacks the"),
    "no range": (lambda h, c: c["network"].pop("input_max"), "the network has not the fields of"),
    "range 0": (lambda h, c: c["network"].update(input_max=0), "is not within 1 and 32,767"),
    "range below": (lambda h, c: c["network"].update(input_max=-1), "is not within 1 and 32,767"),
    "range above": (lambda h, c: c["network"].update(input_max=32768), "not within 1 and 32,767"),
    "endless range": (lambda h, c: c["network"].update(input_max=1 << 40), "input_max is no int"),
    "range in text": (lambda h, c: c["network"].update(input_max="255"), "input_max is no int"),
    "true range": (lambda h, c: c["network"].update(input_max=True), "input_max is no int"),
    "broken range": (lambda h, c: c["network"].update(input_max=1.5), "input_max is no int"),
    "sha256": (lambda h, c: c["network"].update(sha256="*/"), "sha256 is not 64"),
    "source": (lambda h, c: c["network"].update(source="a\nb"), "characters that cannot be"),
    "long source": (lambda h, c: c["network"].update(source="a" * 1001), "too long"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_header_is_refused(tmp_path: Path, what: str) -> None:
    header, content, arrays = parts(network_file.encode(Saved(every_layer(), 5)))
    change, said = DAMAGE[what]
    change(header, content)
    path = tmp_path / "net.spikec"
    path.write_bytes(packed(header, content, arrays))
    refused(path, said, "write it again with `spikec save`")


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.spikec"
    good = network_file.encode(Saved(every_layer(), 5))
    deep = b"[" * 100_000
    for data, said in (
        (b"", "does not begin as one"),
        (b"PK\x03\x04 a zip", "does not begin as one"),
        (b"\xff" * 100, "does not begin as one"),
        (good[:-1], "it is truncated"),
        (good[:100], "it is truncated"),
        (good + b"\0", "more follows its last array"),
        (good[:8] + b" " + good[9:], "does not begin as one"),
        (good[:9] + b"\xff" + good[10:], "its header is damaged"),
        ((8 + len(deep)).to_bytes(8, "little") + b'{"a":   ' + deep, "its header is damaged"),
    ):
        path.write_bytes(data)
        refused(path, said)
    path.write_bytes(good)
    os.truncate(path, 1 << 31)  # sparse: takes no room
    refused(path, "is no file of at most 1,073,741,824 bytes")
    refused(tmp_path / "none.spikec", "there is no such file")
    refused(tmp_path, "is no file of at most")
    with pytest.raises(spikec.SpikecError, match="cannot be read"):
        network_file.read(Path("a\0b.spikec"))


def test_whatever_byte_changes_a_file_is_sound_or_refused(tmp_path: Path) -> None:
    good = network_file.encode(Saved(every_layer(), 5))
    start = 8 + int.from_bytes(good[:8], "little")
    path = tmp_path / "net.spikec"
    rng = np.random.default_rng(3)
    through = 0
    for at in rng.integers(0, len(good), 3000):
        data = bytearray(good)
        data[at] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        try:
            read = network_file.read(path)
        except spikec.SpikecError:
            continue
        # Another weight, or in the header another number of steps, letter of a source or digit
        # of the digest: a network that could have been saved.
        assert network_file.encode(read) == data
        through += at < start
    assert through < 100
    for kept in range(0, len(good), 7):
        path.write_bytes(good[:kept])
        refused(path)


def changed(network: ir.Network, which: str, fields: dict[str, Any]) -> ir.Network:
    """The network with other fields in one layer; an array's is a function of the array."""
    layers = []
    for each in network.layers:
        if each.name == which:
            given = {k: v(getattr(each, k)) if callable(v) else v for k, v in fields.items()}
            each = dataclasses.replace(each, **given)
        layers.append(each)
    return dataclasses.replace(network, layers=tuple(layers))


def put(value: float) -> Callable[[ir.Floats], ir.Floats]:
    """A copy of an array whose first number is ``value``."""

    def change(values: ir.Floats) -> ir.Floats:
        copy = values.copy()
        copy.flat[0] = value
        return copy

    return change


def cut(values: ir.Floats) -> ir.Floats:
    return values[:-1]


def test_a_shift_of_each_neuron_is_not_folded_into_a_convolution() -> None:
    """As no torch module makes it, but a network file may."""
    sound = network_of(nn.Conv2d(2, 4, 3), nn.AvgPool2d(2), neurons(), nn.BatchNorm2d(4), neurons())
    conv, *_, norm, last = sound.layers
    assert isinstance(norm, ir.Affine)
    shape = conv.shape
    shift = np.linspace(-1, 1, shape.size, dtype=np.float32)
    norm = dataclasses.replace(
        norm, inputs=(conv.name,), shape=shape, scale=np.ones((1, 1, 1), np.float32),
        shift=shift.reshape(shape.height, shape.width, shape.channels),
    )  # fmt: skip
    network = dataclasses.replace(
        sound, layers=(conv, norm, dataclasses.replace(last, shape=shape, inputs=(norm.name,)))
    )
    model = Model.of(network_file.decode(network_file.encode(Saved(network, None))).network, "net",
                     "f32")  # fmt: skip
    frames = np.random.default_rng(0).poisson(0.4, (5, *network.input.axes)).astype(np.float32)
    expected = reference.run(model.network, network.input.to_memory(frames)).spikes[last.name]
    found = model.build().trace(frames)[last.source]
    assert expected.any() and np.array_equal(found, shape.to_axes(expected))


UNSOUND: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("conv1", {"weight": put(np.nan)}, "its weight holds NaN"),
    ("conv1", {"weight": put(np.inf)}, "its weight holds NaN or infinity"),
    ("conv1", {"weight": lambda w: w[..., :1]}, "its weight is (3, 3, 1, 1) where"),
    ("conv1", {"bias": cut}, "its bias is (3,) where"),
    ("conv1", {"bias": put(-0.0)}, "its bias holds -0.0"),
    ("conv1", {"groups": 3}, "3 groups do not divide"),
    ("conv1", {"groups": 0}, "0 groups do not divide"),
    ("conv1", {"groups": 1}, "its weight is (3, 3, 1, 4) where (3, 3, 2, 4)"),
    ("conv1", {"stride": (0, 1)}, "is not within"),
    ("conv1", {"stride": (1 << 30, 1)}, "is not within"),
    ("conv1", {"stride": (2, 1)}, "larger than its input"),
    ("conv1", {"padding": (-1, 0)}, "is not within"),
    ("conv1", {"shape": ir.Shape(9, 8, 5, flat=False)}, "groups do not divide"),
    ("conv1", {"shape": ir.Shape(90, 8, 4, flat=False)}, "larger than its input"),
    ("conv1", {"shape": ir.Shape(1 << 16, 1 << 15, 4, flat=False)}, "empty or too large"),
    ("conv1", {"shape": ir.Shape(0, 8, 4, flat=False)}, "empty or too large"),
    ("conv1", {"shape": ir.Shape(9, 8, 4, flat=True)}, "a convolution cannot make"),
    ("conv1", {"name": "conv_1"}, "its name is not of its own"),
    ("conv1", {"name": "int"}, "its name is not of its own"),
    ("conv1", {"name": "norm1"}, "its name is not of its own"),
    ("conv1", {"inputs": ("conv2",)}, "reads 'conv2', which is no earlier layer"),
    ("conv1", {"inputs": ("input", "input")}, "reads 2 layers where it must read 1"),
    ("conv1", {"inputs": ()}, "reads 0 layers where it must read 1"),
    ("conv1", {"inputs": ("input",)}, "layer 'norm1': nothing reads it"),
    ("norm1", {"shift": put(-0.0)}, "its shift holds -0.0"),
    ("norm1", {"scale": lambda s: np.ones((1, 2, 1), np.float32)}, "its scale is (1, 2, 1)"),
    ("norm1", {"shape": ir.Shape(9, 8, 3, flat=False)}, "is not that of its input"),
    ("maxpool1", {"clipped": True}, "of clipped windows is not so"),
    ("maxpool1", {"kernel": (3, 3)}, "of clipped windows is not so"),
    ("maxpool1", {"stride": (9, 2), "clipped": True}, "reaches no input"),
    ("maxpool1", {"padding": (2, 0)}, "reaches no input"),
    ("maxpool1", {"dilation": (0, 1)}, "is not within"),
    ("maxpool1", {"shape": ir.Shape(4, 4, 5, flat=False)}, "a pooling cannot make"),
    ("avgpool1", {"divisors": cut}, "its divisors are not one for each window"),
    ("avgpool1", {"divisors": put(0)}, "its divisors are not one for each window"),
    ("avgpool1", {"kernel": (1 << 20, 2)}, "is not within"),
    ("flatten1", {"shape": ir.Shape(1, 1, 100, flat=True)}, "flattened"),
    ("linear1", {"weight": cut}, "its weight is (99, 6) where (100, 6)"),
    ("linear1", {"shape": ir.Shape(1, 2, 6, flat=True)}, "a linear layer cannot make"),
    ("leaky1", {"beta": put(1.5)}, "its beta is not within 0 and 1"),
    ("leaky1", {"grade": put(0)}, "its grade is 0 somewhere"),
    ("leaky1", {"threshold": lambda t: t[0, 0]}, "its threshold is (1,)"),
    ("leaky2", {"beta": lambda b: b[..., 1:]}, "its beta is (1, 1, 5)"),
    ("leaky2", {"shape": ir.Shape(1, 1, 7, flat=True)}, "is not that of its input"),
)


def program(which: str, **given: Any) -> Callable[[tuple[ir.Step, ...]], tuple[ir.Step, ...]]:
    """The program with some fields of the statement ``which`` changed."""

    def change(steps: tuple[ir.Step, ...]) -> tuple[ir.Step, ...]:
        return tuple(
            dataclasses.replace(step, **given) if step.name == which else step for step in steps
        )

    return change


UNSOUND_GRAPH: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("norm1", {"scale": lambda s: s[:5]}, "are not [T, y, x, c], of one shape"),
    ("norm1", {"scale": lambda s: s[..., 1:], "shift": lambda s: s[..., 1:]}, "(1, 1, 11)"),
    ("previous1", {"inputs": ("norm1",)}, "reads 'norm1', which is no later layer"),
    ("previous1", {"inputs": ("linear1",)}, "and 'linear2' reads it after that has run"),
    ("previous1", {"inputs": ("flatten1",)}, "which computes nothing"),
    ("previous1", {"inputs": ("nobody1",)}, "which is no later layer"),
    ("previous1", {"shape": ir.Shape(1, 1, 5, flat=True)}, "is not that of its input"),
    ("concat1", {"inputs": ("rsynaptic1",)}, "cannot be joined"),
    ("concat1", {"shape": ir.Shape(2, 3, 2, flat=True)}, "cannot be joined"),
    (
        "rsynaptic1",
        {"parameters": lambda p: (*p[:3], ir.Parameter("zero", p[3].values * np.nan), p[4])},
        "its zero holds NaN or infinity",
    ),
    ("unflatten1", {"shape": ir.Shape(1, 3, 5, flat=False, line=True)}, "it cannot make"),
    ("unflatten1", {"shape": ir.Shape(3, 1, 4, flat=False, line=True)}, "is a line and no line"),
    ("rsynaptic1", {"inputs": ("linear1",)}, "its currents are not those of its inputs"),
    ("rsynaptic1", {"currents": (("current",), ("a", "b"))}, "its input 6 is not 12"),
    ("rsynaptic1", {"currents": (("current",), ("mem",))}, "'mem' is no name of its own"),
    ("rsynaptic1", {"currents": (("current",), ("int x",))}, "'int x' is no name of its own"),
    ("rsynaptic1", {"kind": "a\nb"}, "its kind is too long"),
    ("rsynaptic1", {"program": program("full", arguments=("driven",))}, "full is sub of number"),
    ("rsynaptic1", {"program": program("full", op="decay")}, "decay is of integers only"),
    ("rsynaptic1", {"program": program("off", op="maximum")}, "off is maximum of flag"),
    ("rsynaptic1", {"program": program("decayed", arguments=("beta", "full"))}, "mul of number, n"),
    ("rsynaptic1", {"program": program("spike", arguments=("kept", "mem"))}, "no potential"[3:]),
    ("rsynaptic1", {"program": program("kept", op="greater")}, "its levels is (9,)"),
    ("rsynaptic1", {"fires": "nothing"}, "its spike is no statement"),
    ("rsynaptic1", {"fires": None}, "it hands on either spikes or a value"),
    ("rsynaptic1", {"value": "kept"}, "it hands on either spikes or a value"),
    ("rsynaptic1", {"winner": "spike"}, "does not come before the spike"),
    ("rsynaptic1", {"states": ()}, "its reset is greater of nothing, number"),
    ("rsynaptic1", {"states": (ir.State("mem", "spike"), ir.State("syn", "syn_next"))}, "is no nu"),
    ("rsynaptic1", {"grade": put(0)}, "its grade is 0 somewhere"),
    ("rsynaptic1", {"unit": np.ones((1, 1, 1), np.float32)}, "of a network in integers"),
    ("relu1", {"winner": "value"}, "it has a winner, but never fires"),
    ("relu1", {"value": "zero2"}, "is no number of its program"),
)


ROWS = [
    *((every_layer, *row) for row in UNSOUND),
    *((every_graph, *row) for row in UNSOUND_GRAPH),
]


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_a_network_whose_layers_do_not_fit_is_neither_read_nor_written(
    tmp_path: Path, row: int
) -> None:
    build, which, fields, said = ROWS[row]
    bad = Saved(changed(build(), which, fields), None)
    path = tmp_path / "net.spikec"
    path.write_bytes(network_file.encode(bad))
    refused(path, said)
    path.unlink()
    with pytest.raises(spikec.SpikecError, match="this network cannot be saved"):
        network_file.write(path, bad)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_does_not_end_in_spikes_is_refused(tmp_path: Path) -> None:
    whole = every_layer()
    for kept, said in (
        (whole.layers[:3], "no spiking layer"),
        (whole.layers[:-1], "layer 'linear1': stands after the last spiking layer"),
    ):
        with pytest.raises(spikec.SpikecError, match=said):
            network_file.write(
                tmp_path / "net.spikec", Saved(dataclasses.replace(whole, layers=kept), None)
            )


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    saved = Saved(every_layer(), None)
    for path, said in (
        (tmp_path / "net.npz", "ends in .spikec"),
        (tmp_path / "none" / "net.spikec", "cannot be written"),
        (tmp_path / ("a" * 300 + ".spikec"), "cannot be written"),
        (tmp_path / "a\0b.spikec", "cannot be written"),
    ):
        with pytest.raises(spikec.SpikecError, match=said):
            network_file.write(path, saved)
    (tmp_path / "net.spikec").mkdir()
    with pytest.raises(spikec.SpikecError, match="cannot be written"):
        network_file.write(tmp_path / "net.spikec", saved)
    assert [path.name for path in tmp_path.iterdir()] == ["net.spikec"]


# The command.


def saved_nmnist(capsys: pytest.CaptureFixture[str]) -> None:
    """Writes nmnist.spikec from the checkpoint of models/nmnist."""
    arguments = [str(CHECKPOINT), "--net", NET, "--input", "2,34,34", "--out", "nmnist.spikec"]
    assert cli.main(["save", *arguments]) == 0
    size = Path("nmnist.spikec").stat().st_size
    assert f"written to nmnist.spikec, {size:,} bytes\n" in capsys.readouterr().out


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BUILD_WORKING_DIRECTORY", raising=False)
    return tmp_path


WITHOUT_TORCH = """
import sys
from spikec.cli import main as cli
status = cli.main(sys.argv[1:])
found = {"torch", "snntorch", "nir"} & set(sys.modules)
sys.exit(f"imported {sorted(found)}" if found else status)
"""


@pytest.mark.usefixtures("folder")
def test_compile_reads_it_without_torch_and_writes_the_same_bytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    saved_nmnist(capsys)
    compile_ = ["compile", "--name", "nmnist", "--quiet", "--out"]
    given = [str(CHECKPOINT), "--net", NET, "--input", "2,34,34"]
    assert cli.main([*compile_, "theirs", *given]) == 0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for verb in ([*compile_, "ours"], ["check"]):
        command = [sys.executable, "-c", WITHOUT_TORCH, *verb, "nmnist.spikec"]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")
    theirs = {path.name: path.read_bytes() for path in Path("theirs").iterdir()}
    assert {path.name: path.read_bytes() for path in Path("ours").iterdir()} == theirs
    assert set(theirs) == {"nmnist.h", "nmnist.c", "README.md", "CMakeLists.txt"}


@pytest.mark.usefixtures("folder")
def test_run_reads_it_and_takes_the_steps_of_its_module(capsys: pytest.CaptureFixture[str]) -> None:
    saved_nmnist(capsys)
    n = 3000
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 34, (2, n)).astype(np.int16)
    time = np.sort(rng.integers(0, 300_000, n))
    write_nmnist("0.bin", Recording(x, y, rng.integers(0, 2, n).astype(np.uint8), time, 34, 34))
    shown = []
    for given in (["nmnist.spikec"], [str(CHECKPOINT), "--net", NET, "--input", "2,34,34"]):
        assert cli.main(["run", *given, "--json", "--events", "0.bin"]) == 0
        (result,) = json.loads(capsys.readouterr().out)
        del result["us_per_step"]
        shown.append(result)
    assert shown[0] == shown[1]
    assert shown[0]["steps"] == 20  # models/nmnist/net.py's
    assert sum(shown[0]["counts"]) > 0


@pytest.mark.usefixtures("folder")
def test_what_contradicts_the_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    saved_nmnist(capsys)
    check = ["check", "nmnist.spikec"]
    assert cli.main([*check, "--input", "2,34,34"]) == 0
    capsys.readouterr()
    for more, said in (
        (["--input", "2,10,10"], "--input 2,10,10: nmnist.spikec takes 2,34,34"),
        (["--net", "a:b"], "--net a:b: nmnist.spikec holds the whole network"),
    ):
        assert cli.main([*check, *more]) == 1
        assert said in capsys.readouterr().err
    Path("flat.spikec").write_bytes(
        network_file.encode(Saved(network_of(nn.Linear(4, 2), neurons(), shape=(4,)), None))
    )
    assert cli.main(["run", "flat.spikec", "--events", "0.bin"]) == 1
    assert "flat.spikec: its input 4: recordings have two polarities" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_save_refuses_another_name_and_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["save", str(CHECKPOINT), "--net", NET, "--input", "2,34,34", "--out"]
    assert cli.main([*given, "nmnist.pt"]) == 1
    assert "nmnist.pt: a network file's name ends in .spikec" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_bazel_compiles_a_network_file_to_the_same_bytes() -> None:
    if "FROM_FILE" not in os.environ:
        pytest.skip("not run by Bazel, which compiles the file")
    theirs, ours = (
        {path.name: path.read_bytes() for path in map(Path, os.environ[name].split())}
        for name in ("FROM_CHECKPOINT", "FROM_FILE")
    )
    levels = {"nmnist_v3.c", "nmnist_v4.c"}
    assert set(ours) == {"nmnist.h", "nmnist.c", "nmnist_model.h", "nmnist_model.c"} | levels
    assert ours == theirs


def test_the_nmnist_network_comes_back(tmp_path: Path) -> None:
    network = import_network(net().eval(), INPUT_SHAPE, "nmnist.pt")
    assert_comes_back(tmp_path / "net.spikec", network, steps=20)


# Floats in the generated C.


def test_many_floats_print_as_one_does() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 100_000, dtype=np.uint32)
    small = rng.integers(0, 1 << 23, 10_000, dtype=np.uint32)  # subnormal
    edges = np.array(
        [0, 1, 0x7FFFFF, 0x800000, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x7F7FFFFF], np.uint32
    )
    words = np.concatenate([bits, small, small | 1 << 31, edges, edges | 1 << 31])
    values = words.astype(np.uint32).view(np.float32)
    values = values[np.isfinite(values)]
    assert float_literals(values) == [float_literal(value) for value in values]
    assert float_literals(np.zeros(0, np.float32)) == []
    grid = np.arange(6, dtype=np.float32).reshape(2, 3).T  # not contiguous
    assert float_literals(grid) == [float_literal(value) for value in grid.ravel()]
