# SPDX-License-Identifier: Apache-2.0
"""`spikec eval`: what is found in a folder, what is counted, and that threads change nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from torch import nn

from models.nmnist.net import INPUT_SHAPE, net
from spikec.cli import main as cli
from spikec.cli import verb_eval
from spikec.cli.progress import show_progress
from spikec.errors import SpikecError
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.measure import profile
from spikec.measure.evaluate import Evaluation, activity, evaluate, wilson
from spikec.model import Model
from spikec.recordings import dataset
from spikec.recordings.events import Recording, write_nmnist
from spikec.recordings.shared import shared_folder
from spikec.semantics import reference
from spikec.semantics.agreement import agreement
from tests import networks

STEPS = 6
CLASSES = 5
CHECKPOINT = Path(__file__).parents[2] / "models/nmnist/nmnist.pt"


def imported(*layers: nn.Module) -> ir.Network:
    case = networks.on_map("eval", *layers)
    return import_network(networks.prepare(case).net, case.shape, "eval.pt")


@pytest.fixture(scope="module")
def model() -> Model:
    """Weights after a pooling of spikes, of a size other than 1, and weights after weights."""
    network = imported(
        nn.Conv2d(2, 4, 3, padding=1), networks.leaky(graded_spikes_factor=0.5), nn.AvgPool2d(2, 1),
        nn.Conv2d(4, 3, 2, stride=2), nn.Conv2d(3, 4, (2, 1)), networks.leaky(), nn.MaxPool2d(2, 1),
    )  # fmt: skip
    return Model.of(network, "network", "f32")


def write_events(path: Path, seed: int, events: int = 300) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, side, events).astype(np.int16) for side in (8, 9))
    time = np.sort(rng.integers(0, 300_000, events))
    polarity = rng.integers(0, 2, events).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nmnist(path, Recording(x, y, polarity, time, 8, 9))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty recordings of five classes, and what is none of them."""
    for number in range(20):
        write_events(tmp_path / "data" / str(number % CLASSES) / f"{37 * number:05}.bin", number)
    (tmp_path / "data/README.md").write_text("about the data")
    (tmp_path / "data/0/notes.txt").write_text("about zeros")
    (tmp_path / "data/more").mkdir()
    return tmp_path / "data"


def saved(model: Model, folder: Path) -> str:
    path = folder / "eval.spikec"
    network_file.write(path, network_file.Saved(model.network, STEPS))
    return str(path)


def test_recordings_are_found_in_the_order_of_their_paths(folder: Path) -> None:
    found = dataset.find(folder, CLASSES)
    assert [one.path for one in found] == sorted(folder.glob("*/*.bin")) and len(found) == 20
    assert all(one.label == int(one.path.parent.name) for one in found)
    assert found[3].sha256() == hashlib.sha256(found[3].path.read_bytes()).hexdigest()


