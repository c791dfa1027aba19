# SPDX-License-Identifier: Apache-2.0
"""What bounds each kernel: its innermost loop, counted in the assembly, beside what was measured.

Of the network of ``benchmarks/growth.py`` with a tenth of the inputs active. Counts are by unit: a
synaptic operation, one weight added to one output; for leaky neurons a neuron. On the Cortex-M7 the
loops are the innermost ones that really ran, and the measured figure is a whole layer's
instructions. On the host the loops are found in the disassembly by what is in them, and the
measured figure is a whole layer's time; its bound is two loads, one store and two additions or
multiplications of vectors a cycle, whichever takes longest, at the clock's rate as measured.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks import growth
from benchmarks.cycle_model import kinds
from benchmarks.growth import DENSITY, Subject, frames
from spikec.errors import SpikecError
from spikec.ir.operations import DenseSum, Fire, Gather, Scatter
from spikec.measure import profile
from spikec.model import Model
from spikec.targets import host
from spikec.targets.cortex_m7 import drive_build, qemu_trace
from spikec.targets.cortex_m7.qemu_trace import Segment

Kernel: TypeAlias = Literal["scatter", "gather", "dense", "leaky"]

_STEPS = 3  # the last one is traced: by then every neuron has a membrane
_HOST_STEPS = 60
_TIMEOUT_S = 300.0
_BACKWARD = re.compile(r"(?:b(?:\w\w)?(?:\.[nw])?|cbn?z \w+,) #0x([0-9a-f]+)$")
_SHARE = 0.1  # of a layer's instructions, which a loop must have to be one of its own


@dataclasses.dataclass(frozen=True, slots=True)
class Bound:
    """A kernel on one target, by unit: ``loop`` is what its innermost loop takes.

    On the Cortex-M7 loads and stores are accesses of up to 64 bits, ``bound`` and ``measured``
    instructions, of the loop and of the whole layer; on the host nanoseconds.
    """

    kernel: Kernel
    layer: str
    unit: str
    instructions: float
    loads: float
    stores: float
    arithmetic: float
    bound: float
    measured: float

    def __str__(self) -> str:
        return (
            f"  {self.kernel:<10}{self.layer:<10}{self.unit:<20}{self.instructions:>8.3f}"
            f"{self.loads:>8.3f}{self.stores:>8.3f}{self.arithmetic:>8.3f}"
            f"{self.bound:>10.3f}{self.measured:>10.3f}{self.measured / self.bound:>8.1f}x"
        )


def kernel_of(operation: object) -> Kernel | None:
    """What kind of loop an operation is; None for what is none of these, or two of them."""
    match operation:
        case Scatter():
            return "scatter"
        case Gather():
            return "gather"
        case DenseSum():
            return "dense"
        case Fire():
            return "leaky"
    return None


def layers(model: Model, recording: growth.Frames) -> Iterator[tuple[int, Kernel, str, float]]:
    """The layer with most to do for each kernel: number, kernel, name, units a step (mean)."""
    neurons = {layer.name: layer.shape.size for layer in model.network.spiking}
    most: dict[Kernel, tuple[int, Kernel, str, float]] = {}
    works = profile.work(model.plan, recording)
    for at, (operation, work) in enumerate(zip(model.plan.operations, works, strict=True)):
        kernel = kernel_of(operation)
        if kernel is None:
            continue
        units = float(work.synaptic_operations.mean())
        if kernel == "leaky":
            units = float(neurons[work.layer.split("+")[-1]])
        elif kernel == "dense":
            units = float(work.worst_synaptic_operations)
        if kernel not in most or units > most[kernel][3]:
            most[kernel] = (at, kernel, work.layer, units)
    # What the dense kernels leave as it is comes with the event-driven ones.
    return (found for found in most.values() if ("dense" in most) == (found[1] == "dense"))


def on_cortex_m7(gcc: Sequence[str], qemu: Sequence[str]) -> list[Bound]:
    """The kernels on the Cortex-M7: instructions that ran in one step, exactly."""
    found = []
    for kernels in ("event", "dense"):
        model = Subject.of(kernels).model
        recording = frames(DENSITY, _STEPS)
        active = host.active_inputs(model.network, recording)
        with tempfile.TemporaryDirectory(prefix="spikec_") as name:
            elf = drive_build.build(model.name, model.driven_files("cortex-m7"), Path(name), gcc)
            traced = qemu_trace.trace_step(
                qemu, elf, active, _STEPS - 1, model.network.input.size, _TIMEOUT_S
            )
        observer = qemu_trace.overhead(traced).addresses
        for at, kernel, layer, units in layers(model, recording[-1:]):
            ran = traced.observed[-1][at + 1].without(observer)
            # Additions make units; each neuron is one, whatever a loop does for it.
            loops = [loop for loop in innermost(ran, traced.text) if of(kernel, loop, traced.text)]
            if not loops:
                continue
            if kernel != "leaky":
                loops = [max(loops, key=lambda loop: loop.instructions)]
            total = [kinds(loop, traced.text) for loop in loops]
            each = units if kernel == "leaky" else float(total[0].floating)
            found.append(
                Bound(
                    kernel, layer, "neuron" if kernel == "leaky" else "synaptic operation",
                    sum(k.instructions for k in total) / each,
                    sum(k.load_beats for k in total) / each,
                    sum(k.store_beats for k in total) / each,
                    sum(k.floating for k in total) / each,
                    sum(k.instructions for k in total) / each, ran.instructions / units,
                )
            )  # fmt: skip
    return found


def of(kernel: Kernel, loop: Segment, text: dict[int, str]) -> bool:
    """Whether a loop adds weights, or for ``"leaky"`` any loop."""
    adds = sum(text[at].startswith(("vadd", "vmla")) for at in loop.executed)
    return kernel == "leaky" or adds > 0


def innermost(segment: Segment, text: dict[int, str]) -> list[Segment]:
    """The innermost loops with a share worth a word of a segment's instructions."""
    order = sorted(segment.executed)
    bodies = []
    for address in segment.taken:
        jump = _BACKWARD.search(text[address])
        if jump is not None and (target := int(jump[1], 16)) < address:
            bodies.append({at for at in order if target <= at <= address})
    inner = [body for body in bodies if not any(other < body for other in bodies)]
    loops = [segment.only(body) for body in inner]
    return [loop for loop in loops if loop.instructions >= _SHARE * segment.instructions]


