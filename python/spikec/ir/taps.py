# SPDX-License-Identifier: Apache-2.0
"""Which outputs an input of a convolution reaches, and which inputs an output reads.

The tables behind the event-driven and the dense kernel.
"""

from __future__ import annotations

import dataclasses
import math

from spikec.ir import network as ir


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """What one input row or column reaches; see ``spk_span`` in the convolution kernel."""

    out: int
    tap: int
    taps: int


def tap_order(kernel: int, stride: int, dilation: int) -> list[int]:
    """The kernel's taps so that one input meets rising, evenly spaced outputs.

    Tap k of input i feeds output ``(i + padding - k * dilation) / stride`` where that is whole, so
    an input uses the taps of one residue class of ``k * dilation mod stride``; within a class,
    falling k gives rising outputs.
    """
    return sorted(range(kernel), key=lambda k: (k * dilation % stride, -k))


def spans(conv: ir.Conv2d, axis: int, size: int) -> list[Span]:
    """The spans of every input row (axis 0) or column (axis 1) of a convolution."""
    kernel = conv.weight.shape[axis]
    stride, padding, dilation = conv.stride[axis], conv.padding[axis], conv.dilation[axis]
    outs = (conv.shape.height, conv.shape.width)[axis]
    order = tap_order(kernel, stride, dilation)
    result = []
    for i in range(size):
        reached = [
            ((i + padding - k * dilation) // stride, place)
            for place, k in enumerate(order)
            if (i + padding - k * dilation) % stride == 0
            and 0 <= (i + padding - k * dilation) // stride < outs
        ]
        result.append(
            Span(reached[0][0], reached[0][1], len(reached)) if reached else Span(0, 0, 0)
        )
    return result


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """What one output row or column reads inside the input; see ``spk_field``."""

    first: int
    tap: int
    taps: int


def fields(conv: ir.Conv2d, axis: int, size: int) -> list[Field]:
    """The receptive fields of every output row (axis 0) or column (axis 1) of a convolution."""
    kernel = conv.weight.shape[axis]
    stride, padding, dilation = conv.stride[axis], conv.padding[axis], conv.dilation[axis]
    result = []
    for out in range((conv.shape.height, conv.shape.width)[axis]):
        start = out * stride - padding
        inside = [k for k in range(kernel) if 0 <= start + k * dilation < size]
        result.append(
            Field(start + inside[0] * dilation, inside[0], len(inside))
            if inside
            else Field(0, 0, 0)
        )
    return result


def tap_step(stride: int, dilation: int) -> int:
    """The distance between the outputs that two neighbouring taps of one input feed."""
    return dilation // math.gcd(stride, dilation)
