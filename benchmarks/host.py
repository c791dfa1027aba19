# SPDX-License-Identifier: Apache-2.0
"""spikec's C against what a user would take instead, on this machine, one thread each, in one run.

The peers are ONNX Runtime, snnTorch, spikec's own dense kernels and its int8. All get the same
frames, as float32 arrays made before, and are timed from a recording's frames to its output spikes.
ONNX Runtime is there twice: as a Scan, which needs the whole recording before, and as a call a
step, which can follow a live sensor as spikec and snnTorch do. Rounds are interleaved, so that
whatever else the machine does meets everybody; what is printed is the median over rounds, and of
the rounds' ratios to spikec with their spread. Spikes are compared with snnTorch's: a spike of ours
that differs, in any layer, is an error; not so of int8, which rounds weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

import spikec
from benchmarks.onnx_peer import onnx_run, onnx_run_by_steps
from benchmarks.seed_networks import SEED_NETWORKS, seed_network
from benchmarks.stmnist import WINDOW_S, taxel_frames
from models.nmnist.net import INPUT_SHAPE, net
from spikec.errors import SpikecError
from spikec.frontends.pytorch import execute
from spikec.frontends.pytorch.checkpoint import load_checkpoint
from spikec.recordings import dataset
from spikec.recordings.events import bin_events, read_nmnist
from spikec.recordings.shared import shared_folder
from spikec.targets.host import compiler

Frames: TypeAlias = npt.NDArray[np.float32]
Run: TypeAlias = Callable[[Frames], npt.NDArray[np.generic]]
"""Frames ``[T, C, H, W]`` -> output spikes ``[T, outputs]``, from the reset state."""

OURS = "spikec"
DENSE = "spikec, dense kernels"
INT8 = "spikec, int8"
ONNX = "ONNX Runtime, a Scan"
ONNX_BY_STEPS = "ONNX Runtime, step by step"
SNNTORCH = "snnTorch"

OWN_NETWORK = "models/nmnist"
SEED_NMNIST = "seed-nmnist"
SEED_STMNIST = "seed-stmnist"
NETWORKS = (OWN_NETWORK, SEED_NMNIST, SEED_STMNIST)

_SHORTEST_S = 0.02
"""A fast peer goes over the recordings again until a round of it is about this long."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network and recordings, each ``[T, C, H, W]``.

    ``bins`` is how many steps a recording was cut into, ``None`` where steps are windows of
    ``window_s`` seconds. ``real`` recordings come from a sensor, others were simulated.
    """

    network: str
    module: nn.Module
    input_shape: tuple[int, int, int]
    recordings: tuple[Frames, ...]
    real: bool
    bins: int | None
    window_s: float | None

    @property
    def steps(self) -> int:
        """The steps of all recordings together."""
        return sum(len(frames) for frames in self.recordings)

    def __str__(self) -> str:
        binned = f"{self.bins} bins" if self.window_s is None else f"{self.window_s * 1000:g} ms"
        kind = "real" if self.real else "simulated"
        return f"{self.network}, {binned}, {len(self.recordings)} {kind} recordings"


@dataclasses.dataclass(frozen=True, slots=True)
class Timing:
    """One peer: microseconds a step, and how many times spikec's that is in the rounds.

    Of ``differing_spikes`` spikec's own count all layers and the last one again, the other peers'
    the last one.
    """

    us_per_step: float
    ratio: float
    ratio_low: float
    ratio_high: float
    differing_spikes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """One case; ``spikes_in_per_step`` are the inputs that are not zero, in the mean."""

    network: str
    bins: int | None
    window_s: float | None
    recordings: int
    real: bool
    steps: int
    spikes_in_per_step: float
    peers: dict[str, Timing]

    @property
    def holds(self) -> bool:
        """Whether no spike of ours differs from snnTorch's."""
        return not any(self.peers[name].differing_spikes for name in (OURS, DENSE))

    def __str__(self) -> str:
        lines = [f"{'':<28}{'us/step':>10}{'/ spikec':>11}{'(spread)':>18}{'differing spikes':>19}"]
        for name, timing in self.peers.items():
            spread = f"({timing.ratio_low:.1f}-{timing.ratio_high:.1f})"
            lines.append(
                f"  {name:<26}{timing.us_per_step:>10.2f}{timing.ratio:>10.1f}x{spread:>18}"
                f"{timing.differing_spikes:>19}"
            )
        return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 when a spike of ours differs, or the benchmark cannot run."""
    options = _parser().parse_args(arguments)
    try:
        return _benchmark(options)
    except SpikecError as error:
        print(f"host: {error}", file=sys.stderr)
        return 1


def _benchmark(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    about = machine()
    if not options.json:
        print(", ".join(f"{name} {value}" for name, value in about.items()))
        print(f"one thread each, {options.rounds} rounds")
    results = []
    for case in cases(options):
        result = measure(case, options.rounds)
        results.append(result)
        if not options.json:
            print(f"\n{case}: {case.steps} steps, {result.spikes_in_per_step:.1f} spikes in a step")
            print(result, flush=True)
    if options.json:
        print(
            json.dumps(
                {
                    "machine": about,
                    "rounds": options.rounds,
                    "results": [dataclasses.asdict(result) for result in results],
                },
                indent=2,
            )
        )
    wrong = [result.network for result in results if not result.holds]
    if wrong:
        print(f"spikes of spikec differ from snnTorch's: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="spikec and its peers, one thread, one run.")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument(
        "--bins", type=_positive, nargs="+", default=[50, 300], help="steps an N-MNIST recording"
    )
    parser.add_argument("--rounds", type=_positive, default=7)
    parser.add_argument("--limit", type=_positive, default=10, help="recordings a network, at most")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--checkpoint", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--recordings", type=Path, required=True, help=argparse.SUPPRESS)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 up")
    return int(text)


def machine() -> dict[str, Any]:
    """What a time depends on: the processor, the compiler, the packages' versions."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        info = ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    version = subprocess.run(
        [*compiler(), "--version"], capture_output=True, text=True, check=True
    ).stdout
    packages = ("numpy", "torch", "snntorch", "onnxruntime")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "compiler": version.partition("\n")[0],
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """The networks that were asked for with their recordings; says which are not here."""
    seed = shared_folder("data", "seed")
    real = shared_folder("data", "nmnist", "Train")
    stmnist = shared_folder("data", "stmnist")
    for network in options.networks:
        if network == OWN_NETWORK:
            module = net()
            load_checkpoint(module, options.checkpoint)
            module.eval()
        elif seed is None:
            print(f"{network} is skipped: the shared folder data/seed is not here", file=sys.stderr)
            continue
        else:
            module = seed_network(seed, network.removeprefix("seed-"))
        if network != SEED_STMNIST:
            files = spread(real or options.recordings, real is not None)[: options.limit]
            for bins in options.bins:
                recordings = tuple(bin_events(read_nmnist(file), steps=bins) for file in files)
                yield Case(network, module, INPUT_SHAPE, recordings, real is not None, bins, None)
        elif stmnist is None:
            print(
                f"{network} is skipped: the shared folder data/stmnist is not here", file=sys.stderr
            )
        else:
            files = sorted(stmnist.glob("*.mat"))[: options.limit]
            recordings = tuple(taxel_frames(file) for file in files)
            shape = SEED_NETWORKS["stmnist"][2]
            yield Case(network, module, shape, recordings, True, None, WINDOW_S)


