# SPDX-License-Identifier: Apache-2.0
"""Profiles: work against an independent count, instructions that add up, errors as sentences.

The build names the pinned compiler and emulator in SPIKEC_CORTEX_M7_CC and SPIKEC_CORTEX_M7_QEMU;
without it they are looked for on the PATH, and what needs them is skipped where they are missing.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import snntorch
import torch
from torch import nn
from torch.nn import functional

import spikec
from benchmarks import cortex_m7
from benchmarks.cycle_model import _mca, hot_loop, kinds
from benchmarks.plain_dense import NAME, plain_dense
from spikec.cli import main as cli
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.measure import profile
from spikec.model import Model
from spikec.recordings.events import Recording, write_nmnist
from spikec.semantics import reference
from spikec.targets import host
from spikec.targets.cortex_m7 import drive_build, qemu_trace
from spikec.targets.cortex_m7.drive_run import DriveOutput, run_qemu, write_input
from spikec.targets.cortex_m7.qemu_trace import Measured, Segment, Trace

TOP = Path(__file__).absolute().parents[2]
SHAPE = (2, 9, 8)
STEPS = 12
TIMEOUT_S = 120.0


def network() -> nn.Sequential:
    """Stride, padding, dilation, groups, both poolings, and spikes of another size than 1."""
    torch.manual_seed(5)
    leaky = functools.partial(snntorch.Leaky, beta=0.8, init_hidden=True)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
        leaky(threshold=0.2),
        nn.Conv2d(4, 6, (4, 3), padding=(1, 2), dilation=(1, 2)),
        nn.MaxPool2d(2),
        leaky(threshold=0.1, graded_spikes_factor=0.5),
        nn.AvgPool2d((1, 2)),
        nn.Flatten(),
        nn.Linear(12, 7),
        leaky(threshold=0.1),
        nn.Linear(7, 5),
        leaky(threshold=0.05, output=True),
    )
    return net.eval()


def plain_network() -> nn.Sequential:
    """What benchmarks/plain_dense.py can write."""
    torch.manual_seed(6)
    leaky = functools.partial(snntorch.Leaky, beta=0.8, init_hidden=True)
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, dilation=(2, 1)),
        leaky(threshold=0.2),
        nn.Conv2d(4, 6, (3, 2), padding=(1, 0)),
        nn.MaxPool2d(2),
        leaky(threshold=0.1),
        nn.Flatten(),
        nn.LazyLinear(5),
        leaky(threshold=0.05, output=True),
    ).eval()
    with torch.no_grad():
        net(torch.zeros(1, *SHAPE))
    return net


def frames(seed: int = 0) -> npt.NDArray[np.float32]:
    """Event counts ``[T, C, H, W]``, with an empty and a full step among them."""
    counts = np.random.default_rng(seed).poisson(0.3, (STEPS, *SHAPE)).astype(np.float32)
    counts[2] = 0
    counts[5] = 1
    return counts


@functools.cache
def model() -> Model:
    return spikec.compile(network(), SHAPE, name="network")


def needs_cortex_m7() -> None:
    try:
        drive_build.compiler()
        drive_build.emulator()
    except SpikecError as error:
        pytest.skip(str(error))


@functools.cache
def profiled() -> profile.Profile:
    return profile.profile(model(), [frames(), frames(1)], "cortex-m7")


@functools.cache
def elf(folder: Path) -> Path:
    return drive_build.build("network", model().driven_files("cortex-m7"), folder)


def measured(folder: Path) -> Measured:
    recording = host.active_inputs(model().network, frames())
    (found,) = qemu_trace.measure(
        drive_build.emulator(), elf(folder), [recording], model().network.input.size, TIMEOUT_S
    )
    return found


def additions(net: nn.Sequential, given: npt.NDArray[np.float32]) -> dict[str, int]:
    """{torch name: weights that active inputs add}, by convolving with ones in torch."""
    values = torch.tensor(given)
    found = {}
    with torch.no_grad():
        for name, module in net.named_children():
            active = (values != 0).double()
            if isinstance(module, nn.Conv2d):
                ones = torch.ones_like(module.weight).double()
                found[name] = int(
                    functional.conv2d(
                        active, ones, None, module.stride, module.padding, module.dilation,
                        module.groups,
                    ).sum()
                )  # fmt: skip
            if isinstance(module, nn.Linear):
                found[name] = int((active @ torch.ones_like(module.weight).double().T).sum())
            if isinstance(module, snntorch.Leaky):
                module.reset_mem()
                steps = [module(step[None]) for step in values]
                values = torch.cat([s[0] if isinstance(s, tuple) else s for s in steps])
            else:
                values = module(values)
    return found


def test_synaptic_operations_are_the_weights_that_active_inputs_add() -> None:
    works = profile.work(model().plan, frames())
    found = {work.torch: int(work.synaptic_operations.sum()) for work in works if work.torch}
    wanted = additions(network(), frames())
    assert len(wanted) == 4 and all(wanted.values()), "the test needs spikes in every layer"
    assert {name: found[name] for name in wanted} == wanted
    assert sum(found.values()) == sum(wanted.values())


def test_the_worst_case_is_that_every_input_is_active() -> None:
    net = network()
    weighted = {work.torch: work for work in profile.work(model().plan, frames())}
    values = torch.ones(1, *SHAPE)
    for name, module in net.named_children():
        if isinstance(module, nn.Conv2d | nn.Linear):
            ones = additions(nn.Sequential(module), np.ones(values.shape, np.float32))["0"]
            assert weighted[name].worst_synaptic_operations == ones
        with torch.no_grad():
            result = module(values)
        values = result[0] if isinstance(result, tuple) else result
    worst = {row.torch: row.worst_synaptic_operations for row in profiled_on_host().rows}
    adds = {layer.source: layer.worst_case_adds for layer in model().report().layers}
    assert {name: adds[name] for name in ("0", "2", "7", "9")} == {
        name: worst[name] for name in ("0", "2", "7", "9")
    }


@functools.cache
def profiled_on_host() -> profile.Profile:
    return profile.profile(model(), [frames(), frames(1)], "host")


def test_spikes_in_and_out_are_the_reference_s() -> None:
    given = model().network.input.to_memory(frames())
    ran = reference.run(model().network, given)
    works = {work.torch: work for work in profile.work(model().plan, frames())}
    fired = 0
    for layer in model().network.spiking:
        (name,) = (name for name in works if name.split(",")[-1] == layer.source)
        counts = ran.spikes[layer.name].sum(axis=(1, 2, 3), dtype=np.int64)
        np.testing.assert_array_equal(works[name].spikes_out, counts)
        fired += int(counts.sum())
    assert fired > 0
    first = works["0"].spikes_in
    np.testing.assert_array_equal(first, np.count_nonzero(frames(), axis=(1, 2, 3)))
    traced = model().build().trace(frames())
    np.testing.assert_array_equal(works["9"].spikes_in, np.count_nonzero(traced["8"], axis=1))


def test_a_profile_of_the_host_has_every_operation_and_the_work_of_the_cortex_m7() -> None:
    found = profiled_on_host()
    layers = [row.layer for row in found.rows]
    assert layers[0] == "input check" and layers[-1] == "outputs"
    assert len(layers) == len(model().plan.operations) + 2
    assert abs(sum(row.share for row in found.rows) - 1) < 1e-9
    assert (found.steps, found.recordings, found.unit) == (2 * STEPS, 2, "us")
    assert str(found).count("\n") == len(layers) + 6
    needs_cortex_m7()
    for ours, theirs in zip(found.rows, profiled().rows, strict=True):
        same = ("layer", "torch", "spikes_in", "spikes_out", "synaptic_operations")
        assert [getattr(ours, name) for name in same] == [getattr(theirs, name) for name in same]


def test_instructions_by_operation_add_up_to_the_step_s_own_and_repeat(tmp_path: Path) -> None:
    needs_cortex_m7()
    first, second = measured(tmp_path), measured(tmp_path)
    np.testing.assert_array_equal(first.operations.sum(axis=1), first.instructions)
    np.testing.assert_array_equal(first.operations, second.operations)
    assert first.operations.shape == (STEPS, len(model().plan.operations) + 2)
    assert (first.operations > 0).all()
    # The same program without marks, which nothing observes.
    recording = host.active_inputs(model().network, frames())
    write_input(
        tmp_path / "input", recording.offsets, recording.entries["index"],
        recording.entries["value"], model().network.input.size,
    )  # fmt: skip
    plain = run_qemu(
        drive_build.emulator(), elf(tmp_path), tmp_path / "input", tmp_path / "output", False,
        TIMEOUT_S,
    )  # fmt: skip
    np.testing.assert_array_equal(plain.instructions.astype(np.int64), first.instructions)
    np.testing.assert_array_equal(plain.outputs, model().build().run(frames()))


def test_a_profile_of_the_cortex_m7_repeats_and_says_what_it_is(tmp_path: Path) -> None:
    needs_cortex_m7()
    found = profiled()
    assert found == profile.profile(model(), [frames(), frames(1)], "cortex-m7")
    assert abs(sum(row.cost for row in found.rows) - found.step_cost) < 1e-6 * found.step_cost
    assert found.worst_instructions == sum(row.worst_instructions or 0 for row in found.rows)
    assert found.worst_instructions > found.step_most >= found.step_cost
    assert found.size is not None
    assert found.size.state == -(-model().plan.state_bytes // 8) * 8
    layers = [layer for layer in model().network.layers if isinstance(layer, ir.Conv2d | ir.Linear)]
    weights = sum(layer.weight.nbytes for layer in layers)
    assert weights < found.size.tables < 2 * model().report().table_bytes
    assert found.size.code > 500
    assert "they are not cycles" in str(found)
    assert json.loads(json.dumps(dataclasses.asdict(found)))["rows"][1]["torch"] == "0"


def test_an_operation_s_count_follows_its_input(tmp_path: Path) -> None:
    """The empty step's first convolution writes its bias, the full one's adds every weight."""
    needs_cortex_m7()
    counts = measured(tmp_path).operations
    works = profile.work(model().plan, frames())
    first = works[0].synaptic_operations
    assert counts[2, 1] == counts[:, 1].min() and counts[5, 1] == counts[:, 1].max()
    assert first[2] == 0 and first[5] == first.max()


def test_the_plain_loops_give_the_reference_s_spikes(tmp_path: Path) -> None:
    needs_cortex_m7()
    compiled = spikec.compile(plain_network(), SHAPE, name="network")
    files, names = plain_dense(compiled.network)
    program = drive_build.build(NAME, files, tmp_path)
    recording = host.active_inputs(compiled.network, frames())
    (found,) = qemu_trace.measure(
        drive_build.emulator(), program, [recording], compiled.network.input.size, TIMEOUT_S
    )
    given = compiled.network.input.to_memory(frames())
    wanted = reference.run(compiled.network, given).values[compiled.network.output.name]
    assert wanted.any()
    np.testing.assert_array_equal(found.outputs, wanted.reshape(STEPS, -1))
    assert names == ("conv1", "leaky1", "conv2", "maxpool1", "leaky2", "linear1", "leaky3")
    # What it sums does not depend on what is active.
    assert (found.operations[:, 3] == found.operations[0, 3]).all()


def test_the_benchmark_counts_both_programs_layer_by_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_cortex_m7()
    monkeypatch.setenv("SPIKEC_SHARED", str(tmp_path))
    write_nmnist(tmp_path / "a.bin", recording_of(width=34, height=34))
    options = [f"--checkpoint={TOP / 'models/nmnist/nmnist.pt'}", f"--recordings={tmp_path}"]
    assert cortex_m7.main([*options, "--bins=3", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    for program, column in (("spikec", "instructions"), ("plain", "plain_instructions")):
        parts = sum(layer[column] for layer in found["layers"])
        assert abs(parts - found[program]["instructions"]) < 1e-6 * parts
    assert found["spikec"]["instructions"] < found["plain"]["instructions"]
    assert found["plain"]["traced"]["cycles"] > found["plain"]["traced"]["instructions"]
    assert cortex_m7.main([*options, "--bins=3"]) == 0
    assert "no seed networks: there is no shared folder" in capsys.readouterr().out
    assert cortex_m7.main([*options, "--limit=0"]) == 1
    assert "give at least 1 of each" in capsys.readouterr().err


def test_the_plain_loops_refuse_a_layer_they_do_not_know() -> None:
    with pytest.raises(SpikecError, match="leaky2: the benchmark's plain loops have no such Leaky"):
        plain_dense(model().network)


@pytest.mark.parametrize(
    ("find", "variable", "packages"),
    [
        (drive_build.compiler, drive_build.COMPILER_VARIABLE, "gcc-arm-none-eabi"),
        (drive_build.emulator, drive_build.EMULATOR_VARIABLE, "qemu-system-arm"),
    ],
)
def test_a_missing_program_is_an_error_that_names_its_package(
    find: Any, variable: str, packages: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(SpikecError, match=f"is not on the PATH.*apt-get install {packages}"):
        find()
    monkeypatch.setenv(variable, "no-such-program --flag")
    with pytest.raises(SpikecError, match=f"{variable} names 'no-such-program --flag'"):
        find()


def test_a_compiler_that_fails_says_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SpikecError, match=r"(?s)the cross compiler failed: \S*false.*nothing"):
        drive_build.build("network", model().driven_files("cortex-m7"), tmp_path, ["false"])
    with pytest.raises(SpikecError, match="cannot be started"):
        drive_build.build(
            "network", model().driven_files("cortex-m7"), tmp_path, [str(tmp_path / "none")]
        )


def test_a_profile_needs_steps() -> None:
    nothing = np.zeros((0, *SHAPE), np.float32)
    with pytest.raises(SpikecError, match="no steps to profile"):
        profile.profile(model(), [nothing], "host")
    with pytest.raises(SpikecError, match="this network takes"):
        profile.profile(model(), [np.zeros((3, 5), np.float32)], "host")


def test_a_recording_without_steps_is_left_out() -> None:
    found = [
        profile.profile(model(), some, "host") for some in ([frames()], [frames()[:0], frames()])
    ]
    assert found[0].steps == found[1].steps and found[1].recordings == 1
    assert [row.synaptic_operations for row in found[0].rows] == [
        row.synaptic_operations for row in found[1].rows
    ]


@pytest.mark.parametrize("kernels", ["event", "dense"])
def test_the_c_compiles_for_the_cortex_m7_without_optimisation(
    tmp_path: Path, kernels: str
) -> None:
    needs_cortex_m7()
    Model.of(model().network, "plainly", "f32", kernels).write(tmp_path)
    flags = [flag for flag in drive_build.FLAGS if not flag.startswith("-O")]
    command = [*drive_build.compiler(), *flags, "-O0", "-c", "plainly.c", "-o", "plainly.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_name_of_the_firmware_s_own_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpikecError, match=r"has a file startup\.c"):
        drive_build.build("startup", {"startup.c": ""}, tmp_path, ["cc"])


def recording_of(width: int, height: int) -> Recording:
    random = np.random.default_rng(3)
    return Recording(
        random.integers(0, width, 900).astype(np.int16),
        random.integers(0, height, 900).astype(np.int16),
        random.integers(0, 2, 900).astype(np.uint8), np.sort(random.integers(0, 9000, 900)),
        width, height,
    )  # fmt: skip


def command(tmp_path: Path, *more: str) -> list[str]:
    torch.save(network().state_dict(), tmp_path / "net.pt")
    return [
        "profile", str(tmp_path / "net.pt"), "--net", "tests.measure.profile_test:network",
        "--input", "2,9,8", "--bins", "4", *more,
    ]  # fmt: skip


def test_the_verb_prints_a_table_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(TOP)
    write_nmnist(tmp_path / "a.bin", recording_of(width=8, height=9))
    recording = ["--events", str(tmp_path / "a.bin")]
    assert cli.main(command(tmp_path, *recording)) == 0
    assert re.search(r"^conv1 +0 +[\d.]+ +- ", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(command(tmp_path, *recording, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 4 and found["rows"][1]["layer"] == "conv1"
    (tmp_path / "b.bin").write_bytes(b"")
    assert cli.main(command(tmp_path, "--events", str(tmp_path / "b.bin"))) == 1
    assert "the file is empty" in capsys.readouterr().err
    with pytest.raises(SystemExit) as usage:
        cli.main(command(tmp_path))
    assert usage.value.code == 2 and "--events" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(drive_build.COMPILER_VARIABLE, raising=False)
    monkeypatch.delenv(drive_build.EMULATOR_VARIABLE, raising=False)
    assert cli.main(command(tmp_path, *recording, "--target", "cortex-m7")) == 1
    assert "is not on the PATH, and cortex-m7 needs" in capsys.readouterr().err


def test_the_flags_are_those_of_the_build() -> None:
    """cc/copts.bzl and the toolchain's own: every flag but warnings and what no code depends on."""
    copts = (TOP / "cc/copts.bzl").read_text()
    toolchain = (TOP / "toolchains/cortex_m7/cortex_m7_toolchain_config.bzl").read_text()
    common, _, chosen = copts.partition("select")
    wanted = re.findall(r'"(-[^"]+)"', common) + re.findall(r'is_cortex_m7.*?"(-[^"]+)"', chosen)
    for group in ("_CPU_FLAGS", "_CODE_FLAGS"):
        listed = toolchain.split(f"{group} = [")[1].split("]")[0]
        wanted += re.findall(r'"(-[^"]+)"', listed)
    optimized = re.search(r'_flags\(_COMPILE, \[(.*)\], _mode\("opt"\)\)', toolchain)
    assert optimized is not None
    wanted += re.findall(r'"(-[^"]+)"', optimized[1])
    assert set(drive_build.FLAGS) == {flag for flag in wanted if not flag.startswith("-W")}


