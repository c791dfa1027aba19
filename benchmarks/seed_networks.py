# SPDX-License-Identifier: Apache-2.0
"""The two networks of the published runtime's JSON format, as the snnTorch modules they are.

They are in the shared data, not in the repository: an architecture and its weights each.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import snntorch as snn
import torch
from torch import nn

SEED_NETWORKS: dict[str, tuple[str, str, tuple[int, int, int]]] = {
    "nmnist": ("snn_nmnist_architecture", "snn_nmnist_weights_bs_32", (2, 34, 34)),
    "stmnist": ("scnn_stmnist_architecture", "scnn_stmnist_weights_bs_64", (2, 10, 10)),
}
"""Name: architecture file, weights file, input shape [C, H, W]."""


def seed_network(folder: Path, name: str) -> nn.Sequential:
    """The seed network ``name`` from the files in ``folder``, in eval mode."""
    architecture, weights, _ = SEED_NETWORKS[name]
    layers = json.loads((folder / f"{architecture}.json").read_text())["layers"]
    net = nn.Sequential(*(_layer(layer) for layer in layers))
    state = json.loads((folder / f"{weights}.json").read_text())
    missing = net.load_state_dict(
        {key: torch.tensor(value) for key, value in state.items()}, strict=False
    )
    if missing.unexpected_keys or any("weight" in key for key in missing.missing_keys):
        raise ValueError(f"{weights}.json does not hold the weights of {architecture}.json")
    return net.eval()


def _layer(layer: dict[str, Any]) -> nn.Module:
    leaky: nn.Module
    match layer["type"]:
        case "Conv2d":
            return nn.Conv2d(
                layer["in_channels"], layer["out_channels"], tuple(layer["kernel_size"])
            )
        case "MaxPool2d":
            return nn.MaxPool2d(layer["kernel_size"])
        case "Flatten":
            return nn.Flatten()
        case "Linear":
            return nn.Linear(layer["in_features"], layer["out_features"])
        case "SpikingLayer":
            leaky = snn.Leaky(beta=layer["beta"], init_hidden=True, output=layer["output"])
            return leaky
        case other:
            raise ValueError(f"the published format has no layer {other!r}")
