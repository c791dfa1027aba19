# SPDX-License-Identifier: Apache-2.0
"""The image for the Portenta H7: what kind of program it is, and whether its report is true."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from pathlib import Path

import spikec
from models.nmnist.net import net
from spikec.frontends.pytorch.checkpoint import load_checkpoint

ELF = Path(os.environ["PORTENTA_ELF"])
BIN = Path(os.environ["PORTENTA_BIN"])
REPORT = json.loads(Path(os.environ["PORTENTA_SIZE"]).read_text())
CHECKPOINT = Path(__file__).parents[2] / "models" / "nmnist" / "nmnist.pt"

FLASH, FLASH_END = 0x08040000, 0x08180000
DTCM, DTCM_END = 0x20000000, 0x20020000


def readelf(*flags: str) -> str:
    return subprocess.run(
        ["readelf", *flags, str(ELF)], check=True, capture_output=True, text=True
    ).stdout


def test_it_is_hard_float_code_for_a_cortex_m7() -> None:
    attributes = readelf("-A")
    assert re.search(r"Tag_CPU_arch: v7E-M", attributes)
    assert re.search(r"Tag_ABI_VFP_args: VFP registers", attributes)
    assert re.search(r"Tag_FP_arch: FPv5/FP-D16", attributes)


def test_it_starts_where_the_bootloader_jumps_to() -> None:
    raw = BIN.read_bytes()
    stack, entry = struct.unpack_from("<II", raw)
    assert DTCM < stack <= DTCM_END
    assert FLASH <= entry < FLASH + len(raw)
    assert entry & 1, "Cortex-M code is Thumb"
    assert re.search(rf"Entry point address:\s+0x{entry:x}\n", readelf("-h"))


def test_the_bytes_to_flash_are_those_of_the_report_and_fit() -> None:
    flash = BIN.stat().st_size
    assert flash <= FLASH_END - FLASH
    # The report counts sections, the file also what aligns one section to the next.
    assert 0 <= flash - REPORT["flash"] < 64
    loaded = re.findall(r"LOAD\s+\S+\s+\S+\s+(0x[0-9a-f]+)\s+(0x[0-9a-f]+)", readelf("-lW"))
    assert min(int(address, 16) for address, size in loaded if int(size, 16)) == FLASH


def test_the_tables_in_the_image_are_those_the_compiler_counted() -> None:
    network = net()
    load_checkpoint(network, CHECKPOINT)
    report = spikec.compile(network.eval(), (2, 34, 34), name="nmnist").report("cortex-m7")
    linked = {layer["name"]: dict(layer["tables"]) for layer in REPORT["layers"]}
    for layer in report.layers:
        tables = [size for name, size in linked.get(layer.name, {}).items() if "_" in name]
        # A scalar that the compiler has put into the code takes no table.
        assert sum(tables) in (layer.table_bytes, 0), layer.name
    assert linked["conv1"]["conv1_weight"] == network.state_dict()["0.weight"].nbytes
    state = next(section for section in REPORT["sections"] if section["name"] == ".spk_state")
    assert 0 <= state["size"] - report.state_bytes < 8
    assert state["memory"] == "state"