def on_host() -> list[Bound]:
    """The kernels on this machine, whose CPU must be an x86-64 of level v3 or v4."""
    _check_cpu()
    ghz = _ghz()
    found = []
    for kernels in ("event", "dense"):
        model = Subject.of(kernels).model
        recording = frames(DENSITY, _HOST_STEPS)
        bodies = _disassembled(model)
        rows = profile.profile(model, [recording], "host").rows
        for at, kernel, layer, units in layers(model, recording):
            loops = [loop for body in bodies if (loop := VectorLoop.of(kernel, body)) is not None]
            if not loops:
                raise SpikecError(f"{layer}: no loop of the {kernel} kernel is in its assembly.")
            loop = max(loops, key=lambda loop: (loop.widest, loop.units))
            cycles = max(loop.loads / 2, loop.stores, loop.arithmetic / 2) / loop.units
            found.append(
                Bound(
                    kernel, layer, "neuron" if kernel == "leaky" else "synaptic operation",
                    loop.instructions / loop.units, loop.loads / loop.units,
                    loop.stores / loop.units, loop.arithmetic / loop.units,
                    cycles / ghz, 1000 * rows[at + 1].cost / units,
                )
            )  # fmt: skip
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class VectorLoop:
    """A loop over vectors, a round of it."""

    instructions: int
    loads: int
    stores: int
    arithmetic: int
    units: int
    widest: int

    @classmethod
    def of(cls, kernel: Kernel, body: Sequence[str]) -> VectorLoop | None:
        """The loop, if it is this kernel's; ``body`` is in AT&T syntax."""
        words = [line.split(None, 1) for line in body]
        loads = stores = arithmetic = added = multiplied = widest = 0
        compares = False
        for name, *rest in words:
            given = rest[0] if rest else ""
            lanes = next((n for r, n in (("zmm", 16), ("ymm", 8), ("xmm", 4)) if r in given), 0)
            if "(%" in given and not name.startswith(("lea", "nop")):
                to = given.rpartition(", " if ", " in given else ",")[2]
                stored = to.endswith(")") and not name.startswith(("cmp", "test"))
                stores += stored
                loads += not stored
            if name in ("vaddps", "vsubps", "vmulps"):
                arithmetic += 1
                widest = max(widest, lanes)
                added += lanes * (name == "vaddps")
                multiplied += lanes * (name == "vmulps")
            compares |= name.startswith("vcmp")
        is_kernel = {
            "leaky": compares and multiplied > 0,
            "scatter": not compares and stores > 0 and added > 0,
            "gather": not compares and stores == 0 and multiplied == 0 and added > 0,
            "dense": not compares and stores == 0 and multiplied > 0 and added > 0,
        }[kernel]
        if not is_kernel:
            return None
        units = multiplied if kernel == "leaky" else added
        return cls(len(body), loads, stores, arithmetic, units, widest)