LOG = """\
----------------
IN: spk_board_counter_start
0x00000010:  4770       bx       lr

Trace 0: 0x1 [0/00000010/0/0] spk_board_counter_start
----------------
IN: step
0x00000020:  3801       subs     r0, #1
0x00000022:  d1fd       bne      #0x20

Trace 0: 0x2 [0/00000020/0/0] step
Stopped execution of TB chain before 0x2 [00000020] step
Trace 0: 0x2 [0/00000020/0/0] step
Trace 0: 0x2 [0/00000020/0/0] step
----------------
IN: step
0x00000024:  f000 f804  bl       #0x30

Trace 0: 0x3 [0/00000024/0/0] step
----------------
IN: spk_board_counter_stop
0x00000030:  4770       bx       lr

Trace 0: 0x4 [0/00000030/0/0] spk_board_counter_stop
"""
SECOND = """\
Trace 0: 0x1 [0/00000010/0/0] spk_board_counter_start
Trace 0: 0x2 [0/00000020/0/0] step
Trace 0: 0x2 [0/00000020/0/0] step
Trace 0: 0x3 [0/00000024/0/0] step
Trace 0: 0x4 [0/00000030/0/0] spk_board_counter_stop
Trace 0: 0x3 [0/00000024/0/0] step
Trace 0: 0x4 [0/00000030/0/0] spk_board_counter_stop
Trace 0: 0x4 [0/00000030/0/0] spk_board_counter_stop
Trace 0: 0x3 [0/00000024/0/0] step
"""