def test_a_recording_is_held_out_by_its_file_s_name(folder: Path) -> None:
    found = dataset.find(folder, CLASSES)
    seen, held = dataset.split(found)
    assert {one.path.name for one in held} == {
        one.path.name for one in found if zlib.crc32(one.path.name.encode()) % 4 == 0
    }
    assert {*seen, *held} == {*found} and not {*seen} & {*held}
    assert [int(one.path.stem) // 37 for one in held] == [1, 6, 13, 19]


def test_few_of_many_are_evenly_spaced(folder: Path) -> None:
    found = dataset.find(folder, CLASSES)
    assert [one.label for one in dataset.spaced(found, 5)] == [0, 1, 2, 3, 4]
    assert dataset.spaced(found, 20) == dataset.spaced(found, 999) == found


def break_nothing(folder: Path) -> Path:
    return folder / "nowhere"


def break_labels(folder: Path) -> Path:
    (folder / "Train/0").mkdir(parents=True)
    for number in range(CLASSES):
        (folder / str(number)).rename(folder / f"class{number}")
    return folder


def break_empty(folder: Path) -> Path:
    for path in folder.glob("*/*.bin"):
        path.unlink()
    return folder


def break_class(folder: Path) -> Path:
    (folder / "4").rename(folder / "5")
    return folder


def break_file(folder: Path) -> Path:
    path = folder / "2/00074.bin"
    path.write_bytes(path.read_bytes()[:-2])
    return folder


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (break_nothing, "nowhere: there is no such folder"),
        (break_labels, "Train?"),
        (break_empty, "hold no recordings (.bin)"),
        (break_class, "is label 5, and the network has 5 outputs, so its classes are 0 to 4"),
        (break_file, "00074.bin: 1498 bytes is not a multiple of 5"),
    ],
)
def test_a_folder_that_cannot_be_judged_on_gets_a_sentence(
    broken: Any, sentence: str, folder: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", saved(model, folder), "--data", str(broken(folder))]
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("spikec: ") and sentence in err and err.count("\n") == 1


def test_a_network_of_another_input_gets_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = networks.built("flat", (7,), nn.Linear(7, 3), networks.leaky(output=True))
    network = import_network(networks.prepare(flat).net, flat.shape, "flat.pt")
    path = saved(Model.of(network, "network", "f32"), folder)
    assert cli.main(["eval", path, "--data", str(folder)]) == 1
    assert "eval.spikec: its input 7: recordings have two polarities" in capsys.readouterr().err


def judged_one_by_one(model: Model, found: Sequence[dataset.Labelled]) -> list[int | None]:
    """By the reference: the first output with the most spikes."""
    guesses: list[int | None] = []
    for one in found:
        ran = reference.run(model.network, ir_frames(model, one))
        counts = ran.values[model.network.output.name].reshape(STEPS, -1).sum(axis=0)
        most = max(counts.tolist())
        guesses.append(counts.tolist().index(most) if most > 0 else None)
    return guesses


def ir_frames(model: Model, one: dataset.Labelled) -> npt.NDArray[np.float32]:
    return model.network.input.to_memory(one.frames(model.network.input.axes, STEPS))


def test_an_evaluation_counts_what_the_reference_does(model: Model, folder: Path) -> None:
    found = dataset.find(folder, CLASSES)
    result = evaluate(model, found, STEPS)
    guesses = judged_one_by_one(model, found)
    assert [one.prediction for one in result.recordings] == guesses
    assert result.right == sum(g == one.label for g, one in zip(guesses, found, strict=True))
    assert 0 < result.right < result.total == 20 and result.accuracy == result.right / 20
    assert (result.low, result.high) == wilson(result.right, 20)
    traces = [reference.run(model.network, ir_frames(model, one)) for one in found]
    for i, layer in enumerate(model.network.spiking):
        fired = [int(np.count_nonzero(trace.spikes[layer.name])) for trace in traces]
        assert [one.activity.spikes[i] for one in result.recordings] == fired
        assert result.spikes[i].mean == sum(fired) / 20 > 0
    assert sum(map(sum, result.confusion)) == 20
    assert result.silent == sum(row[-1] for row in result.confusion) == guesses.count(None)


def test_operations_are_those_of_a_profile(model: Model, folder: Path) -> None:
    found = dataset.find(folder, CLASSES)
    result = evaluate(model, found, STEPS)
    names = [layer.layer for layer in result.synaptic_operations]
    assert names == ["conv1", "conv2", "conv3", "linear1"]
    for number, one in enumerate(found[:4]):
        items = profile.work(model.plan, one.frames(model.network.input.axes, STEPS))
        by_layer = {item.layer.split("+")[0]: item.synaptic_operations.sum() for item in items}
        wanted = tuple(by_layer[name] for name in names)
        assert result.recordings[number].activity.synaptic_operations == wanted


@pytest.mark.parametrize("seed", range(4))
def test_activity_equals_the_reference_s_on_random_networks(seed: int) -> None:
    case = networks.random_case(seed)
    prepared = networks.prepare(case, seed)
    network = import_network(prepared.net, case.shape, "random.pt")
    built = Model.of(network, "network", "f32")
    frames = prepared.recordings[0]
    found = activity(built.network, built.build(), frames)
    ran = reference.run(built.network, built.network.input.to_memory(frames))
    layers = {layer.name: layer for layer in built.network.layers}
    wanted = [
        int(
            np.count_nonzero(ran.values[layer.inputs[0]], axis=(0, 3)).ravel()
            @ profile.fan_out(layer, built.network.shape_of(layer.inputs[0])).ravel()
        )
        for layer in layers.values()
        if isinstance(layer, ir.Conv2d | ir.Linear)
    ]
    assert list(found.synaptic_operations) == wanted
    output = built.network.output
    outputs = output.shape.to_axes(ran.values[output.name]).reshape(len(frames), -1)
    np.testing.assert_allclose(found.counts, outputs.sum(axis=0, dtype=np.float64))


def test_threads_change_nothing(model: Model, folder: Path) -> None:
    found = dataset.find(folder, CLASSES)
    built = model.build()
    results = [evaluate(model, found, STEPS, threads, host=built) for threads in (1, 2, 7)]
    assert results[0] == results[1] == results[2]
    assert [result.threads for result in results] == [1, 2, 7]


def test_progress_is_told_in_order(model: Model, folder: Path) -> None:
    told: list[tuple[int, int]] = []
    evaluate(model, dataset.find(folder, CLASSES), STEPS, 3, lambda *done: told.append(done))
    assert told == [(number + 1, 20) for number in range(20)]


def test_a_recording_without_events_is_run_as_zeros_and_said(model: Model, folder: Path) -> None:
    (folder / "1/99999.bin").write_bytes(b"")
    found = dataset.find(folder, CLASSES)
    (empty,) = (one for one in found if one.empty)
    assert not empty.frames((2, 9, 8), STEPS).any()
    result = evaluate(model, found, STEPS)
    assert result.empty == 1 and "1 recording(s) without an event: run as zeros" in str(result)


def test_the_first_of_equal_counts_wins_and_no_spike_is_wrong(folder: Path) -> None:
    """Neurons of a single layer, fed a constant: 1 and 3 spike at every step, or none does."""
    shape = ir.Shape(1, 1, CLASSES, flat=True)
    size = 9 * 8 * 2

    def outputs(bias: list[float]) -> Model:
        one = np.ones((1, 1, 1), np.float32)
        layers = (
            ir.Linear(
                "linear1", "0", (ir.INPUT,), shape, np.zeros((size, CLASSES), np.float32),
                np.array(bias, np.float32),
            ),
            ir.Leaky(
                "leaky1", "1", ("linear1",), shape, one * np.float32(0.5), one, one, "subtract",
                reset_delay=True,
            ),
        )  # fmt: skip
        network = ir.Network(ir.Shape(9, 8, 2, flat=False), layers, "hand", "")
        return Model.of(network, "network", "f32")

    found = dataset.find(folder, CLASSES)
    tied = evaluate(outputs([0, 5, 0, 5, 0]), found, STEPS)
    assert {one.prediction for one in tied.recordings} == {1}
    assert tied.recordings[0].activity.counts == (0, STEPS, 0, STEPS, 0)
    assert tied.right == 4 and tied.silent == 0
    silent = evaluate(outputs([0.0] * 5), found, STEPS)
    assert {one.prediction for one in silent.recordings} == {None}
    assert silent.right == 0 and silent.silent == 20
    assert "20 recording(s) without an output spike: no class, counted as wrong" in str(silent)


def test_the_interval_is_wilson_s() -> None:
    """Values from the formula's literature: 8 of 10, and the ends."""
    assert np.round(wilson(8, 10), 4).tolist() == [0.4902, 0.9433]
    assert wilson(0, 10)[0] == pytest.approx(0.0) and wilson(10, 10)[1] == pytest.approx(1.0)


def test_the_command_prints_json_with_every_recording(
    model: Model, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", saved(model, folder), "--data", str(folder)]
    assert cli.main([*arguments, "--json", "--threads", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == ""  # no terminal, no bar
    result = json.loads(out)
    wanted = evaluate(model, dataset.find(folder, CLASSES), STEPS)
    assert result["right"] == wanted.right and result["recordings_per_second"] > 0
    assert [one["prediction"] for one in result["recordings"]] == [
        one.prediction for one in wanted.recordings
    ]
    assert result["recordings"][7] == json.loads(
        json.dumps(dataclasses.asdict(wanted.recordings[7]))
    )
    assert result["numbers"] == "f32" and result["agreement_with_float"] == []


def test_the_command_judges_on_what_it_is_told_to(
    model: Model, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["eval", saved(model, folder), "--data", str(folder)]
    held = dataset.split(dataset.find(folder, CLASSES))[1]

    def files(*more: str) -> list[str]:
        assert cli.main([*arguments, "--json", *more]) == 0
        return [one["file"] for one in json.loads(capsys.readouterr().out)["recordings"]]

    assert files("--held-out") == [str(one.path) for one in held]
    assert len(files("--limit", "7")) == 7
    assert files("--held-out", "--limit", "1") == [str(held[0].path)]
    assert cli.main([*arguments, "--bins", "9"]) == 0
    text = capsys.readouterr().out
    assert "of 20 right: " in text and ", 9 steps a recording" in text
    assert "class 4: " in text and " synaptic operations: conv1 " in text
    for one in held:
        one.path.unlink()
    assert cli.main([*arguments, "--held-out"]) == 1
    assert "none of its recordings is held out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--limit", "0"])


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with show_progress("recordings") as draw:
        assert draw is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with show_progress("recordings") as draw:
        assert draw is not None
        draw(1, 2)
        draw(2, 2)
    shown = capsys.readouterr()
    assert "recordings" in shown.err and "100%" in shown.err and not shown.out


def test_an_evaluation_refuses_what_it_cannot_judge(model: Model, folder: Path) -> None:
    with pytest.raises(SpikecError, match="no recordings to judge"):
        evaluate(model, (), STEPS)
    wrong = dataset.Labelled(folder / "0/00000.bin", 9)
    with pytest.raises(SpikecError, match="its label is 9, and the network's classes are 0 to 4"):
        evaluate(model, [wrong], STEPS)
    gone = dataset.Labelled(folder / "0/nothing.bin", 0)
    with pytest.raises(SpikecError, match=r"nothing\.bin: the recording cannot be read"):
        evaluate(model, [gone], STEPS)


def test_a_network_agrees_with_itself(model: Model, folder: Path) -> None:
    frames = [one.frames((2, 9, 8), STEPS) for one in dataset.find(folder, CLASSES)[:2]]
    for layer in agreement(model.network, model.network, frames):
        assert layer.equal == layer.matched == 1.0 and layer.snr_db is None


def test_a_command_that_is_stopped_says_so_and_no_more(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verb_eval, "evaluate", stopped)
    assert cli.main(["eval", saved(model, folder), "--data", str(folder)]) == 130
    assert capsys.readouterr() == ("", "spikec: stopped.\n")


@pytest.mark.parametrize("seed", range(3))
def test_whole_numbers_are_judged_and_compared_with_float(
    seed: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = networks.on_map(
        "int8", nn.Conv2d(2, 4, 3), networks.leaky(), nn.MaxPool2d(2, 1), nn.Conv2d(4, 3, 2),
        networks.leaky(),
    )  # fmt: skip
    network = import_network(networks.prepare(case, seed).net, case.shape, "int8.pt")
    path = folder / "eval.spikec"
    network_file.write(path, network_file.Saved(network, STEPS))
    arguments = ["eval", str(path), "--data", str(folder), "--numbers", "int8"]
    assert cli.main([*arguments, "--input-max", "90", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    whole = Model.of(network, "network", "int8", input_max=90)
    found = dataset.find(folder, CLASSES)
    wanted = judged_one_by_one(whole, found)
    assert [one["prediction"] for one in result["recordings"]] == wanted
    assert result["numbers"] == "int8"
    compared = {layer["layer"]: layer for layer in result["agreement_with_float"]}
    assert list(compared) == [layer.name for layer in network.spiking]
    few = [one.frames(case.shape, STEPS) for one in dataset.spaced(found, 4)]
    plain = Model.of(network, "network", "f32")
    for layer in network.spiking:
        pairs = [
            (reference.run(whole.network, given).spikes, reference.run(plain.network, given).spikes)
            for given in map(network.input.to_memory, few)
        ]
        same = [ours[layer.name] == theirs[layer.name] for ours, theirs in pairs]
        assert compared[layer.name]["equal"] == pytest.approx(np.mean(same))
        assert compared[layer.name]["neuron_steps"] == 4 * STEPS * layer.shape.size
    assert compared["leaky1"]["equal"] > 0.95 and compared["leaky1"]["snr_db"] > 20
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert cli.main([*arguments, "--input-max", "1", "--bins", "1"]) == 1
    assert "00000.bin: frames hold values that are not integers" in capsys.readouterr().err
    assert "against float on 4 recording(s)" in text and "membrane signal to noise: " in text


def test_agreement_counts_by_hand() -> None:
    """Two neurons fed 0.5 a step, one of which gets a tenth less in integers of 0.1."""
    shape = ir.Shape(1, 1, 2, flat=True)
    one = np.ones((1, 1, 1), np.float32)
    none = np.zeros((2, 2), np.float32)
    bias = np.full(2, 0.5, np.float32)
    linear = ir.Linear("linear1", "0", (ir.INPUT,), shape, none, bias)
    leaky = ir.Leaky("leaky1", "1", ("linear1",), shape, one, one, one, "none", reset_delay=True)
    integer = ir.IntegerLeaky(
        "leaky1", "1", ("linear1",), shape, np.full((1, 1, 1), 1 << 15, np.int32),
        np.full((1, 1, 1), 10, np.int32), np.array([[[5, 4]]], np.int32), 0, 16,
        one * np.float32(0.1), one, "none", reset_delay=True,
    )  # fmt: skip
    plain = dataclasses.replace(linear, weight=none.astype(np.int8), bias=bias * 0)
    flat = ir.Shape(1, 1, 2, flat=True)
    whole = ir.Network(flat, (linear, leaky), "hand", "")
    (found,) = agreement(
        whole, ir.Network(flat, (plain, integer), "hand", ""), [np.zeros((4, 2), np.float32)]
    )
    # Membranes are 0.5 1.0 1.5 2.0 twice, and the second 0.4 0.8 1.2 1.6: all spike above 1.
    assert (found.neuron_steps, found.equal, found.matched) == (8, 1.0, 1.0)
    noise = 0.1**2 + 0.2**2 + 0.3**2 + 0.4**2
    assert found.snr_db == pytest.approx(10 * np.log10(15 / noise), abs=1e-5)
    assert "100.000 % of 8 neuron-steps equal, 100.00 % of spikes in both" in str(found)
    # Float membranes that overflow have no such ratio, and NaN would be no JSON.
    endless = dataclasses.replace(linear, bias=np.full(2, 3e38, np.float32))
    (found,) = agreement(
        ir.Network(flat, (endless, leaky), "hand", ""),
        ir.Network(flat, (plain, integer), "hand", ""), [np.zeros((4, 2), np.float32)],
    )  # fmt: skip
    assert found.snr_db is None


def test_the_trained_network_is_as_good_as_its_card_says() -> None:
    """On the real recordings that training left out: the figures of models/nmnist/README.md."""
    folder = shared_folder("data", "nmnist", "Train")
    if folder is None:
        pytest.skip("no real recordings: there is no shared folder data/nmnist/Train")
    module = net()
    load_checkpoint(module, CHECKPOINT)
    built = Model.of(import_network(module.eval(), INPUT_SHAPE, "nmnist.pt"), "network", "f32")
    result: Evaluation = evaluate(built, dataset.split(dataset.find(folder, 10))[1], 20)
    assert (result.right, result.total) == (257, 261)
    assert round(sum(layer.mean for layer in result.spikes[:2])) == 1408


def read_out(model: Model, kind: str, early_exit: str | float | None) -> Model:
    steps = STEPS if early_exit is not None else None
    return Model.of(
        model.network, "network", "f32", readout=kind, early_exit=early_exit, steps=steps
    )


def test_an_exact_exit_is_as_accurate_and_saves_work(model: Model, folder: Path) -> None:
    found = dataset.find(folder, CLASSES)
    exact = read_out(model, "count", "exact")
    whole, early = (evaluate(one, found, STEPS) for one in (model, exact))
    assert whole.exits is None and early.exits is not None
    assert early.right == early.exits.right == whole.right
    assert early.confusion == whole.confusion and early.spikes == whole.spikes
    built = exact.build()
    for before, after in zip(whole.recordings, early.recordings, strict=True):
        decided = after.activity.decided
        assert decided is not None and after.prediction == decided.winner == before.prediction
        frames = dataset.Labelled(Path(after.file), 0).frames((2, 9, 8), STEPS)
        ran = built.classify(frames)
        assert (ran.winner, ran.steps) == (decided.winner, decided.steps)
        made = activity(model.network, built, frames[: ran.steps]).synaptic_operations
        assert decided.synaptic_operations == sum(made)
    made_of = [
        (one.activity.decided.synaptic_operations, sum(one.activity.synaptic_operations))
        for one in early.recordings
        if one.activity.decided is not None
    ]
    share = sum(made for made, _ in made_of) / sum(total for _, total in made_of)
    assert early.exits.saved == 1 - share > 0
    assert early.exits.steps == np.mean(
        [one.activity.decided.steps for one in early.recordings if one.activity.decided]
    )
    assert f"{early.exits.steps:.1f} steps a recording, {100 * early.exits.saved:.1f} %" in str(
        early
    )


def test_a_margin_may_be_less_accurate_and_that_is_said(model: Model, folder: Path) -> None:
    """The labels are those of the whole recordings, so that only early exits can be wrong."""
    found = dataset.find(folder, CLASSES)
    for kind, margin in (("last", 0.01), ("sum", 0.01)):
        whole = evaluate(read_out(model, kind, None), found, STEPS)
        labelled = [
            dataset.Labelled(one.path, judged.prediction or 0)
            for one, judged in zip(found, whole.recordings, strict=True)
        ]
        result = evaluate(read_out(model, kind, margin), labelled, STEPS)
        assert result.exits is not None
        assert result.exits.right == 20 > result.right
        assert "without early exit 20 right" in str(result)


def test_outputs_that_never_spike_are_judged_by_their_largest_membrane(
    model: Model, folder: Path
) -> None:
    last = model.network.layers[-1]
    ones = np.ones((1, 1, 1), np.float32)
    outputs = ir.Cell(
        last.name, last.source, last.inputs, last.shape, "nir.LI", (("current",),),
        (ir.Parameter("beta", 0.5 * ones),), (ir.State("mem", "mem_now"),),
        (ir.Step("kept", "mul", ("beta", "mem")), ir.Step("mem_now", "add", ("kept", "current"))),
        None, None, "mem_now", ones, None,
    )  # fmt: skip
    network = dataclasses.replace(model.network, layers=(*model.network.layers[:-1], outputs))
    silent = Model.of(network, "network", "f32")
    found = dataset.find(folder, CLASSES)
    result = evaluate(silent, found, STEPS)
    assert result.exits is not None and result.exits.readout == "max" and result.silent == 0
    for one, judged in zip(found, result.recordings, strict=True):
        membranes = reference.run(network, ir_frames(silent, one)).membranes[last.name]
        assert judged.prediction == int(membranes.reshape(STEPS, -1).max(axis=0).argmax())
        assert judged.activity.counts == (0,) * CLASSES
    assert len({judged.prediction for judged in result.recordings}) > 1


def test_the_commands_take_a_readout(
    model: Model, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(model, folder)
    judge = ["eval", path, "--data", str(folder), "--json"]
    exact = ["--readout", "count", "--early-exit", "exact"]
    assert cli.main([*judge, *exact]) == 0
    result = json.loads(capsys.readouterr().out)
    wanted = evaluate(read_out(model, "count", "exact"), dataset.find(folder, CLASSES), STEPS)
    assert wanted.exits is not None
    assert result["exits"] == dataclasses.asdict(wanted.exits)
    events = [one["file"] for one in result["recordings"]][:6]
    run = ["run", path, "--events", *events]
    assert cli.main([*run, "--json", *exact]) == 0
    ran = json.loads(capsys.readouterr().out)
    for one, judged in zip(ran, result["recordings"][:6], strict=True):
        decided = judged["activity"]["decided"]
        assert (one["winner"], one["decided_after"]) == (decided["winner"], decided["steps"])
    assert cli.main([*run, *exact]) == 0
    text = capsys.readouterr().out
    first = ran[0]
    assert f"class {first['winner']} after {first['decided_after']} steps, spikes " in text
    assert cli.main([*run, "--early-exit", "2"]) == 1
    assert "--early-exit 2.0: is of a readout, and there is none" in capsys.readouterr().err
