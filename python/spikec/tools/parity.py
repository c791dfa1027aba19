# SPDX-License-Identifier: Apache-2.0
"""Proves one compiled network: snnTorch = reference.py = host C = Cortex-M7 C, to the last spike.

What ``snn_parity_test`` runs. Spikes are compared in every layer at every step, membranes of the
reference and of both C programs bit by bit.

snnTorch is left out where there is none to be equal to: of a network file there is no module, and a
network in integers spikes otherwise than the float one. How far from that is printed, too.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from spikec.errors import SpikecError
from spikec.frontends.load import load
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.model import Model
from spikec.recordings.events import bin_events, read_nmnist
from spikec.recordings.shared import shared_folder
from spikec.semantics import parity, reference
from spikec.semantics.agreement import agreement
from spikec.targets import host
from spikec.targets.cortex_m7 import drive_run

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
    """Compares one network on all its recordings; whether all is equal."""
    manifest = json.loads(options.manifest.read_text())
    net, network = _network(options.checkpoint, manifest)
    model = Model.of(
        network, manifest["name"], manifest["numbers"], input_max=manifest["input_max"] or None
    )
    whole = None
    if model.network.numbers != "f32":
        whole = Model.of(network, manifest["name"], "f32").network
    right = True
    steps = 0
    start = time.perf_counter()
    made = list(_made(options.steps, model.network))
    recorded = list(_recorded(options, model.network.input.axes))
    for name, frames in (*made, *recorded):
        ran = reference.run(model.network, model.network.input.to_memory(frames))
        if net is not None and whole is None:
            right = _equals_snntorch(name, net, model.network, frames, ran) and right
        for target, rows in _targets(options, model, frames):
            for difference in _differences(model.network, rows, ran):
                print(f"{name}: {target} and reference.py: {difference}")
                right = False
        steps += len(frames)
    if whole is not None:
        shown = [frames for _, frames in recorded or made[:1]]
        on = f"{len(recorded)} recordings" if recorded else made[0][0]
        print(f"integers and float, each running by itself, on {on}:")
        print("\n".join(f"  {layer}" for layer in agreement(whole, model.network, shown)))
    targets = "reference.py = host C"
    if net is not None and whole is None:
        targets = f"snnTorch = {targets}"
    if options.firmware:
        targets += " = Cortex-M7 C"
    elapsed = time.perf_counter() - start
    if right:
        print(f"{manifest['name']}: {targets} over {steps} steps ({elapsed:.0f} s)")
    return right


def _network(checkpoint: Path, manifest: dict[str, Any]) -> tuple[Any, ir.Network]:
    """The network that was compiled, and the torch module that it was, if it was one."""
    if checkpoint.suffix == network_file.SUFFIX:
        return None, load(checkpoint).network
    loaded = load(checkpoint, net=manifest["net"], input_shape=tuple(manifest["input"]))
    return loaded.module, loaded.network


def _equals_snntorch(
    name: str,
    net: Any,
    network: ir.Network,
    frames: npt.NDArray[np.float32],
    ran: reference.Trace,
) -> bool:
    """Whether snnTorch made the same spikes; prints what it found."""
    from spikec.frontends.pytorch import execute

    expected = execute.trace(net, frames)
    spikes = {
        layer.source: layer.shape.to_axes(ran.values[layer.name]) for layer in network.spiking
    }
    found = parity.compare(network, spikes, expected.spikes, expected.potentials)
    print(f"{name}: reference.py and snnTorch: {found}")
    return found.holds


def _made(steps: int, network: ir.Network) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Frames ``[T, *axes]`` that nobody recorded, each under a name."""
    shape, most = network.input.axes, network.input_max
    yield "random frames", _random_frames(steps, shape, most)
    if most is not None:  # as far as membranes can get
        yield f"every input {most}", np.full((steps, *shape), most, np.float32)


def _recorded(
    options: argparse.Namespace, shape: tuple[int, ...]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Frames ``[T, *shape]`` of the recordings to compare on, each under its file's name."""
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


def _random_frames(steps: int, shape: tuple[int, ...], most: int | None) -> npt.NDArray[np.float32]:
    """Counts of 1 to 3, or ``most``, at random places, from no input active to every one."""
    random = np.random.default_rng(0)
    parts = []
    for density in _DENSITIES:
        frames = random.integers(
            1, 1 + min(3, most or 3), (max(1, steps // len(_DENSITIES)), *shape)
        )
        parts.append(frames * (random.random(frames.shape) < density))
    return np.concatenate(parts).astype(np.float32)


def _targets(
    options: argparse.Namespace, model: Model, frames: npt.NDArray[np.float32]
) -> Iterator[tuple[str, drive_run.DriveOutput]]:
    """What each compiled program does with ``frames``."""
    active = host.active_inputs(model.network, frames)
    with tempfile.TemporaryDirectory(prefix="spikec_") as folder:
        given, result = Path(folder) / "input", Path(folder) / "output"
        drive_run.write_input(
            given,
            active.offsets,
            active.entries["index"],
            active.entries["value"],
            model.network.input.size,
        )
        yield (
            "host C",
            drive_run.run_host(options.host, given, result, record=True, timeout=_TIMEOUT_S),
        )
        if options.firmware:
            yield (
                "Cortex-M7 C",
                drive_run.run_qemu(
                    [options.qemu], options.firmware, given, result, True, _TIMEOUT_S
                ),
            )


def _differences(
    network: ir.Network, rows: drive_run.DriveOutput, ran: reference.Trace
) -> Iterator[parity.BitDifference | str]:
    """A program's first difference from the reference in each layer's spikes and membranes."""
    assert rows.spikes is not None
    assert rows.membranes is not None
    spikes, membranes = network.split(rows.spikes), network.split(rows.membranes)
    for layer in network.spiking:
        axes = layer.shape.to_axes
        fired, kept = axes(spikes[layer.name]), axes(membranes[layer.name])
        should_fire, should_keep = axes(ran.spikes[layer.name]), axes(ran.membranes[layer.name])
        found: list[parity.BitDifference | str | None] = [
            _difference(layer.source, "spikes", fired, should_fire)
        ]
        if network.numbers == "int8":
            kept = kept.view(np.int32)
            found.append(_difference(layer.source, "membranes", kept, should_keep))
        else:
            found.append(parity.first_bit_difference(layer.source, kept, should_keep))
        yield from (difference for difference in found if difference is not None)
    outputs = ran.values[network.output.name].reshape(len(rows.outputs), -1) != 0
    if not np.array_equal(rows.outputs != 0, outputs):
        yield "the outputs are not the last layer's spikes"


def _difference(
    layer: str, what: str, ours: npt.NDArray[Any], theirs: npt.NDArray[Any]
) -> str | None:
    """The first integer ``[T, *axes]`` that differs, in a sentence, or None."""
    where = np.argwhere(ours != theirs)
    if not where.size:
        return None
    step, *neuron = where[0].tolist()
    at = (step, *neuron)
    return (
        f"layer {layer!r}, step {step}, neuron {tuple(neuron)}: {what} differ: "
        f"ours is {ours[at]} and should be {theirs[at]}."
    )


if __name__ == "__main__":
    sys.exit(main())
