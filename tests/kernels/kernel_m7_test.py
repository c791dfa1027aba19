# SPDX-License-Identifier: Apache-2.0
"""The kernel test passes on the emulated Cortex-M7, and can fail: a wrong bit ends it with 1.

The build says where the programs are, in the environment or as NAME=VALUE arguments:
KERNEL_NARROW_M7, KERNEL_BROKEN_SPIKE_HOST and so on; and KERNEL_QEMU, the command of
qemu-system-arm, its words separated by spaces.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from spikec import sources
from spikec.firmware_io import qemu_command
from spikec.model import Model
from tests.kernels import cases

TIMEOUT_S = 50.0  # a hang is ended, and is a failure

SAID = {
    "output": r"FAILED: linear layers: step_observed, step 8, output 0: [01], expected [01]\n",
    "spike": r"FAILED: linear layers: step_observed, step 8, layer 2, neuron 0: spike "
    r"0000000[01], expected 0000000[01]\n",
    "membrane": r"FAILED: linear layers: step_observed, step 8, layer 2, neuron 0: membrane "
    r"[0-9a-f]{8}, expected [0-9a-f]{8}\n",
}
"""What a program says that was given one wrong value to expect: the place and both values."""


def run(name: str) -> tuple[int, str]:
    """A program's exit status and what it printed; on the emulated board when its name says so."""
    program = str(Path(os.environ[f"KERNEL_{name.upper()}"]).absolute())
    command = [program]
    if name.endswith("m7"):
        command = qemu_command(os.environ["KERNEL_QEMU"].split(), program, ["kernel_test"])
    done = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def test_the_cortex_m7_equals_the_reference_bit_for_bit() -> None:
    status, said = run("narrow_m7")
    narrow = sum(not row.wide for row in cases.CASES)
    assert status == 0, said
    assert re.fullmatch(
        rf"kernels: {narrow} networks, [1-9]\d* neuron-steps equal .* 0 failures\n", said
    ), said


@pytest.mark.parametrize("board", ["host", "m7"])
@pytest.mark.parametrize("kind", sorted(SAID))
def test_one_wrong_bit_ends_the_program_with_1_and_its_place(kind: str, board: str) -> None:
    status, said = run(f"broken_{kind}_{board}")
    assert status == 1, said
    assert re.search(SAID[kind], said), said
    levels = said.count("FAILED")  # once for every level of this CPU
    assert 1 <= levels <= (3 if board == "host" else 1), said
    assert said.endswith(f", {levels} failures\n"), said


def test_every_kernel_is_in_the_table() -> None:
    """Each function of cc/kernels is called by a network, or by a kernel that is."""
    called = ""
    headers: set[str] = set()
    for number, row in enumerate(cases.CASES):
        model = Model.of(cases.draw(row).network, f"case{number}", "f32", row.kernels)
        files = model.files()
        called += files[f"case{number}.c"]
        headers |= set(files)
    kernels = {path.name: path.read_text() for path in Path(sources.__file__).parents[2].glob(
        "cc/kernels/*.h")}  # fmt: skip
    assert set(kernels) <= headers, "a kernel header that no row of the table needs"
    everything = "".join(kernels.values())
    for function in re.findall(r"^SPK_KERNEL \w+ \*?(\w+)\(", everything, re.MULTILINE):
        inner = len(re.findall(rf"\b{function}\(", everything)) > 1
        assert inner or f"{function}(" in called, f"no row of the table needs {function}"
