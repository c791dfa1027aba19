# SPDX-License-Identifier: Apache-2.0
"""A compiled network: writes its C, builds it for this machine, reports what it costs."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy.typing as npt

from spikec.backend.c import runtime
from spikec.backend.c.form import LEVELS, Form
from spikec.backend.c.names import check_name, describe_network, digest_network
from spikec.backend.c.operations import lower_call
from spikec.backend.c.source import emit
from spikec.backend.c.tables import tables_of
from spikec.backend.c.target import Target, this_machine
from spikec.errors import SpikecError
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.ir.operations import Plan
from spikec.ir.soundness import LARGEST_INPUT
from spikec.passes import choose
from spikec.passes.crop import crop
from spikec.passes.fold import fold
from spikec.passes.lower import plan
from spikec.passes.quantize import quantize
from spikec.semantics import readout as readouts
from spikec.targets import host
from spikec.targets.cmake import CMAKE
from spikec.targets.readme import keep_networks, write_readme

NUMBERS = Literal["f32", "int8"]
"""The formats of weights and membranes."""
KERNELS = Literal["auto", "event", "dense"]
"""What can be asked for of convolutions and linear layers."""


@dataclasses.dataclass(frozen=True, slots=True)
class LayerReport:
    """One layer's share: bytes of constant tables, neurons, adds a step if every input fired."""

    name: str
    source: str
    table_bytes: int
    neurons: int
    worst_case_adds: int
    kernel: str  # of a convolution or linear layer, and why; empty for others


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a compiled network costs, known before anything is linked.

    ``table_bytes`` go to flash (code comes on top), ``state_bytes`` to RAM. ``str()`` of a report
    is a table for people.
    """

    name: str
    network: str
    table_bytes: int
    state_bytes: int
    layers: tuple[LayerReport, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.network}",
            f"{'layer':<12}{'torch':<10}{'table bytes':>12}{'neurons':>10}{'worst-case adds':>17}",
        ]
        lines += [
            f"{layer.name:<12}{layer.source:<10}{layer.table_bytes:>12,}{layer.neurons:>10,}"
            f"{layer.worst_case_adds:>17,}"
            for layer in self.layers
        ]
        lines += [f"{layer.name}: {layer.kernel}" for layer in self.layers if layer.kernel]
        lines.append(f"tables (flash) {self.table_bytes:,} B, state (RAM) {self.state_bytes:,} B")
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A network ready to be written as C under ``name``."""

    name: str
    plan: Plan
    readout: readouts.Readout | None = None

    @classmethod
    def of(
        cls,
        network: ir.Network,
        name: str,
        numbers: str,
        kernels: str = "auto",
        calibration: Sequence[npt.ArrayLike] | None = None,
        input_max: int | None = None,
        readout: str | None = None,
        early_exit: str | float | None = None,
        steps: int | None = None,
    ) -> Model:
        """Runs the passes over ``network``; the arguments are those of ``spikec.compile``.

        Raises:
            SpikecError: ``name`` is no C identifier, ``numbers`` no supported format or not one
                for this network, ``kernels`` no supported choice, ``calibration`` does not fit
                the network, ``input_max`` is out of range or beyond what the network declares, or
                ``readout``, ``early_exit`` or ``steps`` do not fit the network or one another.
        """
        check_name(name)
        planned = cls._planned(network, numbers, kernels, calibration, input_max)
        if readout is not None:
            chosen = readouts.choose(planned.network, readout, early_exit, steps)
            return cls(name, planned, chosen)
        if early_exit is not None or steps is not None:
            what = f"early_exit={early_exit!r}" if early_exit is not None else f"steps={steps!r}"
            raise SpikecError(
                f"{what} says when a readout is over, and there is none; give readout='count' or "
                "another one too."
            )
        return cls(name, planned)

    @staticmethod
    def _planned(
        network: ir.Network,
        numbers: str,
        kernels: str,
        calibration: Sequence[npt.ArrayLike] | None,
        input_max: int | None,
    ) -> Plan:
        """The passes up to the plan."""
        folded = crop(fold(declared(network, input_max)))
        if numbers == "f32":
            return plan(folded, _kernels(folded, kernels, calibration))
        if numbers != "int8":
            raise SpikecError(f"numbers={numbers!r} is not supported; use 'f32' or 'int8'.")
        if kernels == "dense" or calibration is not None:
            raise SpikecError(
                "numbers='int8' has event-driven kernels only, so there is nothing to choose; "
                "leave kernels and calibration out, or use numbers='f32'."
            )
        return plan(quantize(folded))

    @property
    def network(self) -> ir.Network:
        """The network as it is compiled: batch norms folded, maps cropped."""
        return self.plan.network

    def files(self, target: Target = "generic") -> dict[str, str]:
        """The C for a target and what goes with it, by file name: all that ``write`` writes."""
        form = Form(target)
        report = self.report(target)
        return {
            **emit(self.plan, self.name, self.readout, form),
            "README.md": write_readme(
                self.name,
                report.network,
                form.describe(),
                report.table_bytes,
                report.state_bytes,
                self.readout is not None,
            ),
            "CMakeLists.txt": CMAKE,
        }

    def driven_files(self, target: Target) -> dict[str, str]:
        """C that drivers of any network can run and observe, by file name, without the drivers.

        For "x86-64" it has the higher levels too, each in a file of its own.
        """
        form = LEVELS if target == "x86-64" else Form(target, driven=True)
        return emit(self.plan, self.name, self.readout, form)

    def host_files(self) -> dict[str, str]:
        """C that this machine's drivers run, and the drivers, by file name; complete in itself."""
        form = Form(this_machine(), driven=True)
        driver = {file: runtime.read(file) for file in runtime.DRIVER}
        return runtime.with_includes(emit(self.plan, self.name, self.readout, form) | driver)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the network as one file, NAME.spikec, which ``spikec.load`` and all verbs read.

        What is written is the network as it is compiled, batch norms folded. It is of float32:
        save the network before it is compiled with ``numbers="int8"``.

        Raises:
            SpikecError: the network is of integers, or the file cannot be written.
        """
        if self.network.numbers != "f32":
            raise SpikecError(
                "a network of integers is not saved; save it with numbers='f32', and compile what "
                "is loaded with numbers='int8'."
            )
        network_file.write(Path(path), network_file.Saved(self.network, None))

    def write(
        self, out: str | os.PathLike[str], target: Target = "generic", driven: bool = False
    ) -> None:
        """Writes NAME.h, NAME.c, README.md and CMakeLists.txt into the folder ``out``, or nothing.

        The folder is made if need be; it can hold other networks. ``target`` is the CPU whose
        instructions the C may use; by default it is plain C for any. ``driven`` writes what
        ``driven_files`` gives instead.

        Raises:
            SpikecError: the folder cannot be made or written.
        """
        folder = Path(out)
        files = self.driven_files(target) if driven else self.files(target)
        written: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if "README.md" in files and (folder / "README.md").is_file():
                names = {self.name, *(path.stem for path in folder.glob("*.h"))}
                before = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
                files["README.md"] = keep_networks(files["README.md"], before, names)
            for name in files:
                if (folder / name).is_dir():
                    raise IsADirectoryError(errno.EISDIR, f"{name} is a folder")
            for name, text in files.items():
                handle, path = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
                written.append(Path(path))
                with open(handle, "w", encoding="utf-8", newline="\n") as file:
                    file.write(text)
                Path(path).chmod(0o644)
            for name, path_written in zip(files, written, strict=True):
                path_written.replace(folder / name)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            for path_written in written:
                with contextlib.suppress(OSError):
                    path_written.unlink(missing_ok=True)
            raise SpikecError(
                f"{folder}: cannot be written ({getattr(error, 'strerror', error)}); choose "
                "another output folder."
            ) from error

    def build(self, flags: tuple[str, ...] = ()) -> host.Host:
        """Compiles the network, with an observer, for this machine and loads it.

        ``flags`` are added to the C compiler's command line. It is ``$CC``, or else ``cc``, ``gcc``
        or ``clang``.

        Raises:
            SpikecError: there is no C compiler, or it fails.
        """
        return self.build_files(self.host_files(), flags)

    def build_files(self, files: Mapping[str, str], flags: tuple[str, ...] = ()) -> host.Host:
        """Compiles C that holds what ``host_files`` gives, and perhaps more, and loads it.

        Raises:
            SpikecError: there is no C compiler, or it fails.
        """
        digest = digest_network(self.network)
        return host.build(self.plan, self.name, files, digest, flags, self.readout)

    def load(self, library: str | os.PathLike[str]) -> host.Host:
        """Loads a shared library that was built from the same files elsewhere, by Bazel say.

        Raises:
            SpikecError: it is no such library.
        """
        digest = digest_network(self.network)
        return host.Host(self.plan, self.name, Path(library), digest, self.readout)

    def report(self, target: Target = "generic") -> Report:
        """What the network costs, written for ``target``: flash, RAM, work by layer."""
        calls = {part: lower_call(part, target) for part in self.plan.parts}
        tables = tables_of(calls.values())
        work = {part.layers[-1].name: call for part, call in calls.items() if part.layers}
        kernels = {layer: str(choice) for layer, choice in self.plan.choices.items()}
        layers = tuple(
            LayerReport(
                layer.name,
                layer.source,
                sum(table.bytes for table in tables if table.layer == layer.name),
                work[layer.name].neurons if layer.name in work else 0,
                work[layer.name].adds if layer.name in work else 0,
                kernels.get(layer.name, ""),
            )
            for layer in self.network.layers
        )
        return Report(
            self.name,
            describe_network(self.network),
            sum(table.bytes for table in tables),
            Form(target).lay_out(self.plan).state_bytes,
            layers,
        )


def declared(network: ir.Network, input_max: int | None) -> ir.Network:
    """The network with its inputs declared to be within 0 and ``input_max``; None: as it is.

    Raises:
        SpikecError: ``input_max`` is out of range, or more than the network declares already.
    """
    if input_max is None:
        return network
    if not 0 < input_max <= LARGEST_INPUT:
        raise SpikecError(f"input_max={input_max} is not within 1 and {LARGEST_INPUT:,}.")
    if network.input_max is not None and input_max > network.input_max:
        raise SpikecError(
            f"input_max={input_max} is more than the {network.input_max} that the network file "
            "was made for; what was pruned was proven for that range only. Prune it again with "
            "the larger one."
        )
    return dataclasses.replace(network, input_max=input_max)


def _kernels(
    network: ir.Network, mode: str, calibration: Sequence[npt.ArrayLike] | None
) -> choose.Kernels:
    """What is asked for, in the terms of the pass that chooses."""
    if mode not in ("auto", "event", "dense"):
        raise SpikecError(
            f"kernels={mode!r} is not supported; use 'auto', 'event' (event-driven) or 'dense'."
        )
    if calibration is None:
        return choose.Kernels(mode)
    if mode != "auto":
        raise SpikecError(
            f"kernels={mode!r} leaves nothing to choose, so a calibration has no use; leave it "
            "out, or use kernels='auto'."
        )
    recordings = [host.checked_frames(network, frames) for frames in calibration]
    return choose.calibrate(network, [network.input.to_memory(frames) for frames in recordings])
