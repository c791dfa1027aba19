# SPDX-License-Identifier: Apache-2.0
"""The size report of the application for the Portenta, and links that do not fit their board.

The build says where things are, in the environment or as NAME=VALUE arguments:
FIRMWARE_APP_PORTENTA and FIRMWARE_APP_MPS2, the application linked for the two boards;
FIRMWARE_ARM_GCC, the command
of the compiler.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from pathlib import Path

import pytest

from spikec.errors import SpikecError
from spikec.targets.cortex_m7.elf_size import main, size_report

ELF = os.environ.get("FIRMWARE_APP_PORTENTA", "")  # set before pytest reads this file again
CPU = ["-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard"]


def test_the_report_names_every_memory_section_and_layer() -> None:
    """Figures that follow from the hand-written network and the board, to the byte."""
    report = size_report(ELF)
    memories = {memory.name: (memory.origin, memory.length) for memory in report.memories}
    assert memories == {
        "flash": (0x08040000, 0x140000),
        "ram": (0x24000000, 512 * 1024),
        "state": (0x20000000, 128 * 1024),
    }
    sections = {section.name: section for section in report.sections}
    assert sections[".stack"].size == 8192
    # fake_state: 9 floats, 6 indices of 2 bytes, 3 of 4: 60 bytes, and the section ends on 8.
    assert (sections[".spk_state"].size, sections[".spk_state"].memory) == (64, "state")
    assert sections[".spk_state"].loaded is None and sections[".text"].loaded == "flash"
    layers = {layer.name: (layer.size, layer.tables) for layer in report.layers}
    assert layers == {
        "linear1": (8 * 6 * 4, (("linear1_weight", 8 * 6 * 4),)),
        "linear2": (6 * 3 * 4, (("linear2_weight", 6 * 3 * 4),)),
    }
    assert report.other + 192 + 72 == sections[".rodata"].size
    assert report.flash == sections[".text"].size + sections[".rodata"].size
    assert report.ram == sum(s.size for s in report.sections if s.memory != "flash")


@pytest.mark.parametrize("name", [b"net1_model_row", b"linear3_model\0"])
def test_a_table_of_the_network_is_no_layers(name: bytes, tmp_path: Path) -> None:
    """Whatever the network is called: a name like a layer's, even the very name of one."""
    elf = tmp_path / "x.elf"
    elf.write_bytes(Path(ELF).read_bytes().replace(b"linear1_weight", name))
    report = size_report(elf)
    assert [layer.name for layer in report.layers] == ["linear2"]
    assert report.other == size_report(ELF).other + 192


def test_the_image_is_hard_float_linked_at_the_bootloaders_address() -> None:
    """Entry and vector table as the bootloader wants them; Arm's ABI flag says hard float."""
    data = Path(ELF).read_bytes()
    entry, flags = struct.unpack_from("<I", data, 24)[0], struct.unpack_from("<I", data, 36)[0]
    assert 0x08040000 <= entry < 0x08180000 and entry & 1
    assert flags & 0x400  # EF_ARM_ABI_FLOAT_HARD
    (segment,) = struct.unpack_from("<I", data, 28)
    offset, address = struct.unpack_from("<II", data, segment + 4)
    assert address == 0x08040000
    stack, reset = struct.unpack_from("<II", data, offset)
    assert stack == 0x20002000 and reset == entry


