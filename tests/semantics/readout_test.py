# SPDX-License-Identifier: Apache-2.0
"""Readouts: C decides what NumPy does, and an exact early exit changes no class.

The build names the pinned compiler and emulator in SPIKEC_CORTEX_M7_CC and SPIKEC_CORTEX_M7_QEMU;
without it they are looked for on the PATH, and what needs them is skipped where they are missing.
"""

from __future__ import annotations

import ctypes
import dataclasses
import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import snntorch
import torch
from torch import nn

import spikec
from spikec.backend.c import runtime
from spikec.backend.c.tables import float_literals
from spikec.cli import main as cli
from spikec.errors import SpikecError
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.model import Model
from spikec.semantics import readout
from spikec.semantics.readout import Decision, Readout
from spikec.targets.cortex_m7 import drive_build
from spikec.targets.cortex_m7.drive_run import qemu_command
from spikec.targets.host import Host
from tests import networks

STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror", "-O1")  # sooner compiled
TIMEOUT_S = 60.0
STEPS = networks.STEPS
OUTPUTS = 5

CHOICES: list[tuple[str, str | float | None, int | None]] = [
    ("count", None, None), ("count", None, 9), ("count", "exact", STEPS), ("count", 2, None),
    ("count", 2, 11), ("first", None, None), ("first", None, 3), ("first", "exact", None),
    ("first", "exact", 3), ("last", None, 9), ("last", 0.25, None), ("max", None, None),
    ("max", 0.5, 9), ("sum", None, None), ("sum", 1.5, None), ("sum", 1.5, 9),
]  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Fed:
    """A loaded readout that a test feeds outputs of its own making, in the network's stead."""

    model: Model
    host: Host

    def decide(
        self, spikes: npt.NDArray[np.uint8], membranes: npt.NDArray[Any] | None = None
    ) -> Decision:
        """By the generated C: each step's membranes are put where it looks for them."""
        assert self.model.readout is not None
        state = np.zeros(self.model.plan.state_bytes + 64, np.uint8)
        address = state.ctypes.data + -state.ctypes.data % 64
        room = np.full(self.model.readout.state_bytes(spikes.shape[1]), 0xA5, np.uint8)
        at = self.host._function("membranes", ctypes.c_void_p, 1)(address)
        add = self.host._function("readout_add", ctypes.c_bool, 3)
        winner = self.host._function("readout_class", ctypes.c_int32, 1)
        assert self.host._function("readout_reset", ctypes.c_int, 1)(room.ctypes.data) == 0
        used = 0
        for t in range(len(spikes)):
            row = np.ascontiguousarray(spikes[t])
            if membranes is not None:
                now = np.ascontiguousarray(membranes[t])
                ctypes.memmove(at, now.ctypes.data, now.nbytes)
            used += 1
            if add(room.ctypes.data, address, row.ctypes.data):
                kept = room.copy()
                assert add(room.ctypes.data, address, row.ctypes.data), "decided stays decided"
                assert (kept == room).all(), "what is added after the decision changes nothing"
                break
        found = winner(room.ctypes.data)
        return Decision(None if found < 0 else found, used)


def imported(case: networks.Case, seed: int = 0) -> tuple[ir.Network, networks.Prepared]:
    prepared = networks.prepare(case, seed)
    return import_network(prepared.net, case.shape, "readout.pt"), prepared


def small(*tail: nn.Module) -> networks.Case:
    end = tail or (nn.Linear(8, OUTPUTS), networks.leaky(output=True))
    return networks.built("small", (7,), nn.Linear(7, 8), networks.leaky(), *end)


def fed(numbers: str, kind: str, early_exit: str | float | None, steps: int | None) -> Fed:
    network, _ = imported(small())
    model = Model.of(
        network, "net", numbers, input_max=255 if numbers == "int8" else None,
        readout=kind, early_exit=early_exit, steps=steps,
    )  # fmt: skip
    return Fed(model, model.build(STRICT))


