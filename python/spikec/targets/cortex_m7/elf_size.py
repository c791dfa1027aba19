# SPDX-License-Identifier: Apache-2.0
"""What a firmware image takes of its board's memory: by memory, by section and by layer.

    elf_size.py PROGRAM.elf [--text FILE] [--json FILE]
        [--network NAME [--max-flash BYTES] [--max-ram BYTES]]

Everything comes from the image itself: its section headers, its symbols, and the board's memories
from symbols that cc/firmware/sections.ld leaves in it. Without --text and --json the text is
printed. With --network it fails, and writes nothing, where that network's code and tables or its
state are more than its budget. Needs nothing but Python's standard library; the same image gives
the same bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import struct
import sys
from pathlib import Path

from spikec.errors import SpikecError
from spikec.files import write_whole
from spikec.targets.budget import Budget, add_options

_StrPath = str | os.PathLike[str]

# ELF for Arm, System V ABI: the header, a section header, a program header, a symbol.
_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SECTION = struct.Struct("<10I")
_SEGMENT = struct.Struct("<8I")
_SYMBOL = struct.Struct("<IIIBBH")
_EM_ARM = 40
_SHT_PROGBITS, _SHT_SYMTAB, _SHT_NOBITS = 1, 2, 8
_SHF_ALLOC = 2
_PT_LOAD = 1
_STT_OBJECT, _STT_FUNC, _STT_FILE = 1, 2, 4
_STB_LOCAL = 0

# Generated tables are named after their layer, as in conv1_weight or leaky2. A network may be named
# anything, and its NAME_model and the like belong to no layer.
_LAYER = re.compile(
    r"([a-z][a-z0-9]*[0-9])(?!_(?:model|membrane_units|readout)(?:_|\.|$))(?:_|\.|$)"
)
# Later ones are left out where a board has one memory for both.
_MEMORIES = ("flash", "ram", "state")


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """One of the board's memories: `length` bytes from address `origin`, `used` of them taken."""

    name: str
    origin: int
    length: int
    used: int


@dataclasses.dataclass(frozen=True, slots=True)
class Section:
    """One section of the image: `size` bytes in `memory`; first values, if any, in `loaded`."""

    name: str
    size: int
    memory: str
    loaded: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One layer's tables: `size` bytes in all, (name, bytes) for each table."""

    name: str
    size: int
    tables: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class SizeReport:
    """What an image takes. Bytes everywhere.

    flash: in memories that keep their content; ram: in all others, the stack included.
    other: constants that belong to no layer.
    """

    program: str
    flash: int
    ram: int
    memories: tuple[Memory, ...]
    sections: tuple[Section, ...]
    layers: tuple[Layer, ...]
    other: int

    def to_json(self) -> str:
        """The report as JSON, one object, keys in order."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    def to_text(self) -> str:
        """The report as text for a person."""
        lines = [
            f"{self.program}: flash {self.flash:,} B, RAM {self.ram:,} B",
            "",
            f"{'memory':<14}{'used':>12}{'free':>12}{'of':>12}",
        ]
        for m in self.memories:
            share = f"{100 * m.used / m.length:6.1f} %"
            free = m.length - m.used
            lines.append(f"{m.name:<14}{m.used:>12,}{free:>12,}{m.length:>12,}{share}")
        lines += ["", f"{'section':<14}{'bytes':>12}  where"]
        for s in self.sections:
            where = s.memory if s.loaded in (None, s.memory) else f"{s.memory}, from {s.loaded}"
            lines.append(f"{s.name:<14}{s.size:>12,}  {where}")
        lines += ["", f"{'constants of':<14}{'bytes':>12}  tables"]
        for layer in self.layers:
            tables = ", ".join(f"{name} {size:,}" for name, size in layer.tables)
            lines.append(f"{layer.name:<14}{layer.size:>12,}  {tables}")
        lines.append(f"{'no layer':<14}{self.other:>12,}")
        return "\n".join(lines) + "\n"


@dataclasses.dataclass(frozen=True, slots=True)
class NetworkSize:
    """What one network takes of an image, in bytes.

    code: its functions. layers: its layers' tables. other: constants that describe it as a whole.
    state: the state that the image holds for it.
    """

    code: int
    layers: tuple[Layer, ...]
    other: int
    state: int

    @property
    def tables(self) -> int:
        """Bytes of all layers' tables."""
        return sum(layer.size for layer in self.layers)


@dataclasses.dataclass(frozen=True, slots=True)
class _Header:
    """A section header with its name."""

    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Symbol:
    """A symbol: its value (an address), size, section's number, and what it names."""

    name: str
    value: int
    size: int
    section: int
    is_object: bool
    is_function: bool
    unit: str  # the file that a local symbol is of


