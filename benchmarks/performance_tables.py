# SPDX-License-Identifier: Apache-2.0
"""Writes what the benchmarks print with --json into the tables of docs/performance.md.

    bazel run //benchmarks:performance_tables -- docs/performance.md host.json growth.json ...

A file is named for its benchmark: host, peers, cortex_m7, growth, hot_loops or pareto. Its table
stands in the document between ``<!-- table: NAME -->`` and ``<!-- end -->`` and is replaced.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


def host(found: dict[str, Any]) -> str:
    """``//benchmarks:host``: a row a network and its recordings, a column a peer."""
    results = found["results"]
    names = list(results[0]["peers"])
    rows = [["network and recordings", "active inputs", *names]]
    for result in results:
        cut = f"{result['bins']} bins" if result["bins"] else f"{1000 * result['window_s']:g} ms"
        real = "real" if result["real"] else "simulated"
        times = []
        for at, name in enumerate(names):
            peer = result["peers"][name]
            ratio = (
                f": {peer['ratio']:.1f}x ({peer['ratio_low']:.1f}-{peer['ratio_high']:.1f})"
                if at
                else ""
            )
            times.append(f"{peer['us_per_step']:.1f} us{ratio}")
        what = f"{result['network']}, {cut}, {result['recordings']} {real}"
        rows.append([what, f"{result['spikes_in_per_step']:.0f}", *times])
    wrong = sum(
        peer["differing_spikes"]
        for result in results
        for name, peer in result["peers"].items()
        if name in ("spikec", "spikec, dense kernels")
    )
    about = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    return (
        f"{_table(rows)}\n\n{found['rounds']} rounds. Spikes of spikec that differ from "
        f"snnTorch's: {wrong}. Measured on: {about}."
    )


def peers(found: dict[str, Any]) -> str:
    """``//benchmarks:peers``: a row a share of active inputs, and a sentence on batches."""
    names = list(next(iter(found["us"].values())))
    rows = [["inputs active", *names]]
    for share, times in found["us"].items():
        rows.append([f"{float(share):.0%}", *(f"{times[name]:.1f} us" for name in names)])
    batches = ", ".join(f"{us:.0f} us in a batch of {n}" for n, us in found["batch_us"].items())
    return (
        f"{_table(rows)}\n\n{found['network']}, random inputs. ONNX Runtime is faster "
        f"{_share(found['onnx_from'])}. snnTorch, a step of one sample: {batches}."
    )


def cortex_m7(found: list[dict[str, Any]]) -> str:
    """``//benchmarks:cortex_m7``: three rows a network, ours, ours in int8 and the plain loops'."""
    rows = [
        ["network", "program", "instructions a step", "most", "est. cycles of one step",
         "code B", "tables B", "state B"],
    ]  # fmt: skip
    notes = []
    for result in found:
        for name, key in (
            ("spikec", "spikec"), ("spikec, int8", "int8"), ("plain dense loops", "plain"),
        ):  # fmt: skip
            program = result[key]
            size = program["size"]
            rows.append(
                [
                    result["network"], name, f"{program['instructions']:,.0f}",
                    f"{program['most']:,}", f"{program['traced']['cycles']:,}",
                    f"{size['code']:,}", f"{size['tables']:,}", f"{size['state']:,}",
                ]
            )  # fmt: skip
        times = result["plain"]["instructions"] / result["spikec"]["instructions"]
        notes.append(f"{result['network']} {times:.1f}x ({result['recordings']} {result['what']})")
    return f"{_table(rows)}\n\nPlain loops / spikec, in instructions: {'; '.join(notes)}."


def growth(found: list[dict[str, Any]]) -> str:
    """``//benchmarks:growth``: a row a sweep and target."""
    rows = [["varied", "from", "to", "cost", "fitted to x", "R²", "largest residual"]]
    costs = {"us": ("host", "us"), "instructions": ("Cortex-M7", "instructions")}
    notes = []
    for sweep in found:
        first, last = sweep["points"][0], sweep["points"][-1]
        for name, (where, unit) in costs.items():  # the dense kernels' lines are flat
            line = sweep["lines"][name]
            digits = 2 if unit == "us" else 0
            rows.append(
                [
                    f"{sweep['name']}; x: {sweep['x']}", f"{first['setting']:g}",
                    f"{last['setting']:g}", where,
                    f"{line['intercept']:,.{digits}f} + {line['slope']:.4g} x {unit}",
                    f"{line['r_squared']:.5f}", f"{100 * line['largest_residual']:.1f} %",
                ]
            )  # fmt: skip
        notes += [
            f"{costs[name][0]} {_share(share)} (measured)"
            for name, share in sweep["crossover"].items()
        ]
        notes += [f"{name} {_share(share)} (estimated)" for name, share in sweep["layers"].items()]
    return f"{_table(rows)}\n\nThe dense kernels are cheaper: {', '.join(notes)}."