def test_a_trace_counts_each_instruction_between_two_readings() -> None:
    """A block that was left before it began does not count."""
    found = qemu_trace._read((LOG + SECOND).splitlines(keepends=True))
    assert found.text[0x20] == "subs r0, #1"
    (plain,) = found.plain
    assert plain.executed == {0x10: 1, 0x20: 2, 0x22: 2, 0x24: 1}
    assert plain.taken == {0x10: 1, 0x22: 1}
    ((first, second, third),) = (found.observed[0],)
    assert first.executed == plain.executed
    assert second.executed == {0x30: 1, 0x24: 1} and third.executed == {0x30: 1}
    with pytest.raises(SpikecError, match="QEMU's log cannot be read"):
        qemu_trace._read(SECOND.splitlines(keepends=True))


def test_an_observer_that_changes_what_runs_is_refused() -> None:
    plain = Segment(Counter({1: 5, 2: 1}))
    observed = (Segment(Counter({1: 3, 9: 4})), Segment(Counter({1: 2, 9: 1, 2: 1})))
    found = qemu_trace.overhead(Trace({}, (plain,), (observed,)))
    assert found.cost.tolist() == [4, 1] and found.addresses == {9}
    changed = (observed[0], Segment(Counter({1: 3, 2: 1})))
    with pytest.raises(SpikecError, match="executes other instructions when it is observed"):
        qemu_trace.overhead(Trace({}, (plain,), (changed,)))
    output = DriveOutput(
        np.zeros((1, 1), np.uint8), np.array([6], np.uint64), np.array([[7, 11]], np.uint64), None,
        None, 1, 0,
    )  # fmt: skip
    assert qemu_trace.per_operation(output, found).tolist() == [[3, 3]]
    wrong = dataclasses.replace(output, instructions=np.array([5], np.uint64))
    with pytest.raises(SpikecError, match="step 0: the operations take 6 instructions and the"):
        qemu_trace.per_operation(wrong, found)
    with pytest.raises(SpikecError, match="2 marks where 3 were traced"):
        qemu_trace.per_operation(output, qemu_trace.Overhead(np.zeros(3, np.int64), set()))


