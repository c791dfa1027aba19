# SPDX-License-Identifier: Apache-2.0
"""The demo, as `bazel run //:demo` starts it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from models.nmnist import demo

BUILT = [f"--{name}={os.environ[f'DEMO_{name.upper()}']}" for name in demo.BUILT]


def test_ten_digits_run_without_a_differing_spike(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(BUILT) == 0
    rows, summary = capsys.readouterr().out.strip().split("\n\n")
    assert [row.split()[0] for row in rows.splitlines()[1:]] == list("0123456789")
    found = re.match(r"(\d+) of 10 digits right, 0 of ([\d,]+) spikes differ", summary)
    assert found is not None, summary
    assert int(found[1]) >= 9
    assert int(found[2].replace(",", "")) > 10_000


def test_a_folder_without_recordings_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main([*BUILT, f"--data={tmp_path}"]) == 1
    assert f"{tmp_path}: has no recordings" in capsys.readouterr().err


def test_an_empty_recording_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "empty.bin").touch()
    assert demo.main([*BUILT, f"--data={tmp_path}"]) == 1
    assert "empty.bin" in capsys.readouterr().err
