# SPDX-License-Identifier: Apache-2.0
"""The written C gives the same bits whatever flags it is compiled with, and by whichever compiler.

GCC's own default, -std=gnu11, fuses products and sums where the CPU can; so does Arduino's.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

import spikec
from spikec.backend.c.target import Target, this_machine
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.model import Model
from spikec.semantics import reference
from spikec.targets.cortex_m7 import drive_build, drive_run
from spikec.targets.host import active_inputs

STEPS = 60
STANDARDS = ("c11", "gnu11", "gnu17")
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
MARCH: tuple[Target, ...] = ("x86-64", "x86-64-v3", "x86-64-v4")
PORTENTA = (
    "-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=softfp", "-mfpu=fpv5-d16", "-funsigned-char",
    "-ffunction-sections", "-fdata-sections", "-DNDEBUG",
)  # fmt: skip
"""What the Arduino core of the Portenta compiles libraries with, but for standard and level."""
STRICT = "-Wall -Wextra -Wconversion -Wpedantic -Wshadow -Wcast-qual -Wundef -Werror".split()


def model(name: str = "net") -> Model:
    """A network with every kind of float arithmetic that there is."""
    torch.manual_seed(4)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.AvgPool2d(2),
        snn.Leaky(beta=0.6, threshold=0.35, init_hidden=True), nn.Flatten(), nn.Linear(32, 24),
        snn.Synaptic(alpha=0.7, beta=0.9, threshold=0.3, init_hidden=True), nn.Linear(24, 16),
        snn.Leaky(beta=0.7, threshold=0.21, init_hidden=True, output=True),
    ).eval()  # fmt: skip
    return spikec.compile(net, (1, 6, 6), name=name)


def recording() -> ir.Floats:
    """Frames ``[T, H, W, C]`` in memory order of numbers that sums and products round."""
    rng = np.random.default_rng(2)
    values = rng.uniform(0, 2, (STEPS, 6, 6, 1)) * (rng.random((STEPS, 6, 6, 1)) < 0.4)
    return values.astype(np.float32)


class Truth:
    """What the reference makes of the recording: the outputs' spikes and membranes."""

    def __init__(self) -> None:
        self.model = model()
        self.frames = recording()
        network = self.model.network
        trace = reference.run(network, self.frames)
        assert network.readout is not None
        self.spikes = trace.spikes[network.readout.name].reshape(STEPS, -1)
        self.membranes = trace.membranes[network.readout.name].astype(np.float32).reshape(STEPS, -1)
        assert 0.02 < self.spikes.mean() < 0.98

    def differs(self, library: Path) -> str:
        """How a library that was built from the written files differs; empty if it does not."""
        loaded = ctypes.CDLL(str(library))
        loaded.net_membranes.restype = ctypes.POINTER(ctypes.c_float)
        state = ctypes.create_string_buffer(1 << 16)
        spikes = np.empty(16, np.uint8)
        assert loaded.net_reset(state) == 0
        for step, frame in enumerate(self.frames):
            flat = np.ascontiguousarray(frame)
            assert loaded.net_step_frame(state, flat.ctypes, spikes.ctypes) == 0
            found = np.ctypeslib.as_array(loaded.net_membranes(state), (16,))
            if not np.array_equal(spikes, self.spikes[step]):
                return f"step {step}: other spikes"
            if found.tobytes() != self.membranes[step].tobytes():
                return f"step {step}: other membranes"
        return ""


@pytest.fixture(scope="module")
def truth() -> Truth:
    return Truth()


def compiler(name: str) -> str:
    """A compiler by name; skips, with the reason, where there is none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} on the PATH; on Debian: apt-get install {name}")
    return found


def levels_here() -> tuple[Target, ...]:
    """The levels of x86-64 that this machine's CPU has; skips elsewhere."""
    here = this_machine()
    if here not in MARCH:
        pytest.skip(f"this machine is {here}, not x86-64")
    return MARCH[: MARCH.index(here) + 1]


