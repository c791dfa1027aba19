# SPDX-License-Identifier: Apache-2.0
"""`spikec report`: every figure is what the linked image has; budgets that fail with a sentence.

The build names the pinned compiler in SPIKEC_CORTEX_M7_CC; without it it is looked for on the PATH,
and what needs it is skipped where it is missing. It may name, too, an image of //models:nmnist in
PORTENTA_ELF.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from spikec.backend.c import runtime
from spikec.backend.c.source import lower_calls
from spikec.backend.c.tables import tables_of
from spikec.cli import main as cli
from spikec.errors import SpikecError
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.measure import evaluate, profile, report
from spikec.model import Model
from spikec.recordings import dataset
from spikec.recordings.events import Recording, write_nmnist
from spikec.targets import budget
from spikec.targets.cortex_m7 import drive_build, elf_size
from tests import networks

STEPS = 6


@functools.cache
def model(name: str = "network", numbers: str = "f32") -> Model:
    case = networks.on_map(
        "report", nn.Conv2d(2, 6, 3, padding=1), nn.MaxPool2d(2), networks.leaky(),
        nn.Conv2d(6, 5, 2), networks.leaky(beta=networks.spread(5, 3, 3, high=0.95)),
    )  # fmt: skip
    network = import_network(networks.prepare(case).net, case.shape, "report.pt")
    return Model.of(network, name, numbers, input_max=20)


def others() -> list[Model]:
    """Dense arrays, poolings of spikes, a readout alone: what else takes memory."""
    cases = [
        networks.on_map(
            "graded", networks.conv(3, 3), networks.leaky(graded_spikes_factor=0.5),
            nn.AvgPool2d(2), nn.Conv2d(3, 2, 2), networks.leaky(), nn.MaxPool2d(2, 1),
        ),
        networks.built("readout", (2, 9, 8), networks.leaky(), nn.Flatten(), nn.Linear(144, 3),
                       networks.leaky(output=True)),
    ]  # fmt: skip
    return [
        Model.of(import_network(networks.prepare(one).net, one.shape, "o.pt"), "network", "f32")
        for one in cases
    ]


def saved(folder: Path) -> str:
    path = folder / "report.spikec"
    network_file.write(path, network_file.Saved(model().network, STEPS))
    return str(path)


def needs_compiler() -> None:
    try:
        drive_build.compiler()
    except SpikecError as error:
        pytest.skip(f"no Cortex-M7: {error}")


def linked(folder: Path, one: Model) -> Path:
    needs_compiler()
    return drive_build.build(one.name, one.driven_files("cortex-m7"), folder)


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(drive_build.COMPILER_VARIABLE, "no-such-compiler")


def symbols(elf: Path) -> list[tuple[str, int, str, str]]:
    """(name, bytes, FUNC or OBJECT, section) of an image, by the system's readelf."""

    def readelf(flag: str) -> str:
        return subprocess.run(
            ["readelf", flag, str(elf)], check=True, capture_output=True, text=True
        ).stdout

    sections = dict(re.findall(r"\[ *(\d+)\] (\.\S+)", readelf("-SW")))
    rows = re.findall(
        r"^ *\d+: [0-9a-f]+ +(\d+) (FUNC|OBJECT) +\S+ +\S+ +(\d+) (\S+)$",
        readelf("-sW"),
        re.MULTILINE,
    )
    return [(name, int(size), kind, sections[at]) for size, kind, at, name in rows]


def write_events(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, side, 500).astype(np.int16) for side in (8, 9))
    time = np.sort(rng.integers(0, 300_000, 500))
    path.parent.mkdir(parents=True, exist_ok=True)
    polarity = rng.integers(0, 2, 500).astype(np.uint8)
    write_nmnist(path, Recording(x, y, polarity, time, 8, 9))


@pytest.mark.parametrize("numbers", ["f32", "int8"])
def test_every_figure_is_the_linked_image_s(numbers: str, tmp_path: Path) -> None:
    one = model("network", numbers)
    found = symbols(linked(tmp_path, one))
    costs = report.costs(one)
    tables = {name: size for name, size, kind, at in found if (kind, at) == ("OBJECT", ".rodata")}
    emitted = {table.name: table.bytes for table in tables_of(lower_calls(one.plan, "cortex-m7"))}
    for layer in costs.layers:
        own = {name: n for name, n in tables.items() if name.partition("_")[0] == layer.layer}
        assert layer.tables == sum(own.values())
        assert own.items() <= emitted.items()  # each whole, or not there at all
    assert costs.tables == sum(layer.tables for layer in costs.layers) > 0
    assert costs.state == one.plan.state_bytes
    assert costs.numbers == numbers
    assert costs.state == sum(size for _, size, _, at in found if at == ".spk_state")
    assert costs.other == tables["network_model"] + tables["network_model_neurons"]
    assert costs.code is not None
    assert costs.flash == costs.code + costs.tables + costs.other


