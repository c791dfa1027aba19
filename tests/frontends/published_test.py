# SPDX-License-Identifier: Apache-2.0
"""The published runtime's JSON: what it is read as, and every way in which it can be wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikec.cli import main as cli
from spikec.errors import SpikecError
from spikec.frontends.pytorch import execute
from spikec.frontends.pytorch.published import published_module, read_published
from spikec.ir import network as ir
from spikec.semantics import parity, reference

SHAPE = (2, 7, 7)
LAYERS: list[dict[str, Any]] = [
    {"type": "Conv2d", "in_channels": 2, "out_channels": 4, "kernel_size": [3, 2]},
    {"type": "MaxPool2d", "kernel_size": 2},
    {
        "type": "SpikingLayer", "beta": 0.5, "neuron_type": "Leaky", "spike_grad": "atan",
        "init_hidden": True, "output": False,
    },
    {"type": "Flatten"},
    {"type": "Linear", "in_features": 24, "out_features": 3},
    {"type": "SpikingLayer", "beta": 0.9, "output": True},
]  # fmt: skip
Weights = dict[str, Any]


def weights() -> Weights:
    rng = np.random.default_rng(0)
    shapes = {"0.weight": (4, 2, 3, 2), "0.bias": (4,), "4.weight": (3, 24)}
    return {name: rng.normal(0.2, 0.5, shape).tolist() for name, shape in shapes.items()}


def write(folder: Path, layers: object, values: object) -> tuple[Path, Path]:
    files = folder / "arch.json", folder / "weights.json"
    for file, content in zip(files, ({"layers": layers}, values), strict=True):
        file.write_text(json.dumps(content))
    return files


def frames() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(1).poisson(0.4, (40, *SHAPE)).astype(np.float32)


def test_a_network_spikes_as_its_snntorch_module_does(tmp_path: Path) -> None:
    files = write(tmp_path, LAYERS, weights())
    net = published_module(*files)
    assert [type(module).__name__ for module in net] == [
        "Conv2d", "MaxPool2d", "Leaky", "Flatten", "Linear", "Leaky",
    ]  # fmt: skip
    assert net[4].bias is None
    network = read_published(*files, SHAPE)
    theirs = execute.trace(net, frames())
    ours = execute.run_reference(network, frames())
    found = parity.compare(network, ours.spikes, theirs.spikes, theirs.potentials)
    assert found.holds, str(found)
    assert found.spikes > 50


def test_the_published_semantics_fire_at_the_threshold_and_subtract_at_once(
    tmp_path: Path,
) -> None:
    layers = [
        {"type": "Linear", "in_features": 2, "out_features": 2},
        {"type": "SpikingLayer", "beta": 0.5, "output": True},
    ]
    files = write(tmp_path, layers, {"0.weight": [[1.0, 0.25], [1.5, 0.5]], "0.bias": [0.0, 0.0]})
    given = np.array([[1, 0], [0, 1], [0, 1], [1, 0], [1, 1], [0, 0]], np.float32)
    network = read_published(*files, (2,), "published")
    v = np.zeros(2, np.float32)
    spikes = []
    for row in given:
        v = np.float32(0.5) * v + row @ np.array([[1.0, 1.5], [0.25, 0.5]], np.float32)
        spikes.append(v >= 1.0)
        v = v - spikes[-1]
    ours = reference.run(network, network.input.to_memory(given)).spikes["leaky1"]
    np.testing.assert_array_equal(ours.reshape(6, 2), spikes)
    plain = read_published(*files, (2,))
    other = reference.run(plain, plain.input.to_memory(given)).spikes["leaky1"]
    assert (ours != other).any(), "the two rules cannot be told apart here"
    assert isinstance(network.output, ir.Cell)


def test_the_source_and_the_digest_are_of_both_files(tmp_path: Path) -> None:
    files = write(tmp_path, LAYERS, weights())
    first = read_published(*files, SHAPE)
    assert first.source == "arch.json with weights.json"
    changed = weights()
    changed["0.bias"][0] += 1.0
    assert read_published(*write(tmp_path, LAYERS, changed), SHAPE).sha256 != first.sha256


def without(number: int, field: str) -> list[dict[str, Any]]:
    layers = copy.deepcopy(LAYERS)
    del layers[number][field]
    return layers


def having(number: int, field: str, value: object) -> list[dict[str, Any]]:
    layers = copy.deepcopy(LAYERS)
    layers[number][field] = value
    return layers


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        ([], ["has no list of layers"]),
        ("Conv2d", ["has no list of layers"]),
        (["Conv2d"], ["layer 0", '"Conv2d" where an object is needed']),
        ([{"kernel_size": 2}], ["layer 0", "is of type null", "supported are Conv2d"]),
        (having(3, "type", "LSTM"), ["layer 3", '"LSTM"', "supported are Conv2d"]),
        (having(3, "type", ["Flatten"]), ["layer 3", '["Flatten"]']),
        (without(0, "kernel_size"), ["layer 0 (Conv2d)", "has no 'kernel_size'"]),
        (
            having(0, "kernel_size", [3, 2, 1]),
            ["'kernel_size' is [3, 2, 1]", "one or two integers"],
        ),
        (having(0, "kernel_size", 2.5), ["'kernel_size' is 2.5"]),
        (having(0, "in_channels", True), ["'in_channels' is true", "an integer"]),
        (having(0, "in_channels", 10**9), ["'0.weight' has the shape (4, 2, 3, 2)", "1000000000"]),
        (having(0, "groups", 2), ["layer 0", 'a field "groups"', "supported are"]),
        (having(0, "stride", 0), ["'stride' is 0"]),
        (without(2, "beta"), ["layer 2 (SpikingLayer)", "has no 'beta'"]),
        (having(2, "beta", 1.5), ["'beta' is 1.5", "a number from 0 to 1"]),
        (having(2, "beta", "half"), ["'beta' is \"half\""]),
        (having(2, "neuron_type", "Synaptic"), ["'neuron_type' is \"Synaptic\"", '"Leaky"']),
        (having(2, "init_hidden", False), ["'init_hidden' is false"]),
        (having(2, "output", 1), ["'output' is 1", "true or false"]),
        (having(2, "output", True), ["'2'", "the pair (spikes, membrane)"]),
        (having(4, "in_features", 25), ["'4.weight' has the shape (3, 24)", "(3, 25)"]),
        (having(1, "kernel_size", 9), ["'1'", "larger than its input"]),
        (LAYERS[:4], ["4.weight", "which no layer of"]),
    ],
)
def test_a_wrong_architecture_is_refused_with_a_sentence(
    tmp_path: Path, layers: object, parts: list[str]
) -> None:
    files = write(tmp_path, layers, weights())
    with pytest.raises(SpikecError) as refused:
        read_published(*files, SHAPE)
    for part in parts:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("4.weight", None, ["has no '4.weight'", "layer 4 (Linear)"]),
        ("4.weight", [[1.0, 2.0], [3.0]], ["'4.weight' is no array of numbers"]),
        ("4.weight", "zero", ["'4.weight' is no array of numbers"]),
        ("4.weight", [[True] * 24] * 3, ["'4.weight' is no array of numbers"]),
        ("4.weight", [[2**70] * 24] * 3, ["'4.weight' is no array of numbers"]),
        ("4.weight", [[1e39] * 24] * 3, ["'4.weight' holds numbers that do not fit float32"]),
        ("4.weight", [[float("nan")] * 24] * 3, ["it holds NaN"]),
        ("0.bias", [1.0], ["'0.bias' has the shape (1,)", "(4,)"]),
        ("2.beta", 0.5, ["holds 2.beta, which no layer of"]),
    ],
)
def test_wrong_weights_are_refused_with_a_sentence(
    tmp_path: Path, name: str, value: object, parts: list[str]
) -> None:
    values = {**weights(), name: value}
    files = write(tmp_path, LAYERS, {key: each for key, each in values.items() if each is not None})
    with pytest.raises(SpikecError) as refused:
        read_published(*files, SHAPE)
    for part in parts:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "cannot be read as JSON"),
        ('{"layers": [', "cannot be read as JSON"),
        ("[1, 2]", "holds [1, 2] where an architecture, an object, is needed"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("\udcff", "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused(tmp_path: Path, text: str, part: str) -> None:
    files = write(tmp_path, LAYERS, weights())
    files[0].write_text(text, errors="surrogateescape")
    with pytest.raises(SpikecError, match=r"arch\.json") as refused:
        read_published(*files, SHAPE)
    assert part in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    files = write(tmp_path, LAYERS, weights())
    with pytest.raises(SpikecError, match=r"none.json: weights cannot be read"):
        read_published(files[0], tmp_path / "none.json", SHAPE)


def test_all_verbs_take_an_architecture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, LAYERS, weights())
    np.savez(tmp_path / "data.npz", x=np.stack([frames()] * 3), y=np.array([0, 1, 2]))
    monkeypatch.chdir(tmp_path)
    model = ["arch.json", "--weights", "weights.json", "--input", "2,7,7"]
    assert cli.main(["check", *model]) == 0
    assert capsys.readouterr().out == "arch.json: can be compiled.\n"
    assert cli.main(["compile", *model, "--name", "small", "--out", "small"]) == 0
    assert "arch.json with weights.json" in Path("small/small.h").read_text()
    assert cli.main(["save", *model, "--out", "small.spikec", "--quiet"]) == 0
    assert cli.main(["report", *model]) == 0
    capsys.readouterr()
    assert cli.main(["run", *model, "--events", "data.npz", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)[2]["counts"]
    with torch.no_grad():
        theirs = execute.trace(published_module(Path("arch.json"), Path("weights.json")), frames())
    assert counts == theirs.spikes["5"].sum(axis=0).tolist()
    assert cli.main(["run", *model, "--semantics", "published", "--events", "data.npz"]) == 0
    assert cli.main(["eval", *model, "--data", "data.npz"]) == 0
    assert "1 of 3 right" in capsys.readouterr().out
    assert cli.main(["profile", *model, "--events", "data.npz/1"]) == 0


def test_an_architecture_needs_weights_and_an_input_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["check", "arch.json", "--input", "2,7,7"])
    assert "an architecture needs --weights and --input" in capsys.readouterr().err
    arguments = ["check", "net.pt", "--net", "a:b", "--input", "2,7,7", "--weights", "w.json"]
    assert cli.main(arguments) == 1
    assert "--weights goes with an architecture" in capsys.readouterr().err
