# SPDX-License-Identifier: Apache-2.0
"""The demo: ten recordings through snnTorch, our C on this machine, and our C on a Cortex-M7.

Every spike of every layer at every step is compared. The Cortex-M7 is emulated by QEMU, whose
instruction counts are exact; the times are this machine's.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.nmnist.net import INPUT_SHAPE, STEPS
from spikec.errors import SpikecError
from spikec.frontends.load import load
from spikec.frontends.pytorch import execute
from spikec.model import Model
from spikec.recordings.events import bin_events, read_nmnist
from spikec.targets.cortex_m7 import drive_run
from spikec.targets.host import Host, active_inputs

BUILT = ("checkpoint", "library", "firmware", "qemu", "recordings", "size")
"""The options that name what Bazel built."""

_ROUNDS = 7
_QEMU_TIMEOUT_S = 300.0


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One recording: milliseconds for the whole of it, instructions as a mean over its steps."""

    digit: str
    prediction: int
    spikes: int
    differing: int
    snntorch_ms: float
    c_ms: float
    instructions: int

    @property
    def right(self) -> bool:
        """Whether the network recognised the digit."""
        return self.digit == str(self.prediction)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: no spike differs; 1: one does, or the demo cannot run."""
    options = _parser().parse_args(arguments)
    try:
        return _demo(options)
    except SpikecError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Ten recordings in snnTorch, C and a Cortex-M7.")
    parser.add_argument("--data", type=Path, help="a folder 0/ to 9/ of recordings (.bin) of yours")
    files = parser.add_argument_group("what Bazel built")
    for name in BUILT:
        files.add_argument(f"--{name}", type=Path, required=True, help=argparse.SUPPRESS)
    return parser


def _demo(options: argparse.Namespace) -> int:
    data = options.recordings
    if options.data is not None:
        # Under `bazel run` a path is meant where the user typed it.
        data = Path(os.environ.get("BUILD_WORKING_DIRECTORY", ".")) / options.data
    loaded = load(options.checkpoint, net="models.nmnist.net:net", input_shape=INPUT_SHAPE)
    net, model = loaded.module, Model.of(loaded.network, "nmnist", "f32")
    host = model.load(options.library.resolve())
    size = json.loads(options.size.read_text())
    torch.set_num_threads(1)
    recordings = _recordings(data)
    rows = []
    for done, (digit, path) in enumerate(recordings):
        _progress(done, len(recordings), path.name)
        frames = bin_events(read_nmnist(path), steps=STEPS)
        rows.append(_row(digit, frames, net, model, host, options))
    _progress(len(recordings), len(recordings), "")
    return _print(rows, size)


def _recordings(data: Path) -> list[tuple[str, Path]]:
    """The first recording of each digit in ``data/0`` to ``data/9``."""
    found = []
    for digit in "0123456789":
        files = sorted((data / digit).glob("*.bin"))
        if files:
            found.append((digit, files[0]))
    if not found:
        raise SpikecError(
            f"{data}: has no recordings; give a folder with the digits' folders 0 to 9 in it, each "
            "with N-MNIST recordings (.bin)."
        )
    return found


def _row(
    digit: str,
    frames: npt.NDArray[np.float32],
    net: nn.Module,
    model: Model,
    host: Host,
    options: argparse.Namespace,
) -> Row:
    expected = execute.trace(net, frames).spikes
    on_host = host.trace(frames)
    on_chip, instructions = _on_cortex_m7(model, frames, options)
    differing = sum(
        int(np.count_nonzero(found[name] != spikes))
        for name, spikes in expected.items()
        for found in (on_host, on_chip)
    )
    output = model.network.spiking[-1].source
    return Row(
        digit,
        int(np.argmax(expected[output].sum(axis=0))),
        sum(int(spikes.sum()) for spikes in expected.values()),
        differing,
        _ms(lambda: _run_snntorch(net, frames)),
        _ms(lambda: host.run(frames)),
        instructions,
    )


def _on_cortex_m7(
    model: Model, frames: npt.NDArray[np.float32], options: argparse.Namespace
) -> tuple[dict[str, npt.NDArray[np.uint8]], int]:
    """Every layer's spikes ``[T, *axes]`` on the emulated board, and instructions per step."""
    active = active_inputs(model.network, frames)
    network = model.network
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        given, result = Path(folder) / "input", Path(folder) / "output"
        entries = active.entries
        drive_run.write_input(
            given, active.offsets, entries["index"], entries["value"], network.input.size
        )
        recorded, counted = (
            drive_run.run_qemu(
                [str(options.qemu)], options.firmware, given, result, record, _QEMU_TIMEOUT_S
            )
            for record in (True, False)
        )
    assert recorded.spikes is not None
    parts = network.split(recorded.spikes)
    spikes = {layer.source: layer.shape.to_axes(parts[layer.name]) for layer in network.spiking}
    return spikes, round(float(counted.instructions.mean()))


def _run_snntorch(net: nn.Module, frames: npt.NDArray[np.float32]) -> None:
    given = torch.from_numpy(frames)[:, None]
    with torch.no_grad():
        for frame in given:
            net(frame)


def _ms(run: Callable[[], object]) -> float:
    """The median time of a few runs, in milliseconds."""
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def _progress(done: int, total: int, what: str) -> None:
    if not sys.stderr.isatty():
        return
    bar = "#" * (30 * done // total)
    end = "\n" if done == total else ""
    print(f"\r[{bar:<30}] {done}/{total} {what:<30}", end=end, file=sys.stderr, flush=True)


def _print(rows: list[Row], size: dict[str, int]) -> int:
    flash, ram = f"{size['flash']:,}", f"{size['ram']:,}"
    print(
        f"{'digit':<7}{'predicted':<11}{'spikes equal':<22}{'snnTorch ms':>12}{'C ms':>8}"
        f"{'ratio':>8}{'M7 instr/step':>15}{'flash B':>10}{'RAM B':>9}"
    )
    for row in rows:
        equal = f"{row.spikes:,}: all" if not row.differing else f"{row.differing:,} DIFFER"
        print(
            f"{row.digit:<7}{row.prediction:<11}{equal:<22}{row.snntorch_ms:>12.2f}"
            f"{row.c_ms:>8.3f}{row.snntorch_ms / row.c_ms:>7.0f}x{row.instructions:>15,}"
            f"{flash:>10}{ram:>9}"
        )
    right = sum(row.right for row in rows)
    differing = sum(row.differing for row in rows)
    spikes = sum(row.spikes for row in rows)
    ratio = statistics.median(row.snntorch_ms / row.c_ms for row in rows)
    instructions = round(statistics.mean(row.instructions for row in rows))
    print(
        f"\n{right} of {len(rows)} digits right, {differing} of {spikes:,} spikes differ among "
        f"snnTorch, C on this machine and C on a Cortex-M7; C is {ratio:.0f} times as fast as "
        f"snnTorch here and takes {instructions:,} Cortex-M7 instructions a step on average."
    )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
