# SPDX-License-Identifier: Apache-2.0
"""Train the Braille reader, twice a seed: on the training part, then on validation's as well.

The first training tells how well a seed reads the validation part, the second is kept. Of the
seeds that which validated best is written. The split is fixed by a recording's number in the file
(`part`); what is held out enters neither a gradient nor a choice. Resumes where it stopped, to the
bit.

    python -m models.braille.train --data ../shared/data/braille/braille7_800.npz \
        --work training --out models/braille/braille.pt
    python -m models.braille.train --evaluate models/braille/braille.pt --data braille7_800.npz
    python -m models.braille.train --quick --work training
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from absl import app, flags

from models.braille.letters import binned
from models.braille.training import Score, loaded, made_up, part, read, save, score, train
from spikec.measure.evaluate import wilson

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "The recordings: .npz of x [n, 256, 12], 0 or 1, and y [n].")
flags.DEFINE_string("work", None, "Folder for checkpoints, curves and for resuming.")
flags.DEFINE_string("out", None, "Where the checkpoint goes that reads the validation part best.")
flags.DEFINE_string("evaluate", None, "Only report this checkpoint on the held-out recordings.")
flags.DEFINE_string("write_held_out", None, "Only write the held-out recordings, binned, as .npz.")
flags.DEFINE_bool("quick", False, "Random recordings, two epochs: tests the code, learns nothing.")
flags.DEFINE_list("seeds", ["1", "2", "3"], "A training each.")
flags.DEFINE_integer("epochs", 80, "Epochs of a training.")
flags.DEFINE_integer("threads", 1, "CPU threads for PyTorch.")

_T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t, two-sided, by number of seeds


def of_seeds(scores: Sequence[Score]) -> str:
    """A sentence on how the seeds did: the mean and its intervals."""
    shares = [100 * one.right / one.total for one in scores]
    mean = statistics.fmean(shares)
    text = f"mean of {len(shares)} seeds {mean:.2f} %"
    if len(shares) in _T_95:
        half = _T_95[len(shares)] * statistics.stdev(shares) / math.sqrt(len(shares))
        text += f", over seeds (Student's t, 95 %) {mean - half:.1f} to {mean + half:.1f}"
    total = scores[0].total
    low, high = wilson(round(mean / 100 * total), total)
    return f"{text}, over recordings (Wilson, 95 %) {100 * low:.1f} to {100 * high:.1f}"


def main(argv: Sequence[str]) -> int:
    """Train, or with --evaluate only report."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    torch.set_num_threads(FLAGS.threads)
    if FLAGS.data is None and not FLAGS.quick:
        raise app.UsageError("--data is needed (or --quick)")
    everything = made_up() if FLAGS.data is None else read(Path(FLAGS.data))
    use = part(len(everything))
    learn, judge, held = (
        everything.take(use == name) for name in ("training", "validation", "held out")
    )
    if FLAGS.write_held_out:
        np.savez(FLAGS.write_held_out, x=binned(held.samples), y=held.label)
        print(f"{FLAGS.write_held_out}: {len(held)} recordings written")
        return 0
    if FLAGS.evaluate:
        print(f"{FLAGS.evaluate}: {score(loaded(Path(FLAGS.evaluate)), held)}")
        return 0
    if not FLAGS.work:
        raise app.UsageError("--work is needed")
    print(f"{len(learn)} recordings to train on, {len(judge)} to choose by, {len(held)} held out")
    both = everything.take(use != "held out")
    validated: list[Score] = []
    finals: list[Path] = []
    for seed in map(int, FLAGS.seeds[:1] if FLAGS.quick else FLAGS.seeds):
        epochs = 2 if FLAGS.quick else FLAGS.epochs
        began = time.monotonic()
        folders = [Path(FLAGS.work) / f"seed{seed}{name}" for name in ("", "_final")]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        validated.append(train(seed, epochs, learn, judge, folders[0]))
        print(f"seed {seed}: validation {validated[-1]}", flush=True)
        train(seed, epochs, both, judge, folders[1])
        finals.append(folders[1] / "trained.pt")
        print(f"seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
    print(f"validation: {of_seeds(validated)}")
    judged = [score(loaded(path), held) for path in finals]
    for path, one in zip(finals, judged, strict=True):
        print(f"{path}: held out {one}")
    print(f"held out: {of_seeds(judged)}")
    chosen = finals[max(range(len(finals)), key=lambda k: (validated[k].right, -validated[k].loss))]
    print(f"chosen by validation: {chosen}")
    if FLAGS.out:
        save(loaded(chosen), Path(FLAGS.out))
        print(f"{FLAGS.out} written")
    return 0


if __name__ == "__main__":
    app.run(main)
