# SPDX-License-Identifier: Apache-2.0
"""Writes NAME.h: what a network costs, what it remembers, and the functions that run it."""

from __future__ import annotations

from collections.abc import Sequence

from spikec.backend.c import readout as readouts
from spikec.backend.c.expand import contract
from spikec.backend.c.form import Form
from spikec.backend.c.names import describe_network, digest_network
from spikec.backend.c.operations import KernelCall, suffix_of
from spikec.backend.c.tables import tables_of
from spikec.backend.c.target import Target
from spikec.backend.c.text import one_line, signature, wrapped
from spikec.ir import network as ir
from spikec.ir.operations import Band, Buffer, Plan
from spikec.semantics.readout import Readout
from spikec.version import VERSION


def write_header(
    planned: Plan, name: str, readout: Readout | None, form: Form, calls: Sequence[KernelCall]
) -> str:
    """Returns the text of NAME.h."""
    upper = name.upper()
    members = "\n".join(_member(*member) for member in planned.members)
    entries = "\n".join(f"  {key} = {value}," for key, value in _sizes(planned, upper).items())
    heads = write_signatures(name, "state", ";", "SPK_MUST_USE ", form)
    contracts = ["spk_compiler.h", "spk_status.h", "spk_spikes.h"]
    contracts += ["spk_observer.h"] if form.driven else []
    if has_polarity(planned.network):
        contracts.append("spk_window.h")
    remembered = "all that is remembered" if _has_more(planned) else "every membrane"
    functions = [
        f"""// Puts {remembered} to 0. Call it before the first step and between recordings.
SPK_MUST_USE spk_status {name}_reset({name}_state *state);""",
        f"""{_step_contract(planned, name)}
{heads["step"]}""",
        f"// The same for a dense frame in memory order, most of it zero.\n{heads['step_frame']}",
    ]
    if form.driven:
        functions.append(
            f"// {name}_step that also shows every operation to `observer`, for tests and "
            f"profiles.\n{heads['step_observed']}"
        )
    functions += _membranes(planned, name)
    functions.append(
        "// Tells this network from others.\n"
        f"extern const uint32_t {name}_digest;  // {digest_network(planned.network):#010x}"
    )
    functions.append(
        f"""// The output with the largest count; the first one when several have it.
uint32_t {name}_winner(const uint32_t counts[{upper}_OUTPUTS]);"""
    )
    if readout is not None:
        functions.append(readouts.write_declarations(planned, name, readout))
    body = "\n\n".join(functions)
    string = "#include <string.h>\n" if "spk_window.h" in contracts else ""
    common = "\n".join(contract(file) for file in contracts)
    banner = write_banner(planned, "A spiking neural network in plain C11.", calls, form)
    return f"""{banner}//
{_usage(planned, name)}
#ifndef {upper}_H_
#define {upper}_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
{string}
#ifdef __cplusplus
extern "C" {{
#endif

// What every network's header has; of several only the first is read.
{common}
// Set it before this file is included to start the state on a line of your cache, say.
#ifndef SPK_STATE_ALIGN
#define SPK_STATE_ALIGN
#endif

enum {{
{entries}
}};

{_state_comment(planned)}
typedef struct {name}_state {{
{members}
}} SPK_STATE_ALIGN {name}_state;

{body}

#ifdef __cplusplus
}}
#endif

#endif  // {upper}_H_
"""


def has_polarity(network: ir.Network) -> bool:
    """Whether the input is a map of two polarities, for which a window bins a sensor's events."""
    return not network.input.flat and network.input.channels == 2


def _sizes(planned: Plan, upper: str) -> dict[str, int]:
    network = planned.network
    sizes = {
        f"{upper}_INPUTS": network.input.size,
        f"{upper}_INPUT_HEIGHT": network.input.height,
        f"{upper}_INPUT_WIDTH": network.input.width,
        f"{upper}_INPUT_CHANNELS": network.input.channels,
        f"{upper}_OUTPUTS": network.output.shape.size,
        f"{upper}_LAYERS": len(network.spiking),
        f"{upper}_STATE_BYTES": planned.state_bytes,
    }
    if network.max_steps is not None:
        sizes[f"{upper}_MAX_STEPS"] = network.max_steps
    return sizes