def trains(count: int, outputs: int, rng: np.random.Generator) -> list[npt.NDArray[np.uint8]]:
    """Spikes at every rate; and close races, in which two outputs lead all others by turns."""
    found = []
    for number in range(count):
        spikes = rng.random((STEPS, outputs)) < rng.choice([0.02, 0.1, 0.4, 0.8])
        if number % 2:
            pair = rng.choice(outputs, 2, replace=outputs == 1)
            spikes[:] = False
            spikes[np.arange(STEPS), pair[rng.integers(0, 2, STEPS)]] = True
            spikes[rng.random(STEPS) < 0.2] = True
        found.append(spikes.astype(np.uint8))
    return found


def most(spikes: npt.NDArray[np.uint8]) -> int | None:
    """The first output with the most spikes, found in a way of its own."""
    counts = [int(column.sum()) for column in spikes.T]
    return counts.index(max(counts)) if max(counts) else None


@pytest.mark.parametrize(("kind", "early_exit", "steps"), CHOICES)
@pytest.mark.parametrize("numbers", ["f32", "int8"])
def test_c_decides_what_numpy_does(
    numbers: str, kind: str, early_exit: str | float | None, steps: int | None
) -> None:
    network, prepared = imported(small())
    rng = np.random.default_rng(3)
    model = Model.of(
        network, "net", numbers, input_max=255 if numbers == "int8" else None,
        readout=kind, early_exit=early_exit, steps=steps,
    )  # fmt: skip
    assert model.readout is not None and model.network.readout is not None
    host = model.build(STRICT)
    decisions = []
    for density in (0.02, 0.1, 0.4, 1.0) * 4:
        frames = networks.counts((7,), rng, density)
        spikes = host.spikes(frames)[model.network.readout.name].reshape(len(frames), -1)
        membranes = host.membranes(frames)[network.spiking[-1].source]
        wanted = model.readout.decide(spikes, membranes)
        assert host.classify(frames) == wanted
        decisions.append(wanted)
    assert len({one.winner for one in decisions}) > 1, "every recording has the same class"
    longest = min(steps or STEPS, STEPS)
    used = {one.steps for one in decisions}
    assert (used == {longest}) == (early_exit is None), used
    assert host.classify(prepared.recordings[0][:0]) == Decision(None, 0)


@pytest.mark.parametrize("outputs", [1, 2, OUTPUTS])
def test_an_exact_exit_never_changes_the_class_and_is_never_late(outputs: int) -> None:
    """Where it goes on there is a continuation that gives another class than stopping would."""
    chosen = Readout("count", "exact", STEPS, None)
    early = 0
    for spikes in trains(400, outputs, np.random.default_rng(outputs)):
        found = chosen.decide(spikes)
        assert found.winner == most(spikes)
        early += found.steps < STEPS
        for t in range(1, found.steps):
            before = spikes[:t]
            now = most(before)
            others = [
                np.vstack([before, np.tile(np.eye(outputs, dtype=np.uint8)[i], (STEPS - t, 1))])
                for i in range(outputs)
            ]
            silent = np.vstack([before, np.zeros((STEPS - t, outputs), np.uint8)])
            assert len({most(one) for one in (silent, *others)} | {now}) > 1, (t, before)
    assert early > 50


def test_an_exact_exit_is_the_class_of_every_continuation() -> None:
    """All recordings of 3 outputs and 3 steps there are."""
    chosen = Readout("count", "exact", 3, None)
    rows = list(itertools.product((0, 1), repeat=3))
    for train in itertools.product(rows, repeat=3):
        spikes = np.array(train, np.uint8)
        assert chosen.decide(spikes).winner == most(spikes)
        assert Readout("first", "exact", 3, None).decide(spikes).winner == next(
            (row.index(1) for row in train if any(row)), None
        )


def test_an_exact_exit_in_c_is_the_class_of_all_steps() -> None:
    exact = fed("f32", "count", "exact", STEPS)
    first = fed("f32", "first", "exact", None)
    used = set()
    for spikes in trains(400, OUTPUTS, np.random.default_rng(8)):
        found = exact.decide(spikes)
        assert found.winner == most(spikes)
        assert found == exact.model.readout.decide(spikes)  # type: ignore[union-attr]
        used.add(found.steps)
        fired = np.argwhere(spikes)
        found = first.decide(spikes)
        assert found.winner == (int(fired[0, 1]) if len(fired) else None)
        assert found.steps == (int(fired[0, 0]) + 1 if len(fired) else STEPS)
    assert len(used) > 5


