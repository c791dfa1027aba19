# SPDX-License-Identifier: Apache-2.0
"""Several compiled networks in one C file, so that kernels are compiled once for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from spikec.backend.c.expand import begin_target, end_target, expand, strict
from spikec.backend.c.form import Form
from spikec.backend.c.source import write_body
from spikec.backend.c.target import Target
from spikec.model import Model

_STATIC = re.compile(
    r"^(?:SPK_TABLE )?(?:static|enum)\b[^=(\[{;]*?\b(\w+)\s*(?=[=(\[;])", re.MULTILINE
)
"""What a network's own part names for itself."""


def join(models: Iterable[Model], form: Form, level: Target | None = None) -> str:
    """One C file with the NAME.c of all ``models``, or with their files for a ``level``.

    Their indices are all of 16 or all of 32 bits. Tables and functions of the same name are told
    apart by the preprocessor.
    """
    together = list(models)
    target = level or form.target
    bodies = [(model.name, write_body(model.plan, model.name, form, level)) for model in together]
    (wide,) = {model.plan.index == "uint32_t" for model in together}
    kernels = expand("".join(body for _, body in bodies), target, wide)
    lines = [strict(), begin_target(target), "#include <assert.h>", "#include <string.h>"]
    lines += [f"#include {header}" for header in kernels.includes]
    lines += [f'#include "{name}.h"' for name, _ in bodies]
    lines += ["#define SPK_TABLE", kernels.text]
    for name, body in bodies:
        own = sorted(set(_STATIC.findall(body)))
        lines += [f"#define {each} {name}_{each}" for each in own if not each.startswith(name)]
        lines.append(body)
        lines += [f"#undef {each}" for each in own if not each.startswith(name)]
    return "\n".join([*lines, end_target(target)]) + "\n"


def split_by_index(models: Iterable[Model]) -> dict[bool, list[Model]]:
    """The models whose indices are of 16 bits, False, and of 32, True, as far as there are any."""
    found: dict[bool, list[Model]] = {}
    for model in models:
        found.setdefault(model.plan.index == "uint32_t", []).append(model)
    return found