def _step_contract(planned: Plan, name: str) -> str:
    """What a step takes, gives and refuses."""
    upper, network = name.upper(), planned.network
    order = "[y][x][c] (channel last)" if not network.input.flat else "that of the input vector"
    limit = ""
    if network.max_steps is not None:
        limit = f", or a step after {upper}_MAX_STEPS of them since the reset"
    return comment(
        "One time step. `active` lists the inputs that are not zero, sorted by index, each once; "
        f"an index is a position in the input's memory order, {order}. `spikes` gets 1 for every "
        "output neuron that fired and 0 for the others. On an error nothing is written: NULL "
        f"pointers, more than {upper}_INPUTS entries, an index out of range or out of order, "
        f"{_refused(network)}{limit}."
    )


def _refused(network: ir.Network) -> str:
    """Which input values an error is returned for."""
    if network.input_max is None:
        return "a value that is not finite"
    whole = "an integer " if network.numbers == "int8" else ""
    return f"a value that is not {whole}from 0 to {network.input_max}"


def _membranes(planned: Plan, name: str) -> list[str]:
    """The declarations of what shows the output neurons' membranes, where there are some."""
    readout = planned.network.readout
    if readout is None:
        return []
    number = membrane_of(planned, readout).ctype
    found = [
        f"// The membranes of the output neurons after the last step; NULL for NULL.\n"
        f"const {number} *{name}_membranes(const {name}_state *state);"
    ]
    if not isinstance(readout, ir.Leaky) and readout.unit is not None:
        found.append(
            "// What one count of each of these membranes is worth, so that they can be compared.\n"
            f"extern const float {name}_membrane_units[{name.upper()}_OUTPUTS];"
        )
    return found


def membrane_of(planned: Plan, layer: ir.Spiking) -> Buffer:
    """Where the membranes of a layer are."""
    return next(b for b in planned.membranes if b.name == f"membrane_{layer.name}")


def _member(place: tuple[Buffer, ...], fill: int) -> str:
    """A member of the state struct, and what fills its last cache line."""
    lines = [
        f"{'SPK_WORD ' if b.ctype == 'int16_t' else ''}{b.ctype} {b.name}[{b.length}];  // {b.note}"
        for b in place
    ]
    if len(place) > 1:
        lines = ["union {  // one after the other", *(f"  {line}" for line in lines), "};"]
    if fill:
        lines.append(f"uint8_t fill_{place[0].name}[{fill}];  // what follows starts a cache line")
    return "\n".join(f"  {line}" for line in lines)


def _has_more(planned: Plan) -> bool:
    """Whether anything but membranes persists."""
    return len(planned.persistent) > len(planned.network.spiking)


def _state_comment(planned: Plan) -> str:
    """What the state struct is for."""
    lives = "Only the membranes live"
    if _has_more(planned):
        lives = "The states of the neurons, and what the next step reads, live"
    return comment(
        "Everything a running network remembers. The caller owns it; several run side by side. "
        f"{lives} from one step to the next; the rest is scratch for the step under way."
    )


def _usage(planned: Plan, name: str) -> str:
    """How to use the network: what it needs, who may call it, and six lines of C."""
    upper = name.upper()
    need = comment(
        "Include this file, compile the .c file with any C11 compiler; flags do not change what it "
        "computes. It needs no heap and of the C library memcpy and memset. Functions share "
        f"nothing but constants: threads and interrupts may call them at once, each with a {name}_"
        "state of its own; with one state, one call at a time."
    )
    return f"""{need}
//
//   static {name}_state state;
//   uint8_t spikes[{upper}_OUTPUTS];
//   if ({name}_reset(&state) != SPK_OK) return;
//   for (each time step) {{  // active: the inputs that are not zero, with their values
//     if ({name}_step(&state, active, count, spikes) != SPK_OK) return;
//   }}"""


def comment(text: str) -> str:
    """A comment over as many lines as it needs."""
    return "\n".join(wrapped(f"// {text}", "// "))


def _labelled(label: str, text: str) -> str:
    """A comment behind a label, wrapped under it."""
    return "\n".join(wrapped(f"// {label:<9}{text}", "//          "))


