# SPDX-License-Identifier: Apache-2.0
"""The two seed networks of the shared data, against snnTorch on real recordings.

This is the snippet of the README, network after network: compile, build, trace, compare. When
the shared data is not there, it says so and skips.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import spikec
from benchmarks.seed_networks import SEED_NETWORKS, seed_network
from benchmarks.stmnist import taxel_frames
from spikec.cli import main as cli
from spikec.frontends.pytorch import execute
from spikec.recordings.events import bin_events, read_nmnist
from spikec.recordings.shared import shared_folder
from spikec.semantics import parity

RECORDINGS = 50
"""How many N-MNIST recordings, five of each digit."""
BIT_CHECKED = 2
"""On how many recordings the reference, which is slow, is compared too."""


def needed(*parts: str) -> Path:
    folder = shared_folder(*parts)
    if folder is None:
        pytest.skip(f"the shared folder {'/'.join(parts)} is not here")
    return folder


def assert_equal_spikes(name: str, recordings: list[npt.NDArray[np.float32]]) -> None:
    """Every layer, step and neuron of every recording; ties, though none is expected, are told."""
    net = seed_network(needed("data", "seed"), name)
    model = spikec.compile(net, input_shape=SEED_NETWORKS[name][2], name=name)
    host = model.build()
    spikes = 0
    for number, frames in enumerate(recordings):
        theirs = execute.trace(net, frames)
        found = parity.compare(model.network, host.trace(frames), theirs.spikes, theirs.potentials)
        assert found.holds, f"recording {number}: {found}"
        for tie in found.ties:
            print(f"recording {number}: {tie}")
        if number < BIT_CHECKED:
            ours = execute.run_reference(model.network, frames)
            for layer, membranes in host.membranes(frames).items():
                difference = parity.first_bit_difference(layer, membranes, ours.membranes[layer])
                assert difference is None, f"recording {number}: {difference}"
        spikes += found.spikes
    assert spikes > 1000 * len(recordings), "too few spikes to prove anything"


@pytest.mark.parametrize("bins", [50, 300])
def test_the_nmnist_network_spikes_as_snntorch_does(bins: int) -> None:
    folder = needed("data", "nmnist", "Train")
    files = [
        file for digit in range(10) for file in sorted((folder / str(digit)).glob("*.bin"))[:5]
    ]
    assert len(files) == RECORDINGS
    assert_equal_spikes("nmnist", [bin_events(read_nmnist(file), steps=bins) for file in files])


def test_the_stmnist_network_spikes_as_snntorch_does() -> None:
    files = sorted(needed("data", "stmnist").glob("*.mat"))
    assert len(files) == 4
    assert_equal_spikes("stmnist", [taxel_frames(file) for file in files])


@pytest.mark.parametrize("name", SEED_NETWORKS)
def test_the_command_alone_compiles_and_saves_the_json(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = arguments(name)
    assert cli.main(["check", *model]) == 0
    assert cli.main(["compile", *model, "--name", name, "--out", str(tmp_path / "c")]) == 0
    assert cli.main(["save", *model, "--out", str(tmp_path / "one.spikec")]) == 0
    assert cli.main(["compile", str(tmp_path / "one.spikec"), "--name", name, "--out",
                     str(tmp_path / "again")]) == 0  # fmt: skip
    for file in (f"{name}.c", f"{name}.h"):
        assert (tmp_path / "c" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    published = ["check", *model, "--semantics", "published"]
    assert cli.main(published) == 0
    assert "problem" not in capsys.readouterr().out


def test_the_command_alone_runs_the_nmnist_json_as_snntorch_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [
        str(next((needed("data", "nmnist", "Train") / digit).glob("*.bin"))) for digit in "058"
    ]
    run = ["run", *arguments("nmnist"), "--steps", "60", "--json", "--events", *files]
    assert cli.main(run) == 0
    ours = json.loads(capsys.readouterr().out)
    assert cli.main([*run[:-4], "--semantics", "published", *run[-4:]]) == 0
    published = json.loads(capsys.readouterr().out)
    net = seed_network(needed("data", "seed"), "nmnist")
    for file, found in zip(files, ours, strict=True):
        frames = bin_events(read_nmnist(file), steps=60)
        theirs = execute.trace(net, frames).spikes["8"].sum(axis=0)
        assert found["counts"] == theirs.tolist()
    assert [found["counts"] for found in published] != [found["counts"] for found in ours]


def arguments(name: str) -> list[str]:
    """The network on the command line."""
    architecture, weights, shape = SEED_NETWORKS[name]
    folder = needed("data", "seed")
    return [
        str(folder / f"{architecture}.json"), "--weights", str(folder / f"{weights}.json"),
        "--input", ",".join(map(str, shape)),
    ]  # fmt: skip
