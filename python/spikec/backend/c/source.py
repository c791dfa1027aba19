# SPDX-License-Identifier: Apache-2.0
"""Writes a planned network as C: NAME.h and NAME.c, and what a driven one has beside them.

NAME.c is complete: its tables, the kernels that it calls, expanded for the target, and a step with
one line an operation. The same network gives the same bytes: no dates, no paths, no order of a
dictionary by chance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from spikec.backend.c import readout as readouts
from spikec.backend.c.expand import begin_target, end_target, expand, strict
from spikec.backend.c.form import Form
from spikec.backend.c.handle import write_handle, write_handle_header
from spikec.backend.c.header import membrane_of, write_banner, write_header, write_signatures
from spikec.backend.c.names import check_name, digest_network
from spikec.backend.c.operations import KernelCall, index_bytes, lower_call, suffix_of, write_call
from spikec.backend.c.tables import float_literals, rows_of
from spikec.backend.c.target import Target
from spikec.backend.c.text import signature
from spikec.ir import network as ir
from spikec.ir.operations import (
    ActiveInputs,
    DenseArray,
    Expand,
    Fire,
    Operation,
    Plan,
    SpikeList,
    Update,
)
from spikec.semantics.readout import Readout

PLAIN = Form()
"""What a firmware engineer gets: plain C for any CPU."""


def emit(
    planned: Plan, name: str, readout: Readout | None = None, form: Form = PLAIN
) -> dict[str, str]:
    """Returns the generated files, by file name.

    Raises:
        SpikecError: ``name`` cannot start C's symbols.
    """
    check_name(name)
    laid_out = form.lay_out(planned)
    calls = lower_calls(laid_out, form.target)
    files = {
        f"{name}.h": write_header(laid_out, name, readout, form, calls),
        f"{name}.c": _Source(laid_out, name, readout, form, calls).write(),
    }
    for level in form.levels:
        file = f"{name}_{_ending(level)}.c"
        files[file] = _Source(laid_out, name, None, form, calls, level).write()
    if form.driven:
        files[f"{name}_model.h"] = write_handle_header(name)
        files[f"{name}_model.c"] = write_handle(laid_out, name)
    return files


def write_body(planned: Plan, name: str, form: Form, level: Target | None = None) -> str:
    """The network's own part of NAME.c, or of its file for a ``level``: kernels apart."""
    laid_out = form.lay_out(planned)
    calls = lower_calls(laid_out, form.target)
    return _Source(laid_out, name, None, form, calls, level).write_body()


def lower_calls(planned: Plan, target: Target) -> tuple[KernelCall, ...]:
    """The calls of a step, one for each operation of the plan."""
    return tuple(lower_call(operation, target) for operation in planned.operations)


def write_definitions(calls: Sequence[KernelCall]) -> str:
    """The tables, descriptors and functions that calls need, each once."""
    parts: list[str] = []
    written: set[str] = set()
    for call in calls:
        found = [table for table in call.tables if table.name not in written]
        written |= {table.name for table in found}
        parts += [table.text for table in found]
        parts += [call.descriptor] if call.descriptor else []
    return "\n".join(parts)


def _ending(level: Target) -> str:
    """How files and functions for a level of x86-64 end: v3, v4."""
    return level.removeprefix("x86-64-")


