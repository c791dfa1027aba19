# SPDX-License-Identifier: Apache-2.0
"""Breaks the compiler on purpose, one place at a time, and says which tests notice.

    PYTHONPATH=python:. python -m tests.mutate            # all of them, about an hour
    PYTHONPATH=python:. python -m tests.mutate gather     # those whose file or change has the word

Each mutation is one change of one text, in a copy of the tree. It is killed when one of the tests
of its kind fails, and survives when all pass; the score is printed at the end, with the survivors.
A mutation that does not apply any more is an error, which tests/layout_test.py finds too.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

KERNELS = ("tests/kernels/table.py",)
SEMANTICS = (
    "tests/frontends/forward_test.py", "tests/semantics/parity_leaky_test.py",
    "tests/semantics/parity_test.py",
)  # fmt: skip
INTEGERS = ("tests/passes/quantize_test.py", "tests/passes/quantize_cell_test.py")
READOUTS = ("tests/semantics/readout_test.py",)
BOUNDS = ("tests/semantics/bounds_test.py", *INTEGERS)
PLANNER = ("tests/backend/source_test.py", *KERNELS)
FLAGS = ("tests/backend/flags_test.py",)


@dataclasses.dataclass(frozen=True, slots=True)
class Mutation:
    """In ``file``, ``old``, which stands there once, becomes ``new``; ``tests`` should notice."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.old!r} -> {self.new!r}"


_K = "cc/kernels/"
_A = "cc/arch/"
_P = "python/spikec/"
MUTATIONS = (
    # The scattering convolution.
    Mutation(_K + "spk_scatter_conv2d.h", "rows.out * out_row", "cols.out * out_row", KERNELS),
    Mutation(_K + "spk_scatter_conv2d.h", "all.out > first ? all.out : first", "first", KERNELS),
    Mutation(_K + "spk_scatter_conv2d.h", "(all.tap + from - all.out)", "(all.tap)", KERNELS),
    Mutation(_K + "spk_scatter_conv2d.h", "end > from ? end - from : 0", "end - from", KERNELS),
    Mutation(_K + "spk_scatter_conv2d.h", "channel / conv->group_in;", "0;", KERNELS),
    Mutation(_K + "spk_scatter_conv2d.h", "bool whole_row = conv->col_step == 1 &&",
             "bool whole_row =", KERNELS),
    # The gathering one.
    Mutation(_K + "spk_gather_conv2d.h", "at > pad ? at - pad : 0", "at - pad", KERNELS),
    Mutation(_K + "spk_gather_conv2d.h", "return end < size ? end : size;", "return end;", KERNELS),
    Mutation(_K + "spk_gather_conv2d.h", "(spk_index)(i + 1);", "(spk_index)i;", KERNELS),
    Mutation(_K + "spk_gather_conv2d.h", "conv->pad_left - left - y", "0 - left - y", KERNELS),
    # Neurons and pools.
    Mutation(_K + "spk_leaky_neuron_f32.h", "bool above = membrane > threshold",
             "bool above = membrane >= threshold", KERNELS),
    Mutation(_K + "spk_leaky_neuron_f32.h", "bool spike = next > threshold",
             "bool spike = next >= threshold", KERNELS),
    Mutation(_K + "spk_leaky_neuron_f32.h", "if (!reset_delay && reset", "if (reset", KERNELS),
    Mutation(_K + "spk_leaky_neuron_f32.h", "(float)spike - (float)above", "(float)spike", KERNELS),
    Mutation(_K + "spk_leaky_neuron_f32.h", "next = beta * (above ? 0.0f : membrane)",
             "next = beta * membrane", KERNELS),
    Mutation(_K + "spk_leaky_neuron_int.h", "bool above = membrane > threshold",
             "bool above = membrane >= threshold", KERNELS),
    Mutation(_K + "spk_leaky_neuron_int.h", "bool spike = next > threshold",
             "bool spike = next >= threshold", KERNELS),
    Mutation(_K + "spk_leaky_neuron_int.h", "reset_delay || reset == SPK_RESET_NONE",
             "reset_delay", KERNELS),
    Mutation(_K + "spk_maxpool_spikes.h", "any |=", "any =", KERNELS),
    Mutation(_K + "spk_maxpool_spikes.h", "memset(map, 0, inputs);", "", KERNELS),
    Mutation(_K + "spk_cell.h", "float a) { return a > 0.0f", "float a) { return a < 0.0f",
             KERNELS),
    Mutation(_K + "spk_cell.h", "int32_t b) { return b > a", "int32_t b) { return b < a", KERNELS),
    Mutation(_K + "spk_scatter_linear.h", "(size_t)index * linear->outputs",
             "(size_t)index * linear->inputs", KERNELS),
    # Readouts.
    Mutation(_K + "spk_readout.h", "values[i] > values[best]", "values[i] >= values[best]",
             READOUTS),
    Mutation(_K + "spk_readout.h", "i < leader ? before : after", "after", READOUTS),
    Mutation(_K + "spk_readout.h", ">= margin)) return", "> margin)) return", READOUTS),
    Mutation(_P + "semantics/readout.py", "(np.arange(len(counts)) < leader)", "0", READOUTS),
    # What makes the bits independent of flags.
    Mutation("cc/runtime/spk_strict.h", '#pragma GCC optimize("fp-contract=off")', "", FLAGS),
    # The planner.
    Mutation(_P + "passes/memory.py", "last < other_first or other_last < first", "True", PLANNER),
    Mutation(_P + "ir/taps.py", "% stride, -k)", "% stride, k)", PLANNER),
    # The reference.
    Mutation(_P + "semantics/reference.py", "value * layer.scale + layer.shift",
             "value * layer.scale", SEMANTICS),
    Mutation(_P + "semantics/reference.py", "states[\"mem\"] = kept[-1]", "pass", SEMANTICS),
    Mutation(_P + "semantics/reference.py", "part * shape[2] : (part + 1) * shape[2]",
             "0 : shape[2]", ("tests/frontends/neurons_test.py",)),
    # Bounds and integers.
    Mutation(_P + "semantics/bounds.py", "membranes[layer.name].high > layer.threshold",
             "membranes[layer.name].low > layer.threshold", BOUNDS),
    Mutation(_P + "semantics/bounds.py", "reference.max_pool2d(layer, value.high[None])[0]",
             "reference.max_pool2d(layer, value.low[None])[0]", BOUNDS),
    Mutation(_P + "passes/quantize.py", "value.offset * scale + shift", "value.offset * scale",
             INTEGERS),
)  # fmt: skip