def size_report(elf: _StrPath) -> SizeReport:
    """Measure an image as linked for a board, with its symbols.

    Raises SpikecError for a file that cannot be read, is no 32-bit Arm ELF, is damaged, or was
    not linked by this project's linker scripts.
    """
    elf = Path(elf)
    data = _read(elf)
    try:
        headers, segments = _parse(elf, data)
        symbols = _symbols(data, headers)
        spans = _memories(elf, symbols)
    except (struct.error, IndexError, ValueError) as error:
        if isinstance(error, SpikecError):
            raise
        raise SpikecError(
            f"{elf}: the ELF file is cut short or damaged ({error}); link it again."
        ) from error

    def memory_of(address: int, what: str) -> str:
        for name, (origin, length) in spans.items():
            if origin <= address < origin + length:
                return name
        raise SpikecError(
            f"{elf}: {what} is at 0x{address:08x}, in none of the board's memories; "
            "link the program with cc/firmware/sections.ld."
        )

    sections: list[Section] = []
    used = dict.fromkeys(spans, 0)
    keeps: set[str] = set()  # memories that something is loaded from or runs in place from
    for header in headers:
        if not header.flags & _SHF_ALLOC or not header.size:
            continue
        memory = memory_of(header.address, header.name)
        loaded = None
        if header.type != _SHT_NOBITS:
            loaded = memory_of(_load_address(header, segments), header.name)
            keeps.add(loaded)
        for name in {memory, loaded} - {None}:
            used[str(name)] += header.size
        sections.append(Section(header.name, header.size, memory, loaded))
    constants = [
        (symbol.name, symbol.size)
        for symbol in symbols
        if symbol.is_object
        and symbol.section < len(headers)
        and headers[symbol.section].name == ".rodata"
    ]
    rodata = sum(section.size for section in sections if section.name == ".rodata")
    layers = _layers(constants)
    return SizeReport(
        program=elf.name,
        flash=sum(size for name, size in used.items() if name in keeps),
        ram=sum(size for name, size in used.items() if name not in keeps),
        memories=tuple(Memory(n, origin, length, used[n]) for n, (origin, length) in spans.items()),
        sections=tuple(sections),
        layers=layers,
        other=rodata - sum(layer.size for layer in layers),
    )


def network_size(elf: _StrPath, name: str) -> NetworkSize:
    """What the network ``name`` takes of an image.

    Raises SpikecError as size_report does, and for an image without such a network.
    """
    elf = Path(elf)
    layers = size_report(elf).layers
    tables = {table for layer in layers for table, _ in layer.tables}
    data = _read(elf)
    headers, _ = _parse(elf, data)
    code = other = state = 0
    there = False
    for symbol in _symbols(data, headers):
        section = headers[symbol.section].name if symbol.section < len(headers) else ""
        own = _is_of(name, symbol)
        there = there or symbol.name == f"{name}_model"
        if symbol.is_function and own:
            code += symbol.size
        elif symbol.is_object and section == ".spk_state":
            state += symbol.size
        elif symbol.is_object and section == ".rodata" and own and symbol.name not in tables:
            other += symbol.size
    if not there:
        raise SpikecError(f"{elf}: holds no network {name!r}; link it into the program.")
    return NetworkSize(code, layers, other, state)


def code_bytes(elf: _StrPath, name: str) -> int:
    """Bytes of a network's functions in an image.

    Raises SpikecError for a file that cannot be read or is no 32-bit Arm ELF.
    """
    elf = Path(elf)
    data = _read(elf)
    headers, _ = _parse(elf, data)
    return sum(
        symbol.size
        for symbol in _symbols(data, headers)
        if symbol.is_function and _is_of(name, symbol)
    )


def check_budget(size: NetworkSize, name: str, budget: Budget) -> None:
    """Raises SpikecError, with every sentence there is to say, if a network exceeds its budget."""
    layers = {layer.name: layer.size for layer in size.layers}
    flash = {"code": size.code, "tables": size.tables + size.other}
    sentences = (
        budget.flash_excess(name, flash, layers),
        # An image has one symbol for all of the state: `spikec report` says what is in it.
        budget.ram_excess(name, {"state": size.state}, {}),
    )
    if any(sentences):
        raise SpikecError("\n".join(filter(None, sentences)))


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="What a firmware image takes of its board.")
    parser.add_argument("elf", help="the linked image, with its symbols")
    parser.add_argument("--text", metavar="FILE", help="write the report as text")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON")
    parser.add_argument("--network", metavar="NAME", help="the network that has a budget")
    add_options(parser)
    options = parser.parse_args(arguments)
    try:
        report = size_report(options.elf)
        if options.network is not None:
            budget = Budget(options.max_flash, options.max_ram)
            check_budget(network_size(options.elf, options.network), options.network, budget)
        for path, text in ((options.text, report.to_text()), (options.json, report.to_json())):
            if path is not None:
                write_whole(Path(path), text.encode(), "report")
    except SpikecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.text is None and options.json is None:
        sys.stdout.write(report.to_text())
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpikecError(
            f"{path}: the file cannot be read ({error.strerror or error}); link the program first."
        ) from error


