# SPDX-License-Identifier: Apache-2.0
"""Large maps are made band by band: some rows of a convolution, then the neurons that read them."""

from __future__ import annotations

import dataclasses

from spikec.ir import network as ir
from spikec.ir.operations import SIZES, Band, DenseArray, Fire, Operation, Part, Scatter, SpikeList
from spikec.ir.taps import tap_step

BANDS_FROM = 16384
"""Bytes of a convolution's map from which it is made band by band."""
BAND = 12288
"""Bytes of a band, about."""


def join_bands(network: ir.Network, parts: list[Part]) -> tuple[Operation, ...]:
    """Joins convolutions and the neurons that read them where their map would be large."""
    done: list[Operation] = []
    for part in parts:
        scatter = done[-1] if done else None
        if (
            isinstance(part, Fire)
            and isinstance(scatter, Scatter)
            and isinstance(scatter.layer, ir.Conv2d)
            and not isinstance(scatter.reads, DenseArray)
            and scatter.writes is part.reads
            and scatter.writes.bytes >= BANDS_FROM
            and len(network.readers(scatter.layer.name)) == 1
            and tap_step(scatter.layer.stride[0], scatter.layer.dilation[0]) == 1
            and not (
                isinstance(scatter.reads, SpikeList) and scatter.reads.buffer is part.writes.buffer
            )
        ):
            done[-1] = _band(scatter, part)
        else:
            done.append(part)
    return tuple(done)


def _band(scatter: Scatter, fire: Fire) -> Band:
    height = fire.layer.shape.height
    pool = fire.pool.kernel[0] if fire.pool is not None else 1
    shape = scatter.layer.shape
    row = pool * shape.width * shape.channels
    fit = max(1, BAND // (SIZES[scatter.writes.ctype] * row))
    rows = max(rows for rows in range(1, fit + 1) if height % rows == 0)  # all bands of one size
    name = scatter.layer.name
    note = f"[{rows * pool}][{shape.width}][{shape.channels}], a band of {name}"
    current = dataclasses.replace(scatter.writes, length=rows * row, note=note)
    return Band(
        dataclasses.replace(scatter, writes=current),
        dataclasses.replace(fire, reads=current),
        rows,
    )