@pytest.mark.parametrize("number", range(4))
def test_code_is_all_that_the_program_s_own_sources_do_not_define(
    number: int, tmp_path: Path
) -> None:
    one = (model(), model("network", "int8"), *others())[number]
    files = (*runtime.FIRMWARE, *runtime.DRIVER)
    program = "".join(runtime.read(file) for file in files if file.endswith(".c"))
    functions = [entry for entry in symbols(linked(tmp_path, one)) if entry[2] == "FUNC"]
    theirs = [size for name, size, *_ in functions if f"{name.partition('.')[0]}(" in program]
    everything = sum(size for _, size, *_ in functions)
    assert 0 < sum(theirs) < everything
    assert report.costs(one).code == everything - sum(theirs)


def test_a_name_that_other_functions_start_with_takes_no_more(tmp_path: Path) -> None:
    """`m` starts memset, memcpy and mark."""
    code = report.costs(model("m")).code if linked(tmp_path, model("m")) else None
    wanted = report.costs(model()).code
    assert code is not None and wanted is not None
    assert abs(code - wanted) < 32  # functions are ordered, and aligned, by their names


def test_shares_of_the_state_add_up_to_it() -> None:
    for one in (model(), model("network", "int8"), *others()):
        names = {layer.name for layer in one.network.layers} | {ir.INPUT}
        shares = report.ram_by_layer(one.plan)
        assert shares.keys() <= names
        padding = one.plan.state_bytes - sum(shares.values())
        assert 0 <= padding < 64 * len(one.plan.members)


