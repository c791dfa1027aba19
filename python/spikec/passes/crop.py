# SPDX-License-Identifier: Apache-2.0
"""Drops the last rows and columns of a convolution that the pooling after it never reads.

A 2x2 pooling of an 11x11 map reads 10x10 of it. Nothing that is left changes by a bit.
"""

from __future__ import annotations

import dataclasses

from spikec.ir import network as ir


def crop(network: ir.Network) -> ir.Network:
    """The network with every convolution as large as its one reader, a pooling, needs it."""
    layers = tuple(
        dataclasses.replace(layer, shape=_read(layer, network.readers(layer.name)))
        if isinstance(layer, ir.Conv2d)
        else layer
        for layer in network.layers
    )
    return dataclasses.replace(network, layers=layers)


def _read(conv: ir.Conv2d, readers: tuple[ir.Layer, ...]) -> ir.Shape:
    """What of the output of ``conv`` is read."""
    if len(readers) != 1 or not isinstance(readers[0], ir.MaxPool2d | ir.AvgPool2d):
        return conv.shape
    pool = readers[0]
    dilation = pool.dilation if isinstance(pool, ir.MaxPool2d) else (1, 1)
    height, width = (
        max(
            first + (taps - 1) * dilation[axis] + 1
            for first, taps in ir.extents(
                outs, size, pool.kernel[axis], pool.stride[axis], pool.padding[axis],
                dilation[axis],
            )
        )
        for axis, (outs, size) in enumerate(
            ((pool.shape.height, conv.shape.height), (pool.shape.width, conv.shape.width))
        )
    )  # fmt: skip
    return dataclasses.replace(conv.shape, height=height, width=width)
