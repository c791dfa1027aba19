# SPDX-License-Identifier: Apache-2.0
"""Expands the texts of cc/kernels and cc/arch into what one generated file needs of them.

Those texts are C, but for a few lines that start with ``//@``:

``//@ template NUM  SUM`` and the ``//@`` lines below it are a table. What follows, up to
``//@ end``, is written once for each of its rows, with the words of its head, where they are a
whole identifier or a part of one between underscores, replaced by those of the row.

``//@ only KEY ...``, at the end of a line or alone before a definition, keeps it for some: for the
rows whose first word is a KEY, for the target KEY, or for layers of "narrow" or "wide" indices.

There is hardly another choice by CPU: each kind of CPU has files of its own in cc/arch and
cc/kernels, and ``_FILES`` says which ones a target takes.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

from spikec.backend.c.runtime import list_room, read
from spikec.backend.c.target import Target
from spikec.backend.c.text import signature, wrapped

_VECTORS = (
    "spk_lanes.h", "spk_run_f32_lanes.h", "spk_run_int_lanes.h", "spk_sum_f32_lanes.h",
    "spk_dot_f32_vectors.h", "spk_leaky_f32_lanes.h", "spk_leaky_int_runs.h",
)  # fmt: skip
_X86_64 = (*_VECTORS, "spk_list_generic.h", "spk_widen_generic.h")
_FILES: dict[Target, tuple[str, ...]] = {
    "generic": (
        "spk_lanes_none.h", "spk_run_f32_generic.h", "spk_run_int_generic.h",
        "spk_sum_f32_generic.h", "spk_dot_f32_generic.h", "spk_list_generic.h",
        "spk_leaky_f32_scalar.h", "spk_leaky_int_runs.h",
    ),
    "cortex-m7": (
        "spk_lanes_none.h", "spk_run_f32_cortex_m7.h", "spk_run_int_cortex_m7.h",
        "spk_sum_f32_cortex_m7.h", "spk_dot_f32_cortex_m7.h", "spk_list_generic.h",
        "spk_leaky_f32_cortex_m7.h", "spk_leaky_int_cortex_m7.h",
    ),
    "x86-64": _X86_64,
    "x86-64-v3": (*_VECTORS, "spk_list_generic.h", "spk_widen_avx2.h"),
    "x86-64-v4": (*_VECTORS, "spk_list_avx512.h", "spk_widen_avx2.h", "spk_widen_avx512.h"),
    "aarch64": _X86_64,
}  # fmt: skip
"""The files of each target that are one of several with the same functions."""
_CHOSEN = frozenset(file for files in _FILES.values() for file in files)

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclasses.dataclass(frozen=True, slots=True)
class Expansion:
    """What a generated file needs of the kernels.

    Attributes:
        includes: the system's headers, "<stdint.h>" and so on, sorted.
        text: the definitions, everything before its use, and nothing that is not used.
    """

    includes: tuple[str, ...]
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """One definition at the top level of a file.

    Attributes:
        file: where it stands.
        names: what it defines, a type with all its constants, say.
        comment: what stands above it.
        code: the definition itself.
    """

    file: str
    names: frozenset[str]
    comment: str
    code: str

    @property
    def name(self) -> str:
        """One of its names, for people."""
        return min(self.names)


def expand(body: str, target: Target, wide_index: bool) -> Expansion:
    """Returns the definitions of all that ``body``, generated C, uses of the kernels.

    ``wide_index`` says that positions in lists of spikes take 32 bits and not 16.
    """
    library = _read_library(target, wide_index)
    found = find_definitions(body, target, wide_index)
    includes = {header for item in found for header in library.includes[item.file]}
    parts: list[str] = []
    shown, comment = "", ""
    for item in found:
        if item.file != shown:
            shown, comment = item.file, ""
            parts.append("\n".join(wrapped(f"// {library.titles[shown]}", "// ")))
        repeated = item.comment == comment
        comment = item.comment
        parts.append(item.code if repeated or not comment else f"{comment}\n{item.code}")
    return Expansion(tuple(sorted(includes)), "\n\n".join(parts) + "\n" * bool(parts))


def find_definitions(body: str, target: Target, wide_index: bool) -> list[Definition]:
    """The definitions that ``expand`` writes out, in order."""
    library = _read_library(target, wide_index)
    used: set[int] = set()
    todo = [body]
    while todo:
        for name in _names_in(todo.pop()):
            number = library.named.get(name)
            if number is not None and number not in used:
                used.add(number)
                todo.append(library.items[number].code)
    return [library.items[number] for number in sorted(used)]


def list_definitions(target: Target, wide_index: bool) -> tuple[Definition, ...]:
    """All definitions that there are for a target, in the order in which they are written out."""
    return _read_library(target, wide_index).items


def contract(name: str) -> str:
    """The text of a header of cc/runtime as it stands in NAME.h, its guard included."""
    lines = [
        line for line in read(name).split("\n") if not line.startswith(("// SPDX", "#include"))
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


def strict() -> str:
    """What keeps a compiler to the arithmetic that is written, whatever its flags."""
    return contract("spk_strict.h")


_ARM = """\
#if !defined(__ARM_ARCH_7EM__) || !defined(__ARM_FP) || !defined(__GNUC__)
#error "this file was written for a Cortex-M7 with its floating-point unit: write it for --target \\
generic, or compile it with -mcpu=cortex-m7 -mfpu=fpv5-d16 and a hard or softfp ABI"
#endif
// The assembly below needs registers that code without any optimisation has not left.
#if !defined(__OPTIMIZE__) && !defined(__clang__)
#pragma GCC optimize("O1")
#endif
"""
_X86 = """\
#if !defined(__x86_64__) || !defined(__GNUC__)
#error "this file was written for {target}: write it for --target generic, or compile it with GCC \\
or Clang for such a CPU"
#endif
"""


def begin_target(target: Target) -> str:
    """What stands before all else in a file for ``target``, so that no flag need name the CPU."""
    match target:
        case "generic" | "aarch64":
            return ""
        case "cortex-m7":
            return _ARM
        case "x86-64":
            return _X86.format(target=target)
        case "x86-64-v3" | "x86-64-v4":
            wide = ",prefer-vector-width=512" if target == "x86-64-v4" else ""
            features = _CLANG_FEATURES[target]
            return (
                f"{_X86.format(target=target)}"
                "#if defined(__clang__)\n"
                "#include <immintrin.h>\n"
                "#pragma clang attribute push(__attribute__((target( \\\n"
                f'    "{features}"))), \\\n'
                "    apply_to = function)\n"
                "#else\n"
                f'#pragma GCC target("arch={target}{wide}")\n'
                "#include <immintrin.h>\n"
                "#endif\n"
            )


def end_target(target: Target) -> str:
    """What stands behind all else in a file for ``target``."""
    if target not in _CLANG_FEATURES:
        return ""
    return "#if defined(__clang__)\n#pragma clang attribute pop\n#endif\n"


_CLANG_FEATURES: dict[Target, str] = {
    "x86-64-v3": "avx2,bmi,bmi2,f16c,fma,lzcnt,movbe",
    "x86-64-v4": "avx2,bmi,bmi2,f16c,fma,lzcnt,movbe,avx512f,avx512bw,avx512cd,avx512dq,avx512vl",
}


# Reading the texts.


@dataclasses.dataclass(frozen=True, slots=True)
class _Library:
    """All definitions for a target, in an order in which each stands before its use."""

    items: tuple[Definition, ...]
    named: dict[str, int]
    includes: dict[str, frozenset[str]]
    titles: dict[str, str]


@functools.cache
def _read_library(target: Target, wide_index: bool) -> _Library:
    """Reads the files that a target takes.

    Raises:
        ValueError: one of them is malformed, two define the same, or they need each other.
    """
    keys = frozenset((target, "wide" if wide_index else "narrow"))
    rooms = {file: room for room in ("arch", "kernels") for file in list_room(room)}
    chosen = _FILES[target]
    items: dict[str, list[Definition]] = {}
    includes: dict[str, frozenset[str]] = {}
    titles: dict[str, str] = {}
    for file, room in sorted(rooms.items()):
        if not file.endswith(".h") or (file in _CHOSEN and file not in chosen):
            continue
        text = read(file)
        titles[file] = f"cc/{room}/{file}: {_first_sentence(text)}"
        found = frozenset(re.findall(r"^#include (<[^>]+>)", text, re.MULTILINE))
        includes[file] = found - {"<immintrin.h>"}  # begin_target has it
        items[file] = list(_split(file, _expand_templates(file, text, keys)))
    index = "uint32_t" if wide_index else "uint16_t"
    items["spk_index"] = [
        Definition(
            "spk_index",
            frozenset(("spk_index",)),
            "// The position of a neuron in its layer's memory order, in lists of spikes.",
            f"typedef {index} spk_index;",
        )
    ]
    includes["spk_index"], titles["spk_index"] = frozenset(("<stdint.h>",)), "Lists of spikes."
    ordered = tuple(item for file in _order(items) for item in items[file])
    named: dict[str, int] = {}
    for number, item in enumerate(ordered):
        for name in item.names:
            if name in named:
                other = ordered[named[name]].file
                raise ValueError(f"{name} is defined in {item.file} and in {other}")
            named[name] = number
    return _Library(ordered, named, includes, titles)


def _first_sentence(text: str) -> str:
    """The first sentence of a file's head comment, on one line."""
    head = re.match(r"// SPDX[^\n]*\n((?://[^\n]*\n)+)", text)
    if head is None:
        raise ValueError(f"a file without a head comment: {text[:60]!r}")
    words = " ".join(line.removeprefix("//").strip() for line in head[1].splitlines())
    sentence = re.match(r".*?[.:](?= |$)", words)
    return (sentence[0] if sentence else words).rstrip(".:")


