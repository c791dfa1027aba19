# SPDX-License-Identifier: Apache-2.0
"""The published Braille network, from its checkpoint and from its NIR graph, against snnTorch.

Every neuron, every step, all recordings. Where the shared data is not there, it says so and skips.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from models.braille.net import INPUT_SHAPE, LABELS, STEPS, net
from spikec.cli import main as cli
from spikec.errors import SpikecError
from spikec.frontends.nir import read_nir
from spikec.frontends.nir_layers import Steps
from spikec.frontends.pytorch import execute
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.model import Model
from spikec.recordings import dataset
from spikec.recordings import frames as frame_file
from spikec.recordings.shared import shared_folder
from spikec.targets import host
from spikec.targets.cortex_m7 import drive_build
from spikec.targets.cortex_m7.drive_run import run_qemu, write_input

CHECKPOINT = "model_noDelay_noBias_ref_subtract.pt"
GRAPH = "braille_noDelay_noBias_subtract.nir"
AS_SNNTORCH = Steps(reset="subtract", reset_delay=True)
RECORDINGS = 800
BIT_CHECKED = 2
"""On how many recordings the reference, which is slow, is compared too."""
ON_THE_M7 = 80
TIMEOUT_S = 60
DOORS = ["pt", "nir"]
Spikes = npt.NDArray[np.float32]


def needed(*parts: str) -> Path:
    folder = shared_folder(*parts)
    if folder is None:
        pytest.skip(f"the shared folder {'/'.join(parts)} is not here")
    return folder


def data() -> Path:
    return needed("data", "braille") / "braille7_800.npz"


@functools.cache
def recordings() -> tuple[Spikes, npt.NDArray[np.int64]]:
    """Frames ``[n, T, 12]`` and labels."""
    found = dataset.fitting(data(), INPUT_SHAPE, LABELS)
    frames = np.stack([one.frames(INPUT_SHAPE, STEPS) for one in found])
    assert frames.shape == (RECORDINGS, STEPS, *INPUT_SHAPE)
    return frames, np.array([one.label for one in found])


def module() -> torch.nn.Sequential:
    built = net()
    load_checkpoint(built, needed("data", "nir") / CHECKPOINT)
    return built.eval()


@functools.cache
def theirs() -> tuple[Spikes, Spikes]:
    """snnTorch's spikes of both layers, ``[n, T, neurons]``; all recordings are one batch."""
    built = module()
    seen: dict[str, list[Spikes]] = {"lif1": [], "lif2": []}
    for name, layer in built.named_children():
        if name in seen:
            layer.register_forward_hook(functools.partial(keep, seen[name]))
    with torch.no_grad():
        for frame in recordings()[0].swapaxes(0, 1):
            built(torch.from_numpy(frame))
    hidden, output = (np.stack(spikes, axis=1) for spikes in seen.values())
    return hidden, output


def keep(spikes: list[Spikes], layer: torch.nn.Module, given: object, result: Any) -> None:
    spikes.append((result[0] if isinstance(result, tuple) else result).numpy())


@functools.cache
def model(door: str) -> Model:
    network: ir.Network
    if door == "pt":
        network = import_network(module(), INPUT_SHAPE, CHECKPOINT)
    else:
        network = read_nir(needed("data", "nir") / GRAPH, AS_SNNTORCH)
    return Model.of(network, "braille", "f32")


def test_snntorch_reads_the_letters() -> None:
    right = theirs()[1].sum(axis=1).argmax(axis=1) == recordings()[1]
    assert 0.95 < right.mean() < 1.0


@pytest.mark.parametrize("door", DOORS)
def test_every_spike_of_all_recordings_is_snntorchs(door: str) -> None:
    built = model(door).build()
    for number, frames in enumerate(recordings()[0]):
        for ours, wanted in zip(built.trace(frames).values(), theirs(), strict=True):
            np.testing.assert_array_equal(ours, wanted[number], err_msg=f"recording {number}")


@pytest.mark.parametrize("door", DOORS)
def test_membranes_are_the_references_to_the_bit(door: str) -> None:
    built = model(door).build()
    for frames in recordings()[0][:BIT_CHECKED]:
        ours = execute.run_reference(model(door).network, frames)
        for layer, membranes in built.membranes(frames).items():
            np.testing.assert_array_equal(membranes, ours.membranes[layer])


@pytest.mark.parametrize("door", DOORS)
def test_the_cortex_m7_fires_the_same_spikes(door: str, tmp_path: Path) -> None:
    try:
        drive_build.compiler()
        emulator = drive_build.emulator()
    except SpikecError as error:
        pytest.skip(str(error))
    network = model(door).network
    elf = drive_build.build("braille", model(door).driven_files("cortex-m7"), tmp_path)
    for number in range(0, RECORDINGS, RECORDINGS // ON_THE_M7):
        active = host.active_inputs(network, recordings()[0][number])
        write_input(
            tmp_path / "input", active.offsets, active.entries["index"], active.entries["value"],
            network.input.size,
        )  # fmt: skip
        done = run_qemu(emulator, elf, tmp_path / "input", tmp_path / "output", False, TIMEOUT_S)
        np.testing.assert_array_equal(done.outputs, theirs()[1][number])


def test_the_command_reads_the_recordings(capsys: pytest.CaptureFixture[str]) -> None:
    folder, events = needed("data", "nir"), str(data())
    graph = [str(folder / GRAPH), "--nir-reset", "subtract", "--nir-reset-delay"]
    checkpoint = [str(folder / CHECKPOINT), "--net", "models.braille.net:net", "--input", "12"]
    right = (theirs()[1].sum(axis=1).argmax(axis=1) == recordings()[1]).sum()
    for arguments in (graph, checkpoint):
        assert cli.main(["eval", *arguments, "--data", events, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["right"], found["total"], found["steps"]) == (right, RECORDINGS, STEPS)
        assert cli.main(["run", *arguments, "--events", f"{events}/7", "--json"]) == 0
        counts = json.loads(capsys.readouterr().out)[0]["counts"]
        assert counts == theirs()[1][7].sum(axis=0).tolist()
    assert frame_file.steps(data(), INPUT_SHAPE) == STEPS
