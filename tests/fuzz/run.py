# SPDX-License-Identifier: Apache-2.0
"""The differential fuzzer: random networks in snnTorch, in the reference and in C.

    bazel run //tests/fuzz -- --networks 5000 --seed 1

prints what was covered and, of every kind of failure, the first network as a test that can be
pasted; the exit status is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch

from spikec.errors import SpikecError
from spikec.frontends.pytorch.module import import_network
from tests.fuzz import check, generate, shrink
from tests.fuzz import spec as specs
from tests.fuzz.check import Count, Failure
from tests.fuzz.generate import BEFORE, Cell
from tests.fuzz.spec import Spec

BATCH = 25
"""Networks that one call of the compiler takes."""
LEVELS_EVERY = 20
"""Of so many batches one is compiled as users do, for all levels of the CPU."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What came of some networks: failures by the number of the network."""

    count: Count
    covered: collections.Counter[Cell]
    failures: tuple[tuple[int, Spec, Failure], ...]
    ties: tuple[str, ...]


def networks(seed: int, first: int, count: int) -> Iterator[tuple[int, Spec]]:
    """The networks ``first`` and following: one for every cell that can run, and again."""
    cells = [cell for cell in generate.cells() if cell.domains]
    for number in range(first, first + count):
        turn, place = divmod(number, len(cells))
        order = np.random.default_rng([seed, turn]).permutation(len(cells))
        drawn = int(np.random.default_rng([seed, number]).integers(1 << 40))
        yield number, generate.draw(drawn, cells[int(order[place])])


def batch(seed: int, first: int, size: int) -> Batch:
    """Runs the networks ``first`` to ``first + size``."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    count = Count()
    start = time.perf_counter()
    drawn = list(networks(seed, first, size))
    count.spent("draw", start)
    cases = [check.prepare(number, spec, count) for number, spec in drawn]
    check.compare_c(cases, count, levels=first // BATCH % LEVELS_EVERY == LEVELS_EVERY - 1)
    covered: collections.Counter[Cell] = collections.Counter()
    for case in cases:
        if case.failure is None:
            covered.update(generate.covered(case.spec))
    failures = tuple((c.number, c.spec, c.failure) for c in cases if c.failure is not None)
    return Batch(count, covered, failures, tuple(tie for case in cases for tie in case.ties))


def _batches(seed: int, total: int, jobs: int) -> Iterator[Batch]:
    starts = range(0, total, BATCH)
    sizes = [min(BATCH, total - start) for start in starts]
    if jobs == 1:
        yield from map(batch, [seed] * len(sizes), starts, sizes)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(batch, [seed] * len(sizes), starts, sizes)


@dataclasses.dataclass(slots=True)
class Total:
    """What came of a whole run."""

    count: Count = dataclasses.field(default_factory=Count)
    covered: collections.Counter[Cell] = dataclasses.field(default_factory=collections.Counter)
    failures: list[tuple[int, Spec, Failure]] = dataclasses.field(default_factory=list)
    ties: list[str] = dataclasses.field(default_factory=list)

    def add(self, part: Batch) -> None:
        """Adds what came of some networks."""
        self.count.add(part.count)
        self.covered.update(part.covered)
        self.failures += part.failures
        self.ties += part.ties

    @property
    def empty(self) -> list[Cell]:
        """Cells that can run and were not covered."""
        return [c for c in generate.cells() if c.domains and not self.covered[c]]


def fuzz(total: int, seed: int, jobs: int = 1, progress: bool = False) -> Total:
    """Runs ``total`` networks, or as many as there is patience for."""
    found = Total()
    start = time.perf_counter()
    try:
        for number, part in enumerate(_batches(seed, total, jobs), 1):
            found.add(part)
            if progress and number % 10 == 0:
                spent = time.perf_counter() - start
                failed = len(found.failures)
                line = f"{found.count.networks:,} networks, {failed} failed, {spent:.0f} s"
                print(line, file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped early", file=sys.stderr)
    return found


def reasons() -> dict[Cell, str]:
    """Why the other cells cannot run: what snnTorch raises, or spikec says, when it is tried.

    Raises:
        AssertionError: one can run after all.
    """
    found = {}
    for cell in generate.cells():
        if cell.domains:
            continue
        spec = generate.impossible(cell)
        try:
            built = specs.build(spec)
            check.record(built, generate.frames(spec))
        except Exception as error:  # whatever snnTorch raises
            found[cell] = f"snnTorch: {type(error).__name__}: {_line(error)}"
            continue
        try:
            import_network(built.net, spec.shape, "fuzz")
        except SpikecError as error:
            found[cell] = f"spikec: {_line(error)}"
            continue
        raise AssertionError(f"{cell} can run: draw it")
    return found


def _line(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2].strip()


def table(covered: collections.Counter[Cell]) -> str:
    """How often every cell was covered; ``-``: it cannot run."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for cell in generate.cells():
        row = rows.setdefault((cell.neurons, cell.reset, cell.delay), {})
        row[cell.before] = str(covered[cell]) if cell.domains else "-"
    letters = {name: f"{chr(97 + i)}" for i, name in enumerate(BEFORE)}
    lines = ["before: " + ", ".join(f"{letter} {name}" for name, letter in letters.items())]
    lines.append(f"{'neurons':<24}{'reset':<10}{'delay':<9}" + "".join(
        f"{letter:>4}" for letter in letters.values()))  # fmt: skip
    for (neurons, reset, delay), row in rows.items():
        cells = "".join(f"{row.get(name, '-'):>4}" for name in BEFORE)
        lines.append(f"{neurons:<24}{reset:<10}{delay:<9}{cells}")
    return "\n".join(lines)


