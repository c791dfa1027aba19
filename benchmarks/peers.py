# SPDX-License-Identifier: Apache-2.0
"""Where a peer wins: ONNX Runtime where much is active, snnTorch where many samples run at once.

One network, the seed one for N-MNIST where it is here and else models/nmnist, with random inputs.
One thread each, in one run, the least of interleaved rounds. That the spikes are right is
``benchmarks/host.py``'s to check.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import snntorch
import torch
from torch import nn

import spikec
from benchmarks.host import DENSE, ONNX, OURS, Frames, Run
from benchmarks.onnx_peer import onnx_run
from benchmarks.seed_networks import seed_network
from models.nmnist.net import INPUT_SHAPE, net
from spikec.errors import SpikecError
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.recordings.shared import shared_folder

DENSITIES = (0.01, 0.03, 0.1, 0.3, 0.5, 1.0)
BATCHES = (1, 16, 64, 256)
_STEPS = 50
_BATCH_STEPS = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Peers:
    """Microseconds a step: by share of active inputs and peer; of snnTorch by samples in a batch.

    ``onnx_from`` is the share of active inputs from which on ONNX Runtime is faster than the
    event-driven kernels, between two that were measured; None where it never is.
    ``batch_us`` are a sample's, with 3 % of its inputs active; so many are in an N-MNIST step.
    """

    network: str
    us: dict[str, dict[str, float]]
    onnx_from: float | None
    batch_us: dict[str, float]

    def __str__(self) -> str:
        names = list(next(iter(self.us.values())))
        lines = [f"{self.network}, random inputs: us a step"]
        lines.append(f"  {'active':>8}" + "".join(f"{name:>24}" for name in names))
        for share, times in self.us.items():
            lines.append(f"  {share:>8}" + "".join(f"{times[name]:>24.1f}" for name in names))
        where = "never" if self.onnx_from is None else f"from {self.onnx_from:.0%} active on"
        lines.append(f"  ONNX Runtime is faster than {OURS}: {where}")
        lines.append("snnTorch, us a step and sample, by samples in a batch:")
        lines += [f"  {batch:>8}{us:>24.1f}" for batch, us in self.batch_us.items()]
        return "\n".join(lines)


def measure(name: str, module: nn.Module, rounds: int) -> Peers:
    """Times all of them on ``module``, whose input is N-MNIST's."""
    random = np.random.default_rng(0)
    event = spikec.compile(module, INPUT_SHAPE, kernels="event")
    dense = spikec.compile(module, INPUT_SHAPE, kernels="dense")
    runs: dict[str, Run] = {
        OURS: event.build().run,
        DENSE: dense.build().run,
        ONNX: onnx_run(event.network),
    }
    us: dict[str, dict[str, float]] = {}
    for density in DENSITIES:
        frames: Frames = (random.random((_STEPS, *INPUT_SHAPE)) < density).astype(np.float32)
        least = dict.fromkeys(runs, float("inf"))
        for _ in range(rounds):
            for peer, run in runs.items():
                least[peer] = min(least[peer], _us(run, frames) / _STEPS)
        us[f"{density:g}"] = least
    neurons = [layer for layer in module.modules() if isinstance(layer, snntorch.Leaky)]

    def batched(frames: Frames) -> None:
        for layer in neurons:
            layer.reset_mem()
        with torch.no_grad():
            for frame in torch.from_numpy(frames):
                module(frame)

    batch_us = {}
    for batch in BATCHES:
        shape = (_BATCH_STEPS, batch, *INPUT_SHAPE)
        frames = (random.random(shape) < 0.03).astype(np.float32)
        spent = min(_us(batched, frames) for _ in range(rounds))
        batch_us[str(batch)] = spent / _BATCH_STEPS / batch
    return Peers(name, us, _crossing([us[f"{d:g}"] for d in DENSITIES]), batch_us)


def _us(run: Callable[[Frames], object], frames: Frames) -> float:
    start = time.perf_counter()
    run(frames)
    return 1e6 * (time.perf_counter() - start)


def _crossing(points: Sequence[dict[str, float]]) -> float | None:
    """The share from which on ONNX Runtime is faster, on straight lines between the points."""
    ahead = [point[ONNX] - point[OURS] for point in points]
    if ahead[-1] >= 0:
        return None
    at = max((i for i, margin in enumerate(ahead) if margin >= 0), default=None)
    if at is None:
        return 0.0
    part = ahead[at] / (ahead[at] - ahead[at + 1])
    return DENSITIES[at] + part * (DENSITIES[at + 1] - DENSITIES[at])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when it cannot be measured."""
    parser = argparse.ArgumentParser(description="Where a peer wins, one thread, one run.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--checkpoint", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        if options.rounds < 1:
            raise SpikecError(f"--rounds {options.rounds}: give at least 1.")
        seed = shared_folder("data", "seed")
        if seed is not None:
            found = measure("seed N-MNIST", seed_network(seed, "nmnist"), options.rounds)
        else:
            own = net()
            load_checkpoint(own, options.checkpoint)
            found = measure("models/nmnist", own.eval(), options.rounds)
    except SpikecError as error:
        print(f"peers: {error}", file=sys.stderr)
        return 1
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
