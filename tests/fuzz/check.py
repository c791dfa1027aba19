# SPDX-License-Identifier: Apache-2.0
"""Runs one network in snnTorch, in the reference and in C, and says where they differ."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from spikec.backend.c import runtime
from spikec.backend.c.form import LEVELS, Form
from spikec.backend.c.source import emit
from spikec.errors import SpikecError
from spikec.frontends.pytorch import execute
from spikec.frontends.pytorch.module import import_network
from spikec.ir import network as ir
from spikec.ir import network_file, soundness
from spikec.model import Model
from spikec.semantics import parity, reference
from spikec.targets import host as hosts
from tests.fuzz import generate
from tests.fuzz import spec as specs
from tests.fuzz.spec import Built, Spec
from tests.joined import join, split_by_index

Array: TypeAlias = npt.NDArray[Any]

Stage: TypeAlias = Literal[
    "snnTorch raises", "refused", "crash", "unsound", "spikes", "membranes", "outputs",
    "C bits", "C bits, int8", "C crash",
]  # fmt: skip
DIFFERENCES: tuple[Stage, ...] = (
    "unsound", "spikes", "membranes", "C bits", "C bits, int8"
)  # fmt: skip
"""What no text tells apart."""


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a network, and where."""

    stage: Stage
    text: str

    @property
    def kind(self) -> str:
        """What two failures of one cause have in common."""
        if self.stage in DIFFERENCES:
            return self.stage
        return f"{self.stage}: {summary(self.text)}"


def summary(text: str) -> str:
    """A message without what differs from network to network: names, numbers."""
    line = text.strip().rpartition("\n")[2]
    words = line.replace("'", " ").replace('"', " ").split()
    return " ".join(word for word in words if not re.search(r"\d", word))[:160]


@dataclasses.dataclass(slots=True)
class Count:
    """What the networks so far did."""

    networks: int = 0
    neuron_steps: int = 0
    spikes: int = 0
    ties: int = 0
    layers: int = 0
    silent_layers: int = 0
    exact_layers: int = 0
    int8: int = 0
    styles: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    not_int8: dict[str, int] = dataclasses.field(default_factory=dict)

    def spent(self, what: str, start: float) -> None:
        """Adds the seconds since ``start``."""
        self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - start

    def add(self, other: Count) -> None:
        """Adds what other networks did."""
        for field in dataclasses.fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(ours, dict):
                for name, value in theirs.items():
                    ours[name] = ours.get(name, 0) + value
            else:
                setattr(self, field.name, ours + theirs)


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """What snnTorch did, by torch name, ``[T, *axes]``, and what it handed out, ``[T, outputs]``.

    ``potentials`` are what the threshold was compared with, ``membranes`` what was kept.
    """

    spikes: dict[str, Array]
    potentials: dict[str, Array]
    membranes: dict[str, Array]
    outputs: Array


