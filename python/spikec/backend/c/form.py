# SPDX-License-Identifier: Apache-2.0
"""What is written of a network apart from itself: for which CPU, and with what beside it."""

from __future__ import annotations

import dataclasses

from spikec.backend.c.target import CACHE_LINES, Target
from spikec.ir.operations import Plan


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """The form in which a network is written.

    Attributes:
        target: the CPU whose instructions NAME.c may use.
        driven: whether an observer can watch a step, and a handle in NAME_model.h and NAME_model.c
            serves drivers that run any network. Tests, Python and profiles ask for it.
        levels: further levels of x86-64, each in a file of its own, NAME_v3.c and NAME_v4.c; a step
            takes the best one that the CPU at hand has.
    """

    target: Target = "generic"
    driven: bool = False
    levels: tuple[Target, ...] = ()

    def describe(self) -> str:
        """The form in a few words, for the head of a file."""
        if self.target == "generic":
            return "generic, any CPU with a C11 compiler"
        more = "".join(f", {level} where the CPU is one" for level in self.levels)
        return f"{self.target}{more}"

    def lay_out(self, planned: Plan) -> Plan:
        """The plan with large buffers filled up to the target's cache line."""
        return dataclasses.replace(planned, cache_line=CACHE_LINES[self.target])


LEVELS = Form("x86-64", driven=True, levels=("x86-64-v3", "x86-64-v4"))
"""For every x86-64, as Bazel builds it."""