def _names_in(code: str) -> set[str]:
    """The identifiers in C, comments apart; strings count, as assembly may hold none of ours."""
    return set(_IDENTIFIER.findall(_STRING.sub('""', _COMMENT.sub("", code))))


def _expand_templates(file: str, text: str, keys: frozenset[str]) -> str:
    """Writes each template once for each row of its table."""
    lines = text.split("\n")
    done: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.startswith("//@ template "):
            done.append(line)
            at += 1
            continue
        head = line.removeprefix("//@ template ").split()
        rows = []
        at += 1
        while lines[at].startswith("//@  "):
            cells = re.split(r" {2,}", lines[at].removeprefix("//@").strip())
            if len(cells) != len(head):
                raise ValueError(f"{file}: {len(cells)} cells under {len(head)}: {lines[at]!r}")
            rows.append(dict(zip(head, cells, strict=True)))
            at += 1
        try:
            end = lines.index("//@ end", at)
        except ValueError:
            raise ValueError(f"{file}: a template without an end: {line!r}") from None
        for row in rows:
            body = _filter(lines[at:end], keys | {row[head[0]]})
            text = "\n".join(_replace_words(each, row) for each in body)
            done += [*_FUNCTION.sub(_set_head, text).split("\n"), ""]
        at = end + 1
    return "\n".join(_filter(done, keys))


