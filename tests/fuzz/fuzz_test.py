# SPDX-License-Identifier: Apache-2.0
"""Random networks do the same in snnTorch, in the reference and in C, and faults are found.

A network that failed once, as the fuzzer prints it, can be pasted here.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from spikec.ir import network as ir
from spikec.semantics import reference
from tests.fuzz import check, generate, run, shrink, spec
from tests.fuzz.spec import Node, Spec, Spread

__all__ = ["Node", "Spread"]  # printed networks name them

NETWORKS = 200


def test_random_networks_do_the_same_in_snntorch_the_reference_and_c() -> None:
    found = run.fuzz(NETWORKS, seed=1)
    print(run.summary(found, 0.0))
    assert not found.failures, run.tests(found.failures, most=3)
    assert found.count.silent_layers <= 0.02 * found.count.layers
    assert found.count.exact_layers >= 0.3 * found.count.layers


def test_what_cannot_run_says_why() -> None:
    assert all(": " in reason for reason in run.reasons().values())


def test_the_text_of_a_network_is_the_network() -> None:
    for number, drawn in run.networks(seed=5, first=0, count=8):
        again = eval(repr(drawn))
        assert again == drawn
        frames = generate.frames(drawn)
        ran = [check.record(spec.build(each), frames).outputs for each in (drawn, again)]
        np.testing.assert_array_equal(ran[0], ran[1], str(number))


def test_a_fault_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = reference.leaky

    def faulty(layer: ir.Leaky, *rest: ir.Floats) -> object:
        if layer.reset == "zero":
            layer = dataclasses.replace(layer, reset="subtract")
        return honest(layer, *rest)

    monkeypatch.setattr(reference, "leaky", faulty)
    cell = generate.Cell("Leaky", "zero", "delayed", "Conv2d")
    drawn = next(
        each
        for each in (generate.draw(seed, cell) for seed in range(20))
        if check.check(each) is not None
    )
    failure = check.check(drawn)
    assert failure is not None

    def same(smaller: Spec) -> bool:
        found = check.check(smaller)
        return found is not None and found.kind == failure.kind

    small = shrink.shrink(drawn, same, tries=60)
    assert len(small.nodes) <= min(2, len(drawn.nodes))
    assert any(node.kind == "Leaky" for node in small.nodes)
    text = shrink.as_test(small, "small", spec.build(small).source, failure.text)
    monkeypatch.undo()
    room = {"check": check, "Spec": Spec, "Node": Node, "Spread": Spread}
    exec(text, room)
    room["test_small"]()  # type: ignore[operator]


def test_the_c_code_that_ends_its_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)

    def dies(*given: object) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(check, "_run_c", dies)
    _, drawn = next(run.networks(seed=2, first=0, count=1))
    failure = check.check(drawn)
    assert failure is not None
    assert failure.stage == "C crash"
