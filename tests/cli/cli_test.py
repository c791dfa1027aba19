# SPDX-License-Identifier: Apache-2.0
"""The verbs of the spikec command on a small checkpoint: output, files, exit statuses, refusals."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import spikec
from spikec.cli import main as cli
from spikec.frontends.pytorch import execute
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.recordings.events import Recording, bin_events, read_nmnist, write_nmnist
from spikec.targets import host
from tests import networks

NET = """
import torch
from torch import nn
import snntorch as snn

STEPS = 12

def build():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2), snn.Leaky(beta=0.9, init_hidden=True),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3),
        snn.Leaky(beta=0.9, init_hidden=True, output=True),
    )

def bad():
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding_mode="reflect", padding=1), nn.Tanh())

def raises():
    raise RuntimeError("no data today")

def needs(argument):
    return argument

def number():
    return 3

nothing = None
"""
SHAPE = "2,11,11"


@dataclasses.dataclass(frozen=True)
class Place:
    """A folder with a checkpoint, recordings, and a module that builds the network."""

    folder: Path
    module: str
    recordings: tuple[str, ...]

    def net(self) -> torch.nn.Module:
        net: torch.nn.Module = sys.modules[self.module].build()
        load_checkpoint(net, self.folder / "net.pt")
        return net.eval()

    def arguments(self, verb: str, function: str = "build", model: str = "net.pt") -> list[str]:
        return [verb, model, "--net", f"{self.module}:{function}", "--input", SHAPE]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    module = f"net_of_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("BUILD_WORKING_DIRECTORY", raising=False)
    built = __import__(module)
    case = networks.Case("cli", (2, 11, 11), built.build)
    torch.save(networks.prepare(case).net.state_dict(), "net.pt")
    torch.manual_seed(0)
    torch.save(built.bad().state_dict(), "bad.pt")
    rng = np.random.default_rng(0)
    names = []
    for number in range(2):
        n = 400
        x, y = rng.integers(0, 11, (2, n)).astype(np.int16)
        time = np.sort(rng.integers(0, 300_000, n))
        polarity = rng.integers(0, 2, n).astype(np.uint8)
        names.append(f"{number}.bin")
        write_nmnist(names[-1], Recording(x, y, polarity, time, 11, 11))
    yield Place(tmp_path, module, tuple(names))
    del sys.modules[module]


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], *parts: str) -> None:
    """Exit status 1, one message on stderr, nothing on stdout, no file made or changed."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    capsys.readouterr()
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("spikec: ")
    assert "Traceback" not in err
    for part in parts:
        assert part in err, f"{part!r} is not in {err!r}"
    after = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    assert {p for p in after if "__pycache__" not in str(p)} == {
        p for p in before if "__pycache__" not in str(p)
    }