def apply(mutation: Mutation, tree: Path) -> None:
    """Makes the change in the tree at ``tree``.

    Raises:
        ValueError: what it changes is not there once.
    """
    path = tree / mutation.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation}: it is there {text.count(mutation.old)} times, not once")
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")


def is_killed(mutation: Mutation, tree: Path) -> bool:
    """Whether a test fails in the tree at ``tree``, which has the change."""
    environment = {**os.environ, "PYTHONPATH": f"{tree / 'python'}{os.pathsep}{tree}"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *mutation.tests], cwd=tree, env=environment, check=False, capture_output=True
    )
    return done.returncode != 0


def main(words: list[str]) -> int:
    """Tries all mutations, or those in which one of ``words`` stands; 1 if any survives."""
    chosen = [one for one in MUTATIONS if not words or any(word in str(one) for word in words)]
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    survivors = []
    for number, mutation in enumerate(chosen, 1):
        with tempfile.TemporaryDirectory(prefix="mutate_") as folder:
            for name in listed.stdout.splitlines():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, Path(folder) / name)
            apply(mutation, Path(folder))
            killed = is_killed(mutation, Path(folder))
        print(
            f"{number} of {len(chosen)}: {'killed  ' if killed else 'SURVIVED'} {mutation}",
            flush=True,
        )
        if not killed:
            survivors.append(mutation)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutations killed")
    for mutation in survivors:
        print(f"survivor: {mutation}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
