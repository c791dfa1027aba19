# SPDX-License-Identifier: Apache-2.0
"""Writes a network's readout: its part of NAME.h and of NAME.c.

It is what ``readout.Readout.decide`` computes; the loops are in ``cc/kernels/spk_readout.h``.
"""

from __future__ import annotations

from spikec.backend.c.tables import float_literal
from spikec.backend.c.text import signature, wrapped
from spikec.ir.operations import Plan
from spikec.semantics.readout import Kind, Readout

_CLASS: dict[Kind, str] = {
    "count": "the output with the most spikes",
    "first": "the output that spikes first",
    "last": "the output whose membrane is the largest after the last step",
    "max": "the output whose membrane was the largest after any step",
    "sum": "the output whose membrane is the largest summed over all steps",
}


def write_declarations(planned: Plan, name: str, readout: Readout) -> str:
    """Returns the part of NAME.h that declares the readout."""
    upper = name.upper()
    notes = [
        f"The readout, the class that {name} sees: {_CLASS[readout.kind]}; of several the first."
    ]
    if readout.of_membranes:
        unit = "" if readout.units is None else f", a count times its {name}_membrane_units"
        notes.append(f"A membrane is taken for what it is worth{unit}, in float32.")
    notes.append(f"Early exit: {_exit_note(readout)}.")
    banner = _comment(" ".join(notes))
    steps = f"  {upper}_READOUT_STEPS = {readout.steps},\n" if readout.steps is not None else ""
    members = {
        "count": f"uint32_t counts[{upper}_OUTPUTS];",
        "first": f"int32_t winner;  // or {upper}_NO_CLASS",
    }.get(readout.kind, f"float values[{upper}_OUTPUTS];")
    members += "\n  uint32_t steps;  // that the class took so far"
    if readout.ends:
        members += "\n  bool decided;"
    result = "Returns false: the class is decided when the recording ends."
    if readout.ends:
        result = (
            "Returns whether the class is decided; to add more is allowed and changes nothing then."
        )
    add = _comment(
        f"Adds what a time step gave; call it after each {name}_step(). {result} NULL pointers: "
        "adds nothing and returns true."
    )
    nobody = "before the first step" if readout.of_membranes else "while no output has spiked"
    winner = _comment(
        f"The class so far, 0 to {upper}_OUTPUTS - 1; {upper}_NO_CLASS {nobody}, and for NULL."
    )
    return f"""{banner}
enum {{
  {upper}_NO_CLASS = -1,
{steps}  {upper}_READOUT_BYTES = {readout.state_bytes(planned.network.output.shape.size)},
}};

// What is remembered of one recording. The caller owns it.
typedef struct {name}_readout {{
  {members}
}} {name}_readout;

// Forgets what was added. Call it where {name}_reset() is called.
SPK_MUST_USE spk_status {name}_readout_reset({name}_readout *readout);

{add}
{_add(name, ";")}

{winner}
int32_t {name}_readout_class(const {name}_readout *readout);"""


def _comment(text: str) -> str:
    return "\n".join(wrapped(f"// {text}", "// "))


def _exit_note(readout: Readout) -> str:
    end = f"after {readout.steps} steps" if readout.steps is not None else ""
    if readout.early_exit is None:
        return f"none; decided {end}" if end else "none"
    if readout.kind == "first":
        return " or ".join(["at the first spike", *([end] if end else [])])
    if readout.early_exit == "exact":
        return f"once no other output can catch up in what is left of {readout.steps} steps"
    unit = "spikes" if readout.kind == "count" else "units of membrane"
    margin = f"once it is {readout.early_exit:g} {unit} ahead of every other one"
    return " or ".join([margin, *([end] if end else [])])


def _add(name: str, end: str) -> str:
    return signature(
        f"bool {name}_readout_add",
        [
            f"{name}_readout *readout", f"const {name}_state *state",
            f"const uint8_t spikes[{name.upper()}_OUTPUTS]",
        ],
        end,
    )  # fmt: skip


