# SPDX-License-Identifier: Apache-2.0
"""Folds batch norms into the convolutions and linear layers before them."""

from __future__ import annotations

import dataclasses

import numpy as np

from spikec.ir import network as ir


def fold(network: ir.Network) -> ir.Network:
    """Returns the network without the batch norms that directly follow a Conv2d or a Linear.

    ``(W x + b) * scale + shift = (W * scale) x + (b * scale + shift)``, computed in double and
    rounded once. A batch norm that follows anything else, or whose product would not fit float32,
    stays an ``Affine`` layer.
    """
    layers: dict[str, ir.Layer] = {}
    renamed: dict[str, str] = {}
    for original in network.layers:
        inputs = tuple(renamed.get(name, name) for name in original.inputs)
        layer = dataclasses.replace(original, inputs=inputs)
        before = layers.get(layer.inputs[0])
        if (
            isinstance(layer, ir.Affine)
            and isinstance(before, ir.Conv2d | ir.Linear)
            and len(network.readers(original.inputs[0])) == 1
            and layer.scale.shape[:2] == layer.shift.shape[:2] == (1, 1)
        ):
            scale = np.broadcast_to(layer.scale.ravel(), before.bias.shape).astype(np.float64)
            with np.errstate(over="ignore"):
                weight = (before.weight * scale).astype(np.float32)
                bias = (before.bias * scale + layer.shift.ravel()).astype(np.float32)
            if np.isfinite(weight).all() and np.isfinite(bias).all():
                layers[before.name] = dataclasses.replace(
                    before,
                    source=f"{before.source}, {layer.source}",
                    weight=weight,
                    bias=bias + np.float32(0.0),  # no -0.0 to start a sum from
                )
                renamed[layer.name] = before.name
                continue
        layers[layer.name] = layer
    loops = tuple(
        dataclasses.replace(layer, inputs=tuple(renamed.get(name, name) for name in layer.inputs))
        for layer in layers.values()
    )
    return dataclasses.replace(network, layers=loops)