def test_the_cycle_model_charges_beats_divisions_and_taken_branches() -> None:
    text = {
        0: "vldmia r3!, {s0, s1, s2, s3, s4, s5, s6, s7}",
        4: "vadd.f32 s0, s0, s1",
        8: "str r1, [r2]",
        10: "vdiv.f32 s0, s1, s2",
        14: "bne #0x0",
        16: "push {r4, r5, lr}",
    }
    ran = Segment(Counter({0: 3, 4: 3, 8: 3, 10: 3, 14: 3, 16: 1}), Counter({14: 2}))
    found = kinds(ran, text)
    assert (found.instructions, found.loads, found.load_beats) == (16, 3, 12)
    assert (found.stores, found.store_beats, found.floating) == (4, 5, 6)
    assert found.cycles == 3 * (4 + 1 + 1 + 14 + 1) + 2 + 2
    loop = hot_loop(ran, text)
    assert loop is not None and len(loop.assembly) == 5
    assert loop.cycles == 21 + 2 / 3


def test_llvm_mca_checks_a_loop_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    cycles, note = _mca(("it ne", "movne r0, #1", "bne #0x0"))
    assert cycles is None
    if shutil.which("llvm-mca"):
        assert "IT blocks" in note
        cycles, _ = _mca(("vldmia r3!, {s0, s1, s2, s3}", "vadd.f32 s0, s0, s1", "bne #0x0"))
        assert cycles is not None and cycles >= 2
        cycles, note = _mca(("no such instruction", "bne #0x0"))
        assert cycles is None and "cannot read the loop" in note
    else:
        print("llvm-mca is not on the PATH: only its absence is tested")
    monkeypatch.setenv("PATH", "")
    cycles, note = _mca(("adds r0, #1", "bne #0x0"))
    assert cycles is None and "not on the PATH" in note
