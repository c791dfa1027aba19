# SPDX-License-Identifier: Apache-2.0
"""Writes the program of a ``Cell`` as C: the function that updates all cells."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from spikec.backend.c.tables import cell_uses, float_literal, was
from spikec.backend.c.text import KEYWORDS, one_line, signature, wrapped
from spikec.ir import network as ir
from spikec.ir.operations import Buffer, Update
from spikec.ir.program import TEMPORARY

_OURS = frozenset(
    "cells count fired first largest n p c k out spikes winner "
    "int16_t int32_t uint32_t spk_index".split()
)
"""What the functions call their own variables, and types that they name."""
_INLINE = 72  # characters of a nameless expression that is written where it is used, at most

_Text: TypeAlias = tuple[str, int]
"""An expression and how strongly its last operation binds."""
_CHOICE, _COMPARISON, _SUM, _PRODUCT, _UNARY, _ATOM = range(6)


def write_function(update: Update) -> str:
    """The function that updates all cells, with its equations."""
    return _Writer(update).text()


class _Writer:
    """Writes one function."""

    def __init__(self, update: Update) -> None:
        self.update = update
        self.layer = update.layer
        layer = self.layer
        self.used = cell_uses(layer)
        self.whole = layer.unit is not None or update.reads[0].ctype != "float"
        self.number = "int32_t" if self.whole else "float"
        self.suffix = "i32" if self.whole else "f32"
        self.parameters = {each.name: each.values for each in layer.parameters}
        shape = layer.shape
        self.positions, self.channels = shape.height * shape.width, shape.channels
        by_channel = any(
            values.ndim == 3 and values.size > 1 and values.shape[:2] == (1, 1)
            for name, values in self.parameters.items()
            if name in self.used
        )
        parts = any(len(names) > 1 for names in layer.currents)
        self.flat = self.positions == 1 or not (by_channel or parts)
        self.flags = {s.name for s in layer.program if s.op in ("greater", "at_least")}
        # Names of the program that C or the function itself has another use for get a tail.
        currents = [name for names in layer.currents for name in names]
        mine = [*self.parameters, *currents, *(s.name for s in layer.states)]
        self.names: dict[str, str] = {}
        for name in (*mine, *(step.name for step in layer.program)):
            text = name
            while text in KEYWORDS or text in _OURS or text in self.names.values():
                text += "_"
            self.names[name] = text
        self.arrays = self._arrays()

    def text(self) -> str:
        """All of it."""
        layer = self.layer
        what = f"// {layer.name}: {one_line(layer.kind)}, was {was(layer)}"
        arguments = []
        kept = {buffer.name for buffer in (*self.update.states, self.update.writes.buffer)}
        for buffer in dict.fromkeys(
            (*self.update.reads, *self.update.states, self.update.writes.buffer)
        ):
            const = "" if buffer.name in kept else "const "
            ctype = buffer.ctype
            listed = buffer == self.update.writes.buffer and layer.fires is not None
            arguments.append(
                f"{const}{'spk_index' if listed else ctype} *restrict {self.arrays[buffer.name]}"
            )
        returns = "void" if layer.fires is None else "uint32_t"
        head = signature(f"static inline {returns} {layer.name}_update", arguments, " {")
        lines = [what, "//", *self._equations(), head, *self._constants()]
        if layer.winner is not None:
            lines += self._find_winner()
        lines += self._loop()
        return "\n".join([*lines, "}", ""])

    def _arrays(self) -> dict[str, str]:
        """What the function calls its arrays, by the buffer's name."""
        arrays: dict[str, str] = {}

        def give(buffer: Buffer, name: str) -> None:
            while name in self.names.values() or name in arrays.values():
                name += "_"
            arrays.setdefault(buffer.name, name)

        for state, buffer in zip(self.layer.states, self.update.states, strict=True):
            give(buffer, f"{state.name}_of")
        out = "spikes" if self.layer.fires is not None else "out"
        give(self.update.writes.buffer, out)
        layer = self.layer
        currents = zip(layer.inputs, layer.currents, self.update.reads, strict=True)
        for read, names, buffer in currents:
            give(buffer, f"{names[0] if len(names) == 1 else read}_of")
        return arrays

    def _constants(self) -> list[str]:
        lines = []
        for name, values in self.parameters.items():
            if name not in self.used:
                continue
            if values.size > 1:
                table = f"{self.layer.name}_{name}"
                if self.whole:
                    lines.append(f"const int32_t *const {self._table(name)} = {table};")
                else:
                    lines.append(
                        f"const float *const {self._table(name)} = spk_opaque_f32({table});"
                    )
            elif not any(
                step.op == "shift" and step.arguments[1] == name for step in self.layer.program
            ):
                value = values.ravel()[0]
                comment = ""
                if self.whole:
                    literal = str(int(value))
                elif float(value).is_integer() and abs(float(value)) < 1e6:
                    literal = f"{float(value):.1f}f"
                else:
                    literal, comment = float_literal(value), f"  // {value!s}"
                lines.append(f"const {self.number} {self.names[name]} = {literal};{comment}")
        return [f"  {line}" for line in lines]

    def _table(self, name: str) -> str:
        table = f"{name}_of"
        while table in self.names.values() or table in self.arrays.values():
            table += "_"
        return table

    def _loads(self, used: set[str]) -> list[str]:
        """What the program reads of the cell at hand."""
        lines = []
        for name, values in self.parameters.items():
            if name in used and values.size > 1 and values.ndim == 3:
                at = "n" if self.flat or values.shape[:2] != (1, 1) else "c"
                lines.append((name, f"{self._table(name)}[{at}]"))
        for names, buffer in zip(self.layer.currents, self.update.reads, strict=True):
            array = self.arrays[buffer.name]
            for part, name in enumerate(names):
                if name not in used:
                    continue
                at = "n"
                if len(names) > 1:
                    start = part * self.channels
                    at = f"{start} + n" if start else "n"
                    if not self.flat:
                        step = len(names) * self.channels
                        at = f"{step} * p + {start} + c" if start else f"{step} * p + c"
                lines.append((name, f"{array}[{at}]"))
        for state, buffer in zip(self.layer.states, self.update.states, strict=True):
            if state.name in used:
                lines.append((state.name, f"{self.arrays[buffer.name]}[n]"))
        return [f"const {self.number} {self.names[name]} = {text};" for name, text in lines]

    def _statements(
        self, wanted: set[str], names: dict[str, str], last: str | None = None, plain: bool = False
    ) -> list[tuple[str, str]]:
        """What ``wanted`` needs up to ``last``: names and expressions, as C or ``plain``ly."""
        used = cell_uses(self.layer, wanted)
        uses: dict[str, int] = {}
        for step in self.layer.program:
            if step.name in used:
                for argument in step.arguments:
                    uses[argument] = uses.get(argument, 0) + 1
        texts: dict[str, _Text] = {name: (text, _ATOM) for name, text in names.items()}
        found = []
        for step in self.layer.program:
            if step.name not in used:
                continue
            text = self._expression(step, texts, plain)
            nameless = TEMPORARY.fullmatch(step.name) and step.name not in wanted
            if nameless and uses[step.name] == 1 and len(text[0]) <= _INLINE:
                texts[step.name] = text
            else:
                found.append((step.name, text[0]))
            if step.name == last:
                break
        return found

    def _expression(self, step: ir.Step, texts: dict[str, _Text], plain: bool) -> _Text:
        """One statement as a C expression, and how tightly its operator binds."""

        def of(at: int, binding: int) -> str:
            """An argument, in parentheses unless it binds as strongly as that or more."""
            text, own = texts[step.arguments[at]]
            return text if own >= binding else f"({text})"

        match step.op:
            case "add":
                return f"{of(0, _SUM)} + {of(1, _PRODUCT)}", _SUM
            case "sub":
                return f"{of(0, _SUM)} - {of(1, _PRODUCT)}", _SUM
            case "mul":
                return f"{of(0, _PRODUCT)} * {of(1, _UNARY)}", _PRODUCT
            case "neg":
                return f"-{of(0, _ATOM)}", _UNARY
            case "greater":
                return f"{of(0, _SUM)} > {of(1, _SUM)}", _COMPARISON
            case "at_least":
                return f"{of(0, _SUM)} >= {of(1, _SUM)}", _COMPARISON
            case "select":
                return f"{of(0, _COMPARISON)} ? {of(1, _SUM)} : {of(2, _SUM)}", _CHOICE
            case "number":
                return (
                    (of(0, _CHOICE), texts[step.arguments[0]][1])
                    if plain
                    else (f"({self.number}){of(0, _ATOM)}", _UNARY)
                )
            case "shift":
                places = int(self.parameters[step.arguments[1]].ravel()[0])
                return f"{of(0, _PRODUCT)} * {1 << places}", _PRODUCT
            case "abs" | "sigmoid" | "tanh":
                name = step.op if plain else f"spk_{step.op}_{self.suffix}"
                return f"{name}({of(0, _CHOICE)})", _ATOM
            case "maximum":
                name = "max" if plain else f"spk_max_{self.suffix}"
                return f"{name}({of(0, _CHOICE)}, {of(1, _CHOICE)})", _ATOM
            case "decay":
                name = "decay" if plain else "spk_decay_i32"
                return f"{name}({of(0, _CHOICE)}, {of(1, _CHOICE)})", _ATOM
            case "nearest":
                levels = step.arguments[1]
                if plain:
                    return f"nearest({of(0, _CHOICE)}, {levels})", _ATOM
                size = self.parameters[levels].size
                table = self._table(levels) if size > 1 else f"&{self.names[levels]}"
                return f"spk_nearest_f32({of(0, _CHOICE)}, {table}, {size})", _ATOM
            case _:
                assert_never(step.op)

    def _equations(self) -> list[str]:
        """The program as equations: what cells were before the step is of time t-1."""
        layer = self.layer
        names = {name: name for name in self.names}
        names |= {state.name: f"{state.name}[t-1]" for state in layer.states}
        results = {state.next: f"{state.name}[t]" for state in reversed(layer.states)}
        made = {step.name for step in layer.program}
        names |= {name: text for name, text in results.items() if name in made}
        statements = self._statements(self._kept(), names, plain=True)
        lines = [f"{names[name]} = {text}" for name, text in statements]
        lines += [
            f"{state.name}[t] = {names[state.next]}"
            for state in layer.states
            if names[state.next] != f"{state.name}[t]"
        ]
        if layer.winner is not None:
            lines.append(f"{layer.fires} only where {names[layer.winner]} is the layer's largest")
        return [line for text in lines for line in wrapped(f"//   {text}", "//       ")]

    def _kept(self) -> set[str]:
        """What leaves the program."""
        layer = self.layer
        kept = {state.next for state in layer.states}
        return kept | {name for name in (layer.fires, layer.value) if name is not None}

    def _declared(self, statements: list[tuple[str, str]], indent: str) -> list[str]:
        lines = []
        for name, text in statements:
            ctype = "bool" if name in self.flags else self.number
            line = f"{indent}const {ctype} {self.names[name]} = {text};"
            lines += wrapped(line, f"{indent}    ")
        return lines

    def _find_winner(self) -> list[str]:
        """The lines that find the neuron with the largest value, the only one that may fire."""
        layer = self.layer
        assert layer.winner is not None, "asked for"
        statements = self._statements({layer.winner}, self.names, layer.winner)
        loads = self._loads(cell_uses(layer, {layer.winner}))
        ordered = self.positions > 1 and self.channels > 1
        lines = [
            "  // Only the cell with the largest may fire; of equal ones snnTorch's first.",
            "  uint32_t winner = 0;",
            f"  {self.number} largest = 0;",
        ]
        indent = "    "
        if ordered:
            lines += [
                f"  for (uint32_t c = 0; c < {self.channels}; c++) {{",
                f"    for (uint32_t p = 0; p < {self.positions}; p++) {{",
                f"      const uint32_t n = {self.channels} * p + c;",
            ]
            indent = "      "
        else:
            lines.append(f"  for (uint32_t n = 0; n < {self.positions * self.channels}; n++) {{")
        lines += [f"{indent}{line}" for line in loads]
        lines += self._declared(statements, indent)
        value = self.names[layer.winner]
        lines += [
            f"{indent}if (n == 0 || {value} > largest) {{",
            f"{indent}  largest = {value};",
            f"{indent}  winner = n;",
            f"{indent}}}",
        ]
        return [*lines, *(["    }"] if ordered else []), "  }"]

    def _loop(self) -> list[str]:
        """The lines that run the program for every neuron, some cells at a time."""
        layer, update = self.layer, self.update
        statements = [
            (name, f"n == winner && {text}" if name == layer.fires and layer.winner else text)
            for name, text in self._statements(self._kept(), self.names)
        ]
        body = self._loads(self.used)
        stores = [
            f"{self.arrays[buffer.name]}[n] = {self.names[state.next]};"
            for state, buffer in zip(layer.states, update.states, strict=True)
        ]
        if layer.fires is not None:
            stores.append(f"fired[k] = {self.names[layer.fires]};")
        elif update.writes.buffer not in update.states:
            assert layer.value is not None, "a cell that never fires hands on a value"
            value = self.names[layer.value]
            narrow = update.writes.buffer.ctype == "int16_t"
            stores.append(f"out[n] = {f'(int16_t){value}' if narrow else value};")
        size = self.positions * self.channels if self.flat else self.channels
        lines, indent = [], "  "
        if layer.fires is not None:
            lines.append("  uint32_t count = 0;")
        if not self.flat:
            lines.append(f"  for (uint32_t p = 0; p < {self.positions}; p++) {{")
            indent = "    "
        here = "n" if self.flat else "c"
        place = [] if self.flat else [f"const uint32_t n = {self.channels} * p + c;"]
        if layer.fires is None:
            lines.append(f"{indent}for (uint32_t {here} = 0; {here} < {size}; {here}++) {{")
            inner = indent + "  "
            lines += [f"{inner}{line}" for line in (*place, *body)]
            lines += self._declared(statements, inner)
            lines += [f"{inner}{line}" for line in stores]
            lines.append(f"{indent}}}")
        else:
            cells = "SPK_CELLS" if size % 32 == 0 else "cells"
            lines.append(f"{indent}for (uint32_t first = 0; first < {size}; first += SPK_CELLS) {{")
            inner = indent + "  "
            if cells == "cells":
                lines.append(
                    f"{inner}const uint32_t cells = "
                    f"{size} - first < SPK_CELLS ? {size} - first : SPK_CELLS;"
                )
            lines.append(f"{inner}uint32_t fired[SPK_CELLS];")
            lines.append(f"{inner}for (uint32_t k = 0; k < {cells}; k++) {{")
            deep = inner + "  "
            lines += [
                f"{deep}{line}" for line in (f"const uint32_t {here} = first + k;", *place, *body)
            ]
            lines += self._declared(statements, deep)
            lines += [f"{deep}{line}" for line in stores]
            start = "first" if self.flat else f"{self.channels} * p + first"
            lines += [
                f"{inner}}}",
                f"{inner}count = spk_list_append(spikes, count, {start}, fired, {cells});",
                f"{indent}}}",
            ]
        if not self.flat:
            lines.append("  }")
        if layer.fires is not None:
            lines.append("  return count;")
        return lines