_FUNCTION = re.compile(r"^(?:SPK_KERNEL|SPK_APART|static inline) [^;{}]*?\) \{$", re.MULTILINE)
"""The head of a function."""


def _set_head(match: re.Match[str]) -> str:
    """A function's head, set anew: what replaced the words may be longer or shorter."""
    start, _, rest = " ".join(match[0].split()).partition("(")
    arguments = rest.strip().removesuffix(") {").replace("* ", "*").split(", ")
    return signature(start.replace("* ", "*"), arguments, " {")


_ONLY = re.compile(r"\s*//@ only ([\w -]+)$")


def _filter(lines: Sequence[str], keys: frozenset[str]) -> list[str]:
    """Drops the lines that are for other keys; a mark alone on a line is left to ``_split``."""
    kept = []
    for line in lines:
        mark = _ONLY.search(line)
        if mark is None or not mark.start():
            kept.append(line if mark is None else _mark(line, mark, keys))
        elif keys & set(mark[1].split()):
            kept.append(line[: mark.start()])
    return kept


def _mark(line: str, mark: re.Match[str], keys: frozenset[str]) -> str:
    """A mark before a definition, replaced by whether that is kept."""
    return "//@ keep" if keys & set(mark[1].split()) else "//@ drop"


def _replace_words(line: str, row: dict[str, str]) -> str:
    """The line with a row's words in the place of the table's head."""

    def replace(match: re.Match[str]) -> str:
        name = match[0]
        if name in row:
            return row[name]
        return "_".join(row.get(part, part) for part in name.split("_"))

    return _IDENTIFIER.sub(replace, line)