@pytest.mark.parametrize("seed", range(6))
def test_an_exact_exit_changes_no_class_of_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network, _ = imported(small(nn.Linear(8, 3 + seed), networks.leaky(output=True)), seed)
    for numbers, kind in (("f32", "count"), ("f32", "first"), ("int8", "count")):
        model = Model.of(
            network, "net", numbers, input_max=255 if numbers == "int8" else None,
            readout=kind, early_exit="exact", steps=STEPS,
        )  # fmt: skip
        host = model.build(STRICT)
        saved = 0
        for _ in range(40):
            frames = networks.counts((7,), rng, rng.choice([0.05, 0.4, 1.5]))
            counts = host.run(frames).astype(np.uint8)
            found = host.classify(frames)
            whole = most(counts) if kind == "count" else Readout(
                "first", None, None, None
            ).decide(counts).winner  # fmt: skip
            assert found.winner == whole
            saved += STEPS - found.steps
        assert saved > 0


@pytest.mark.parametrize("kind", ["last", "max", "sum"])
@pytest.mark.parametrize("margin", [None, 0.5])
def test_membranes_that_are_no_numbers_or_tie_decide_the_same_in_c(
    kind: str, margin: float | None
) -> None:
    one = fed("f32", kind, margin, STEPS)
    assert one.model.readout is not None
    rng = np.random.default_rng(2)
    spikes = np.zeros((STEPS, OUTPUTS), np.uint8)
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1.5, -2.0, 3e38, 1e-45], np.float32)
    for number in range(300):
        membranes = rng.choice(odd[3:] if number % 2 else odd, (STEPS, OUTPUTS))
        assert one.decide(spikes, membranes) == one.model.readout.decide(spikes, membranes)
    ties = np.tile(np.array([0, 2, 1, 2, 2], np.float32), (STEPS, 1))
    assert one.decide(spikes, ties) == Decision(1, STEPS)


@pytest.mark.parametrize("kind", ["last", "max", "sum"])
def test_membranes_in_whole_numbers_are_compared_by_what_they_are_worth(kind: str) -> None:
    one = fed("int8", kind, None, None)
    chosen, layer = one.model.readout, one.model.network.readout
    assert chosen is not None and chosen.units is not None and isinstance(layer, ir.IntegerLeaky)
    largest = 2 ** (layer.bits - 2)
    dtype = np.int16 if layer.bits == 16 else np.int32
    rng = np.random.default_rng(4)
    spikes = np.zeros((STEPS, OUTPUTS), np.uint8)
    differ = 0
    for _ in range(300):
        membranes = rng.integers(-largest, largest, (STEPS, OUTPUTS)).astype(dtype)
        found = one.decide(spikes, membranes)
        assert found == chosen.decide(spikes, membranes)
        differ += found != dataclasses.replace(chosen, units=None).decide(spikes, membranes)
    assert differ > 0, "the units make no difference"
    worth = membranes[-1] * np.array(chosen.units, np.float64)
    if kind == "last":
        assert found.winner == int(worth.argmax())


def test_each_kind_is_what_it_says() -> None:
    membranes = np.array([[1, 5, 2], [9, 1, 2], [2, 1, 4], [2, 6, 5]], np.float32)
    spikes = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 0], [1, 0, 0]], np.uint8)
    found = {
        kind: Readout(kind, None, None, None).decide(spikes, membranes).winner
        for kind in readout.KINDS
    }
    assert found == {"count": 0, "first": 1, "last": 1, "max": 0, "sum": 0}
    assert [
        Readout("last", None, steps, None).decide(spikes, membranes) for steps in (1, 2, 3)
    ] == [Decision(1, 1), Decision(0, 2), Decision(2, 3)]
    assert Readout("sum", None, 3, None).decide(spikes, membranes).winner == 0
    assert Readout("count", None, 2, None).decide(spikes) == Decision(1, 2)
    assert Readout("max", 4.0, None, None).decide(spikes, membranes) == Decision(0, 2)
    assert Readout("count", 1, None, None).decide(spikes) == Decision(0, 4)


