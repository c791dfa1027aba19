# SPDX-License-Identifier: Apache-2.0
"""Proves one compiled network: snnTorch = reference.py = host C = Cortex-M7 C, to the last spike.

What ``snn_parity_test`` runs. Spikes are compared in every layer at every step, membranes of the
reference and of both C programs bit by bit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spikec import firmware_io, host, ir, parity, reference, snntorch_trace
from spikec.cli import load_model
from spikec.errors import SpikecError
from spikec.events import bin_events, read_nmnist
from spikec.model import Model
from spikec.shared_data import shared_folder

_TIMEOUT_S = 300.0
_DENSITIES = (0.0, 0.01, 0.1, 1.0)
"""Shares of inputs that are active in a random recording's four parts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: every spike is equal; 1: one differs, or the test cannot be run."""
    options = _parser().parse_args(arguments)
    try:
        return 0 if _test(options) else 1
    except SpikecError as error:
        print(f"parity: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare a compiled network with snnTorch.")
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="how the network was compiled, JSON")
    add("--checkpoint", type=Path, required=True, help="its weights")
    add("--host", type=Path, required=True, help="the drive program of this machine")
    add("--firmware", type=Path, help="the drive program of the emulated board")
    add("--qemu", help="the emulator, qemu-system-arm")
    add("--steps", type=int, required=True, help="time steps a recording is binned into")
    add(
        "--events",
        type=Path,
        nargs="*",
        default=[],
        help="recordings in N-MNIST's format, or folders of them",
    )
    add("--shared", default="", help="a folder of shared data with more recordings")
    add("--limit", type=int, default=5, help="how many of those")
    return parser


def _test(options: argparse.Namespace) -> bool:
    manifest = json.loads(options.manifest.read_text())
    shape = tuple(manifest["input"])
    _, net, model = load_model(
        options.checkpoint, manifest["net"], shape, manifest["name"], manifest["numbers"]
    )
    right = True
    steps = 0
    start = time.perf_counter()
    for name, frames in _recordings(options, shape):
        expected = snntorch_trace.trace(net, frames)
        ran = reference.run(model.network, model.network.input.to_memory(frames))
        spikes = {
            layer.source: layer.shape.to_axes(ran.values[layer.name])
            for layer in model.network.spiking
        }
        found = parity.compare(model.network, spikes, expected.spikes, expected.potentials)
        print(f"{name}: reference.py and snnTorch: {found}")
        right = right and found.holds
        for target, rows in _targets(options, model, frames):
            for difference in _differences(model.network, rows, ran):
                print(f"{name}: {target} and reference.py: {difference}")
                right = False
        steps += len(frames)
    targets = "snnTorch = reference.py = host C"
    if options.firmware:
        targets += " = Cortex-M7 C"
    elapsed = time.perf_counter() - start
    if right:
        print(f"{manifest['name']}: {targets} over {steps} steps ({elapsed:.0f} s)")
    return right


def _recordings(
    options: argparse.Namespace, shape: tuple[int, ...]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Frames ``[T, *shape]`` to compare on, each under a name."""
    yield "random frames", _random_frames(options.steps, shape)
    files: list[Path] = []
    for path in options.events:
        found = sorted(path.rglob("*.bin")) if path.is_dir() else [path]
        if not found:
            raise SpikecError(f"{path}: has no recordings (.bin) to compare on.")
        files += found
    if options.shared:
        folder = shared_folder(*options.shared.split("/"))
        if folder is None:
            print(f"no real recordings: there is no shared folder {options.shared}", flush=True)
        else:
            found = sorted(folder.rglob("*.bin"))
            files += found[:: max(1, len(found) // options.limit)][: options.limit]
    for file in files:
        recording = read_nmnist(file, shape[2], shape[1])
        yield file.name, bin_events(recording, steps=options.steps)


def _random_frames(steps: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Counts of 1 to 3 at random places, from an empty frame to every input active."""
    random = np.random.default_rng(0)
    parts = []
    for density in _DENSITIES:
        frames = random.integers(1, 4, (max(1, steps // len(_DENSITIES)), *shape))
        parts.append(frames * (random.random(frames.shape) < density))
    return np.concatenate(parts).astype(np.float32)


def _targets(
    options: argparse.Namespace, model: Model, frames: npt.NDArray[np.float32]
) -> Iterator[tuple[str, firmware_io.DriveOutput]]:
    """What each compiled program does with ``frames``."""
    active = host.active_inputs(model.network, frames)
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        given, result = Path(folder) / "input", Path(folder) / "output"
        firmware_io.write_input(
            given,
            active.offsets,
            active.entries["index"],
            active.entries["value"],
            model.network.input.size,
        )
        yield (
            "host C",
            firmware_io.run_host(options.host, given, result, record=True, timeout=_TIMEOUT_S),
        )
        if options.firmware:
            yield (
                "Cortex-M7 C",
                firmware_io.run_qemu(
                    [options.qemu], options.firmware, given, result, True, _TIMEOUT_S
                ),
            )


def _differences(
    network: ir.Network, rows: firmware_io.DriveOutput, ran: reference.Trace
) -> Iterator[parity.BitDifference | str]:
    """A program's first difference from the reference in each layer's spikes and membranes."""
    assert rows.spikes is not None
    assert rows.membranes is not None
    spikes, membranes = network.split(rows.spikes), network.split(rows.membranes)
    for layer in network.spiking:
        axes = layer.shape.to_axes
        for ours, theirs in (
            (spikes[layer.name].astype(np.float32), ran.spikes[layer.name].astype(np.float32)),
            (membranes[layer.name], ran.membranes[layer.name]),
        ):
            difference = parity.first_bit_difference(layer.source, axes(ours), axes(theirs))
            if difference is not None:
                yield difference
    outputs = ran.values[network.output.name].reshape(len(rows.outputs), -1) != 0
    if not np.array_equal(rows.outputs != 0, outputs):
        yield "the outputs are not the last layer's spikes"


if __name__ == "__main__":
    sys.exit(main())