def test_check_says_that_a_good_network_can_be_compiled(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(place.arguments("check")) == 0
    assert capsys.readouterr() == ("net.pt: can be compiled.\n", "")


def test_check_lists_every_problem_and_exits_1(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(place.arguments("check", "bad", "bad.pt")) == 1
    out, _ = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("layer '0' (Conv2d): padding_mode is 'reflect'; only 'zeros'")
    assert lines[1].startswith("layer '1' (Tanh): is not supported; supported are ")
    assert lines[2] == "bad.pt: 2 problem(s); it cannot be compiled."


def test_compile_writes_the_files_that_the_python_interface_writes(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*place.arguments("compile"), "--name", "tiny", "--out", "deep/out"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "tables (flash)" in out
    assert out.endswith("written to deep/out\n")
    spikec.compile(place.net(), (2, 11, 11), name="tiny").write("other")
    assert {p.name for p in Path("deep/out").iterdir()} == {p.name for p in Path("other").iterdir()}
    for path in Path("other").iterdir():
        ours = Path("deep/out", path.name).read_text().splitlines()
        # Only the source's name and digest may differ: a checkpoint has a file's.
        changed = [
            line
            for line, other in zip(ours, path.read_text().splitlines(), strict=False)
            if line != other and not line.startswith("//")
        ]
        assert changed == [], path
    assert "// source   net.pt, sha256 " in Path("deep/out/tiny.h").read_text()


def test_what_compile_writes_builds_with_a_plain_compiler(place: Place) -> None:
    assert cli.main([*place.arguments("compile"), "--name", "tiny", "--out", "out"]) == 0
    Path("out/main.c").write_text(
        '#include "tiny.h"\nint main(void) { static tiny_state s; return tiny_reset(&s); }\n'
    )
    sources = sorted(path.name for path in Path("out").glob("*.c"))
    subprocess.run([*host.compiler(), *sources, "-o", "main"], cwd="out", check=True)
    assert subprocess.run(["out/main"], check=False).returncode == 0


def test_what_compile_writes_builds_with_its_cmake_file(place: Place) -> None:
    if not shutil.which("cmake"):
        pytest.skip("cmake is not installed on this machine")
    assert cli.main([*place.arguments("compile"), "--name", "tiny", "--out", "out"]) == 0
    command = ["cmake", "-S", "out", "-B", "made", f"-DCMAKE_C_COMPILER={host.compiler()[0]}"]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", "made"], check=True, capture_output=True)
    assert Path("made/libspikec_tiny.a").stat().st_size > 0


def test_run_gives_the_spike_counts_of_snntorch_as_json(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*place.arguments("run"), "--json", "--events", *place.recordings]
    assert cli.main(arguments) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["file"] for result in results] == list(place.recordings)
    for result in results:
        frames = bin_events(read_nmnist(result["file"], 11, 11), steps=12)
        counts = execute.find_outputs(place.net(), frames).sum(axis=0)
        assert counts.sum() > 0
        assert result["counts"] == counts.tolist()
        assert result["winner"] == int(counts.argmax())
        assert (result["events"], result["steps"]) == (400, 12)
        assert result["us_per_step"] > 0


def test_run_prints_one_line_a_recording_and_takes_steps_and_window(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*place.arguments("run"), "--steps", "5", "--window-us", "9000"]
    assert cli.main([*arguments, "--events", *place.recordings]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line, name in zip(lines, place.recordings, strict=True):
        frames = bin_events(read_nmnist(name, 11, 11), steps=5, window_us=9000)
        counts = execute.find_outputs(place.net(), frames).sum(axis=0).astype(int)
        spikes = " ".join(str(count) for count in counts)
        assert line.startswith(
            f"{name}: class {counts.argmax()}, spikes {spikes}, 400 events in 5 "
        )


def test_the_command_runs_as_a_module_with_its_exit_status(place: Place) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "spikec", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )  # fmt: skip

    shown = run("--version")
    assert (shown.returncode, shown.stdout) == (0, f"spikec {spikec.__version__}\n")
    assert run(*place.arguments("check", "bad", "bad.pt")).returncode == 1
    missing = run(*place.arguments("check", model="none.pt"))
    assert missing.returncode == 1
    assert missing.stderr == "spikec: none.pt: there is no such file; name a checkpoint.\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["check", "net.pt"], ["check", "net.pt", "--net", "a:b", "--input", "2,x"]],
)
def test_bad_usage_exits_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        ("absent", ["has no function 'absent'"]),
        ("nothing", ["has no function 'nothing'"]),
        ("raises", ["raised RuntimeError: no data today", "without arguments"]),
        ("needs", ["raised TypeError", "without arguments"]),
        ("number", ["returned a int where an nn.Module is needed"]),
        ("bad", ["net.pt: does not fit the network", "not in the network: 1.beta", "4.weight"]),
    ],
)
@pytest.mark.parametrize("verb", ["check", "compile"])
def test_a_function_that_gives_no_fitting_network_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str], verb: str, function: str, parts: list[str]
) -> None:
    more = ["--name", "tiny", "--out", "out"] if verb == "compile" else []
    refused(capsys, [*place.arguments(verb, function), *more], *parts)
    assert not Path("out").exists()


def test_a_module_that_cannot_be_imported_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken_module.py").write_text("1 / 0\n")
    Path("needing_module.py").write_text("import no_such_package_at_all\n")
    for spec, part in (
        ("no_such_module_x:build", "there is no module 'no_such_module_x'"),
        ("needing_module:build", "there is no module 'no_such_package_at_all'"),
        ("broken_module:build", "importing broken_module raised ZeroDivisionError"),
        ("just_a_module", "write it as package.module:function"),
        (":build", "write it as package.module:function"),
    ):
        arguments = ["check", "net.pt", "--net", spec, "--input", SHAPE]
        refused(capsys, arguments, f"--net {spec}: ", part)


def test_a_model_of_unknown_kind_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("net.onnx").write_bytes(b"x")
    refused(
        capsys, place.arguments("check", model="net.onnx"), "net.onnx: cannot tell what kind", ".pt"
    )