def test_a_readout_refuses_null_pointers() -> None:
    one = fed("f32", "count", "exact", STEPS)
    room, spikes = np.zeros(64, np.uint8), np.ones(OUTPUTS, np.uint8)
    add = one.host._function("readout_add", ctypes.c_bool, 3)
    assert one.host._function("readout_reset", ctypes.c_int, 1)(None) == 1
    for at in range(3):
        given: list[int | None] = [room.ctypes.data, room.ctypes.data, spikes.ctypes.data]
        given[at] = None
        assert add(*given) is True
    assert not room.any()
    assert one.host._function("readout_class", ctypes.c_int32, 1)(None) == -1


def test_without_the_option_nothing_of_a_readout_is_generated() -> None:
    network, prepared = imported(small())
    plain = Model.of(network, "net", "f32")
    files = Model.of(network, "net", "f32", readout="count").files()
    assert set(plain.files()) == set(files)
    assert all("net_readout" not in text for text in plain.files().values())
    assert all("net_readout_" in text for name, text in files.items() if name[-2:] in (".h", ".c"))
    with pytest.raises(SpikecError, match="compiled without a readout, so nothing decides its"):
        plain.build().classify(prepared.recordings[0])


def test_generated_lines_fit_whatever_the_name() -> None:
    network, _ = imported(small())
    for name, (kind, early_exit, steps) in itertools.product(("a", "nmnist_pruned"), CHOICES):
        for numbers in ("f32", "int8"):
            files = Model.of(
                network, name, numbers, readout=kind, early_exit=early_exit, steps=steps
            ).files()
            for suffix in ("h", "c"):
                text = files[f"{name}.{suffix}"]
                assert max(map(len, text.splitlines())) <= 100, text


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"readout": "votes"}, "readout='votes' is not supported; use one of count, first, last, max"),
    ({"early_exit": "exact"}, "early_exit='exact' says when a readout is over, and there is none"),
    ({"steps": 4}, "steps=4 says when a readout is over, and there is none"),
    ({"readout": "count", "early_exit": "exact"}, "depends on how many time steps are left; give"),
    ({"readout": "max", "early_exit": "exact", "steps": 9}, "has no useful bound"),
    ({"readout": "first", "early_exit": 2}, "the first spike decides, without a margin"),
    ({"readout": "count", "early_exit": 1.5}, "neither 'exact' nor a margin in spikes, an integer"),
    ({"readout": "count", "early_exit": 0}, "an integer of at least 1"),
    ({"readout": "count", "early_exit": "soon"}, "neither 'exact' nor a margin in spikes"),
    ({"readout": "count", "early_exit": True}, "neither 'exact' nor a margin in spikes"),
    ({"readout": "sum", "early_exit": float("nan")}, "is no margin in what membranes are worth"),
    ({"readout": "sum", "early_exit": 1e-60}, "is no margin in what membranes are worth"),
    ({"readout": "sum", "early_exit": 10**400}, "is no margin in what membranes are worth"),
    ({"readout": "count", "steps": 0}, "steps=0 is no integer of time steps, 1 to 2,147,483"),
    ({"readout": "count", "steps": 2.0}, "steps=2.0 is no integer of time steps"),
]


@pytest.mark.parametrize(("options", "sentence"), REFUSED)
def test_what_a_readout_cannot_do_is_refused(options: dict[str, Any], sentence: str) -> None:
    network, _ = imported(small())
    with pytest.raises(SpikecError) as raised:
        Model.of(network, "net", "f32", **options)
    assert sentence in str(raised.value)


def refused(network: ir.Network, kind: str) -> str:
    with pytest.raises(SpikecError) as raised:
        readout.choose(network, kind)
    return str(raised.value)