class _Source:
    """NAME.c, or, for a ``level``, NAME_v3.c or NAME_v4.c."""

    def __init__(
        self,
        planned: Plan,
        name: str,
        readout: Readout | None,
        form: Form,
        calls: Sequence[KernelCall],
        level: Target | None = None,
    ) -> None:
        self.planned = planned
        self.name = name
        self.upper = name.upper()
        self.readout = readout
        self.form = form
        self.calls = calls
        self.level = level
        self.target = level or form.target
        self.observed = ["spk_observer observer", "void *context"] if form.driven else []

    def write(self) -> str:
        """All of it."""
        planned, name = self.planned, self.name
        what = f"The tables and the step of {name}.h."
        if self.level is not None:
            what = f"The tables and the step of {name}.h once more, for {self.level}."
        body = self.write_body()
        kernels = expand(body, self.target, planned.index == "uint32_t")
        system = {"<assert.h>", "<string.h>", *kernels.includes}
        includes = "\n".join(f"#include {file}" for file in sorted(system))
        begin, end = begin_target(self.target), end_target(self.target)
        parts = [
            write_banner(planned, what, self.calls, self.form) + strict(),
            *([begin] if begin else []),
            f'#include "{name}.h"\n\n{includes}\n',
            f"static_assert(sizeof({name}_state) - {self.upper}_STATE_BYTES <\n"
            f"                  _Alignof({name}_state),\n"
            f'              "the state is as large as {name}.h says");\n',
            "// Set it to place tables in a section of yours: the external flash, say.\n"
            "#ifndef SPK_TABLE\n#define SPK_TABLE\n#endif\n",
            kernels.text,
            body,
            *([end] if end else []),
        ]
        return "\n".join(parts)

    def write_body(self) -> str:
        """The network's own: tables, descriptors, the step, and what the header declares."""
        parts = [write_definitions(self.calls), self._steps()]
        if _needs_one(self.planned):
            parts.insert(
                0,
                "// The size of a spike that is not graded.\n"
                "static const float spk_one[1] = {1.0f};\n",
            )
        if self.level is None:
            parts.append(self._functions())
            if self.readout is not None:
                parts.append(readouts.write_functions(self.planned, self.name, self.readout))
        return "\n".join(parts)

    # The functions that run the operations, one for a list of inputs and one for a dense frame.

    def _ran(self, kind: str, level: Target | None) -> str:
        """The name of the function that runs a step."""
        ending = f"_{_ending(level)}" if level is not None else ""
        return f"{self.name}_run_{kind}{ending}"

    def _run_head(self, kind: str, level: Target | None, end: str) -> str:
        """The head of the function that runs a step on a checked input."""
        given = {
            "active": [
                "const spk_active *active", "size_t count", "uint8_t *spikes", *self.observed,
            ],
            "frame": ["const float *frame", "uint8_t *spikes"],
        }[kind]  # fmt: skip
        static = "" if level is not None else "static "
        start = f"{static}void {self._ran(kind, level)}"
        return signature(start, [f"{self.name}_state *s", *given], end)

    def _steps(self) -> str:
        """A step behind its checks, one line a layer."""
        name = self.name
        entry, other = self._split()
        first = len(entry) + 1  # an observer counts the check of the input as 0
        shown = self.form.driven
        text = "\n".join(
            self._lines(operation, call.call, call.note, number if shown else None)
            for number, (operation, call) in enumerate(other, first)
        )
        unread = ["  (void)observer;", "  (void)context;"] if shown and not other else []
        text = "\n".join([*([text] if text else unread), *self._hand_out()])
        lists = [getattr(operation, "writes", None) for operation, _ in entry]
        counts = [
            value.count
            for value in lists
            if isinstance(value, SpikeList) and re.search(rf"(?<!->)\b{value.count}\b", text)
        ]
        given = [
            f"{name}_state *s", *(f"uint32_t {count}" for count in counts), "uint8_t *spikes",
            *self.observed,
        ]  # fmt: skip
        head = signature(f"static void {name}_run_rest", given, " {")
        parts = [f"// What follows the layers that read the input.\n{head}\n{text}\n}}\n"]
        rest = ["s", *counts, "spikes"]
        for kind in ("active", "frame"):
            active = kind == "active"
            lines = [
                self._lines(
                    operation,
                    call.call if active else call.frame_call,
                    call.note,
                    number if active and shown else None,
                )
                for number, (operation, call) in enumerate(entry, 1)
            ]
            observers = []
            if shown:
                observers = ["observer", "context"] if active else ["NULL", "NULL"]
            lines.append("  " + write_call(f"{name}_run_rest", [*rest, *observers]))
            if self.level is not None:
                parts.append(self._run_head(kind, self.level, ";"))
            body = "\n".join(lines)
            parts.append(f"{self._run_head(kind, self.level, ' {')}\n{body}\n}}\n")
        return "\n".join(parts)

    def _split(
        self,
    ) -> tuple[list[tuple[Operation, KernelCall]], list[tuple[Operation, KernelCall]]]:
        """The operations that read the caller's input, which come first, and the rest."""
        both = list(zip(self.planned.operations, self.calls, strict=True))
        split = 0
        for at, (operation, _) in enumerate(both):
            if isinstance(getattr(operation, "reads", None), ActiveInputs):
                split = at + 1
        return both[:split], both[split:]

    def _lines(self, operation: Operation, call: str, note: str, number: int | None) -> str:
        """An operation in C: what it is, its call, and what an observer is shown of it.

        ``number`` counts operations from 1; None: nobody observes.
        """
        lines = [f"// {note}"] if note else []
        lines += call.split("\n")
        writes = getattr(operation, "writes", None)
        if isinstance(writes, SpikeList) and writes.kept is not None:
            lines.append(f"s->{writes.kept.name}[0] = {writes.count};")
        if number is not None:
            lines += self._observe(operation, number).split("\n")
        return "\n".join(f"  {line}" for line in lines)

    def _observe(self, operation: Operation, number: int) -> str:
        """The call that shows an operation to an observer, spikes and membranes of neurons too."""
        neurons = getattr(operation, "fire", operation)  # of a band its neurons
        if not isinstance(neurons, Fire | Update) or neurons.index is None:
            return f"spk_observe_operation(observer, context, {number});"
        spikes = neurons.writes
        membrane = neurons.membrane if isinstance(neurons, Fire) else neurons.states[0]
        listed = ["0", "0", "NULL"]  # cells that never fire
        if isinstance(spikes, SpikeList):
            listed = [spikes.count, str(index_bytes(spikes)), f"s->{spikes.buffer.name}"]
        arguments = [
            "observer", "context", str(number), str(neurons.layer.shape.size), str(neurons.index),
            *listed, f"s->{membrane.name}", f"SPK_{suffix_of(membrane).upper()}",
        ]  # fmt: skip
        return write_call("spk_observe", arguments)

    def _hand_out(self) -> list[str]:
        """The end of a step: the output's spikes as bytes, and the step is counted."""
        out, outputs = self.planned.output, f"{self.upper}_OUTPUTS"
        lines = []
        if not isinstance(out, DenseArray):
            lines.append(f"memset(spikes, 0, {outputs});")
        if isinstance(out, SpikeList):
            lines.append(
                f"for (uint32_t i = 0; i < {out.count}; i++) spikes[s->{out.buffer.name}[i]] = 1;"
            )
        elif isinstance(out, DenseArray):
            zero = "0.0f" if out.buffer.ctype == "float" else "0"
            lines.append(
                f"for (uint32_t i = 0; i < {outputs}; i++) spikes[i] = s->{out.buffer.name}[i] != "
                f"{zero};"
            )
        if self.planned.step is not None:
            lines.append(f"s->{self.planned.step.name}[0]++;")
        return [f"  {line}" for line in lines]

    # The functions that the header declares.

    def _functions(self) -> str:
        """The functions of NAME.h: reset, step, step_frame and what reads the state."""
        planned, name, upper = self.planned, self.name, self.upper
        network = planned.network
        heads = write_signatures(name, "s", " {", "", self.form)
        resets = "\n".join(
            f"  memset(state->{b.name}, 0, sizeof(state->{b.name}));" for b in planned.persistent
        )
        active = f"""  if (s == NULL || spikes == NULL) return SPK_NULL_ARGUMENT;
  const spk_status status = {_checked(network, "active", f"active, count, {upper}_INPUTS")};
  if (status != SPK_OK) return status;
{self._limit()}"""
        frame = f"""  if (s == NULL || spikes == NULL) return SPK_NULL_ARGUMENT;
  const spk_status status = {_checked(network, "frame", f"frame, {upper}_INPUTS")};
  if (status != SPK_OK) return status;
{self._limit()}"""
        observers = ["observer", "context"] if self.form.driven else []
        run = self._dispatch("active", ["s", "active", "count", "spikes", *observers])
        parts = [self._declare_levels()] if self.form.levels else []
        parts.append(
            f"""spk_status {name}_reset({name}_state *state) {{
  if (state == NULL) return SPK_NULL_ARGUMENT;
{resets}
  return SPK_OK;
}}
"""
        )
        if self.form.driven:
            parts.append(
                f"""{heads["step_observed"]}
{active}  spk_observe_operation(observer, context, 0);
{run}
  return SPK_OK;
}}

{heads["step"]}
  return {name}_step_observed(s, active, count, spikes, NULL, NULL);
}}
"""
            )
        else:
            parts.append(f"{heads['step']}\n{active}{run}\n  return SPK_OK;\n}}\n")
        run = self._dispatch("frame", ["s", "frame", "spikes"])
        parts.append(f"{heads['step_frame']}\n{frame}{run}\n  return SPK_OK;\n}}\n")
        parts += self._membranes()
        parts.append(f"const uint32_t {name}_digest = {digest_network(network):#010x}u;\n")
        parts.append(
            f"""uint32_t {name}_winner(const uint32_t counts[{upper}_OUTPUTS]) {{
  uint32_t best = 0;
  for (uint32_t i = 1; i < {upper}_OUTPUTS; i++) {{
    if (counts[i] > counts[best]) best = i;
  }}
  return best;
}}
"""
        )
        return "\n".join(parts)

    def _limit(self) -> str:
        """The line that refuses a step for which there are no parameters."""
        if self.planned.step is None:
            return ""
        return (
            f"  if (s->{self.planned.step.name}[0] >= {self.upper}_MAX_STEPS) "
            "return SPK_TOO_MANY_STEPS;\n"
        )

    def _declare_levels(self) -> str:
        """The functions of the other levels' files, and the question which one the CPU has."""
        heads = [
            self._run_head(kind, level, ";")
            for level in self.form.levels
            for kind in ("active", "frame")
        ]
        return "\n".join(
            (
                "// The same steps, compiled for other levels of x86-64.",
                *heads,
                "",
                "// Whether this CPU is of a level. Tests have their own, to try all.",
                "#ifndef SPK_CPU_IS",
                "#define SPK_CPU_IS(level) __builtin_cpu_supports(level)",
                "#endif",
                "",
            )
        )

    def _dispatch(self, kind: str, arguments: list[str]) -> str:
        """The lines that run a step at the best level that the CPU has."""
        lines: list[str] = []
        for level in reversed(self.form.levels):
            opening = "} else if" if lines else "if"
            lines.append(f'  {opening} (SPK_CPU_IS("{level}")) {{')
            lines.append("    " + write_call(self._ran(kind, level), arguments))
        own = write_call(self._ran(kind, None), arguments)
        if not lines:
            return f"  {own}"
        return "\n".join([*lines, "  } else {", f"    {own}", "  }"])

    def _membranes(self) -> list[str]:
        """What shows the output neurons' membranes, where there are some."""
        readout, name, upper = self.planned.network.readout, self.name, self.upper
        if readout is None:
            return []
        membrane = membrane_of(self.planned, readout)
        parts = [
            f"""const {membrane.ctype} *{name}_membranes(const {name}_state *state) {{
  return state == NULL ? NULL : state->{membrane.name};
}}
"""
        ]
        if not isinstance(readout, ir.Leaky) and readout.unit is not None:
            shape = readout.shape
            units = np.broadcast_to(readout.unit, (shape.height, shape.width, shape.channels))
            body = rows_of(float_literals(units))
            parts.append(f"const float {name}_membrane_units[{upper}_OUTPUTS] = {{\n{body}\n}};\n")
        return parts


def _checked(network: ir.Network, kind: str, arguments: str) -> str:
    """The call that checks the input, of the ``kind`` "active" or "frame"."""
    check = f"spk_{kind}_check"
    if network.input_max is not None:
        check += "_counts" if network.numbers == "int8" else "_range"
        arguments += f", {network.input_max}"
    return f"{check}({arguments})"


def _needs_one(planned: Plan) -> bool:
    """Whether spikes of size 1 are made dense."""
    return any(
        isinstance(op, Expand)
        and op.fired is not None
        and op.writes.ctype == "float"
        and op.fired.unit_spikes
        for op in planned.operations
    )
