# SPDX-License-Identifier: Apache-2.0
"""The host benchmark runs, its peers compute the same network, and its check can fail."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import snntorch
import torch
from torch import nn

import spikec
from benchmarks import host
from benchmarks.onnx_peer import onnx_run, onnx_run_by_steps
from models.nmnist.net import INPUT_SHAPE, net
from spikec.errors import SpikecError
from spikec.frontends.pytorch import execute
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.ir import network as ir
from spikec.recordings.events import bin_events, read_nmnist

RECORDINGS = Path(os.environ["RECORDINGS"])
CHECKPOINT = Path(os.environ["CHECKPOINT"])
BUILT = [f"--checkpoint={CHECKPOINT}", f"--recordings={RECORDINGS}"]
SMALL = [*BUILT, "--rounds=1", "--limit=2", "--bins", "5"]

Peer: TypeAlias = Callable[[ir.Network], host.Run]


@pytest.fixture(autouse=True)
def without_shared_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEC_SHARED", str(tmp_path))


def own_network() -> nn.Sequential:
    module = net()
    load_checkpoint(module, CHECKPOINT)
    return module.eval()


def test_onnx_runtime_spikes_as_snntorch_does() -> None:
    module = own_network()
    network = spikec.compile(module, INPUT_SHAPE).network
    scan, by_steps = onnx_run(network), onnx_run_by_steps(network)
    spikes = 0.0
    for file in host.spread(RECORDINGS, held_out=False):
        frames = bin_events(read_nmnist(file), steps=50)
        expected = execute.find_outputs(module, frames)
        np.testing.assert_array_equal(scan(frames), expected)
        np.testing.assert_array_equal(by_steps(frames), expected)
        spikes += expected.sum()
    assert spikes > 100


@pytest.mark.parametrize("peer", [onnx_run, onnx_run_by_steps])
def test_onnx_runtime_pools_flattens_and_resets_by_the_threshold(peer: Peer) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2),
        nn.MaxPool2d((2, 3)),
        snntorch.Leaky(beta=0.5, threshold=0.25, init_hidden=True),
        nn.Flatten(),
        nn.Linear(3 * 2 * 2, 5),
        snntorch.Leaky(beta=0.75, threshold=0.5, init_hidden=True, output=True),
    ).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_((parameter * 8).round() / 8)  # sums are exact in any order
    frames = np.random.default_rng(1).integers(0, 4, (30, 2, 10, 14)).astype(np.float32)
    expected = execute.find_outputs(module, frames)
    assert 0.05 < expected.mean() < 0.95
    run = peer(spikec.compile(module, (2, 10, 14)).network)
    np.testing.assert_array_equal(run(frames), expected)
    np.testing.assert_array_equal(run(frames), expected, "the second run does not start anew")


@pytest.mark.parametrize("peer", [onnx_run, onnx_run_by_steps])
def test_onnx_runtime_refuses_what_it_would_compute_differently(peer: Peer) -> None:
    module = nn.Sequential(
        nn.Linear(4, 3),
        snntorch.Leaky(beta=0.5, init_hidden=True, output=True, reset_mechanism="zero"),
    ).eval()
    with pytest.raises(SpikecError, match=r"layer leaky1 .*Leaky, or an option of it"):
        peer(spikec.compile(module, (4,)).network)
    flattened = nn.Sequential(
        nn.Conv2d(1, 1, 1), snntorch.Leaky(beta=0.5, init_hidden=True), nn.Flatten()
    ).eval()
    with pytest.raises(SpikecError, match=r"layer flatten1 .*is the last one and no Leaky"):
        peer(spikec.compile(flattened, (1, 2, 2)).network)


def test_json_has_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert host.main([*SMALL, "--networks", "models/nmnist", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rounds"] == 1
    assert list(found["machine"]) == [
        "cpu", "cores", "compiler", "python", "numpy", "torch", "snntorch", "onnxruntime",
    ]  # fmt: skip
    assert all(found["machine"].values())
    (result,) = found["results"]
    peers = result.pop("peers")
    assert result.pop("spikes_in_per_step") > 100
    assert result == {
        "network": "models/nmnist",
        "bins": 5,
        "window_s": None,
        "recordings": 2,
        "real": False,
        "steps": 10,
    }
    assert list(peers) == [
        "spikec", "spikec, dense kernels", "spikec, int8", "ONNX Runtime, a Scan",
        "ONNX Runtime, step by step", "snnTorch",
    ]  # fmt: skip
    for name, timing in peers.items():
        assert timing["us_per_step"] > 0
        assert 0 < timing["ratio_low"] <= timing["ratio"] <= timing["ratio_high"]
        assert name == host.INT8 or timing["differing_spikes"] == 0


def test_a_table_names_every_peer_and_skips_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert host.main(SMALL) == 0
    table, skipped = capsys.readouterr()
    assert "models/nmnist, 5 bins, 2 simulated recordings: 10 steps" in table
    lines = table.splitlines()
    (head,) = [line for line in lines if "us/step" in line]
    for peer in (host.OURS, host.DENSE, host.INT8, host.ONNX, host.ONNX_BY_STEPS, host.SNNTORCH):
        (row,) = [line for line in lines if line.startswith(f"  {peer} ")]
        assert len(row) == len(head)
    assert skipped.splitlines() == [
        f"{network} is skipped: the shared folder data/seed is not here"
        for network in ("seed-nmnist", "seed-stmnist")
    ]


@pytest.mark.parametrize(("kernels", "peer"), [(None, host.OURS), ("dense", host.DENSE)])
def test_a_differing_spike_of_ours_is_an_error(
    kernels: str | None,
    peer: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    compiled = host.compiled

    def with_another_weight(case: host.Case, **options: Any) -> spikec.Model:
        if options.get("kernels") == kernels:
            case = dataclasses.replace(case, module=copy.deepcopy(case.module))
            with torch.no_grad():
                next(case.module.parameters())[0, 0, 2, 2] += 1
        return compiled(case, **options)

    monkeypatch.setattr(host, "compiled", with_another_weight)
    assert host.main([*SMALL, "--networks", "models/nmnist"]) == 1
    table, error = capsys.readouterr()
    (row,) = [line for line in table.splitlines() if line.startswith(f"  {peer} ")]
    assert int(row.split()[-1]) > 0
    assert error == "spikes of spikec differ from snnTorch's: models/nmnist\n"


@pytest.mark.parametrize(
    ("peer", "name"), [(onnx_run, host.ONNX), (onnx_run_by_steps, host.ONNX_BY_STEPS)]
)
def test_a_differing_spike_of_a_peer_is_counted_and_no_error(
    peer: Peer, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def with_a_spike_turned(network: ir.Network) -> host.Run:
        run = peer(network)

        def turned(frames: host.Frames) -> npt.NDArray[np.generic]:
            spikes = run(frames).copy()
            spikes[2, 3] = spikes[2, 3] == 0
            return spikes

        return turned

    monkeypatch.setattr(host, peer.__name__, with_a_spike_turned)
    assert host.main([*SMALL, "--networks", "models/nmnist", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    counts = {peer: timing["differing_spikes"] for peer, timing in result["peers"].items()}
    assert len(counts) == 6
    del counts[host.INT8]
    assert {peer: count for peer, count in counts.items() if count} == {name: 2}


def test_only_held_out_recordings_are_taken_a_digit_after_the_other(tmp_path: Path) -> None:
    for digit in "013":
        (tmp_path / digit).mkdir()
        for number in range(40):
            (tmp_path / digit / f"{number:05}.bin").touch()
    held = [f"{n:05}.bin" for n in range(40) if zlib.crc32(f"{n:05}.bin".encode()) % 4 == 0]
    assert 2 < len(held) < 20
    found = [str(file.relative_to(tmp_path)) for file in host.spread(tmp_path, held_out=True)]
    assert found == [f"{digit}/{name}" for name in held for digit in "013"]
    assert len(host.spread(tmp_path, held_out=False)) == 120


def test_a_folder_without_recordings_and_wrong_numbers_get_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert host.main([BUILT[0], f"--recordings={tmp_path}"]) == 1
    assert "has no recordings; give a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        host.main([*BUILT, "--rounds=0"])
    assert "'0' is no number from 1 up" in capsys.readouterr().err