def fused(objdump: str, file: Path, kinds: tuple[str, ...]) -> list[str]:
    """The fused operations in an object file or library."""
    text = subprocess.run([objdump, "-d", file], capture_output=True, text=True, check=True).stdout
    words = (line.split("\t") for line in text.splitlines() if line.count("\t") >= 2)
    return [parts[2] for parts in words if parts[2].startswith(kinds)]


@pytest.mark.parametrize("name", ["gcc", "clang"])
@pytest.mark.parametrize("level", LEVELS)
def test_the_host_s_bits_do_not_depend_on_flags(
    name: str, level: str, truth: Truth, tmp_path: Path
) -> None:
    command = compiler(name)
    march = levels_here()
    truth.model.write(tmp_path / "generic")
    for standard, cpu in itertools.product(STANDARDS, march):
        library = tmp_path / f"{standard}_{cpu}.so"
        flags = [f"-std={standard}", level, f"-march={cpu}", "-shared", "-fPIC"]
        subprocess.run(
            [command, *flags, "net.c", "-o", library], cwd=tmp_path / "generic", check=True
        )
        assert truth.differs(library) == "", flags
        assert not fused("objdump", library, ("vfm", "vfnm")), flags


@pytest.mark.parametrize("name", ["gcc", "clang"])
@pytest.mark.parametrize("target", MARCH)
def test_files_for_a_level_of_x86_64_need_no_flag(
    name: str, target: Target, truth: Truth, tmp_path: Path
) -> None:
    command = compiler(name)
    if target not in levels_here():
        pytest.skip(f"this machine's CPU is no {target}")
    truth.model.write(tmp_path, target=target)
    for flags in (["-O2"], ["-std=c11", "-O3", *STRICT], ["-O0"], ["-Os", "-march=native"]):
        library = tmp_path / f"{len(flags)}{flags[0]}.so"
        subprocess.run(
            [command, *flags, "-shared", "-fPIC", "net.c", "-o", library], cwd=tmp_path, check=True
        )
        assert truth.differs(library) == "", flags
        assert not fused("objdump", library, ("vfm", "vfnm")), flags


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_fast_math_stops_with_a_sentence(name: str, truth: Truth, tmp_path: Path) -> None:
    truth.model.write(tmp_path)
    for flag in ("-ffast-math", "-Ofast"):
        done = subprocess.run(
            [compiler(name), flag, "-c", "net.c"], cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "changes what a network computes: compile this file without it" in done.stderr


@pytest.mark.parametrize("target", ["generic", "cortex-m7"])
@pytest.mark.parametrize("level", LEVELS)
def test_the_cortex_m7_s_bits_do_not_depend_on_flags(
    level: str, target: Target, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the flags of the Portenta's Arduino core, whose standard is gnu11."""
    try:
        gcc, qemu = drive_build.compiler(), drive_build.emulator()
    except SpikecError as error:
        pytest.skip(str(error))
    network = truth.model.network
    monkeypatch.setattr(drive_build, "FLAGS", (*PORTENTA, "-std=gnu11", level))
    # The pinned compiler has its own library for the hard-float ABI only, and none is needed.
    monkeypatch.setattr(drive_build, "LINK_FLAGS", ("-L.", *drive_build.LINK_FLAGS))
    (tmp_path / "libgcc.a").write_bytes(b"!<arch>\n")
    elf = drive_build.build("net", truth.model.driven_files(target), tmp_path, gcc)
    objdump = str(Path(gcc[0]).with_name(Path(gcc[0]).name.replace("gcc", "objdump")))
    assert not fused(objdump, elf, ("vfma", "vfms", "vfnma", "vfnms"))
    entries = active_inputs(network, network.input.to_axes(truth.frames))
    drive_run.write_input(
        tmp_path / "input", entries.offsets, entries.entries["index"], entries.entries["value"],
        network.input.size,
    )  # fmt: skip
    found = drive_run.run_qemu(qemu, elf, tmp_path / "input", tmp_path / "output", True, 60.0)
    assert found.spikes is not None and found.membranes is not None
    np.testing.assert_array_equal(found.spikes[:, -16:], truth.spikes)
    assert found.membranes[:, -16:].tobytes() == truth.membranes.tobytes()


def test_two_networks_live_in_one_folder_and_one_cpp_program(tmp_path: Path) -> None:
    one, other = model("first"), spikec.compile(
        nn.Sequential(nn.Linear(4, 3), snn.Leaky(beta=0.5, init_hidden=True, output=True)).eval(),
        (4,), name="second",
    )  # fmt: skip
    for each in (one, other):
        each.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "CMakeLists.txt", "README.md", "first.c", "first.h", "second.c", "second.h",
    ]  # fmt: skip
    readme = (tmp_path / "README.md").read_text()
    assert "## first" in readme and "## second" in readme
    for name in ("first", "second"):
        for tool in ("gcc", "clang"):
            if shutil.which(tool):
                command = [tool, "-std=c11", *STRICT, "-O2", "-c", f"{name}.c"]
                subprocess.run(command, cwd=tmp_path, check=True)
        symbols = subprocess.run(
            ["nm", "--defined-only", "-g", f"{name}.o"], cwd=tmp_path, capture_output=True,
            text=True, check=True,
        ).stdout.split()[2::3]  # fmt: skip
        assert symbols and all(symbol.startswith(f"{name}_") for symbol in symbols)
    (tmp_path / "main.cpp").write_text(
        '#include "first.h"\n#include "second.h"\n'
        "int main() {\n  static first_state a;\n  static second_state b;\n"
        "  return first_reset(&a) + second_reset(&b);\n}\n"
    )
    compile_ = [compiler("g++"), "-Wall", "-Wextra", "-Wpedantic", "-Werror", "main.cpp"]
    subprocess.run([*compile_, "first.o", "second.o", "-o", "main"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 0


def test_cmake_builds_every_network_of_a_folder(tmp_path: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("there is no cmake on the PATH; on Debian: apt-get install cmake")
    for name in ("first", "second"):
        model(name).write(tmp_path / "c")
    text = (tmp_path / "c/CMakeLists.txt").read_text()
    assert "C_EXTENSIONS OFF" in text
    environment = {**os.environ, "CFLAGS": ""}
    for command in (["cmake", "-S", "c", "-B", "build"], ["cmake", "--build", "build"]):
        subprocess.run(command, cwd=tmp_path, check=True, env=environment, capture_output=True)
    built = {path.name for path in (tmp_path / "build").glob("*.a")}
    assert built == {"libspikec_first.a", "libspikec_second.a"}


@pytest.mark.parametrize("flag", ["-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("numbers", ["f32", "int8"])
def test_a_step_needs_no_more_stack_than_the_header_says(
    numbers: str, flag: str, tmp_path: Path
) -> None:
    """By GCC's -fstack-usage: the sum over all functions, of which a step nests a few."""
    written = model()
    if numbers == "int8":
        torch.manual_seed(4)
        net = nn.Sequential(
            nn.Conv2d(2, 8, 3), nn.MaxPool2d(2), snn.Leaky(beta=0.6, init_hidden=True),
            nn.Flatten(), nn.Linear(72, 10), snn.Leaky(beta=0.9, init_hidden=True, output=True),
        ).eval()  # fmt: skip
        written = spikec.compile(net, (2, 8, 8), name="net", numbers="int8")
    written.write(tmp_path)
    command = [compiler("gcc"), "-std=c11", flag, "-fstack-usage", "-c", "net.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    rows = [line.split("\t") for line in (tmp_path / "net.su").read_text().splitlines()]
    header = " ".join((tmp_path / "net.h").read_text().replace("\n//", " ").split())
    said = int(header.split("at most ")[1].split(" bytes of stack")[0].replace(",", ""))
    assert all(row[2] == "static" for row in rows)
    assert sum(int(row[1]) for row in rows) <= said
