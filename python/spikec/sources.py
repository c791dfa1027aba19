# SPDX-License-Identifier: Apache-2.0
"""Finds the C headers that generated code needs, and copies them beside it."""

from __future__ import annotations

from pathlib import Path

from spikec.errors import SpikecError

RUNTIME = ("spk_compiler.h", "spk_observer.h", "spk_spikes.h", "spk_status.h")
"""What every generated NAME.h includes."""
INNER_LOOP = ("spk_run_f32.h", "spk_run_f32_cortex_m7.h", "spk_run_f32_generic.h")
"""What every event-driven kernel includes."""
DRIVER = ("spk_drive.c", "spk_drive.h", "spk_model.h")
"""What drives a network over a whole recording."""
FRONT_END = ("spk_window.h",)
"""What bins a sensor's events on the device."""


def read(name: str) -> str:
    """The text of one of the project's C files, by name.

    Raises:
        SpikecError: this installation lacks it.
    """
    here = Path(__file__).parent
    # Beside the package after `pip install`, at the top of the repository otherwise.
    for root in (here / "cc", here.parent.parent / "cc"):
        for room in ("runtime", "kernels"):
            path = root / room / name
            if path.is_file():
                return path.read_text(encoding="utf-8")
    raise SpikecError(
        f"the C file {name} is missing from this installation of spikec; install it again."
    )