def test_outputs_that_a_readout_cannot_read_are_refused() -> None:
    pooled, _ = imported(
        networks.on_map("pooled", nn.Conv2d(2, 3, 3), networks.leaky(), nn.MaxPool2d((7, 6)),
                        nn.Flatten(), tail=False)
    )  # fmt: skip
    assert readout.choose(pooled, "count").kind == "count"
    assert "are not neurons one for one, so they have no membranes" in refused(pooled, "sum")
    wide, _ = imported(
        networks.on_map("map", nn.Conv2d(2, 3, 3), networks.leaky(output=True), tail=False)
    )
    assert "a map of 7x6 positions with 3 channels" in refused(wide, "count")
    graded, _ = imported(
        small(
            nn.Linear(8, 2),
            networks.leaky(graded_spikes_factor=networks.spread(2), output=True),
        )
    )
    assert "it takes spikes as equal, and those of leaky2" in refused(graded, "first")
    assert readout.choose(graded, "max").kind == "max"
    negative, _ = imported(
        small(nn.Linear(8, 2), networks.leaky(graded_spikes_factor=-1.0, output=True))
    )
    assert "of sizes -1 to -1" in refused(negative, "count")


def silent(network: ir.Network) -> ir.Network:
    """The network with outputs that leak and never spike, as NIR's LI."""
    last = network.layers[-1]
    ones = np.ones((1, 1, 1), np.float32)
    outputs = ir.Cell(
        last.name, last.source, last.inputs, last.shape, "nir.LI", (("current",),),
        (ir.Parameter("beta", 0.75 * ones),), (ir.State("mem", "mem_now"),),
        (ir.Step("kept", "mul", ("beta", "mem")), ir.Step("mem_now", "add", ("kept", "current"))),
        None, None, "mem_now", ones, None,
    )  # fmt: skip
    return dataclasses.replace(network, layers=(*network.layers[:-1], outputs))


def test_outputs_that_never_spike_are_read_by_their_membranes() -> None:
    network, prepared = imported(small())
    outputs = silent(network)
    assert "never spike; their membranes decide: use readout='max'" in refused(outputs, "count")
    assert readout.needed(network) is None
    chosen = readout.needed(outputs)
    assert chosen is not None and chosen.kind == "max"
    model = Model.of(outputs, "net", "f32", readout="max")
    host = model.build(STRICT)
    winners = set()
    for frames in prepared.recordings:
        membranes = host.membranes(frames)[network.spiking[-1].source]
        assert host.classify(frames).winner == int(membranes.max(axis=0).argmax())
        winners.add(host.classify(frames).winner)
    assert len(winners) > 1