def hot_loops(found: dict[str, list[dict[str, Any]]]) -> str:
    """``//benchmarks:hot_loops``: a row a kernel and target."""
    rows = [["target", "kernel", "per", "instr.", "loads", "stores", "arithmetic", "bound",
             "measured", "measured / bound"]]  # fmt: skip
    for target, name, unit in (("cortex_m7", "Cortex-M7", "instr."), ("host", "host", "ns")):
        rows += [
            [
                name, bound["kernel"], bound["unit"],
                *(f"{bound[x]:.3g}" for x in ("instructions", "loads", "stores", "arithmetic")),
                f"{bound['bound']:.3g} {unit}", f"{bound['measured']:.3g} {unit}",
                f"{bound['measured'] / bound['bound']:.1f}",
            ]
            for bound in found[target]
        ]  # fmt: skip
    return _table(rows)


def pareto(found: list[dict[str, Any]]) -> str:
    """``//benchmarks:pareto``: a row a network and kind of numbers."""
    rows = [["network", "numbers", "steps", "held out right", "95 % interval",
             "instructions a recording", "code + tables B", "state B"]]  # fmt: skip
    rows += [
        [
            point["network"], point["numbers"], str(point["steps"]),
            f"{point['right']} of {point['total']}, {100 * point['accuracy']:.2f} %",
            f"{100 * point['low']:.1f} to {100 * point['high']:.1f} %",
            f"{point['instructions']:,.0f}", f"{point['code'] + point['tables']:,}",
            f"{point['state']:,}",
        ]
        for point in found
    ]  # fmt: skip
    return f"{_table(rows)}\n\nInstructions are a mean of {found[0]['counted']} recordings."


TABLES: dict[str, Callable[[Any], str]] = {
    "host": host,
    "peers": peers,
    "cortex_m7": cortex_m7,
    "growth": growth,
    "hot_loops": hot_loops,
    "pareto": pareto,
}


def _share(share: float | None) -> str:
    return "never" if share is None or share > 1 else f"from {share:.0%} active on"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first row is its head."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    head, *body = rows
    return "\n".join([line(head), line(["---"] * len(head)), *map(line, body)])


def replaced(document: str, name: str, table: str) -> str:
    """The document with one table replaced.

    Raises:
        ValueError: it has no place for that table.
    """
    place = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    found, times = place.subn(lambda match: f"{match[1]}{table}\n{match[2]}", document)
    if times != 1:
        raise ValueError(f"the document has {times} places for the table {name!r}; one is needed.")
    return found


def read(path: Path) -> Any:
    """The JSON of a file; what bazel run prints before it, where it had to build, is left out."""
    text = path.read_text(encoding="utf-8")
    start = re.search(r"^[\[{]$", text, re.MULTILINE)
    if start is None:
        raise ValueError(f"{path}: holds no JSON; write it by the benchmark with --json.")
    return json.loads(text[start.start() :])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when a file is not what it should be; then nothing is written."""
    parser = argparse.ArgumentParser(description="Writes benchmarks' results into a document.")
    parser.add_argument("document", type=Path)
    parser.add_argument("results", type=Path, nargs="+", help="host.json, growth.json...")
    options = parser.parse_args(arguments)
    here = Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))  # where bazel run was typed
    try:
        document = (here / options.document).read_text(encoding="utf-8")
        for path in options.results:
            if path.stem not in TABLES:
                raise ValueError(f"{path}: its name is none of {', '.join(TABLES)}.")
            document = replaced(document, path.stem, TABLES[path.stem](read(here / path)))
    except (OSError, ValueError, KeyError, IndexError) as error:
        print(f"performance_tables: {error}", file=sys.stderr)
        return 1
    (here / options.document).write_text(document, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
