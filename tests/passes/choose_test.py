# SPDX-License-Identifier: Apache-2.0
"""Event-driven or dense: the cheaper kernel is chosen, by exact counts, and the bits are the same.

The build names the Cortex-M7's compiler and QEMU as SPIKEC_CORTEX_M7_CC and SPIKEC_CORTEX_M7_QEMU,
in the environment or as NAME=VALUE arguments; without them they are looked for on the PATH.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import numpy as np
import pytest

from spikec.cli import main as cli
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.ir.operations import Choice
from spikec.model import Model
from spikec.passes import choose
from spikec.passes import lower as planning
from spikec.recordings.events import Recording, write_nmnist
from spikec.semantics import reference
from tests.kernels import cases
from tests.passes.choose_measure import DENSITIES, Measured, Subject, measure, subject

TOLERANCE = 1.10  # how much dearer than the better kernel the chosen one may be

SUBJECTS = {
    one.name: one
    for one in (
        subject("conv 5x5 12->32", (12, 15, 15), cases.conv(32, 5)),
        subject("conv 3x3 8->16, stride 2, padded", (8, 13, 13), cases.conv(16, 3, 2, 1)),
        subject("conv 5x5 1->12", (1, 20, 20), cases.conv(12, 5)),
        subject("linear 800->10", (800,), cases.linear(10)),
        subject("linear 64->64", (64,), cases.linear(64)),
    )
}


@functools.cache
def measured(name: str, kernels: str) -> Measured:
    """What a kind of kernel takes and gives on the emulated board."""
    return measure(SUBJECTS[name], kernels)


def chosen(one: Subject, step: int) -> Choice:
    """The choice after calibration with one frame."""
    known = choose.calibrate(one.network, [one.frames[step : step + 1]])
    return planning.plan(one.network, known).choices[one.layer.name]


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_chosen_kernel_is_within_a_tenth_of_the_better_one(name: str) -> None:
    counts = {kind: measured(name, kind).instructions.tolist() for kind in ("event", "dense")}
    dear = []
    for step, density in enumerate(DENSITIES):
        event, dense = counts["event"][step], counts["dense"][step]
        choice = chosen(SUBJECTS[name], step)
        took = dense if choice.dense else event
        print(f"{name}, {density:.1%}: event {event:,}, dense {dense:,}: {choice}")
        assert min(event, dense) > 0
        if took > TOLERANCE * min(event, dense):
            dear.append(density)
    assert not dear


def test_no_kernel_is_the_better_one_everywhere() -> None:
    """So that a choice that never changes would not pass."""
    for kind, other in (("event", "dense"), ("dense", "event")):
        assert any(
            np.any(
                measured(name, kind).instructions * TOLERANCE < measured(name, other).instructions
            )
            for name in SUBJECTS
        )


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_crossover_is_where_the_counts_cross(name: str) -> None:
    one = SUBJECTS[name]
    crossover = planning.crossovers(one.network)[one.layer.name]
    assert crossover is not None
    event, dense = (measured(name, kind).instructions for kind in ("event", "dense"))
    shares = one.active.sum(axis=(1, 2)) / one.before.size
    assert 0.0 < crossover < 1.0
    assert np.all(event[shares < crossover / 1.25] < dense[shares < crossover / 1.25])
    assert np.all(event[shares > crossover * 1.25] > dense[shares > crossover * 1.25])


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("kernels", ["event", "dense"])
def test_both_kernels_give_the_references_bits_on_both_machines(name: str, kernels: str) -> None:
    one = SUBJECTS[name]
    trace = reference.run(one.network, one.frames)
    spikes, membranes = (
        np.concatenate(
            [part[layer.name].reshape(len(one.frames), -1) for layer in one.network.spiking], axis=1
        )
        for part in (trace.spikes, trace.membranes)
    )
    last = trace.spikes[one.network.output.name]
    assert last.any() and not last.all()
    board = measured(name, kernels)
    assert np.array_equal(board.spikes, spikes)
    assert np.array_equal(board.membranes.view(np.uint32), membranes.view(np.uint32))
    host = one.model(kernels).build()
    frames = one.network.input.to_axes(one.frames)
    for found, wanted in ((host.trace(frames), trace.spikes), (host.membranes(frames),
                                                               trace.membranes)):  # fmt: skip
        for layer in one.network.spiking:
            bits = np.ascontiguousarray(layer.shape.to_axes(wanted[layer.name]))
            assert found[layer.source].tobytes() == bits.tobytes()


def small() -> ir.Network:
    """One linear layer, which every input of 64 reaches."""
    return SUBJECTS["linear 64->64"].network


def frames(share: float) -> ir.Floats:
    """Five frames ``[T, N]`` of the small network."""
    one = np.zeros(64, np.float32)
    one[: round(share * 64)] = 1.0
    return np.tile(one, (5, 1))


def test_without_calibration_every_layer_is_event_driven() -> None:
    model = Model.of(small(), "small", "f32")
    assert [str(choice) for choice in model.plan.choices.values()] == [
        "event-driven (no calibration)"
    ]
    assert "// kernels  event-driven (no calibration)\n" in model.files()["small.h"]
    assert "spk_dense_sum_f32(" not in model.files()["small.c"]


@pytest.mark.parametrize(("share", "dense"), [(0.02, False), (1.0, True)])
def test_calibration_chooses_and_the_header_and_the_report_say_why(
    share: float, dense: bool
) -> None:
    model = Model.of(small(), "small", "f32", calibration=[frames(share), frames(share)])
    (choice,) = model.plan.choices.values()
    assert choice.dense == dense
    active = f"{round(share * 64) / 64:.2%} of inputs active"
    assert active in choice.why
    header = model.files()["small.h"]
    assert str(choice) in re.sub(r"\n//  +", " ", header[header.index("// kernels") :])
    assert str(choice) in str(model.report())
    assert ("spk_dense_sum_f32(" in model.files()["small.c"]) == dense


def test_a_dense_kernel_is_used_where_it_is_asked_for() -> None:
    event, dense = (Model.of(small(), "small", "f32", kernels) for kernels in ("event", "dense"))
    assert [str(choice) for choice in dense.plan.choices.values()] == ["dense (asked for)"]
    most = 4 * 64  # for the spikes made dense, in a slot of their own
    assert 0 <= dense.report().state_bytes - event.report().state_bytes <= most


@pytest.mark.parametrize(
    ("kernels", "calibration", "said"),
    [
        ("sparse", None, "kernels='sparse' is not supported; use 'auto', 'event' (event-driven)"),
        ("dense", [frames(0.1)], "kernels='dense' leaves nothing to choose, so a calibration has"),
        ("auto", [], "the calibration holds no time step; give recordings that are not empty."),
        ("auto", [np.zeros((5, 63))], "frames have shape (5, 63); this network takes [T, 64]"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    kernels: str, calibration: list[ir.Floats] | None, said: str
) -> None:
    with pytest.raises(SpikecError) as refused:
        Model.of(small(), "small", "f32", kernels, calibration)
    assert said in str(refused.value)


def test_the_mean_over_all_recordings_counts() -> None:
    known = choose.calibrate(
        small(), [part.reshape(-1, 1, 1, 64) for part in (frames(0.5), frames(0.25), frames(0)[:0])]
    )
    assert known.active is not None
    assert {name: share.tolist() for name, share in known.active.items()} == {"linear2": [[24.0]]}


@pytest.mark.parametrize(("per_step", "dense"), [(1, False), (200, True)])
def test_the_command_calibrates_with_recordings(
    per_step: int, dense: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = ir.Shape(10, 10, 2, flat=False)
    draft = cases.Draft((), shape, np.random.default_rng(0))
    for grow in (cases.flatten(), cases.linear(16), cases.leaky()):
        draft = draft.then(grow)
    network = ir.Network(shape, draft.layers, "net", "0" * 64)
    saved = tmp_path / "net.spikec"
    network_file.write(saved, network_file.Saved(network, None))
    pixels = np.tile(np.arange(per_step), 4)  # the same inputs in each of four steps
    steps = np.arange(4).repeat(per_step)
    x, y, polarity = pixels % 10, pixels // 10 % 10, pixels // 100
    recording = Recording(
        x.astype(np.int16), y.astype(np.int16), polarity.astype(np.uint8), 1000 * steps, 10, 10
    )
    write_nmnist(tmp_path / "0.bin", recording)
    compile_ = ["compile", str(saved), "--name", "net", "--out", str(tmp_path / "out")]
    calibrate = ["--calibrate", str(tmp_path / "0.bin"), "--bins", "4"]
    assert cli.main([*compile_, *calibrate]) == 0
    active = f"at {per_step / 200:.2%} of inputs active"
    assert active in capsys.readouterr().out
    assert ("spk_dense_sum_f32(" in next((tmp_path / "out").glob("*.c")).read_text()) == dense
    assert cli.main([*compile_, "--kernels", "dense", *calibrate]) == 1
    assert "leaves nothing to choose" in capsys.readouterr().err
    assert cli.main([*compile_, "--kernels", "dense"]) == 0
    assert "dense (asked for)" in capsys.readouterr().out