def test_a_checkpoint_that_cannot_be_read_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Path("net.pt").read_bytes()
    for kept in (0, 100, len(content) // 2):
        Path("cut.pt").write_bytes(content[:kept])
        arguments = [*place.arguments("compile", model="cut.pt"), "--name", "tiny", "--out", "out"]
        refused(capsys, arguments, "cut.pt: ", "torch.save(net.state_dict(), path)")
    assert not Path("out").exists()


def test_a_network_that_cannot_be_compiled_leaves_no_output(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*place.arguments("compile", "bad", "bad.pt"), "--name", "tiny", "--out", "out"]
    refused(capsys, arguments, "bad.pt cannot be compiled", "layer '0'", "layer '1' (Tanh)")
    assert not Path("out").exists()


def test_a_bad_name_numbers_or_folder_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    compile_ = place.arguments("compile")
    refused(capsys, [*compile_, "--name", "2x", "--out", "out"], "'2x' is no C identifier")
    refused(capsys, [*compile_, "--name", "a_v3", "--out", "out"], "'a_v3' ends in _v3")
    with pytest.raises(SystemExit):
        cli.main([*compile_, "--name", "x", "--out", "out", "--numbers", "f16"])
    assert "invalid choice: 'f16' (choose from 'f32', 'int8')" in capsys.readouterr().err
    assert not Path("out").exists()
    refused(
        capsys, [*compile_, "--name", "x", "--out", "net.pt/out"], "net.pt/out: cannot be written"
    )


def test_run_without_a_c_compiler_is_refused(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(place.folder))
    arguments = [*place.arguments("run"), "--events", *place.recordings]
    refused(capsys, arguments, "no C compiler on the PATH")


def test_recordings_that_cannot_be_read_are_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cut.bin").write_bytes(Path("0.bin").read_bytes()[:-2])
    Path("empty.bin").write_bytes(b"")
    Path("outside.bin").write_bytes(bytes([11, 0, 0, 0, 0]))
    run = place.arguments("run")
    for name in ("cut.bin", "empty.bin", "outside.bin", "none.bin"):
        # The good recording before it is not classified either.
        refused(capsys, [*run, "--events", "0.bin", name], name)
    for name in ("--time-steps", "--steps", "--bins", "--window-us"):
        with pytest.raises(SystemExit):
            cli.main([*run, name, "0", "--events", "0.bin"])
        said = f"argument {name}: '0' is not an integer of at least 1"
        assert said in capsys.readouterr().err


def test_run_refuses_a_network_whose_input_is_no_event_map(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for shape in ("242", "3,11,11", "2,11"):
        arguments = ["run", "net.pt", "--net", f"{place.module}:build", "--input", shape]
        refused(capsys, [*arguments, "--events", "0.bin"], f"--input {shape}", "2,H,W")


def test_run_and_profile_take_frames_as_they_are(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [bin_events(read_nmnist(file, 11, 11), steps=9) for file in place.recordings]
    np.savez("data.npz", x=np.stack(frames), y=np.zeros(2, int))
    run = [*place.arguments("run"), "--json", "--events"]
    assert cli.main([*run, *place.recordings, "--steps", "9"]) == 0
    binned = json.loads(capsys.readouterr().out)
    assert cli.main([*run, "data.npz", "data.npz/1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["file"] for one in found] == ["data.npz/0", "data.npz/1", "data.npz/1"]
    assert [one["counts"] for one in found] == [binned[i]["counts"] for i in (0, 1, 1)]
    assert {one["steps"] for one in found} == {9}
    assert cli.main([*place.arguments("profile"), "--events", "data.npz", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 18
    refused(capsys, [*run, "data.npz", "--steps", "8"], "data.npz", "not all one number: 8, 9")
    refused(capsys, [*run, "data.npz", "--window-us", "8"], "--window-us: data.npz holds frames")


def test_options_of_another_kind_of_model_are_refused(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    check = place.arguments("check")
    refused(capsys, [*check, "--weights", "w.json"], "--weights goes with an architecture")
    refused(capsys, [*check, "--semantics", "published"], "--semantics goes with")
    for option in (["--nir-dt", "1"], ["--nir-reset", "zero"], ["--nir-reset-delay"]):
        refused(capsys, [*check, *option], f"{option[0]} goes with a NIR graph", "net.pt is none")
    Path("net.json").write_text("{}")
    json_ = ["check", "net.json", "--weights", "w.json", "--input", "2", "--net", "a:b"]
    refused(capsys, json_, "--net a:b: net.json describes the network")


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--version"], ("torch", "numpy")),
        (["--help"], ("torch", "numpy")),
        (["compile", "--help"], ("torch",)),  # choices and defaults come from modules with NumPy
    ],
)
def test_version_and_help_import_little(arguments: list[str], absent: tuple[str, ...]) -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        f"from spikec.cli.main import main; main({arguments!r})"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert "spikec" in shown.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_a_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("compile", "prune", "time-steps", "cortex-m7"):
        assert word in script, word
    assert "--bins" not in script  # an old spelling
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_completion_of_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--print-completion", "cmd"]) == 2
    assert "bash, zsh" in capsys.readouterr().err