def _disassembled(model: Model) -> list[list[str]]:
    """The innermost loops of the network's functions, as built for this machine."""
    with tempfile.TemporaryDirectory(prefix="spikec_") as name:
        library = host._compile(Path(name), model.name, model.host_files(), ())
        unit = library.with_name(f"{model.name}.o")
        text = subprocess.run(
            ["objdump", "-d", "--no-show-raw-insn", unit],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    lines = re.findall(r"^ +([0-9a-f]+):\t(.*?)\s*(?:#.*)?$", text, re.MULTILINE)
    at = {address: i for i, (address, _) in enumerate(lines)}
    spans = []
    for i, (_, line) in enumerate(lines):
        jump = re.match(r"j\w+ +([0-9a-f]+)", line)
        if jump is not None and at.get(jump[1], i) < i:
            spans.append((at[jump[1]], i))
    inner = [s for s in spans if not any(s != o and s[0] <= o[0] and o[1] <= s[1] for o in spans)]
    return [[line for _, line in lines[first : last + 1]] for first, last in inner]


def _check_cpu() -> None:
    """Refuses a CPU whose assembly is not read here."""
    if platform.machine() != "x86_64":
        raise SpikecError(f"{platform.machine()}: the host's loops are read on x86-64 only.")
    if " avx2" not in Path("/proc/cpuinfo").read_text():
        raise SpikecError("this CPU has neither AVX2 nor AVX-512, whose loops are read here.")


_CHAIN = r"""unsigned long chain(unsigned long rounds) {
  unsigned long product = 3;
  while (rounds--) {
    __asm__ volatile("imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0" : "+r"(product));
  }
  return product;
}
"""
"""Each product waits for the one before it: three cycles on every x86-64 of these levels."""


def _ghz() -> float:
    """The clock's rate, which is seldom what the CPU is sold as: by a chain of products."""
    with tempfile.TemporaryDirectory(prefix="spikec_") as name:
        (Path(name) / "chain.c").write_text(_CHAIN, encoding="utf-8")
        library = Path(name) / "chain.so"
        command = [*host.compiler(), "-O2", "-shared", "-fPIC", "chain.c", "-o", str(library)]
        subprocess.run(command, cwd=name, check=True)
        chain = ctypes.CDLL(str(library)).chain
    chain.argtypes = (ctypes.c_ulong,)
    rounds = 2_000_000
    best = 0.0
    for _ in range(10):
        start = time.perf_counter_ns()
        chain(rounds)
        best = max(best, 4 * 3 * rounds / (time.perf_counter_ns() - start))
    return best


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when something cannot be counted."""
    parser = argparse.ArgumentParser(description="What bounds the kernels' innermost loops.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--gcc", type=Path, help="the cross compiler; arm-none-eabi-gcc")
    parser.add_argument("--qemu", type=Path, help="the emulator; qemu-system-arm")
    options = parser.parse_args(arguments)
    try:
        gcc = [str(options.gcc.absolute())] if options.gcc else drive_build.compiler()
        qemu = [str(options.qemu.absolute())] if options.qemu else drive_build.emulator()
        m7, here = on_cortex_m7(gcc, qemu), on_host()
    except SpikecError as error:
        print(f"hot_loops: {error}", file=sys.stderr)
        return 1
    if options.json:
        tables = {"cortex_m7": m7, "host": here}
        print(
            json.dumps({k: [dataclasses.asdict(b) for b in v] for k, v in tables.items()}, indent=2)
        )
        return 0
    head = f"{'':<42}{'instr.':>8}{'loads':>8}{'stores':>8}{'arith.':>8}"
    head += f"{'bound':>10}{'measured':>10}"
    print(f"Cortex-M7: bound and measured in instructions\n{head}")
    print("\n".join(map(str, m7)))
    print(f"\nhost: bound and measured in ns\n{head}")
    print("\n".join(map(str, here)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
