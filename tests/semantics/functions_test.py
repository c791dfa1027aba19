# SPDX-License-Identifier: Apache-2.0
"""The functions of programs are right to half a unit in the last place, and C has their bits."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikec.backend.c.expand import expand, strict
from spikec.ir import network as ir
from spikec.semantics import functions
from spikec.targets import host


def _source(name: str) -> str:
    """A C file with a loop over one of the functions."""
    run = f"""
void run(const float *restrict x, float *restrict y, unsigned n) {{
  for (unsigned i = 0; i < n; i++) y[i] = spk_{name}_f32(x[i]);
}}
"""
    kernels = expand(run, "generic", wide_index=False)
    includes = "\n".join(f"#include {header}" for header in kernels.includes)
    return f"{strict()}\n{includes}\n{kernels.text}{run}"


FUNCTIONS: dict[str, Callable[[ir.Floats], ir.Floats]] = {
    "sigmoid": functions.sigmoid,
    "tanh": functions.tanh,
}


def numbers() -> ir.Floats:
    """Numbers of every size, and where the functions are cut off."""
    rng = np.random.default_rng(5)
    sizes = np.exp(rng.uniform(-103.0, 88.0, 300_000)) * rng.choice([-1.0, 1.0], 300_000)
    usual = np.concatenate([rng.normal(0.0, scale, 200_000) for scale in (0.1, 2.0, 30.0)])
    ends = [0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, np.inf, -np.inf]
    cuts = [sign * (at + by) for sign in (-1, 1) for at in (20.0, 110.0) for by in (-1e-5, 0, 1e-5)]
    return np.concatenate([sizes, usual, ends, cuts]).astype(np.float32)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_nearest_float_is_returned_almost_always(name: str) -> None:
    x = numbers()
    with np.errstate(over="ignore"):
        wide = x.astype(np.longdouble)
        exact = np.tanh(wide) if name == "tanh" else 1 / (1 + np.exp(-wide))
    found = FUNCTIONS[name](x)
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.longdouble)
    assert found.dtype == np.float32
    assert float((np.abs(found - exact) / unit).max()) < 0.50001


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_shape_is_kept(name: str) -> None:
    x = numbers()[:24]
    for shape in ((24,), (2, 3, 4), (0, 3), ()):
        given = x[: int(np.prod(shape))].reshape(shape)
        assert FUNCTIONS[name](given).shape == shape


@pytest.mark.parametrize("flag", ["-O0", "-O3"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_c_returns_the_same_bits(name: str, flag: str, tmp_path: Path) -> None:
    files = {"run.c": _source(name)}
    for file, text in files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    command = [*host.compiler(), "-std=c11", flag, "-fPIC", "-shared"]
    subprocess.run([*command, "run.c", "-o", "run.so"], cwd=tmp_path, check=True)
    x = numbers()
    y = np.empty_like(x)
    library = ctypes.CDLL(str(tmp_path / "run.so"))
    library.run(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), len(x))
    np.testing.assert_array_equal(y.view(np.uint32), FUNCTIONS[name](x).view(np.uint32))
