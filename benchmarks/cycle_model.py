# SPDX-License-Identifier: Apache-2.0
"""Estimates a Cortex-M7's cycles from the instructions that ran. An estimate, not a measurement.

The model, by instruction:

* one cycle each: the core can issue two at a time, and this does not count on it;
* a load or store of several registers takes a cycle for every 64 bits, since the memory port is 64
  bits wide: the instruction count hides these beats, cycles do not;
* VDIV and VSQRT of single precision take 14 cycles, SDIV and UDIV 8;
* floating-point additions, multiplications and comparisons are issued one a cycle;
* a branch that is taken takes one more.

It leaves out what depends on neighbours and memory: waiting for a result (3 cycles for an
addition), mispredicted branches, flash and caches. Code, tables and state are thought of in tightly
coupled memory. ``llvm-mca`` knows the first of these and dual issue, so the hottest loop is checked
against it.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess

from spikec.targets.cortex_m7.qemu_trace import Segment

_REGISTER_LIST = re.compile(r"\{([^}]*)\}")
_REGISTER = re.compile(r"(r|s|d)(\d+)$")
_BACKWARD = re.compile(r"b(\w\w)?(?:\.[nw])? #0x([0-9a-f]+)$")
_MULTIPLE = re.compile(r"(v?)(ldm|stm)(?:ia|db)?(?:\.[nw])? (\w+)(!?), \{([^}]*)\}$")
_UNFOLLOWED = re.compile(r"it[te]* |b(\w\w)?(\.[nw])? #|cbn?z |blx? ")
_ITERATIONS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class Kinds:
    """How many instructions of each kind ran, and the cycles that the model gives them.

    ``load_beats`` and ``store_beats`` are accesses of up to 64 bits; ``floating`` is arithmetic,
    comparisons and moves of the floating-point unit.
    """

    instructions: int
    loads: int
    load_beats: int
    stores: int
    store_beats: int
    floating: int
    taken_branches: int
    cycles: int


def kinds(segment: Segment, text: dict[int, str]) -> Kinds:
    """Counts a segment's instructions by kind; ``text`` is the disassembly of each address."""
    loads = load_beats = stores = store_beats = floating = cycles = 0
    for address, times in segment.executed.items():
        mnemonic = text[address].split()[0]
        spent = _cycles(text[address])
        cycles += times * spent
        if _is_load(mnemonic):
            loads += times
            load_beats += times * spent
        elif _is_store(mnemonic):
            stores += times
            store_beats += times * spent
        elif mnemonic.startswith("v"):
            floating += times
    taken = segment.taken.total()
    return Kinds(
        segment.instructions, loads, load_beats, stores, store_beats, floating, taken,
        cycles + taken,
    )  # fmt: skip


def _is_load(mnemonic: str) -> bool:
    return mnemonic.startswith(("ldr", "ldm", "pop", "vldr", "vldm", "vpop"))


def _is_store(mnemonic: str) -> bool:
    return mnemonic.startswith(("str", "stm", "push", "vstr", "vstm", "vpush"))


def _cycles(text: str) -> int:
    mnemonic = text.split()[0]
    listed = _REGISTER_LIST.search(text)
    if (_is_load(mnemonic) or _is_store(mnemonic)) and listed is not None:
        words = sum(2 if r.strip().startswith("d") else 1 for r in listed[1].split(","))
        return (words + 1) // 2
    if mnemonic.startswith(("vdiv", "vsqrt")):
        return 14
    if mnemonic.startswith(("sdiv", "udiv")):
        return 8
    return 1


@dataclasses.dataclass(frozen=True, slots=True)
class HotLoop:
    """The innermost loop that most instructions ran in, and its cycles a round by both models.

    ``mca_cycles`` is None, and ``note`` says why, where ``llvm-mca`` is missing or cannot read it.
    """

    share: float
    assembly: tuple[str, ...]
    cycles: float
    mca_cycles: float | None
    note: str


def hot_loop(segment: Segment, text: dict[int, str]) -> HotLoop | None:
    """Finds the hottest innermost loop of a segment and asks ``llvm-mca``; None without a loop."""
    order = sorted(segment.executed)
    best: tuple[int, list[int]] | None = None
    for address, times in segment.taken.items():
        found = _BACKWARD.match(text[address])
        if found is None or not order[0] <= (target := int(found[2], 16)) < address:
            continue
        body = [at for at in order if target <= at <= address]
        inner = any(at in segment.taken and _jumps_back(text[at], at) for at in body[:-1])
        weight = times * len(body)
        if not inner and (best is None or weight > best[0]):
            best = (weight, body)
    if best is None:
        return None
    body = best[1]
    assembly = tuple(text[at] for at in body)
    rounds = max(segment.executed[body[-1]], 1)
    inside = segment.only(set(body))
    cycles = kinds(inside, text).cycles / rounds
    mca, note = _mca(assembly)
    return HotLoop(inside.instructions / segment.instructions, assembly, cycles, mca, note)


def _jumps_back(text: str, address: int) -> bool:
    found = _BACKWARD.match(text)
    return found is not None and int(found[2], 16) <= address


def _mca(assembly: tuple[str, ...]) -> tuple[float | None, str]:
    """Cycles a round by ``llvm-mca``, and what has to be said about them."""
    program = shutil.which("llvm-mca")
    if program is None:
        return None, "llvm-mca is not on the PATH, so this is not checked (Debian: llvm)"
    if any(_UNFOLLOWED.match(line) for line in assembly[:-1]):
        return None, "the loop branches inside or has IT blocks, which llvm-mca does not follow"
    lines = [".syntax unified", ".Lloop:"]
    for line in assembly[:-1]:
        lines += _beats(line)
    lines.append(assembly[-1].partition(" ")[0] + " .Lloop")
    done = subprocess.run(
        [
            program, "-mtriple=thumbv7em-none-eabihf", "-mcpu=cortex-m7",
            f"-iterations={_ITERATIONS}", "-instruction-info=false", "-resource-pressure=false",
        ],
        input="\n".join(lines) + "\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    total = re.search(r"Total Cycles: +(\d+)", done.stdout)
    if "error:" in done.stderr or total is None:
        said = done.stderr.strip().splitlines()
        return None, f"llvm-mca cannot read the loop: {' / '.join(said[:2]) or 'it said nothing'}"
    return int(total[1]) / _ITERATIONS, "llvm-mca, loads and stores of many written as beats"


def _beats(line: str) -> list[str]:
    """A load or store of many registers as those of 64 bits that it is made of.

    LLVM's model of the core takes an LDM or VLDM of any length for one access.
    """
    found = _MULTIPLE.match(line)
    if found is None:
        return [line]
    vector, kind, base, back, listed = found.groups()
    numbers = [_REGISTER.match(register.strip()) for register in listed.split(",")]
    if not vector or any(number is None or number[1] != "s" for number in numbers):
        return [line]
    first = [int(number[2]) for number in numbers if number is not None]
    what = "vldr" if kind == "ldm" else "vstr"
    pairs = range(0, len(first) - 1, 2)
    lines = [f"{what} d{first[i] // 2}, [{base}, #{4 * i}]" for i in pairs]
    if len(first) % 2:
        lines.append(f"{what} s{first[-1]}, [{base}, #{4 * (len(first) - 1)}]")
    return lines + ([f"adds {base}, #{4 * len(first)}"] if back else [])
