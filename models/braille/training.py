# SPDX-License-Identifier: Apache-2.0
"""How the Braille reader is trained and judged: recordings, their split, augmentation, the loop.

Its program is ``train.py``.
"""

from __future__ import annotations

import copy
import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

from models.braille.letters import INPUT_SHAPE, LABELS, SAMPLES, STEPS, binned, net
from models.braille.unrolled import forward
from spikec.errors import SpikecError
from spikec.measure.evaluate import wilson

_BATCH = 32
_RATE = 3e-3  # the highest learning rate
_DECAY = 0.01  # of weights
_AVERAGE = 0.004  # how far the averaged weights, which are judged and kept, follow in a step
_SMOOTHING = 0.1  # of labels
_SPIKES = 0.05  # the firing rate above which a hidden neuron is penalised: spikes cost instructions
_PENALTY = 0.3
_UNHEARD = 0.2  # share of hidden neurons that the output does not hear
_TEMPO = 0.2  # share by which a recording is drawn out or squeezed, at most
_SHIFT = 0.06  # share of a recording by which it is shifted, at most
_LOST = 0.4  # share of the ones among a recording's samples that are lost, at most
_ADDED = 0.06  # share of its zeros that become ones, at most

Counts = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Recordings:
    """Samples [n, 256, 12], 0 or 1, and the letters that they are of."""

    samples: Counts
    label: npt.NDArray[np.int64]  # [n]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: npt.NDArray[np.bool_]) -> Recordings:
        """Those of the recordings."""
        return Recordings(self.samples[rows], self.label[rows])


def part(count: int) -> npt.NDArray[np.str_]:
    """What each of so many recordings is for, by its number: 1 of 10 validates, 1 of 5 is held."""
    number = np.arange(count)
    return np.select([number % 5 == 0, number % 10 == 1], ["held out", "validation"], "training")


def read(path: Path) -> Recordings:
    """Read the recordings of a file.

    Raises:
        SpikecError: it is not such a file.
    """
    try:
        with np.load(path) as file:
            samples, label = file["x"], file["y"]
    except (OSError, ValueError, KeyError) as error:
        raise SpikecError(
            f"{path}: cannot be read ({error}); give a .npz file of samples x and labels y."
        ) from error
    if samples.shape != (len(label), STEPS * SAMPLES, *INPUT_SHAPE) or samples.max() > 1:
        raise SpikecError(
            f"{path}: its samples x are {samples.shape}; give [n, {STEPS * SAMPLES}, 12], 0 or 1."
        )
    return Recordings(samples.astype(np.uint8), label.astype(np.int64))


def made_up() -> Recordings:
    """Recordings of nothing, to test the code with."""
    rng = np.random.default_rng(0)
    samples = rng.random((200, STEPS * SAMPLES, *INPUT_SHAPE)) < 0.2
    return Recordings(samples.astype(np.uint8), rng.integers(0, LABELS, 200))


def counts(samples: Counts) -> torch.Tensor:
    """Samples [n, 256, 12] as the network takes them, [T, n, 12]."""
    return torch.from_numpy(binned(samples).swapaxes(0, 1).astype(np.float32))


def augmented(samples: Counts, rng: np.random.Generator) -> Counts:
    """The samples [n, 256, 12] in another tempo, earlier or later, some of them lost or added."""
    batch, length = samples.shape[:2]
    tempo = 1 + rng.uniform(-_TEMPO, _TEMPO, (batch, 1))
    shift = rng.uniform(-_SHIFT, _SHIFT, (batch, 1)) * length
    source = np.rint((np.arange(length) - length / 2) * tempo + length / 2 + shift).astype(int)
    source[(source < 0) | (source >= length)] = length
    silence = np.zeros((batch, 1, *INPUT_SHAPE), np.uint8)
    moved = np.concatenate([samples, silence], axis=1)[np.arange(batch)[:, None], source]
    kept = rng.random(moved.shape, np.float32) >= rng.uniform(0, _LOST, (batch, 1, 1))
    added = rng.random(moved.shape, np.float32) < rng.uniform(0, _ADDED, (batch, 1, 1))
    return np.asarray((moved & kept) | added, np.uint8)