def test_without_a_compiler_tables_and_state_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_compiler(monkeypatch)
    assert cli.main(["report", saved(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["code"] is None and found["other"] is None
    assert "SPIKEC_CORTEX_M7_CC names 'no-such-compiler'" in found["unmeasured"]
    assert found["state"] == model().plan.state_bytes
    assert found["flash"] == found["tables"] == model().report().table_bytes
    assert [layer["tables"] for layer in found["layers"]] == [
        layer.table_bytes for layer in model().report().layers
    ]
    assert cli.main(["report", saved(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "code not measured: SPIKEC_CORTEX_M7_CC names" in text
    assert f"RAM {found['state']:,} B: membranes " in text


def test_operations_are_measured_on_recordings_and_at_their_worst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_compiler(monkeypatch)
    for number in range(6):
        write_events(tmp_path / f"data/{number % 3}/{number}.bin", number)
    found = dataset.find(tmp_path / "data", 5)
    paths = [str(one.path) for one in found]
    start = ["report", saved(tmp_path)]
    outputs = []
    for more in (["--data", str(tmp_path / "data")], ["--events", *paths]):
        assert cli.main([*start, *more, "--json"]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    assert (outputs[0]["recordings"], outputs[0]["steps"]) == (6, STEPS)
    frames = [one.frames(model().network.input.axes, STEPS) for one in found]
    items = [profile.work(model().plan, one) for one in frames]
    for number, item in enumerate(items[0]):
        name = item.layer.split("+")[0]
        (layer,) = (layer for layer in outputs[0]["layers"] if layer["layer"] == name)
        if layer["operations"] is None:
            assert not item.worst_synaptic_operations
            continue
        each = np.concatenate([work[number].synaptic_operations for work in items])
        assert layer["operations"] == pytest.approx(each.mean(), rel=1e-12)
        assert layer["worst_operations"] == item.worst_synaptic_operations > layer["operations"] > 0
    assert cli.main([*start, "--data", str(tmp_path / "data"), "--limit", "2"]) == 0
    assert "means over 2 recording(s) of 6 steps" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main([*start, "--data", "data", "--events", paths[0]])


def exporter(folder: Path, *more: str) -> int:
    """What the build's action runs, into a folder of its own."""
    out = str(folder / "made")
    return cli.main(
        ["compile", saved(folder), "--numbers", "f32", "--name", "network", "--out", out,
         "--driven", *more, "--quiet"]
    )  # fmt: skip


def test_an_export_that_fits_to_the_byte_is_made(tmp_path: Path) -> None:
    known = model().report()
    limits = ["--max-flash", str(known.table_bytes), "--max-ram", str(known.state_bytes)]
    assert exporter(tmp_path, *limits) == 0
    assert (tmp_path / "made/network.c").exists()
    assert exporter(tmp_path, "--max-flash", "0", "--max-ram", "0") == 0


def test_an_export_over_its_flash_fails_and_names_the_largest_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = model().report()
    assert exporter(tmp_path, "--max-flash", str(known.table_bytes - 7)) == 1
    worst = max(known.layers, key=lambda layer: layer.table_bytes)
    assert capsys.readouterr() == (
        "",
        f"spikec: network: takes {known.table_bytes:,} B of flash (tables, without code), 7 B more "
        f"than its budget max_flash = {known.table_bytes - 7:,} B. {worst.name} takes most, "
        f"{worst.table_bytes:,} B: make it smaller, prune the network, use int8 where it is "
        "float, or raise the budget.\n",
    )
    assert not (tmp_path / "made").exists()


def test_an_export_over_its_ram_fails_and_names_the_largest_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = model().report()
    assert exporter(tmp_path, "--max-ram", str(known.state_bytes - 1), "--max-flash", "10") == 1
    err = capsys.readouterr().err
    # The first convolution's map is the largest array: six floats at each of 8x8 places, as its
    # last row is in no pooling's window.
    assert f"takes {known.state_bytes:,} B of RAM (state), 1 B more than its budget max_ram" in err
    assert f"conv1 takes most, {8 * 8 * 6 * 4:,} B" in err.splitlines()[1]
    assert "max_flash = 10 B" in err.splitlines()[0]
    assert not (tmp_path / "made").exists()


def test_a_linked_image_over_its_budget_fails_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the build's action runs on an image; the budget counts the code here."""
    elf = linked(tmp_path, model())
    size = elf_size.network_size(elf, "network")
    flash = size.code + size.tables + size.other
    text, data = tmp_path / "x.txt", tmp_path / "x.json"
    action = [str(elf), "--text", str(text), "--json", str(data), "--network", "network"]
    over = [*action, "--max-flash", str(flash - 1), "--max-ram", str(size.state - 1)]
    assert elf_size.main(over) == 1
    flash_line, ram_line = capsys.readouterr().err.splitlines()
    worst = max(size.layers, key=lambda layer: layer.size)
    assert (
        f"error: network: takes {flash:,} B of flash (code {size.code:,} B and tables" in flash_line
    )
    assert "1 B more than its budget" in flash_line
    assert f"{worst.name} takes most, {worst.size:,} B" in flash_line
    assert f"takes {size.state:,} B of RAM (state), 1 B more than its budget" in ram_line
    assert "`spikec report` says which layer takes most" in ram_line
    assert not text.exists() and not data.exists()
    fits = [*action, "--max-flash", str(flash), "--max-ram", str(size.state)]
    assert elf_size.main(fits) == 0
    assert text.exists() and data.exists()
    assert elf_size.main([*action, "--max-flash", "0", "--max-ram", "0"]) == 0


def test_an_image_without_the_network_gets_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elf = linked(tmp_path, model())
    assert elf_size.main([str(elf), "--network", "other", "--max-flash", "9"]) == 1
    assert "holds no network 'other'" in capsys.readouterr().err


def test_the_image_for_the_board_is_held_to_a_budget(capsys: pytest.CaptureFixture[str]) -> None:
    """The application that is flashed: what `snn_firmware` checks."""
    elf = os.environ.get("PORTENTA_ELF")
    if elf is None:
        pytest.skip("no image of //models:nmnist: run it by bazel test")
    assert elf_size.main([elf, "--network", "nmnist", "--max-flash", "40000"]) == 1
    assert "linear1 takes most, 23,080 B" in capsys.readouterr().err
    assert elf_size.main([elf, "--network", "nmnist", "--max-flash", "44000"]) == 0


def test_no_budget_has_no_sentence() -> None:
    assert budget.Budget().flash_excess("net", {"tables": 1 << 30}, {}) == ""
    assert budget.Budget(flash=8).flash_excess("net", {"tables": 8}, {}) == ""
    with pytest.raises(SystemExit):
        elf_size.main(["x.elf", "--max-flash", "-1"])


def test_an_observation_of_no_recording_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    without_compiler(monkeypatch)
    assert evaluate.observe(model(), model().build(), [], STEPS, 2) == []
    costs = report.costs(model(), [], STEPS)
    assert costs.steps is None and all(layer.operations is None for layer in costs.layers)