class Branches(nn.Module):
    """Two layers of outputs, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.weights1, self.weights2 = nn.Linear(7, 2, bias=False), nn.Linear(7, 3, bias=False)
        self.neurons1, self.neurons2 = snntorch.Leaky(beta=0.9), snntorch.Leaky(beta=0.8)
        for layer in (self.weights1, self.weights2):
            layer.weight.data *= 4

    def forward(self, recording: torch.Tensor) -> torch.Tensor:
        membrane1, membrane2 = self.neurons1.init_leaky(), self.neurons2.init_leaky()
        outputs = []
        for frame in recording:
            spikes1, membrane1 = self.neurons1(self.weights1(frame), membrane1)
            spikes2, membrane2 = self.neurons2(self.weights2(frame), membrane2)
            outputs.append(torch.cat([spikes1, spikes2], dim=1))
        return torch.stack(outputs)


def test_other_neurons_and_joined_outputs_are_read_too() -> None:
    torch.manual_seed(0)
    synaptic = snntorch.Synaptic(alpha=0.8, beta=0.7, init_hidden=True, output=True)
    rng = np.random.default_rng(1)
    for net, numbers, kind, early_exit in (
        (nn.Sequential(nn.Linear(7, 4), synaptic), "int8", "sum", 1.0),
        (Branches(), "f32", "count", "exact"),
    ):
        model = Model.of(
            import_network(net.eval(), (7,), "other.pt"), "net", numbers, input_max=8,
            readout=kind, early_exit=early_exit, steps=STEPS,
        )  # fmt: skip
        assert model.readout is not None
        host, neurons = model.build(STRICT), model.network.readout
        found = set()
        for density in (0.05, 0.2, 0.6, 2.0) * 5:
            some = rng.integers(0, 2, 7)  # of the inputs, so that classes differ
            frames = networks.counts((7,), rng, density).clip(max=8) * some
            membranes = host.membranes(frames)[neurons.source] if neurons is not None else None
            wanted = model.readout.decide(host.run(frames).astype(np.uint8), membranes)
            assert host.classify(frames) == wanted
            found.add(wanted)
        assert len({one.winner for one in found}) > 1 and len({one.steps for one in found}) > 2
    with pytest.raises(SpikecError, match="the outputs of concat1"):
        readout.choose(model.network, "sum")


def test_compile_takes_a_readout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, prepared = imported(small())
    path = tmp_path / "small.spikec"
    network_file.write(path, network_file.Saved(network, STEPS))
    start = ["compile", str(path), "--name", "net", "--quiet", "--readout", "count"]
    texts = []
    for number, more in enumerate(
        (["--early-exit", "exact"], ["--early-exit", "exact", "--steps", str(STEPS)],
         ["--early-exit", "2"], [])
    ):  # fmt: skip
        assert cli.main([*start, "--out", str(tmp_path / str(number)), *more]) == 0
        texts.append((tmp_path / str(number) / "net.c").read_text())
    assert capsys.readouterr().out == ""
    assert texts[0] == texts[1] and len(set(texts)) == 3
    model = spikec.compile(
        prepared.net, (7,), name="net", readout="count", early_exit="exact", steps=STEPS
    )
    ours, theirs = (re.sub("// source .*", "", text) for text in (model.files()["net.c"], texts[0]))
    assert ours == theirs
    assert cli.main([*start[:-2], "--out", str(tmp_path / "5"), "--early-exit", "2"]) == 1
    assert "give readout='count'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*start, "--out", str(tmp_path / "6"), "--early-exit", "soon"])


M7 = [
    ("f32", "count", "exact", STEPS), ("int8", "sum", 1.5, STEPS), ("f32", "max", 0.5, None),
    ("int8", "first", "exact", None),
]  # fmt: skip


@pytest.mark.parametrize(("numbers", "kind", "early_exit", "steps"), M7)
def test_the_cortex_m7_decides_the_same_after_as_many_steps(
    numbers: str, kind: str, early_exit: str | float, steps: int | None, tmp_path: Path
) -> None:
    try:
        gcc, qemu = drive_build.compiler(), drive_build.emulator()
    except SpikecError as error:
        pytest.skip(str(error))
    network, _ = imported(small())
    model = Model.of(
        network, "net", numbers, input_max=255 if numbers == "int8" else None,
        readout=kind, early_exit=early_exit, steps=steps,
    )  # fmt: skip
    rng = np.random.default_rng(6)
    recordings = np.stack([networks.counts((7,), rng, d) for d in (0, 0.02, 0.1, 0.4, 1, 2) * 3])
    host = model.build()
    wanted = [host.classify(frames) for frames in recordings]
    assert len({one.winner for one in wanted}) > 1 and len({one.steps for one in wanted}) > 2
    files = {name: runtime.read(name) for name in runtime.FIRMWARE if name != "drive_main.c"}
    files = runtime.with_includes(files | model.driven_files("cortex-m7"))
    values = ", ".join(float_literals(recordings))
    files["readout_frames.h"] = (
        '#include "net.h"\n'
        f"enum {{ RECORDINGS = {len(recordings)}, STEPS = {STEPS} }};\n"
        f"static const float frames[RECORDINGS][STEPS][NET_INPUTS] = {{{values}}};\n"
    )
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    shutil.copy(Path(__file__).parent / "readout_main.c", tmp_path)
    units = [name for name in [*sorted(files), "readout_main.c"] if name.endswith(".c")]
    command = [*gcc, *drive_build.FLAGS, "-I.", *units]
    command += [*drive_build.LINK_FLAGS, "-lgcc", "-o", "readout.elf"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=TIMEOUT_S)
    said = subprocess.run(
        qemu_command(qemu, tmp_path / "readout.elf", ["readout"]), capture_output=True,
        stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=True, text=True,
    )  # fmt: skip
    lines = (said.stdout + said.stderr).splitlines()
    assert lines == [
        f"{'none' if one.winner is None else one.winner} {one.steps}" for one in wanted
    ]