def spread(folder: Path, held_out: bool) -> list[Path]:
    """The recordings in ``folder/0`` to ``folder/9``: the first of every digit, the second...

    ``held_out`` leaves out those that models/nmnist was trained on.
    """
    digits = [
        [
            file
            for file in sorted((folder / str(digit)).glob("*.bin"))
            if not held_out or dataset.held_out(file.name)
        ]
        for digit in range(10)
    ]
    found = [file for row in itertools.zip_longest(*digits) for file in row if file is not None]
    if not found:
        raise SpikecError(
            f"{folder}: has no recordings; give a folder with the digits' folders 0 to 9 in it."
        )
    return found


def measure(case: Case, rounds: int) -> Result:
    """Compares the spikes of all peers over all recordings, then times them."""
    hosts = {
        OURS: compiled(case).build(),
        DENSE: compiled(case, kernels="dense").build(),
        INT8: compiled(case, numbers="int8").build(),
    }
    network = compiled(case).network
    runs: dict[str, Run] = {
        **{name: host.run for name, host in hosts.items()},
        ONNX: onnx_run(network),
        ONNX_BY_STEPS: onnx_run_by_steps(network),
        SNNTORCH: snntorch_run(case.module),
    }
    differing = dict.fromkeys(runs, 0)
    for frames in case.recordings:
        layers = execute.trace(case.module, frames).spikes
        for name, host in hosts.items():
            found = host.trace(frames)
            differing[name] += sum(differences(found[x], spikes) for x, spikes in layers.items())
        outputs = runs[SNNTORCH](frames)
        for name, run in runs.items():
            differing[name] += differences(run(frames), outputs)
    passes = {
        name: math.ceil(_SHORTEST_S / _seconds(run, case.recordings)) for name, run in runs.items()
    }
    us: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds = _seconds(run, case.recordings * passes[name])
            us[name].append(seconds / passes[name] / case.steps * 1e6)
    ratios = {
        name: [its / ours for its, ours in zip(times, us[OURS], strict=True)]
        for name, times in us.items()
    }
    return Result(
        case.network,
        case.bins,
        case.window_s,
        len(case.recordings),
        case.real,
        case.steps,
        sum(int(np.count_nonzero(frames)) for frames in case.recordings) / case.steps,
        {
            name: Timing(
                statistics.median(us[name]),
                statistics.median(ratios[name]),
                min(ratios[name]),
                max(ratios[name]),
                differing[name],
            )
            for name in runs
        },
    )


def compiled(case: Case, **options: Any) -> spikec.Model:
    """The case's network, compiled; ``options`` are ``spikec.compile``'s."""
    return spikec.compile(case.module, case.input_shape, name="benchmark", **options)


def snntorch_run(module: nn.Module) -> Run:
    """What runs ``module`` as snnTorch does: a forward call a step."""
    neurons = [layer for layer in module.modules() if isinstance(layer, snntorch.Leaky)]

    def run(frames: Frames) -> npt.NDArray[np.generic]:
        for layer in neurons:
            layer.reset_mem()
        with torch.no_grad():
            spikes = [module(frame)[0] for frame in torch.from_numpy(frames)[:, None]]
            outputs: npt.NDArray[np.generic] = torch.cat(spikes).numpy()
        return outputs

    return run


def differences(found: npt.NDArray[np.generic], expected: npt.NDArray[np.generic]) -> int:
    """How many spikes differ."""
    return int(np.count_nonzero(found != expected))


def _seconds(run: Run, recordings: tuple[Frames, ...]) -> float:
    start = time.perf_counter()
    for frames in recordings:
        run(frames)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
