# SPDX-License-Identifier: Apache-2.0
"""The functions of programs that are no arithmetic: what ``cc/kernels/spk_math.h`` computes.

Both make the same operations on doubles in the same order, and round the result to float32: so
they agree to the last bit on every machine, which the functions of a C library do not.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from spikec.ir import network as ir

Doubles: TypeAlias = npt.NDArray[np.float64]

_ROUND = 1.5 * 2.0**52  # added to a small number, its last bits are that number, rounded
_LOG2_E = float.fromhex("0x1.71547652b82fep+0")
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")  # times a small integer, it is exact
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_TERMS = tuple(1.0 / math.factorial(k) for k in range(11, 0, -1))


def expm1(y: Doubles) -> Doubles:
    """``exp(y) - 1`` of finite doubles -300 to 300, to 45 bits: small results too.

    Equation: ``y = n ln 2 + r``; ``2**n (exp(r) - 1) + (2**n - 1)``, with Taylor's series of r.
    """
    shifted = y * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r = (y - n * _LN2_HIGH) - n * _LN2_LOW
    series = np.full_like(y, _TERMS[0])
    for term in _TERMS[1:]:
        series = series * r + term
    bits = np.ascontiguousarray(shifted).view(np.uint64)
    power = ((bits + np.uint64(1023)) << np.uint64(52)).view(np.float64)
    result: Doubles = power * (series * r) + (power - 1.0)
    return result


def sigmoid(x: ir.Floats) -> ir.Floats:
    """``1 / (1 + exp(-x))`` of float32 of any shape; ``torch.sigmoid``."""
    y = np.clip(-np.atleast_1d(x).astype(np.float64), -110.0, 110.0)
    return (1.0 / (2.0 + expm1(y))).astype(np.float32).reshape(np.shape(x))


def tanh(x: ir.Floats) -> ir.Floats:
    """``tanh(x)`` of float32 of any shape; ``torch.tanh``."""
    wide = np.atleast_1d(x).astype(np.float64)
    less = expm1(-2.0 * np.minimum(np.abs(wide), 20.0))
    result = np.copysign((0.0 - less) / (2.0 + less), wide)
    return result.astype(np.float32).reshape(np.shape(x))
