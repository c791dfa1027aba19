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
from typing import TypeAlias

import numpy as np
import pytest

from spikec.backend.c.expand import find_definitions, list_definitions
from spikec.backend.c.form import Form
from spikec.backend.c.source import write_body
from spikec.backend.c.target import CACHE_LINES
from spikec.ir import network as ir
from spikec.model import Model
from spikec.semantics import bounds, reference
from spikec.targets.cortex_m7.drive_run import qemu_command
from tests.joined import split_by_index
from tests.kernels import cases

TIMEOUT_S = 50.0  # a hang is ended, and is a failure

SAID = {
    "output": r"FAILED: linear layers: step_observed, step 8, output 0: [01], expected [01]\n",
    "spike": r"FAILED: linear layers: step_observed, step 8, layer 2, neuron 0: spike "
    r"0000000[01], expected 0000000[01]\n",
    "membrane": r"FAILED: linear layers: step_observed, step 8, layer 2, neuron 0: membrane "
    r"[0-9a-f]{8}, expected [0-9a-f]{8}\n",
    "integer": r"FAILED: int8: [^:]*: step_observed, step 8, layer 4, neuron 0: membrane "
    r"([0-9a-f]{7})[0-9a-f], expected \1[0-9a-f]\n",
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


@pytest.mark.parametrize("program", ["narrow", "narrow_cells", "narrow_integer"])
def test_the_cortex_m7_equals_the_reference_bit_for_bit(program: str) -> None:
    status, said = run(f"{program}_m7")
    narrow = sum(cases.program(row) == program for row in cases.CASES)
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


Compiled: TypeAlias = list[tuple[cases.Case, cases.Drawn, Model]]


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    """Every row of the table."""
    found = []
    for number, row in enumerate(cases.CASES):
        drawn = cases.draw(row)
        found.append((row, drawn, cases.model(row, drawn, f"case{number}")))
    return found


def test_every_kernel_is_in_the_table(compiled: Compiled) -> None:
    """Each definition of cc/kernels and cc/arch is used by a network, on some target."""
    models = [model for _, _, model in compiled]
    for target in CACHE_LINES:
        form = Form(target, driven=True)
        used: set[str] = set()
        for wide, several in split_by_index(models).items():
            bodies = "".join(write_body(model.plan, model.name, form) for model in several)
            used |= {item.name for item in find_definitions(bodies, target, wide)}
        every = {item.name for wide in (False, True) for item in list_definitions(target, wide)}
        unused = {name for name in every - used if not name.startswith("spk_readout")}
        assert not unused, f"{target}: no row of the table needs {sorted(unused)}"


def test_the_table_has_every_kind_of_integer_neuron(compiled: Compiled) -> None:
    shifts, resets, ties = set(), set(), set()
    shapes: set[tuple[str, object]] = set()
    signs: set[int] = set()
    for _, drawn, model in compiled:
        network = model.network
        membranes = reference.run(network, drawn.frames).membranes
        for layer in network.spiking:
            if not isinstance(layer, ir.IntegerLeaky):
                continue
            shifts.add((layer.bits, layer.shift))
            resets.add((layer.bits, layer.reset, layer.reset_delay))
            for what in ("decay", "threshold", "bias"):
                values = getattr(layer, what)
                sides = (values.shape[:2] != (1, 1), values.shape[2] > 1)
                shapes.add((what, "none" if what == "bias" and not values.any() else sides))
            if (membranes[layer.name] == layer.threshold).any():
                ties.add((layer.bits, layer.reset, layer.threshold.size % 4))
            signs |= set(np.sign(layer.threshold).ravel().tolist())
    assert shifts >= {(16, shift) for shift in range(7)} | {(32, shift) for shift in (2, 5, 8)}
    assert resets >= {
        (bits, reset, delay)
        for bits in (16, 32)
        for reset in ("subtract", "zero")
        for delay in (True, False)
    }
    assert {(bits, "none") for bits in (16, 32)} <= {(bits, reset) for bits, reset, _ in resets}
    one, channel, neuron = (False, False), (False, True), (True, True)
    assert shapes >= {
        (what, shape) for what in ("decay", "threshold", "bias") for shape in (one, channel, neuron)
    } - {("bias", one)} | {("bias", "none")}
    assert signs == {-1, 0, 1}
    # Neurons with thresholds of their own, four at a time, have another code on the Cortex-M7.
    assert ties >= {(bits, "subtract", 0) for bits in (16, 32)}
    assert {tie[:2] for tie in ties} >= {(bits, "zero") for bits in (16, 32)}


def test_integers_stay_within_their_bounds_and_come_close(compiled: Compiled) -> None:
    """In 64 bits, where nothing overflows; rows that drive a neuron bring it to its bound."""
    close = []
    for row, drawn, model in compiled:
        network = model.network
        if row.numbers != "int8":
            continue
        trace = reference.run(network, drawn.frames)
        found = bounds.of(network)
        for layer in network.layers:
            value, bound = trace.values[layer.name], found.values[layer.name]
            assert ((value >= bound.low) & (value <= bound.high)).all(), (row.name, layer.name)
            if not isinstance(layer, ir.IntegerLeaky):
                continue
            membrane, bound = trace.membranes[layer.name], found.membranes[layer.name]
            assert ((membrane >= bound.low) & (membrane <= bound.high)).all(), (row.name, layer)
            assert bound.largest < 1 << (15 if layer.bits == 16 else 30), (row.name, layer.name)
            rate = float(trace.spikes[layer.name].mean())
            assert cases.LOWEST <= rate <= cases.HIGHEST, (row.name, layer.name, rate)
        first = network.spiking[0]
        if row.driven:
            assert isinstance(first, ir.IntegerLeaky)
            high = (trace.membranes[first.name] / found.membranes[first.name].high).max()
            low = (trace.membranes[first.name] / found.membranes[first.name].low).max()
            close.append((first.bits, min(high, low)))
    assert sorted(bits for bits, part in close if part > 0.99) == [16, 32], close