def _describe_numbers(network: ir.Network) -> str:
    """The format of weights and membranes, and for which inputs it holds."""
    if network.numbers == "int8":
        bits = ", ".join(
            f"{layer.name} {layer.bits if isinstance(layer, ir.IntegerLeaky) else 32}"
            for layer in network.spiking
            if not isinstance(layer, ir.Leaky)
        )
        return (
            f"int8 weights, membranes of as many bits as their bounds need ({bits}) for integer "
            f"inputs from 0 to {network.input_max}; the same integers on every target"
        )
    declared = "" if network.input_max is None else f"; for inputs from 0 to {network.input_max}"
    return f"float32; the same bits on every target, whatever the compiler's flags{declared}"


def _describe_choices(planned: Plan) -> str:
    """Which kind of kernel every convolution and linear layer got, and why."""
    choices = planned.choices
    if len(set(choices.values())) == 1:
        return f"{next(iter(choices.values()))}"
    return "; ".join(f"{name} {choice}" for name, choice in choices.items())


def write_banner(planned: Plan, first: str, calls: Sequence[KernelCall], form: Form) -> str:
    """The head of a generated file: where it comes from and what it costs."""
    network = planned.network
    bytes_of_tables = sum(table.bytes for table in tables_of(calls))
    work = [
        (operation.layers[0].name, call.adds)
        for operation, call in zip(planned.operations, calls, strict=True)
        if call.adds
    ]
    adds = sum(count for _, count in work)
    each = ", ".join(f"{layer} {count:,}" for layer, count in work)
    neurons = sum(call.neurons for call in calls)
    dense = any(choice.dense for choice in planned.choices.values())
    return "\n".join(
        (
            "// SPDX-License-Identifier: Apache-2.0",
            f"// {first}",
            f"// Generated by spikec {VERSION}; do not edit.",
            _labelled("source", f"{one_line(network.source)}, sha256 {network.sha256}"),
            _labelled("network", describe_network(network)),
            _labelled("numbers", _describe_numbers(network)),
            _labelled("target", form.describe()),
            _labelled(
                "memory",
                f"{bytes_of_tables:,} bytes of constant tables (flash), {planned.state_bytes:,} "
                f"bytes of state (RAM), at most {stack_bytes(planned, form.target):,} bytes of "
                "stack, no heap",
            ),
            _labelled("kernels", _describe_choices(planned) or "no layer has a choice"),
            _labelled(
                "work",
                f"per step {neurons:,} neurons are updated and, if every input and every neuron "
                f"fired, {adds:,} weights added ({each}); in proportion to what fires"
                + (", but for dense kernels" if dense else ""),
            ),
            "",
        )
    )


def write_signatures(name: str, state: str, end: str, qualifier: str, form: Form) -> dict[str, str]:
    """The heads of the functions that step a network; ``state`` names the argument."""
    upper = name.upper()
    this = f"{name}_state *{state}"
    active = ["const spk_active *active", "size_t count"]
    spikes = f"uint8_t spikes[{upper}_OUTPUTS]"
    arguments = {
        "step": [this, *active, spikes],
        "step_frame": [this, f"const float frame[{upper}_INPUTS]", spikes],
    }
    if form.driven:
        observed = ["spk_observer observer", "void *context"]
        arguments["step_observed"] = [this, *active, spikes, *observed]
    return {
        what: signature(f"{qualifier}spk_status {name}_{what}", given, end)
        for what, given in arguments.items()
    }


_STACK = 1024
"""Bytes of stack of a step, but for runs of neurons: measured, and rounded up."""
_INTEGER_RUN = 1024
"""What a run of integer neurons keeps there besides."""
_VECTOR_RUN = {False: 512 * 8, True: 512 * 18}
"""The same where vectors are used, whose runs are longer, by whether neurons are integers."""


def stack_bytes(planned: Plan, target: Target) -> int:
    """The most stack that a step takes, compiled with optimisation (-O1 or more, or -Os).

    Compilers give each band a run of its own. ``tests/backend/stack_test.py`` holds it against what
    GCC says.
    """
    integer = any(suffix_of(buffer) != "f32" for buffer in planned.membranes)
    if target in ("generic", "cortex-m7"):
        return _STACK + integer * _INTEGER_RUN
    runs = 1 + sum(isinstance(operation, Band) for operation in planned.operations)
    return _STACK + runs * _VECTOR_RUN[integer]