def _parse(elf: Path, data: bytes) -> tuple[list[_Header], list[tuple[int, ...]]]:
    """The section headers, and the segments (type, offset, vaddr, paddr, filesz, memsz, ...)."""
    if data[:6] != b"\x7fELF\x01\x01":
        raise SpikecError(
            f"{elf}: not a 32-bit little-endian ELF file; give the image linked for the board."
        )
    fields = _HEADER.unpack_from(data)
    machine, phoff, shoff = fields[2], fields[5], fields[6]
    phnum, shnum, shstrndx = fields[10], fields[12], fields[13]
    if machine != _EM_ARM:
        raise SpikecError(
            f"{elf}: the image is for machine {machine}, not for Arm ({_EM_ARM}); "
            "give the image linked for the board."
        )
    raw = [_SECTION.unpack_from(data, shoff + i * _SECTION.size) for i in range(shnum)]
    names = raw[shstrndx][4]
    headers = [
        _Header(_string(data, names + name), kind, flags, address, offset, size, link)
        for name, kind, flags, address, offset, size, link, *_ in raw
    ]
    segments = [_SEGMENT.unpack_from(data, phoff + i * _SEGMENT.size) for i in range(phnum)]
    return headers, segments


def _string(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def _load_address(header: _Header, segments: list[tuple[int, ...]]) -> int:
    """Where a section's first values are kept: its segment's physical address."""
    for kind, _, virtual, physical, _, size, *_ in segments:
        if kind == _PT_LOAD and virtual <= header.address < virtual + size:
            return physical + header.address - virtual
    return header.address


def _symbols(data: bytes, headers: list[_Header]) -> list[_Symbol]:
    """Every symbol of the image, by name."""
    found: list[_Symbol] = []
    for table in headers:
        if table.type != _SHT_SYMTAB:
            continue
        names = headers[table.link].offset
        unit = ""  # local symbols follow their file's name
        for at in range(table.offset, table.offset + table.size, _SYMBOL.size):
            name, value, size, info, _, section = _SYMBOL.unpack_from(data, at)
            kind, text = info & 15, _string(data, names + name)
            if kind == _STT_FILE:
                unit = text
            found.append(
                _Symbol(
                    text, value, size, section, kind == _STT_OBJECT, kind == _STT_FUNC,
                    unit if info >> 4 == _STB_LOCAL else "",
                )
            )  # fmt: skip
    return sorted(found, key=lambda symbol: symbol.name)


def _is_of(name: str, symbol: _Symbol) -> bool:
    """Whether a symbol is the network's own: in NAME.c or NAME_*.c, or called NAME_*."""
    return re.match(re.escape(name) + r"(_|\.|$)", symbol.unit or symbol.name) is not None


def _layers(constants: list[tuple[str, int]]) -> tuple[Layer, ...]:
    """Constants by the layer that their names start with, in the order of layers' numbers."""
    tables: dict[str, list[tuple[str, int]]] = {}
    for name, size in constants:
        match = _LAYER.match(name)
        if match is not None:
            tables.setdefault(match[1], []).append((name, size))
    return tuple(
        Layer(name, sum(size for _, size in tables[name]), tuple(tables[name]))
        for name in sorted(tables, key=lambda name: (int(re.findall(r"\d+", name)[-1]), name))
    )


def _memories(elf: Path, symbols: list[_Symbol]) -> dict[str, tuple[int, int]]:
    """{name: (origin, length)} of the board's memories, each once."""
    values = {symbol.name: symbol.value for symbol in symbols}
    spans: dict[str, tuple[int, int]] = {}
    for name in _MEMORIES:
        try:
            span = (values[f"spk_memory_{name}_start"], values[f"spk_memory_{name}_bytes"])
        except KeyError as error:
            raise SpikecError(
                f"{elf}: the symbol {error} is missing, so the board's memories are unknown; "
                "link the program with cc/firmware/sections.ld and keep its symbols."
            ) from error
        if span not in spans.values():
            spans[name] = span
    return spans


if __name__ == "__main__":
    raise SystemExit(main())