def progress(name: str, done: int, total: int, note: str) -> None:
    """Draw a progress bar on standard error; every tenth part of it where there is no tty."""
    bar = "#" * (30 * done // total)
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{name:8} [{bar:30}] {done}/{total} {note}", end=end, file=sys.stderr, flush=True)
    elif 10 * done // total != 10 * (done - 1) // total:
        print(f"{name:8} [{bar:30}] {done}/{total} {note}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Score:
    """How a network did on recordings."""

    right: int
    total: int
    loss: float
    rate: float  # hidden spikes a neuron and step

    def __str__(self) -> str:
        low, high = wilson(self.right, self.total)
        return (
            f"{self.right} of {self.total} = {100 * self.right / self.total:.2f} % "
            f"(95 % Wilson {100 * low:.1f} to {100 * high:.1f}), loss {self.loss:.3f}, "
            f"hidden rate {100 * self.rate:.1f} %"
        )


@torch.no_grad()
def score(network: nn.Sequential, recordings: Recordings) -> Score:
    """Judge a network on recordings as they are."""
    felt, spikes, _ = forward(network, counts(recordings.samples))
    label = torch.from_numpy(recordings.label)
    votes = spikes.sum(0)
    return Score(
        int((votes.argmax(1) == label).sum()), len(recordings),
        float(functional.cross_entropy(votes / 2, label)), float(felt.mean()),
    )  # fmt: skip


def started() -> nn.Sequential:
    """The network as training begins."""
    network = net()
    hidden = network[1]
    assert isinstance(hidden, snn.RLeaky)
    with torch.no_grad():
        hidden.beta.uniform_(0.7, 0.95)
        nn.init.orthogonal_(hidden.recurrent.weight, 0.3)
    return network


def save(network: nn.Sequential, path: Path) -> None:
    """Write the state_dict whole or not at all."""
    written({name: value.detach().clone() for name, value in network.state_dict().items()}, path)


def written(content: dict[str, Any], path: Path) -> None:
    """Write by torch.save whole or not at all."""
    aside = path.with_name(f".{path.name}.part")
    torch.save(content, aside)
    aside.replace(path)


def loaded(path: Path) -> nn.Sequential:
    """The network with a checkpoint's weights."""
    network = net()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


def loss_of(
    network: nn.Sequential, recordings: Recordings, rng: np.random.Generator
) -> torch.Tensor:
    """What a step of training makes smaller, of a batch."""
    label = torch.from_numpy(recordings.label)
    data = counts(augmented(recordings.samples, rng))
    felt, spikes, membranes = forward(network, data, _UNHEARD)
    loss = functional.cross_entropy(spikes.sum(0) / 2, label, label_smoothing=_SMOOTHING)
    # Membranes tell the way also where no output spikes yet.
    hint = functional.cross_entropy(membranes.mean(0) * 2, label, label_smoothing=_SMOOTHING)
    busy = functional.relu(felt.mean((0, 1)) / _SPIKES - 1).square().mean()
    return torch.stack([loss, 0.3 * hint, _PENALTY * busy]).sum()


def train(seed: int, epochs: int, learn: Recordings, judge: Recordings, work: Path) -> Score:
    """Train from a seed, resuming where WORK/resume.pt says; returns the last score on judge.

    Leaves WORK/trained.pt and WORK/curves.csv. The weights of the last steps, averaged, are kept:
    judge chooses nothing.
    """
    torch.manual_seed(seed)
    network = started()
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    batches = math.ceil(len(learn) / _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, _RATE, total_steps=epochs * batches + 1, pct_start=0.2
    )
    curves: list[tuple[int, float, int, float, float]] = []
    if (work / "resume.pt").exists():
        kept = torch.load(work / "resume.pt", weights_only=True)
        for name, holder in (
            ("network", network), ("average", average), ("optimizer", optimizer),
            ("schedule", schedule),
        ):  # fmt: skip
            holder.load_state_dict(kept[name])
        curves = kept["curves"]
        print(f"seed {seed}: resumed after epoch {len(curves)}")
    for epoch in range(len(curves), epochs):
        # Of its own in every epoch, so that a resumed training goes the same way.
        rng = np.random.default_rng([seed, epoch])
        torch.manual_seed(1000 * seed + epoch)
        order = rng.permutation(len(learn))
        total = 0.0
        for rows in np.array_split(order, batches):
            loss = loss_of(network, Recordings(learn.samples[rows], learn.label[rows]), rng)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
                    slow.lerp_(fast, _AVERAGE)
            total += float(loss.detach()) / batches
        now = score(average, judge)
        curves.append((epoch + 1, total, now.right, now.loss, now.rate))
        written(
            {
                "network": network.state_dict(), "average": average.state_dict(),
                "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(),
                "curves": curves,
            },
            work / "resume.pt",
        )  # fmt: skip
        note = f"loss {total:.3f} judged {now.right}/{now.total}"
        progress(f"seed {seed}", epoch + 1, epochs, note)
    save(average, work / "trained.pt")
    with (work / "curves.csv").open("w", newline="") as file:
        rows_of = csv.writer(file, lineterminator="\n")
        rows_of.writerow(("epoch", "loss", "validation_right", "validation_loss", "hidden_rate"))
        rows_of.writerows(curves)
    return score(average, judge)