def summary(found: Total, seconds: float) -> str:
    """The run in numbers."""
    count = found.count
    spent = ", ".join(f"{name} {each:.0f}" for name, each in count.seconds.items())
    stages = collections.Counter(failure.stage for _, _, failure in found.failures)
    differing = stages["outputs"] + sum(stages[stage] for stage in check.DIFFERENCES)
    crashes = stages["crash"] + stages["C crash"]
    lines = [
        f"{count.networks:,} networks, {count.neuron_steps:,} neuron-steps, "
        f"{count.spikes:,} spikes",
        f"{count.layers:,} layers of neurons, of which {count.silent_layers:,} stayed silent; "
        f"membranes equal to the bit in all {count.exact_layers:,} whose sums are exact",
        f"{count.int8:,} networks also in integers",
        f"{differing} differing, {crashes} crashes, {stages['refused']} refused, "
        f"{stages['snnTorch raises']} that snnTorch cannot run, {len(found.ties)} rounding ties; "
        f"{len(found.empty)} empty cells; {seconds:.0f} s ({spent})",
    ]
    lines.append("written as " + ", ".join(f"{s} {n}" for s, n in check.mapping(count.styles)))
    lines += [f"tie: {tie}" for tie in found.ties]
    lines += [f"{n:>6} not in integers: {said}" for said, n in check.mapping(count.not_int8)]
    return "\n".join(lines)


def tests(failures: Iterable[tuple[int, Spec, Failure]], most: int) -> str:
    """The first failure of each kind as a test, made small."""
    kinds: dict[str, list[tuple[int, Spec, Failure]]] = {}
    for each in failures:
        kinds.setdefault(each[2].kind, []).append(each)
    texts = []
    for kind, of_kind in list(kinds.items())[:most]:
        number, spec, _ = min(of_kind, key=lambda each: len(each[1].nodes))

        def same(smaller: Spec, kind: str = kind) -> bool:
            failure = check.check(smaller)
            return failure is not None and failure.kind == kind

        small = shrink.shrink(spec, same) if same(spec) else spec
        failure = check.check(small)
        what = f"{len(of_kind)} networks, such as {number}: " + (
            f"{failure.stage}: {failure.text}" if failure else f"{kind} (not when run alone)"
        )
        texts.append(shrink.as_test(small, f"network_{number}", specs.build(small).source, what))
    return "\n\n".join(texts)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=500, help="how many to draw")
    parser.add_argument("--seed", type=int, default=1, help="of the networks")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--tests", type=int, default=10, help="kinds of failures to shrink")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    start = time.perf_counter()
    found = fuzz(given.networks, given.seed, given.jobs, progress=True)
    print(table(found.covered))
    why: dict[str, list[str]] = {}
    for said in reasons().values():
        why.setdefault(check.summary(said), []).append(said)
    for each in sorted(why.values(), key=len, reverse=True):
        print(f"{len(each):>6} cells cannot run: {each[0]}")
    print(summary(found, time.perf_counter() - start))
    if found.failures:
        print(tests(found.failures, given.tests))
    complete = given.networks < 2 * len(generate.cells()) or not found.empty
    return 0 if complete and not found.failures else 1


if __name__ == "__main__":
    sys.exit(main())
