# SPDX-License-Identifier: Apache-2.0
"""Finds recordings that are too many, or not ours, to be kept in the repository."""

from __future__ import annotations

import os
from pathlib import Path


def shared_folder(*parts: str) -> Path | None:
    """A folder under ``$SPIKEC_SHARED``, or else under ``shared`` beside the checkout, if there.

    ``parts`` name it: ``shared_folder("data", "nmnist", "Train")``.
    """
    named = os.environ.get("SPIKEC_SHARED")
    if named:
        roots = [Path(named)]
    else:
        # Bazel shows a test its files through links; the links' ends lie in the checkout.
        here = Path(__file__).resolve()
        roots = [top.parent / "shared" for top in here.parents if (top / "WORKSPACE").is_file()]
    for root in roots:
        folder = root.joinpath(*parts)
        if folder.is_dir():
            return folder
    return None
