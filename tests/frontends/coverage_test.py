# SPDX-License-Identifier: Apache-2.0
"""docs/coverage.md is what the readers say today, and leaves none of them out."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from spikec.frontends.pytorch import coverage
from spikec.frontends.pytorch.layers import LAYERS
from spikec.frontends.pytorch.neurons import NEURONS

ROOT = Path(__file__).resolve().parents[2]


def test_the_document_is_what_is_generated() -> None:
    text = (ROOT / "docs/coverage.md").read_text()
    assert text == coverage.document(), (
        "the readers have changed: "
        "bazel run //python/spikec/frontends/pytorch:coverage > docs/coverage.md"
    )


def test_no_kind_of_neuron_is_left_out() -> None:
    shown = {type(neuron.build()) for neuron in coverage.NEURON_ROWS}
    refused = {type(build()) for _, build, _ in coverage.REFUSALS}
    assert set(NEURONS) <= shown | refused


def test_no_layer_is_left_out() -> None:
    shown: set[type[nn.Module]] = {type(build()) for build in coverage.LAYER_EXAMPLES}
    assert set(LAYERS) <= shown


def test_the_document_is_the_same_every_time() -> None:
    assert coverage.document() == coverage.document()
