# SPDX-License-Identifier: Apache-2.0
"""The Pareto benchmark: which points are the best, its table, and its sentence without data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks import pareto, performance_tables


def point(name: str, accuracy: float, instructions: float) -> pareto.Point:
    right = round(200 * accuracy)
    return pareto.Point(
        name, "int8", 20, right, 200, accuracy, accuracy - 0.02, accuracy + 0.01, instructions,
        10, 3000, 4000, 9000,
    )  # fmt: skip


def test_the_best_are_those_that_no_other_beats_in_both() -> None:
    points = [
        point("dear", 0.98, 900), point("beaten", 0.95, 950), point("cheap", 0.95, 100),
        point("as cheap", 0.94, 100), point("as right", 0.98, 901), point("middle", 0.96, 400),
    ]  # fmt: skip
    assert [one.network for one in pareto.best(points)] == ["cheap", "middle", "dear"]
    assert pareto.best([]) == ()


def test_the_table_has_a_row_a_point() -> None:
    points = [
        dataclasses.asdict(point("nmnist", 0.98, 1234567)),
        dataclasses.asdict(point("tiny", 0.955, 400)),
    ]
    text = performance_tables.pareto(points)
    assert (
        "| nmnist | int8 | 20 | 196 of 200, 98.00 % | 96.0 to 99.0 % | 1,234,567 | 7,000 | 9,000 |"
        in text
    )
    assert text.count("\n| tiny |") == 1


def test_without_recordings_it_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPIKEC_SHARED", str(tmp_path))
    files = [f"--{name}={tmp_path}" for name in ("checkpoint", "pruned", "tiny")]
    assert pareto.main(files) == 1
    assert "there are no real recordings" in capsys.readouterr().err
    assert pareto.main([*files, f"--data={tmp_path}"]) == 1
    assert "has no folders of labels" in capsys.readouterr().err
