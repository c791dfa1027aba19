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

from typing import TYPE_CHECKING

from spikec.errors import SpikecError
from spikec.model import Model, Report
from spikec.version import VERSION

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Model", "Report", "SpikecError", "__version__", "compile"]


__version__ = VERSION


def compile(
    net: nn.Module,
    input_shape: tuple[int, ...],
    name: str = "network",
    numbers: str = "f32",
) -> Model:
    """Compiles a snnTorch network.

    Args:
        net: an ``nn.Sequential`` in eval mode that ends in ``snntorch.Leaky``.
        input_shape: one frame without time and batch, ``(C, H, W)`` or ``(N,)``.
        name: what generated files and symbols are called; a C identifier.
        numbers: the format of weights and membranes; ``"f32"``.

    Raises:
        SpikecError: something in the network is not supported; every reason is listed.
    """
    # torch takes seconds to import; only this needs it.
    from spikec.import_snntorch import import_network

    return Model.of(import_network(net, input_shape, source=type(net).__name__), name, numbers)
