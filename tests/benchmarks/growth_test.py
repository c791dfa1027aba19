# SPDX-License-Identifier: Apache-2.0
"""Cost grows in straight lines, in instructions of the Cortex-M7; the benchmark says so rightly.

The build names the pinned compiler and emulator in SPIKEC_CORTEX_M7_CC and SPIKEC_CORTEX_M7_QEMU;
without it they are looked for on the PATH, and what needs them is skipped where they are missing.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import growth, performance_tables
from benchmarks.growth import Line, Point, Subject, Tools
from benchmarks.hot_loops import VectorLoop, innermost, on_cortex_m7
from spikec.errors import SpikecError
from spikec.semantics import reference
from spikec.targets.cortex_m7 import drive_build
from spikec.targets.cortex_m7.qemu_trace import Segment

RESIDUAL = 0.06
"""How far a point may be from its line, relatively; most are within two percent."""
DENSITIES = (0.001, 0.01, 0.1, 0.3, 1.0)


def tools() -> Tools:
    """What counts on the Cortex-M7."""
    try:
        return Tools(drive_build.compiler(), drive_build.emulator(), 1)
    except SpikecError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def sweeps() -> dict[str, dict[str, Any]]:
    """What the benchmark prints as JSON, by the sweep's name, from fewer and smaller points."""
    tools()
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(growth, "DENSITIES", DENSITIES)
        patch.setattr(growth, "CHANNEL_COUNTS", (8, 16, 32))
        patch.setattr(growth, "STEP_COUNTS", (4, 8, 16))
        patch.setattr(growth, "SIDES", (16, 24, 32))
        patch.setattr(growth, "_HOST_STEPS", 4)
        assert growth.main(["--json", "--rounds=1"]) == 0
    found: list[dict[str, Any]] = json.loads(printed.getvalue())
    return {sweep["name"]: sweep for sweep in found}


@pytest.mark.parametrize("name", ["density", "channels", "steps", "image size"])
def test_instructions_grow_in_a_straight_line(name: str, sweeps: dict[str, dict[str, Any]]) -> None:
    line = sweeps[name]["lines"]["instructions"]
    assert line["largest_residual"] < RESIDUAL
    assert line["r_squared"] > 0.99
    assert line["slope"] > 0


def test_the_dense_kernels_hardly_care_what_is_active(sweeps: dict[str, dict[str, Any]]) -> None:
    counts = [point["dense_instructions"] for point in sweeps["density"]["points"]]
    assert max(counts) < 1.25 * min(counts)


def test_the_crossover_is_where_the_measured_lines_meet(sweeps: dict[str, dict[str, Any]]) -> None:
    density = sweeps["density"]
    points = density["points"]
    share = density["crossover"]["instructions"]
    assert share is not None
    for point in points:
        if abs(point["setting"] / share - 1) > 0.2:
            cheaper = point["dense_instructions"] < point["instructions"]
            assert cheaper == (point["setting"] > share)
    assert set(density["layers"]) == {"conv1", "conv2", "linear1"}


def test_equal_steps_cost_the_same_and_twice_as_many_cost_twice() -> None:
    subject = Subject.of(channels=8, side=16)
    one = growth.frames(0.1, 1, 16)
    (once, twice) = growth.instructions(
        subject, [one.repeat(6, axis=0), one.repeat(12, axis=0)], tools()
    )
    assert len(set(once.tolist()) | set(twice.tolist())) == 1
    assert twice.sum() == 2 * once.sum() > 0


@pytest.mark.parametrize("density", DENSITIES)
def test_the_same_share_fires_in_every_layer_at_every_step(density: float) -> None:
    network = Subject.of(channels=8, side=16).model.network
    recording = growth.frames(density, 8, 16)
    given = network.input.to_memory(recording)
    ran = reference.run(network, given)
    active = given != 0
    assert (active.sum(axis=(1, 2, 3)) == max(1, round(density * network.input.size))).all()
    # Output (y, x, c) of a convolution of stride 2 repeats input (2 y, 2 x, c modulo channels).
    for leaky in network.spiking[:2]:
        repeated = np.tile(active[:, ::2, ::2], math.ceil(leaky.shape.channels / active.shape[3]))
        active = ran.values[leaky.name] != 0
        np.testing.assert_array_equal(active, repeated[..., : leaky.shape.channels])


def test_a_line_is_fitted_relatively() -> None:
    line = Line.through([0, 1, 10], [2, 5, 32])
    assert (round(line.intercept, 9), round(line.slope, 9)) == (2, 3)
    assert line.largest_residual < 1e-9 and line.r_squared > 1 - 1e-9
    bent = Line.through([0, 1, 1000], [1, 2, 900])
    assert abs(bent.at(0) - 1) < 0.1, "a large point does not outweigh small ones"
    assert bent.largest_residual > 0.03
    assert Line(1, 2, 1, 0).crosses(Line(5, 0, 1, 0)) == 2
    assert Line(1, 0, 1, 0).crosses(Line(5, 0, 1, 0)) is None
    assert Line(6, 2, 1, 0).crosses(Line(5, 0, 1, 0)) == 0


