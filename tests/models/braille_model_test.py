# SPDX-License-Identifier: Apache-2.0
"""Our Braille reader: its training does what snnTorch does, and its checkpoint what its card says.

Where the shared recordings are not there, what needs them says so and skips.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import snntorch as snn
import torch
from snntorch import utils

from models.braille import training
from models.braille.letters import INPUT_SHAPE, LABELS, SAMPLES, STEPS, binned, net
from models.braille.unrolled import forward
from spikec.frontends.pytorch.module import import_network
from spikec.measure import evaluate
from spikec.model import Model
from spikec.recordings.shared import shared_folder

FOLDER = Path(__file__).parents[2] / "models" / "braille"
CHECKPOINT = FOLDER / "braille.pt"
CARD = FOLDER / "README.md"
RANDOM = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the training program: its tensors are so small that a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@functools.cache
def held_out() -> training.Recordings:
    folder = shared_folder("data", "braille")
    if folder is None:
        pytest.skip("the shared folder data/braille is not here")
    everything = training.read(folder / "braille7_800.npz")
    return everything.take(training.part(len(everything)) == "held out")


@functools.cache
def snntorchs_votes() -> npt.NDArray[np.float32]:
    """Output spikes ``[n, 7]`` of each held-out recording, as snnTorch runs the checkpoint."""
    network = training.loaded(CHECKPOINT).eval()
    utils.reset(network)
    with torch.no_grad():
        spikes = [network(frame)[0] for frame in training.counts(held_out().samples)]
    return torch.stack(spikes).sum(0).numpy()


@functools.cache
def our_votes(numbers: str) -> npt.NDArray[np.float32]:
    network = import_network(training.loaded(CHECKPOINT).eval(), INPUT_SHAPE, "braille.pt")
    host = Model.of(network, "braille", numbers, input_max=SAMPLES).build()
    return np.stack([host.run(frames).sum(0) for frames in binned(held_out().samples)])


def right(votes: npt.NDArray[np.float32]) -> int:
    return int((votes.argmax(1) == held_out().label).sum())


def test_the_checkpoint_is_small_and_loads_as_weights_alone() -> None:
    assert CHECKPOINT.stat().st_size < 400_000
    weights = torch.load(CHECKPOINT, weights_only=True)
    net().load_state_dict(weights, strict=True)
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_a_time_step_counts_four_samples_of_each_taxel() -> None:
    samples = (RANDOM.random((2, STEPS * SAMPLES, *INPUT_SHAPE)) < 0.5).astype(np.uint8)
    assert binned(samples).shape == (2, STEPS, *INPUT_SHAPE)
    for step in (0, 17, STEPS - 1):
        wanted = samples[1, SAMPLES * step : SAMPLES * (step + 1)].sum(0)
        np.testing.assert_array_equal(binned(samples)[1, step], wanted)


def test_an_eighth_of_the_recordings_that_are_not_held_out_validates() -> None:
    use = training.part(800)
    sizes = [int((use == name).sum()) for name in ("training", "validation", "held out")]
    assert sizes == [560, 80, 160]


def test_the_unrolled_network_spikes_and_learns_as_snntorch_does() -> None:
    torch.manual_seed(3)
    network = training.started()
    frames = torch.from_numpy(RANDOM.integers(0, 5, (20, 8, *INPUT_SHAPE)).astype(np.float32))
    weights = torch.from_numpy(RANDOM.normal(size=(3, 20, 8, LABELS)).astype(np.float32))
    hidden: list[torch.Tensor] = []
    network[1].register_forward_hook(lambda _m, _i, out: hidden.append(out))
    utils.reset(network)
    outputs = [network(frame) for frame in frames]
    theirs = [torch.stack(list(part)) for part in (hidden, *zip(*outputs, strict=True))]
    ours = forward(network, frames)
    gradients = []
    for felt, spikes, membranes in (theirs, ours):
        assert felt.mean() > 0.05 and spikes.mean() > 0.01
        network.zero_grad()
        loss = (spikes * weights[0]).sum() + (membranes * weights[1]).sum() + felt.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) == len(list(network.parameters()))
    for wanted, found in zip(theirs[:2], ours[:2], strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)
    for wanted, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def test_a_training_that_was_interrupted_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training.made_up()
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    for folder in (whole, parted):
        folder.mkdir()
    training.train(1, 3, data, data, whole)

    def stop(_name: str, done: int, _total: int, _note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "progress", stop)
        training.train(1, 3, data, data, parted)
    assert not (parted / "curves.csv").exists()
    training.train(1, 3, data, data, parted)
    for name in ("trained.pt", "curves.csv"):
        assert (whole / name).read_bytes() == (parted / name).read_bytes()


def test_the_quick_form_leaves_a_checkpoint_of_the_network(tmp_path: Path) -> None:
    out = tmp_path / "quick.pt"
    program = [os.environ["TRAIN"]] if "TRAIN" in os.environ else [sys.executable, "-m"]
    if "TRAIN" not in os.environ:
        program.append("models.braille.train")
    command = [*program, "--quick", f"--work={tmp_path / 'work'}", f"--out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights = torch.load(out, weights_only=True)
    assert weights.keys() == net().state_dict().keys()
    assert not torch.equal(weights["1.beta"], net().state_dict()["1.beta"])


def test_the_compiled_network_counts_the_spikes_that_snntorch_does() -> None:
    np.testing.assert_array_equal(our_votes("f32"), snntorchs_votes())


@pytest.mark.parametrize("numbers", ["f32", "int8"])
def test_it_reads_at_least_92_percent_of_the_held_out_and_as_many_as_its_card_says(
    numbers: str,
) -> None:
    found, total = right(our_votes(numbers)), len(held_out())
    assert total == 160
    assert found >= 0.92 * total
    low, high = evaluate.wilson(found, total)
    said = f"{found}, {100 * found / total:.2f} % ({100 * low:.1f} to {100 * high:.1f})"
    assert f"| {numbers} | {said} |" in CARD.read_text()


def test_whole_numbers_lose_at_most_a_point() -> None:
    lost = right(our_votes("f32")) - right(our_votes("int8"))
    assert lost <= 0.01 * len(held_out())
    assert isinstance(training.loaded(CHECKPOINT)[1], snn.RLeaky)
