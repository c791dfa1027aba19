# SPDX-License-Identifier: Apache-2.0
"""Asserts that snnTorch, the reference and the compiled C agree on one network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import spikec
from spikec.frontends.pytorch import execute
from tests import networks


def agree(case: networks.Case, seed: int = 0, flags: tuple[str, ...] = ()) -> None:
    """Compiles a case's network and compares every layer, step and neuron over its recordings.

    Spikes equal snnTorch's, bits equal the reference's; on a grid, membranes equal snnTorch's too.
    """
    prepared = networks.prepare(case, seed)
    for layer, rate in prepared.rates.items():
        assert networks.LOWEST <= rate <= networks.HIGHEST, (
            f"layer {layer} spikes at a rate of {rate:.3f}: comparing it would prove nothing"
        )
    model = spikec.compile(prepared.net, input_shape=case.shape, name="case_under_test")
    host = model.build(flags)
    spikes = dict.fromkeys(prepared.rates, 0)
    for frames in prepared.recordings:
        theirs = execute.trace(prepared.net, frames)
        c = execute.Run(host.trace(frames), host.membranes(frames))
        ours = execute.run_reference(model.network, frames)
        assert set(c.spikes) == set(theirs.spikes)
        found = execute.compare(model.network, c, ours, theirs)
        assert found.holds, str(found)
        for tie in found.parity.ties:
            print(tie)
        if case.grid:
            assert not found.parity.ties, str(found)
            for layer, membranes in theirs.membranes.items():
                np.testing.assert_array_equal(c.membranes[layer], membranes, layer)
        if not found.parity.ties:
            _outputs_equal(prepared, host.run(frames), frames)
        for layer, values in theirs.spikes.items():
            spikes[layer] += int(np.count_nonzero(values))
    assert all(spikes.values()), spikes


def _outputs_equal(
    prepared: networks.Prepared, ours: npt.NDArray[np.generic], frames: networks.Frames
) -> None:
    """What the whole network hands out, the layers after the last Leaky included."""
    theirs = execute.find_outputs(prepared.net, frames)
    np.testing.assert_array_equal(ours, theirs.reshape(len(frames), -1))
