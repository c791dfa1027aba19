# SPDX-License-Identifier: Apache-2.0
"""spikec's C against snnTorch on this machine, one thread each, in one run.

Rounds are interleaved, so that whatever else the machine does meets both; what is printed is the
median of the rounds' ratios with their spread. Both get the same frames and must give the same
spikes, or the benchmark fails.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import spikec
from benchmarks.seed_networks import SEED_NETWORKS, seed_network
from models.nmnist.net import INPUT_SHAPE, net
from spikec import snntorch_trace
from spikec.events import bin_events, read_nmnist
from spikec.import_snntorch import load_checkpoint
from spikec.shared_data import shared_folder


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """Microseconds a step, and the rounds' ratios snnTorch / spikec."""

    network: str
    bins: int
    recordings: int
    snntorch_us: float
    spikec_us: float
    ratio: float
    ratio_low: float
    ratio_high: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0, or 1 when a spike differs."""
    parser = argparse.ArgumentParser(description="spikec against snnTorch, one thread, one run.")
    parser.add_argument("--bins", type=int, nargs="+", default=[50, 300], help="steps a recording")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--limit", type=int, default=5, help="recordings")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--checkpoint", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--recordings", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    real = shared_folder("data", "nmnist", "Train")
    folder = real or options.recordings
    files = sorted(folder.rglob("*.bin"))
    files = files[:: max(1, len(files) // options.limit)][: options.limit]
    if not options.json:
        print(f"{len(files)} {'real' if real else 'simulated'} recordings, one thread")
        print(
            f"{'network':<16}{'bins':>5}{'snnTorch us/step':>18}{'spikec us/step':>16}"
            f"{'ratio':>8}{'(spread)':>16}"
        )
    results = []
    for name, module in _networks(options.checkpoint):
        for bins in options.bins:
            frames = [bin_events(read_nmnist(file), steps=bins) for file in files]
            result = _measure(name, module, frames, options.rounds)
            if result is None:
                print(f"{name} at {bins} bins: a spike differs", file=sys.stderr)
                return 1
            results.append(result)
            if not options.json:
                print(
                    f"{name:<16}{bins:>5}{result.snntorch_us:>18.1f}{result.spikec_us:>16.2f}"
                    f"{result.ratio:>7.1f}x{f'({result.ratio_low:.1f}-{result.ratio_high:.1f})':>16}",
                    flush=True,
                )
    if options.json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
    return 0


def _networks(checkpoint: Path) -> Iterator[tuple[str, nn.Module]]:
    own = net()
    load_checkpoint(own, checkpoint)
    yield "models/nmnist", own.eval()
    folder = shared_folder("data", "seed")
    if folder is not None:
        yield "seed N-MNIST", seed_network(folder, "nmnist")


def _measure(
    name: str, module: nn.Module, recordings: list[npt.NDArray[np.float32]], rounds: int
) -> Result | None:
    """Times both over all recordings; None when their spikes differ."""
    assert SEED_NETWORKS["nmnist"][2] == INPUT_SHAPE
    host = spikec.compile(module, INPUT_SHAPE, name="benchmark").build()
    for frames in recordings:
        expected = snntorch_trace.trace(module, frames).spikes
        found = host.trace(frames)
        if any(not np.array_equal(found[layer], spikes) for layer, spikes in expected.items()):
            return None

    def run_snntorch() -> None:
        with torch.no_grad():
            for frames in recordings:
                for frame in torch.from_numpy(frames)[:, None]:
                    module(frame)

    def run_spikec() -> None:
        for frames in recordings:
            host.run(frames)

    steps = sum(len(frames) for frames in recordings)
    run_spikec()  # the first pages of everything
    pairs = [
        (_seconds(run_snntorch) / steps * 1e6, _seconds(run_spikec) / steps * 1e6)
        for _ in range(rounds)
    ]
    ratios = [slow / fast for slow, fast in pairs]
    return Result(
        name,
        len(recordings[0]),
        len(recordings),
        statistics.median(slow for slow, _ in pairs),
        statistics.median(fast for _, fast in pairs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def _seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