def _split(file: str, text: str) -> Iterator[Definition]:
    """The definitions at the top level of a file's text."""
    lines = iter(text.split("\n"))
    comment: list[str] = []
    pending = ""  # the comment that neighbours without an empty line between them share
    keep = True
    for line in lines:
        if not line.strip():
            if comment and not comment[-1]:
                continue
            pending = ""
            comment = [*comment, ""] if comment else []
        elif line.startswith("//@"):
            keep = line == "//@ keep"
        elif line.startswith("//"):
            if line.startswith(("// SPDX", "// clang-format")):
                continue
            comment.append(line)
        elif line.startswith("#"):
            code = [line]
            while code[-1].endswith("\\") or not _is_balanced(code):
                code.append(next(lines))
            names = re.findall(r"^#define (\w+)", "\n".join(code), re.MULTILINE)
            if any(not name.endswith("_H_") for name in names):
                pending = "\n".join(comment).strip() or pending
                if keep:
                    yield Definition(file, frozenset(names), pending, "\n".join(code))
                keep = True
            comment = []
        else:
            code = [line]
            while not _is_whole(code):
                code.append(next(lines))
            pending = "\n".join(comment).strip() or pending
            comment = []
            whole = "\n".join(code)
            if keep:
                yield Definition(file, _defined(file, whole), pending, whole)
            keep = True


def _is_balanced(lines: Sequence[str]) -> bool:
    """Whether every #if has its #endif; the guard around a whole file has none here."""
    opened = sum(line.startswith("#if") and not line.endswith("_H_") for line in lines)
    return opened == sum(line.startswith("#endif") and "_H_" not in line for line in lines)


def _is_whole(lines: Sequence[str]) -> bool:
    """Whether lines end a definition."""
    text = _STRING.sub('""', _COMMENT.sub("", "\n".join(lines))).rstrip()
    return text.count("{") == text.count("}") and text.endswith((";", "}"))


def _defined(file: str, code: str) -> frozenset[str]:
    """The names that a definition defines."""
    plain = _STRING.sub('""', _COMMENT.sub("", code)).strip()
    plain = re.sub(r"__attribute__\(\(.*?\)\)+", "", plain)
    names: set[str] = set()
    if "enum" in plain.split("{")[0]:
        names |= set(_IDENTIFIER.findall(re.sub(r"=[^,}]*", "", plain.split("{", 1)[1])))
        names -= {"enum"}
    if plain.startswith(("typedef", "struct")):
        tag = re.match(r"typedef struct (\w+)", plain)
        names |= {tag[1]} if tag else set()
        pointer = re.search(r"\(\*(\w+)\)\(", plain)
        names.add(pointer[1] if pointer else _IDENTIFIER.findall(plain)[-1])
    elif "enum" not in plain.split("{")[0]:
        found = re.search(r"(\w+)\s*(?:\(|\[|=)", plain)
        if found is None:
            raise ValueError(f"{file}: what does this define? {code[:80]!r}")
        names.add(found[1])
    return frozenset(names)


def _order(items: dict[str, list[Definition]]) -> list[str]:
    """The files in an order in which each stands behind those that it uses."""
    where = {name: file for file, found in items.items() for item in found for name in item.names}
    uses = {
        file: {
            where[name]
            for item in found
            for name in _names_in(item.code)
            if name in where and where[name] != file
        }
        for file, found in items.items()
    }
    ordered: list[str] = []
    under_way: list[str] = []

    def visit(file: str) -> None:
        if file in ordered:
            return
        if file in under_way:
            raise ValueError(f"files need each other: {' -> '.join([*under_way, file])}")
        under_way.append(file)
        for other in sorted(uses[file]):
            visit(other)
        under_way.pop()
        ordered.append(file)

    for file in sorted(items):
        visit(file)
    return ordered