def test_text_and_json_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written to files, or the text printed."""
    text, machine = tmp_path / "size.txt", tmp_path / "size.json"
    assert main([ELF, "--text", str(text), "--json", str(machine)]) == 0
    assert capsys.readouterr().out == ""
    assert main([ELF]) == 0
    assert capsys.readouterr().out == text.read_text()
    report = json.loads(machine.read_text())
    assert f"flash {report['flash']:,} B, RAM {report['ram']:,} B" in text.read_text()
    assert "linear1_weight 192" in text.read_text()


def test_a_board_with_one_memory_for_variables_and_state_shows_it_once() -> None:
    report = size_report(os.environ["FIRMWARE_APP_MPS2"])
    assert [(m.name, m.origin, m.length) for m in report.memories] == [
        ("flash", 0, 4 << 20),
        ("ram", 0x20000000, 4 << 20),
    ]
    assert (
        report.ram
        == report.memories[1].used
        == sum(
            s.size for s in report.sections if s.name in (".stack", ".spk_state", ".data", ".bss")
        )
    )


def test_wrong_files_get_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No ELF, half an ELF, an ELF for another machine or of other linker scripts."""
    data = Path(ELF).read_bytes()
    elf = tmp_path / "x.elf"
    for content, sentence in (
        (b"junk", "not a 32-bit"),
        (data[:3000], "cut short or damaged"),
        (data[:18] + b"\x3e\0" + data[20:], "machine 62, not for Arm"),
        (data.replace(b"spk_memory_ram_start", b"spk_memory_RAM_start"), "ram_start' is missing"),
    ):
        elf.write_bytes(content)
        with pytest.raises(SpikecError, match=sentence):
            size_report(elf)
    with pytest.raises(SpikecError, match="cannot be read"):
        size_report(tmp_path / "nothing")
    assert main([str(tmp_path / "nothing")]) == 1
    assert "error: " in capsys.readouterr().err
    assert main([ELF, "--text", str(tmp_path / "no" / "x")]) == 1


PROGRAM = """
#include <stdint.h>
uint8_t state[{state}] __attribute__((section(".bss.spk_state")));
uint8_t variables[{variables}];
const uint8_t tables[{tables}] = {{1}};
void Reset_Handler(void) {{
  for (uint32_t i = 0;; i++) state[i] = variables[i] = tables[i];
}}
const uintptr_t vectors[2] __attribute__((section(".vectors"), used)) = {{
  0, (uintptr_t)Reset_Handler}};
"""


def link(folder: Path, board: str, **bytes_: int) -> subprocess.CompletedProcess[str]:
    """Link a program of the given sizes for a board."""
    sizes = {"state": 8, "variables": 8, "tables": 8} | bytes_
    (folder / "x.c").write_text(PROGRAM.format(**sizes))
    scripts = Path(__file__).parents[2] / "cc/firmware"
    return subprocess.run(
        [
            *(*os.environ["FIRMWARE_ARM_GCC"].split(), *CPU, "-O1", "-nostdlib"),
            *("-Wl,--gc-sections", "-fdata-sections", "-T", scripts / f"{board}.ld"),
            *("-T", scripts / "sections.ld", folder / "x.c", "-o", folder / "x.elf"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Bytes that just fit, what holds them, and the sentence when there are 8 more.
FULL = [
    ("portenta_h7", "state", 120 * 1024, "board's memory for state: use a smaller network"),
    ("portenta_h7", "variables", 512 * 1024, "variables do not fit the board's RAM: use a smaller"),
    ("mps2_an500", "state", 4096 * 1024 - 8192 - 8, "do not fit the board's"),
]


@pytest.mark.parametrize(("board", "what", "size", "sentence"), FULL)
def test_a_link_fails_just_when_a_memory_is_exceeded(
    board: str, what: str, size: int, sentence: str, tmp_path: Path
) -> None:
    """The last byte fits; after it, a sentence that says what to do."""
    fits = link(tmp_path, board, **{what: size})
    assert fits.returncode == 0, fits.stderr
    (tmp_path / "x.elf").unlink()
    over = link(tmp_path, board, **{what: size + 8})
    assert over.returncode != 0 and sentence in over.stderr, over.stderr
    assert not (tmp_path / "x.elf").exists()


def test_a_link_fails_when_flash_is_exceeded(tmp_path: Path) -> None:
    """Tables of one flash and more."""
    assert link(tmp_path, "portenta_h7", tables=0x140000 - 2048).returncode == 0
    over = link(tmp_path, "portenta_h7", tables=0x140000)
    assert over.returncode != 0
    assert "tables and the code do not fit the board's flash: use a smaller" in over.stderr