def test_the_table_says_what_was_fitted_and_where_dense_wins() -> None:
    points = [Point(s, 10 * s, 1 + s, 2 + s, 1.5, 2.0) for s in (0.1, 0.5, 1.0)]
    model = Subject.of(channels=8, side=16).model
    text = str(growth._sweep("density", "share", "spikes", "step", points, model))
    assert "host us: 1.00 + 0.1 x, R^2 1.00000, largest residual 0.0 %" in text
    assert "dense is cheaper, host us: from 50.0% of inputs active on" in text
    assert "estimated for the Cortex-M7, conv2: " in text
    plain = str(growth._sweep("side", "side", "inputs", "step", [Point(*[n] * 4) for n in (1, 2)]))
    assert "dense" not in plain


def test_a_wrong_option_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert growth.main(["--rounds=0"]) == 1
    assert "--rounds 0: give at least 1." in capsys.readouterr().err


def test_the_hot_loops_of_the_cortex_m7_bound_what_layers_take() -> None:
    found = {bound.kernel: bound for bound in on_cortex_m7(tools().gcc, tools().qemu)}
    assert found.keys() == {"scatter", "gather", "dense", "leaky"}
    for kernel, bound in found.items():
        # Not the other way round: a layer is its loop and what is around it.
        assert bound.measured >= 0.999 * bound.bound, kernel
        assert bound.instructions > bound.arithmetic > 0
    assert found["gather"].stores == found["dense"].stores == 0
    for kernel in ("scatter", "gather", "dense"):
        assert found[kernel].arithmetic == 1, "one addition a synaptic operation"


def test_an_innermost_loop_has_no_other_inside() -> None:
    text = {
        0: "mov r0, #4",
        2: "vadd.f32 s0, s0, s1",
        4: "bne #0x2",
        6: "cbnz r1, #0x0",
        8: "bx lr",
    }
    ran = Segment(Counter({0: 3, 2: 12, 4: 12, 6: 3, 8: 1}), Counter({4: 9, 6: 2, 8: 1}))
    (loop,) = innermost(ran, text)
    assert loop.executed == {2: 12, 4: 12}


def test_a_vector_loop_is_told_by_what_is_in_it() -> None:
    collect = [
        "movzwl (%rdi),%eax", "add $0x2,%rdi", "vaddps (%rax),%zmm3,%zmm3",
        "vaddps -0x3c00(%rax),%zmm2,%zmm2", "cmp %r10,%rdi", "jb 6970",
    ]  # fmt: skip
    assert VectorLoop.of("gather", collect) == VectorLoop(6, 3, 0, 2, 32, 16)
    scatter = ["vmovups (%rsi),%ymm0", "vaddps (%rdi),%ymm0,%ymm0", "vmovups %ymm0,(%rdi)", "jne 0"]
    assert VectorLoop.of("scatter", scatter) == VectorLoop(4, 2, 1, 1, 8, 8)
    assert VectorLoop.of("gather", scatter) is None
    assert VectorLoop.of("dense", collect) is None
    assert VectorLoop.of("leaky", collect) is None


def test_tables_go_to_their_places_in_a_document(
    sweeps: dict[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("BUILD_WORKING_DIRECTORY", str(tmp_path))
    document = tmp_path / "a.md"
    before = (
        "above\n<!-- table: growth -->\n<!-- end -->\nbelow\n<!-- table: host -->\n<!-- end -->\n"
    )
    document.write_text(before)
    said_by_bazel = "10 recordings written\n"
    (tmp_path / "growth.json").write_text(
        said_by_bazel + json.dumps(list(sweeps.values()), indent=2)
    )
    for _ in range(2):  # the second time it is a table that is replaced
        assert performance_tables.main(["a.md", "growth.json"]) == 0
        text = document.read_text()
        assert text.startswith("above\n<!-- table: growth -->\n| varied | from |")
        assert text.count("| density; x: spikes into layers a step |") == 2
        assert text.endswith("below\n<!-- table: host -->\n<!-- end -->\n")
    (tmp_path / "peers.json").write_text("nothing")
    assert performance_tables.main(["a.md", "peers.json"]) == 1
    assert "peers.json: holds no JSON" in capsys.readouterr().err
    assert performance_tables.main(["a.md", "other.json"]) == 1
    assert "its name is none of host, peers, cortex_m7" in capsys.readouterr().err
    assert document.read_text() == text