class _Watch:
    """Records what one layer of neurons does."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.shifts: list[Array] = []
        self.spikes: list[Array] = []
        self.membranes: list[Array] = []
        self.last: torch.Tensor | None = None
        self.judge: Any = self.module.spike_grad
        self.module.spike_grad = self.spike_grad
        self.hook = self.module.register_forward_hook(self.after)

    def spike_grad(self, shift: torch.Tensor) -> torch.Tensor:
        self.last = shift.detach().clone()
        result: torch.Tensor = self.judge(shift)
        return result

    def after(self, module: nn.Module, given: object, result: Any) -> None:
        spikes = result[0] if isinstance(result, tuple) else result
        sequence = type(module).__name__ in specs.SEQUENCE
        if self.last is not None:
            self._keep(self.shifts, self.last, sequence)
        self._keep(self.spikes, spikes, sequence)
        mem = getattr(module, "mem", None)
        if isinstance(mem, torch.Tensor) and not sequence:
            self._keep(self.membranes, mem, sequence)

    def _keep(self, rows: list[Array], values: torch.Tensor, sequence: bool) -> None:
        array = values.detach().numpy().copy()
        rows.extend(array[:, 0] if sequence else array)

    def remove(self) -> None:
        self.hook.remove()
        self.module.spike_grad = self.judge

    def potentials(self) -> Array:
        """Membranes, back from their distances to the threshold."""
        if not self.shifts:
            return np.stack(self.spikes)
        threshold = getattr(self.module, "delta_threshold", self.module.threshold)
        shifts = np.stack(self.shifts)
        above: Array = shifts + torch.as_tensor(threshold).detach().numpy()
        return above.astype(shifts.dtype)


def record(built: Built, frames: Array) -> Recorded:
    """Runs the torch module over ``frames [T, *shape]`` as its style wants it."""
    spec, net = built.spec, built.net
    _reset(built)
    watches = {
        built.names[k]: _Watch(module)
        for k, module in built.modules.items()
        if spec.node(k).kind in specs.NEURONS
    }
    given = torch.tensor(frames)
    count = len(spec.outputs)
    try:
        with torch.no_grad():
            match spec.style:
                case "sequential" | "step":
                    results = [_values(net(frame[None]), count) for frame in given]
                case "arguments" | "optional arguments":
                    results = _fed(built, given, count)
                case "held":
                    results = [_values(net(given[:1]), count)]
                case "batch first":
                    results = [_values(net(given[None]), count)]
                case "whole sequential" | "loop" | "hidden loop" | "layers":
                    results = [_values(net(given[:, None]), count)]
    finally:
        for watch in watches.values():
            watch.remove()
    rows = [torch.stack([result[i].reshape(-1) for result in results]) if len(results) > 1 else
            results[0][i].reshape(spec.steps, -1) for i in range(count)]  # fmt: skip
    return Recorded(
        {name: np.stack(watch.spikes) for name, watch in watches.items()},
        {name: watch.potentials() for name, watch in watches.items()},
        {name: np.stack(watch.membranes) for name, watch in watches.items() if watch.membranes},
        torch.cat(rows, dim=1).numpy(),
    )


def _reset(built: Built) -> None:
    module: Any
    for module in built.modules.values():
        if hasattr(module, "reset_mem"):
            module.reset_mem()


def _values(result: Any, count: int) -> list[torch.Tensor]:
    return list(result[:count]) if isinstance(result, tuple) else [result]


def _fed(built: Built, frames: torch.Tensor, count: int) -> list[list[torch.Tensor]]:
    """Runs a forward that takes and returns its states, zeros at first."""
    spec = built.spec
    states: list[Any] = []
    if spec.style == "arguments":
        for node in spec.nodes:
            states += [torch.zeros(0)] * len(specs.STATES.get(node.kind, ()))
        loops = sorted({n.inputs[0] for n in spec.nodes if n.kind == "previous"})
        states += [torch.zeros(1, *built.axes[k]) for k in loops]
    results = []
    for frame in frames:
        values = built.net(frame[None], *states)
        results.append(list(values[:count]))
        states = list(values[count:])
    return results


@dataclasses.dataclass(slots=True)
class Case:
    """One network on its way through the stages; ``failure`` ends it."""

    number: int
    spec: Spec
    built: Built | None = None
    frames: Array | None = None
    recorded: Recorded | None = None
    models: list[tuple[Model, Array]] = dataclasses.field(default_factory=list)
    failure: Failure | None = None
    ties: list[str] = dataclasses.field(default_factory=list)


def prepare(number: int, spec: Spec, count: Count) -> Case:
    """A network as far as C: snnTorch, import, soundness, network file, reference."""
    case = Case(number, spec)
    stages: Sequence[tuple[Stage, Callable[[Case, Count], None]]] = (
        ("snnTorch raises", _snntorch), ("crash", _import), ("crash", _reference),
        ("crash", _models),
    )  # fmt: skip
    for stage, run in stages:
        start = time.perf_counter()
        try:
            run(case, count)
        except _FoundError as found:
            case.failure = found.failure
        except specs.UnfitError:
            raise
        except Exception as error:  # a crash, whatever it is
            lines = traceback.format_exception(error)
            case.failure = Failure(stage, "".join(lines[-4:]))
        count.spent(run.__name__.strip("_"), start)
        if case.failure is not None:
            break
    count.networks += 1
    count.styles[spec.style] = count.styles.get(spec.style, 0) + 1
    return case


class _FoundError(Exception):
    def __init__(self, stage: Stage, text: str) -> None:
        super().__init__(text)
        self.failure = Failure(stage, text)


def _snntorch(case: Case, count: Count) -> None:
    case.built = specs.build(case.spec)
    case.frames = generate.frames(case.spec)
    case.recorded = record(case.built, case.frames)
    for spikes in case.recorded.spikes.values():
        count.layers += 1
        count.silent_layers += not spikes.any()


def _import(case: Case, count: Count) -> None:
    assert case.built is not None
    _reset(case.built)
    try:
        network = import_network(case.built.net, case.spec.shape, "fuzz")
    except SpikecError as error:
        raise _FoundError("refused", str(error)) from error
    fault = soundness.fault(network)
    if fault:
        raise _FoundError("unsound", fault)
    data = network_file.encode(network_file.Saved(network, None))
    network_file.decode(data)
    case.models.append((Model.of(network, f"n{case.number}", "f32"), np.zeros(0)))
    steps = network.max_steps
    if steps is not None and steps != case.spec.steps:
        raise _FoundError("unsound", f"it runs for {steps} steps, not {case.spec.steps}")


def _reference(case: Case, count: Count) -> None:
    """Compares snnTorch with the reference."""
    assert case.built is not None
    assert case.recorded is not None
    assert case.frames is not None
    network = case.models[0][0].network
    theirs = case.recorded
    ours = execute.run_reference(network, case.frames)
    found = parity.compare(network, ours.spikes, theirs.spikes, theirs.potentials)
    count.neuron_steps += found.neuron_steps
    count.spikes += found.spikes
    if not found.holds:
        raise _FoundError("spikes", str(found))
    equal = {
        case.built.names[k]: specs.exact_membrane(case.built, k)
        for k, node in enumerate(case.spec.nodes, 1)
        if node.kind in specs.NEURONS
    }
    if found.ties:
        if all(equal.values()):
            raise _FoundError("spikes", f"ties where all sums are exact:\n{found}")
        case.ties = [str(tie) for tie in found.ties]
        count.ties += len(found.ties)
        return
    for layer in network.spiking:
        name = layer.source
        if equal.get(name):
            count.exact_layers += 1
            membranes = theirs.membranes[name]
            if not np.array_equal(ours.membranes[name], membranes):
                at = np.argwhere(ours.membranes[name] != membranes)[0]
                pair = ours.membranes[name][tuple(at)], membranes[tuple(at)]
                raise _FoundError("membranes", f"{name} at {at.tolist()}: {pair}")


def _models(case: Case, count: Count) -> None:
    """Plans the network in float and, where that can be, in integers."""
    assert case.frames is not None
    model = case.models[0][0]
    case.models = [(model, case.frames)]
    network = model.network
    try:
        whole = Model.of(network, f"{model.name}q", "int8", input_max=15)
    except SpikecError as error:
        told = summary(str(error))
        count.not_int8[told] = count.not_int8.get(told, 0) + 1
    else:
        count.int8 += 1
        frames = np.minimum(generate.frames(case.spec, whole=True), 15)
        case.models.append((whole, frames))


# C.


def compare_c(cases: Sequence[Case], count: Count, levels: bool = False) -> None:
    """Compiles all the networks as one library and compares each with the reference."""
    ready = [case for case in cases if case.failure is None]
    if not ready:
        return
    with tempfile.TemporaryDirectory(prefix="spikec_fuzz_") as folder:
        start = time.perf_counter()
        library = Path(folder) / "all.so"
        written: dict[str, str] = {}
        form = LEVELS if levels else _PLAIN
        together: list[Model] = []
        for case in ready:
            try:
                for model, _ in case.models:
                    files = emit(model.plan, model.name, form=form)
                    if not levels:
                        del files[f"{model.name}.c"]
                        together.append(model)
                    written |= files
            except Exception as error:
                lines = traceback.format_exception(error)
                case.failure = Failure("crash", "".join(lines[-4:]))
        ready = [case for case in ready if case.failure is None]
        if not ready:
            return
        for wide, several in split_by_index(together).items():
            written[f"unit_{wide}.c"] = join(several, form)
        for name in runtime.DRIVER:
            written[name] = runtime.read(name)
        for name, text in runtime.with_includes(written).items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        count.spent("emit", start)
        start = time.perf_counter()
        told = _compiled(Path(folder), library, levels)
        count.spent("compile", start)
        if told:
            if len(ready) == 1:
                ready[0].failure = Failure("C crash", f"the compiler: {told}")
            else:
                for case in ready:
                    compare_c([case], count, levels)
            return
        start = time.perf_counter()
        found = _in_a_child(library, ready)
        count.spent("C", start)
    if found is None:
        if len(ready) == 1:
            ready[0].failure = Failure("C crash", "the C code ended the process")
        else:
            for case in ready:
                compare_c([case], count, levels)
        return
    for case, failure in zip(ready, found, strict=True):
        case.failure = failure


def _compiled(folder: Path, library: Path, levels: bool) -> str:
    """Compiles the C in ``folder`` in one call; returns what the compiler complains of."""
    files = sorted(path.name for path in folder.glob("*.c"))
    flags = ["-O3", "-DSPK_USE_LEVELS"]
    if not levels:
        flags = ["-O1"]
        files = [
            each for each in files if not re.fullmatch(r"n\d+q?(_v[34])?\.c|.*_v[34]\.c", each)
        ]
    command = [
        *hosts.compiler(), "-std=c11", "-fPIC", "-shared", *flags, "-o", str(library), *files,
    ]  # fmt: skip
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return result.stderr.strip()[-2000:] if result.returncode else ""


_PLAIN = Form("x86-64", driven=True)
"""Without levels of the CPU: what most are compared in."""


def _in_a_child(library: Path, cases: Sequence[Case]) -> list[Failure | None] | None:
    """What came of the cases, run in a process of their own; None if that died."""
    out = library.with_suffix(".result")
    child = os.fork()
    if not child:
        code = 1
        try:
            out.write_bytes(pickle.dumps([_run_c(library, case) for case in cases]))
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        return None
    found: list[Failure | None] = pickle.loads(out.read_bytes())
    return found


def _run_c(library: Path, case: Case) -> Failure | None:
    try:
        for model, frames in case.models:
            stage: Stage = "C bits, int8" if model.network.numbers == "int8" else "C bits"
            told = _bits(model, frames, library)
            if told:
                return Failure(stage, told)
        if not case.ties:
            model, frames = case.models[0]
            assert case.recorded is not None
            ours = model.load(library).run(frames)
            if not np.array_equal(ours, case.recorded.outputs):
                theirs = case.recorded.outputs
                what = "values" if ours.shape == theirs.shape else "shapes"
                if what == "values" and np.array_equal(ours != 0, theirs != 0):
                    what = "grades"
                told = f"{ours.shape} {ours.tolist()[:3]}, {theirs.shape} {theirs.tolist()[:3]}"
                return Failure("outputs", f"{told}\ntheir {what} differ")
    except Exception as error:
        return Failure("crash", "".join(traceback.format_exception(error)[-4:]))
    return None


def _bits(model: Model, frames: Array, library: Path) -> str:
    """Where C and the reference differ in any bit."""
    network = model.network
    host = model.load(library)
    ran = _reference_in_memory(network, frames)
    spikes = host.spikes(frames)
    membranes = network.split(host._record(frames)[1])  # by name: an LSTM is two layers
    for layer in network.spiking:
        name = layer.name
        should: Array = ran.spikes[name]
        if not np.array_equal(spikes[name], should):
            at = np.argwhere(spikes[name] != should)[0].tolist()
            return f"{name} ({layer.source}): spikes differ first at [t, y, x, c] {at}"
        kept = ran.membranes[name]
        found = membranes[name]
        same = found == kept
        if network.numbers == "f32":
            same = np.ascontiguousarray(found).view("u4") == np.ascontiguousarray(kept).view("u4")
        if not same.all():
            at = np.argwhere(~same)[0]
            pair = found[tuple(at)], kept[tuple(at)]
            return f"{name} ({layer.source}): membranes at [t, y, x, c] {at.tolist()}: {pair}"
    return ""


def _reference_in_memory(network: ir.Network, frames: Array) -> Any:
    memory = network.input.to_memory(frames.astype(np.float32)).astype(np.float32)
    return reference.run(network, memory.reshape(len(frames), *memory.shape[-3:]))


def check(spec: Spec, levels: bool = False) -> Failure | None:
    """Takes one network through everything; None if all agree."""
    count = Count()
    case = prepare(0, spec, count)
    compare_c([case], count, levels)
    return case.failure


def agree(spec: Spec) -> None:
    """Asserts that snnTorch, the reference and C agree on a network."""
    failure = check(spec)
    assert failure is None, f"{failure.stage}: {failure.text}\n{specs.build(spec).source}"


def mapping(values: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent first."""
    return sorted(values.items(), key=lambda item: (-item[1], item[0]))