def write_functions(planned: Plan, name: str, readout: Readout) -> str:
    """Returns the part of NAME.c that defines what ``write_declarations`` declares."""
    upper = name.upper()
    initial = f".winner = {upper}_NO_CLASS" if readout.kind == "first" else "0"
    guard = "  if (readout->decided) return true;\n" if readout.ends else ""
    decided = _decided(name, readout)
    return f"""static_assert(sizeof({name}_readout) == {upper}_READOUT_BYTES,
              "the readout is as large as {name}.h says");

spk_status {name}_readout_reset({name}_readout *readout) {{
  if (readout == NULL) return SPK_NULL_ARGUMENT;
  *readout = ({name}_readout){{{initial}}};
  return SPK_OK;
}}

{_add(name, " {")}
  if (readout == NULL || state == NULL || spikes == NULL) return true;
{guard}  readout->steps++;
{_added(planned, name, readout)}
{decided}
}}

int32_t {name}_readout_class(const {name}_readout *readout) {{
{_class(name, readout)}
}}
"""


def _added(planned: Plan, name: str, readout: Readout) -> str:
    """The lines that add a step."""
    upper = name.upper()
    if readout.kind == "count":
        return f"  spk_readout_count(readout->counts, spikes, {upper}_OUTPUTS);"
    if readout.kind == "first":
        return f"""  const uint32_t first = spk_readout_first(spikes, {upper}_OUTPUTS);
  if (readout->winner == {upper}_NO_CLASS && first < {upper}_OUTPUTS) {{
    readout->winner = (int32_t)first;
  }}"""
    neurons = planned.network.readout
    assert neurons is not None, "readout.choose sees to that"
    ctype = next(b.ctype for b in planned.membranes if b.name == f"membrane_{neurons.name}")
    worth = "membranes[i]"
    if readout.units is not None:
        worth = f"(float)membranes[i] * {name}_membrane_units[i]"
    update = {
        "last": "*value = now;",
        "max": "if (readout->steps == 1 || now > *value) *value = now;",
        "sum": "*value += now;",
    }[readout.kind]
    return f"""  const {ctype} *membranes = {name}_membranes(state);
  for (uint32_t i = 0; i < {upper}_OUTPUTS; i++) {{
    const float now = {worth};
    float *value = &readout->values[i];
    {update}
  }}"""


def _decided(name: str, readout: Readout) -> str:
    """The lines that say whether the class is decided."""
    upper = name.upper()
    if not readout.ends:
        return "  return false;"
    lines = []
    last = f"readout->steps == {upper}_READOUT_STEPS"
    early = ""
    if readout.kind == "first" and readout.early_exit is not None:
        early = f"first < {upper}_OUTPUTS"
    elif readout.early_exit is not None:
        lines.append(f"  const uint32_t leader = {_leader(name, readout)};")
        if readout.kind == "count":
            needed = f"{readout.early_exit}, {readout.early_exit}"
            if readout.early_exit == "exact":
                lines.append(
                    f"  const uint32_t left = {upper}_READOUT_STEPS - readout->steps;\n"
                    "  // Of equal counts the first wins, so the outputs before must stay below."
                )
                needed, last = "left + 1, left", "left == 0"
            lead = [f"readout->counts, {upper}_OUTPUTS, leader", needed]
            call = signature("                     spk_readout_counts_lead", lead, ";")
            lines += ["  const bool ahead = readout->counts[leader] > 0 &&", call]
        else:
            assert not isinstance(readout.early_exit, str), "readout.choose sees to that"
            lead = [f"readout->values, {upper}_OUTPUTS, leader", float_literal(readout.early_exit)]
            lines.append(signature("  const bool ahead = spk_readout_values_lead", lead, ";"))
        early = "ahead"
    conditions = [early] * bool(early) + [last] * (readout.steps is not None)
    ends = f"  readout->decided = {' || '.join(conditions)};"
    lines += wrapped(ends, " " * len("  readout->decided = "))
    return "\n".join([*lines, "  return readout->decided;"])


def _leader(name: str, readout: Readout) -> str:
    if readout.kind == "count":
        return f"{name}_winner(readout->counts)"
    return f"spk_readout_largest(readout->values, {name.upper()}_OUTPUTS)"


def _class(name: str, readout: Readout) -> str:
    """The body of the function that returns the class."""
    none = f"{name.upper()}_NO_CLASS"
    if readout.kind == "first":
        return f"  return readout == NULL ? {none} : readout->winner;"
    if readout.kind != "count":
        return (
            f"  if (readout == NULL || readout->steps == 0) return {none};\n"
            f"  return (int32_t){_leader(name, readout)};"
        )
    return (
        f"  if (readout == NULL) return {none};\n"
        f"  const uint32_t leader = {_leader(name, readout)};\n"
        f"  return readout->counts[leader] > 0 ? (int32_t)leader : {none};"
    )
