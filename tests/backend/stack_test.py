# SPDX-License-Identifier: Apache-2.0
"""The stack that a header promises is enough, by what GCC says of each function."""

from __future__ import annotations

import platform
import shlex
import subprocess
from pathlib import Path

import pytest

from spikec.backend.c.header import stack_bytes
from spikec.backend.c.target import Target
from spikec.targets import host
from spikec.targets.cortex_m7 import drive_build
from tests.kernels import cases

CASES = [
    number
    for number, row in enumerate(cases.CASES)
    if number % 8 == 0 or row.name.removeprefix("int8: ").startswith("bands")
]
"""Some of every kind, and what takes most: two runs of neurons in one function."""
MACHINE = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard")


def measure(folder: Path, name: str, command: list[str]) -> int:
    """Bytes of the function that takes most and of all that it could call, none of them twice."""
    subprocess.run(
        [*command, "-std=c11", "-fstack-usage", "-c", f"{name}.c"], cwd=folder, check=True
    )
    shown = (folder / f"{name}.su").read_text(encoding="utf-8").splitlines()
    sizes = {line.split("\t")[0].split(":")[-1]: int(line.split("\t")[1]) for line in shown}
    called = {key: size for key, size in sizes.items() if key.startswith(("spk_", f"{name}_run"))}
    return max(size for key, size in sizes.items() if key not in called) + sum(called.values())


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize(
    ("target", "flags"),
    [("generic", "-O2"), ("generic", "-Os"), ("x86-64-v3", "-O2"), ("cortex-m7", "-O2")],
)
def test_a_step_takes_no_more_stack_than_its_header_says(
    number: int, target: Target, flags: str, tmp_path: Path
) -> None:
    if target == "x86-64-v3" and platform.machine() != "x86_64":
        pytest.skip(f"this machine's compiler is one for {platform.machine()}")
    row = cases.CASES[number]
    model = cases.model(row, cases.draw(row), "net")
    for file, text in model.files(target).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    command = [*host.compiler(), *shlex.split(flags)]
    if target == "cortex-m7":
        command = [*drive_build.compiler(), *MACHINE, *shlex.split(flags)]
    most = stack_bytes(model.plan, target)
    assert f"{most:,}" in (tmp_path / "net.h").read_text(encoding="utf-8")
    assert 0 < measure(tmp_path, "net", command) <= most
