# SPDX-License-Identifier: Apache-2.0
"""The table of kernel cases without Bazel, for tests/mutate.py: the C of this machine only.

bazel test //tests/kernels/... is the test: it has every level and the Cortex-M7.
"""

from __future__ import annotations

import numpy as np
import pytest

from spikec.semantics import reference
from tests.kernels import cases


@pytest.mark.parametrize("number", range(len(cases.CASES)))
def test_the_c_of_this_machine_equals_the_reference(number: int) -> None:
    row = cases.CASES[number]
    drawn = cases.draw(row)
    model = cases.model(row, drawn, f"case{number}")
    expected = reference.run(model.network, drawn.frames)
    host = model.build(("-O1",))
    frames = model.network.input.to_axes(drawn.frames)
    spikes, membranes = host.spikes(frames), host.membranes(frames)
    for layer in model.network.spiking:
        fired = expected.spikes[layer.name].reshape(spikes[layer.name].shape)
        assert np.array_equal(spikes[layer.name], fired), layer.name
        found = np.ascontiguousarray(membranes[layer.source])
        kept = layer.shape.to_axes(expected.membranes[layer.name].astype(found.dtype))
        assert found.tobytes() == np.ascontiguousarray(kept).tobytes(), layer.name
