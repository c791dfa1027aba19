# SPDX-License-Identifier: Apache-2.0
"""snnTorch, the reference and the compiled C agree on networks drawn at random."""

from __future__ import annotations

import pytest

from tests import networks
from tests.semantics import parity_check


@pytest.mark.parametrize("seed", range(60))
def test_a_random_network_spikes_alike_in_snntorch_the_reference_and_c(seed: int) -> None:
    # A lower optimisation compiles in half the time; the table of parity_test builds as users do.
    parity_check.agree(networks.random_case(seed), seed, flags=("-O1",))
