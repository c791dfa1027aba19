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
from typing import TYPE_CHECKING

from spikec.errors import SpikecError
from spikec.model import Model, Report
from spikec.version import VERSION

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

__all__ = ["Model", "Report", "SpikecError", "__version__", "compile"]


__version__ = VERSION


def compile(
    net: nn.Module,
    input_shape: tuple[int, ...],
    name: str = "network",
    numbers: str = "f32",
    kernels: str = "auto",
    calibration: Sequence[npt.ArrayLike] | None = None,
    input_max: int | None = None,
) -> Model:
    """Compiles a snnTorch network.

    Args:
        net: an ``nn.Sequential`` in eval mode that ends in ``snntorch.Leaky``.
        input_shape: one frame without time and batch, ``(C, H, W)`` or ``(N,)``.
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
            checks; with ``"int8"`` inputs are whole numbers, and it is 255 unless given. The
            smaller it is, the fewer bits integer membranes take.

    Raises:
        SpikecError: something in the network is not supported; every reason is listed.
    """
    # torch takes seconds to import; only this needs it.
    from spikec.import_snntorch import import_network

    return Model.of(
        import_network(net, input_shape, source=type(net).__name__),
        name,
        numbers,
        kernels,
        calibration,
        input_max,
    )
