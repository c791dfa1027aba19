# SPDX-License-Identifier: Apache-2.0
"""Compiles trained snnTorch networks into plain C that computes exactly the same spikes.

```python
model = spikec.compile(net, input_shape=(2, 34, 34), name="nmnist")
model.write("out/")            # nmnist.h, nmnist.c and what they include
host = model.build()           # the same files, compiled for this machine
spikes = host.run(frames)      # frames [T, C, H, W] -> spikes [T, outputs]
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from spikec.errors import SpikecError
from spikec.version import VERSION

if TYPE_CHECKING:
    import os

    import numpy.typing as npt
    from torch import nn

    from spikec.frontends.load import Loaded
    from spikec.frontends.pytorch.module import Problem
    from spikec.ir.network import Network
    from spikec.learning.to_torch import to_torch
    from spikec.measure.evaluate import Evaluation
    from spikec.measure.profile import Profile
    from spikec.model import KERNELS, NUMBERS, LayerReport, Model, Report
    from spikec.semantics.readout import Decision, Kind
    from spikec.targets.host import Host

__all__ = [
    "Decision", "Evaluation", "Host", "LayerReport", "Loaded", "Model", "Network", "Problem",
    "Profile", "Report", "SpikecError", "__version__", "check", "compile", "load", "to_torch",
]  # fmt: skip

__version__ = VERSION

_WHERE = {
    "Decision": "spikec.semantics.readout",
    "Evaluation": "spikec.measure.evaluate",
    "Host": "spikec.targets.host",
    "LayerReport": "spikec.model",
    "Loaded": "spikec.frontends.load",
    "Model": "spikec.model",
    "Network": "spikec.ir.network",
    "Problem": "spikec.frontends.pytorch.module",
    "Profile": "spikec.measure.profile",
    "Report": "spikec.model",
    "to_torch": "spikec.learning.to_torch",
}


def __getattr__(name: str) -> object:
    """Imports what is asked for, and NumPy or torch with it, only then."""
    if name not in _WHERE:
        raise AttributeError(f"module 'spikec' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)


def load(
    path: str | os.PathLike[str],
    *,
    net: str | None = None,
    input_shape: tuple[int, ...] | None = None,
    name: str = "network",
    numbers: NUMBERS = "f32",
) -> Model:
    """Compiles the network in a file.

    Args:
        path: a network file, NAME.spikec; a NIR graph, NAME.nir; or a checkpoint, NAME.pt.
        net: of a checkpoint, ``package.module:function``, the function that builds its module.
        input_shape: of a checkpoint, one frame without time and batch.
        name: what generated files and symbols are called; a C identifier.
        numbers: the format of weights and membranes, as ``compile`` has it.

    Raises:
        SpikecError: the file cannot be read, or something in the network is not supported.
    """
    from pathlib import Path

    from spikec.frontends.load import load as load_network
    from spikec.model import Model

    loaded = load_network(Path(path), net=net, input_shape=input_shape)
    return Model.of(loaded.network, name, numbers)


def check(net: nn.Module, input_shape: tuple[int, ...]) -> tuple[Problem, ...]:
    """Everything in a network that cannot be compiled; empty when it can be.

    Args:
        net: a module in eval mode.
        input_shape: one frame without time and batch, ``(C, H, W)``, ``(C, L)`` or ``(N,)``.
    """
    from spikec.frontends.pytorch.module import check as check_module

    return check_module(net, input_shape)


def compile(
    net: nn.Module,
    input_shape: tuple[int, ...],
    *,
    name: str = "network",
    numbers: NUMBERS = "f32",
    kernels: KERNELS = "auto",
    calibration: Sequence[npt.ArrayLike] | None = None,
    input_max: int | None = None,
    readout: Kind | None = None,
    early_exit: Literal["exact"] | float | None = None,
    steps: int | None = None,
) -> Model:
    """Compiles a snnTorch network.

    Args:
        net: a module in eval mode that ends in snnTorch's neurons: an ``nn.Sequential``, or one
            with a forward of its own, which takes a frame a call and keeps or returns its states,
            or loops over the time steps itself. The spikes that it returns are the outputs,
            several one after the other; membranes that it returns are not (of a module that
            returns nothing else, as for a regression, ``host.membranes`` gives them).
        input_shape: one frame without time and batch, ``(C, H, W)``, ``(C, L)`` or ``(N,)``.
        name: what generated files and symbols are called; a C identifier.
        numbers: the format of weights and membranes: ``"f32"``, the same spikes as snnTorch's; or
            ``"int8"``, int8 weights and integer membranes, a quarter of the bytes and spikes that
            differ a little, the same on every target.
        kernels: of convolutions and linear layers: ``"event"``, whose cost grows with what fires;
            ``"dense"``, whose cost is always the same; ``"auto"``, which takes for each layer the
            one that ``calibration`` says is cheaper on a Cortex-M7, and without calibration the
            event-driven one. The spikes are the same.
        calibration: recordings such as the network will see, frames ``[T, *input_shape]`` each.
        input_max: declares that every input value is within 0 and this, which the generated C then
            checks; with ``"int8"`` inputs are integers, and it is 255 unless given. The
            smaller it is, the fewer bits integer membranes take.
        readout: adds C that decides the class: the output with the most spikes, ``"count"``; the
            first one that spikes, ``"first"``; or the one with the largest membrane after the last
            step, ``"last"``, after any, ``"max"``, or summed over all, ``"sum"``.
        early_exit: when the readout is sure: ``"exact"``, once the class cannot change any more; or
            a number, once it is that far ahead of every other one, in spikes or membrane.
        steps: time steps of a recording, after which the readout has decided at the latest.

    Raises:
        SpikecError: something in the network is not supported; every reason is listed. Or what was
            read does not spike as the module does on random frames, which is a fault of spikec.
    """
    # torch takes seconds to import; only this needs it.
    from spikec.frontends.pytorch.module import import_network
    from spikec.model import Model

    return Model.of(
        import_network(net, input_shape, source=type(net).__name__),
        name,
        numbers,
        kernels,
        calibration,
        input_max,
        readout,
        early_exit,
        steps,
    )
