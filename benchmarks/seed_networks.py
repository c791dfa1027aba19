# SPDX-License-Identifier: Apache-2.0
"""Where the two networks of the published runtime's JSON format are, and what they read.

They are in the shared data, not in the repository: an architecture and its weights each.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from spikec.frontends.pytorch.published import published_module

SEED_NETWORKS: dict[str, tuple[str, str, tuple[int, int, int]]] = {
    "nmnist": ("snn_nmnist_architecture", "snn_nmnist_weights_bs_32", (2, 34, 34)),
    "stmnist": ("scnn_stmnist_architecture", "scnn_stmnist_weights_bs_64", (2, 10, 10)),
}
"""Name: architecture file, weights file, input shape [C, H, W]."""


def seed_network(folder: Path, name: str) -> nn.Sequential:
    """The seed network ``name`` from the files in ``folder``, in eval mode."""
    architecture, weights, _ = SEED_NETWORKS[name]
    return published_module(folder / f"{architecture}.json", folder / f"{weights}.json")
