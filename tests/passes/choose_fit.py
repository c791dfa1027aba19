# SPDX-License-Identifier: Apache-2.0
"""Measures what kernels take of a Cortex-M7 and prints ``COSTS`` of ``spikec.passes.choose`` anew.

    bazel run //tests/passes:choose_fit

Prints beside it how far the estimates are from what was measured. Arguments are NAME=VALUE: set in
the environment, where ``spikec.targets.cortex_m7.drive_build`` looks for the compiler and for QEMU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from spikec.passes import choose
from tests.kernels.cases import conv, linear
from tests.passes.choose_measure import DENSITIES, Subject, measure, subject

SUBJECTS: tuple[Subject, ...] = (
    subject("5x5 2->12", (2, 20, 20), conv(12, 5), "events"),
    subject("5x5 12->32", (12, 15, 15), conv(32, 5)),
    subject("5x5 1->6", (1, 16, 16), conv(6, 5), "events"),
    subject("5x5 3->7, padded", (3, 12, 12), conv(7, 5, padding=2)),
    subject("3x3 1->8", (1, 16, 16), conv(8, 3)),
    subject("3x3 8->8, padded", (8, 10, 10), conv(8, 3, padding=1)),
    subject("3x3 16->16, stride 2, padded", (16, 12, 12), conv(16, 3, 2, 1)),
    subject("5x5 8->12, padded", (8, 12, 12), conv(12, 5, padding=2)),
    subject("3x3 32->8", (32, 9, 9), conv(8, 3)),
    subject("7x7 4->20", (4, 14, 14), conv(20, 7)),
    subject("3x3 16->24", (16, 9, 9), conv(24, 3)),
    subject("3x3 4->20, stride 2", (4, 13, 13), conv(20, 3, 2)),
    subject("1x1 24->9", (24, 8, 8), conv(9, 1)),
    subject("2x2 6->3, stride 2", (6, 12, 12), conv(3, 2, 2)),
    subject("7x7 2->8, stride 3", (2, 25, 25), conv(8, 7, 3)),
    subject("3x5 5->11", (5, 11, 14), conv(11, (3, 5))),
    subject("3x3 4->12, dilation 2", (4, 12, 12), conv(12, 3, dilation=2)),
    subject("3x3 8->16, 2 groups", (8, 10, 10), conv(16, 3, groups=2)),
    subject("3x3 8->8, 8 groups", (8, 10, 10), conv(8, 3, padding=1, groups=8)),
    subject("3x3 6->10 of an array", (6, 10, 10), conv(10, 3), "array"),
    subject("5x5 3->24 of an array", (3, 12, 12), conv(24, 5), "array"),
    subject("800->10", (800,), linear(10)),
    subject("64->64", (64,), linear(64)),
    subject("300->3", (300,), linear(3), "events"),
    subject("100->101", (100,), linear(101)),
    subject("33->20", (33,), linear(20), "events"),
    subject("200->40 of an array", (200,), linear(40), "array"),
)  # fmt: skip


def main() -> int:
    """Measures, fits, prints."""
    for setting in sys.argv[1:]:
        name, _, value = setting.partition("=")
        os.environ[name] = value
    rows: list[choose.Terms] = []
    counts: list[float] = []
    labels: list[str] = []
    for one in SUBJECTS:
        for kernels in ("event", "dense"):
            found = measure(one, kernels).instructions
            for density, active, count in zip(DENSITIES, one.active, found, strict=True):
                dense = choose.dense_terms(one.layer, one.before, float(active.sum()), one.reads)
                event = choose.event_terms(one.layer, one.before, active, one.reads)
                rows.append(dense if kernels == "dense" else event)
                counts.append(float(count))
                labels.append(f"{one.name}, {kernels}, {density:.1%}")
    costs = fit(rows, counts)
    print("COSTS: dict[str, float] = {")
    for term, cost in costs.items():
        print(f'    "{term}": {cost},')
    print("}")
    errors = [
        sum(costs[name] * count for name, count in row.items()) / found - 1
        for row, found in zip(rows, counts, strict=True)
    ]
    print(f"# relative error: {np.std(errors):.1%} on average; the largest:")
    for at in np.argsort(-np.abs(errors))[:8]:
        print(f"#   {errors[at]:+.1%} of {counts[at]:,.0f}: {labels[at]}")
    return 0


def fit(rows: Sequence[choose.Terms], counts: Sequence[float]) -> Mapping[str, float]:
    """The costs, none below 0, with which the terms come closest to the counts, relatively."""
    names = sorted({name for row in rows for name in row})
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in rows])
    matrix /= np.array(counts)[:, None]
    used = list(range(len(names)))
    while True:  # leaves out what would come out negative, the most negative first
        solution, *_ = np.linalg.lstsq(matrix[:, used], np.ones(len(rows)), rcond=None)
        if solution.min() >= 0.0:
            break
        del used[int(solution.argmin())]
    found = dict.fromkeys(names, 0.0)
    for at, cost in zip(used, solution.tolist(), strict=True):
        found[names[at]] = round(cost, 2)
    return found


if __name__ == "__main__":
    sys.exit(main())
