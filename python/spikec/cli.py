# SPDX-License-Identifier: Apache-2.0
"""The ``spikec`` command: check, compile, run, profile, judge, report and save a network."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from spikec import budget, ir, network_file, prune, report, verbs
from spikec.dataset import event_map
from spikec.emit_c import check_name, describe
from spikec.errors import SpikecError
from spikec.events import Recording, bin_events, read_nmnist
from spikec.model import Model
from spikec.version import VERSION

if TYPE_CHECKING:
    from torch import nn

_DEFAULT_STEPS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb. Exit status 0: done; 1: a user's mistake, told on stderr; 2: bad usage.

    130: stopped from the keyboard.
    """
    if "BUILD_WORKING_DIRECTORY" in os.environ:  # under `bazel run`: where the user typed it
        os.chdir(os.environ["BUILD_WORKING_DIRECTORY"])
    parser = _parser()
    options = parser.parse_args(arguments)
    if not _is_file(options.model) and (options.net is None or options.input is None):
        parser.error("a checkpoint needs --net and --input")
    verb: Callable[[argparse.Namespace], int] = options.verb
    try:
        return verb(options)
    except SpikecError as error:
        print(f"spikec: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("spikec: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has had enough: `spikec run ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spikec", description="Compiles trained snnTorch networks into plain C."
    )
    parser.add_argument("--version", action="version", version=f"spikec {VERSION}")
    subparsers = parser.add_subparsers(required=True, metavar="VERB")

    def verb(
        name: str, function: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=function)
        sub.add_argument(
            "model", metavar="MODEL", type=Path,
            help=f"a checkpoint, NAME.pt, or a network file, NAME{network_file.SUFFIX}, which "
            "needs neither --net nor --input",
        )  # fmt: skip
        sub.add_argument(
            "--net", metavar="MODULE:FUNCTION",
            help="the function without arguments that builds a checkpoint's network",
        )  # fmt: skip
        sub.add_argument(
            "--input", metavar="C,H,W", type=_axes, help="one frame's shape, or N"
        )  # fmt: skip
        return sub

    verb("check", _check, "List everything in a network that cannot be compiled.")
    compile_ = verb("compile", _compile, "Write a network as self-contained C.")
    compile_.add_argument("--name", required=True, help="the start of files' and symbols' names")
    compile_.add_argument("--out", required=True, type=Path, help="the folder to write")
    compile_.add_argument("--numbers", default="f32", help="weights and membranes: f32 or int8")
    compile_.add_argument(
        "--kernels", default="auto",
        help="of convolutions and linear layers: event (cost grows with what fires), dense (cost "
        "always the same), or auto, which takes for each layer what --calibrate says is cheaper",
    )  # fmt: skip
    compile_.add_argument(
        "--calibrate", nargs="+", type=Path, metavar="FILE", default=[],
        help="recordings in N-MNIST's format (.bin) such as the network will see",
    )  # fmt: skip
    compile_.add_argument(
        "--bins", type=int,
        help="time steps to bin a recording of --calibrate into; the network's module's STEPS, "
        f"or else {_DEFAULT_STEPS}",
    )  # fmt: skip
    compile_.add_argument(
        "--generated-only", action="store_true",
        help="leave out the headers that are the same for every network",
    )  # fmt: skip
    compile_.add_argument("--quiet", action="store_true", help="print nothing when all is well")
    verbs.add_input_max(compile_)
    budget.add_options(compile_)
    run = verb("run", _run, "Classify recordings with the compiled network on this machine.")
    run.add_argument(
        "--events", required=True, nargs="+", type=Path, metavar="FILE",
        help="recordings in N-MNIST's format (.bin)",
    )  # fmt: skip
    run.add_argument(
        "--steps", type=int,
        help="time steps to bin a recording into; the network's module's STEPS, "
        f"or else {_DEFAULT_STEPS}",
    )  # fmt: skip
    run.add_argument(
        "--window-us", type=int,
        help="microseconds a step, as a device bins; without it a recording is divided evenly",
    )  # fmt: skip
    run.add_argument("--numbers", default="f32", help="weights and membranes: f32 or int8")
    verbs.add_input_max(run)
    run.add_argument("--json", action="store_true", help="print JSON instead of a table")
    profile = verb("profile", _profile, "Show what each layer does and costs on recordings.")
    profile.add_argument(
        "--events", required=True, nargs="+", type=Path, metavar="FILE",
        help="recordings in N-MNIST's format (.bin)",
    )  # fmt: skip
    profile.add_argument(
        "--target", choices=["host", "cortex-m7"], default="host",
        help="time on this machine, or instructions of the Cortex-M7 in QEMU, which needs "
        "arm-none-eabi-gcc and qemu-system-arm; default: host",
    )  # fmt: skip
    profile.add_argument(
        "--bins", type=int,
        help="time steps to bin a recording into; the network's module's STEPS, "
        f"or else {_DEFAULT_STEPS}",
    )  # fmt: skip
    profile.add_argument("--numbers", default="f32", help="weights and membranes: f32 or int8")
    verbs.add_input_max(profile)
    profile.add_argument("--json", action="store_true", help="print JSON instead of a table")
    eval_ = verb("eval", _eval, "Judge a network on labelled recordings, with an interval.")
    verbs.add_eval(eval_)
    report_ = verb("report", _report, "Show what a network takes on a Cortex-M7, layer by layer.")
    verbs.add_report(report_)
    prune_ = verb("prune", _prune, "Write a smaller network, and show what it costs and loses.")
    prune.add_options(prune_)
    save = verb(
        "save", _save, "Write a network as one file that every verb reads, without torch."
    )  # fmt: skip
    save.add_argument(
        "--out", required=True, type=Path, metavar="FILE",
        help=f"the file to write, NAME{network_file.SUFFIX}",
    )  # fmt: skip
    save.add_argument("--quiet", action="store_true", help="print nothing when all is well")
    return parser


def _is_file(path: Path) -> bool:
    return path.suffix == network_file.SUFFIX


def _axes(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape such as 2,34,34") from None


def _builder(spec: str) -> tuple[ModuleType, Callable[[], nn.Module]]:
    module_name, _, function_name = spec.partition(":")
    if not module_name or not function_name:
        raise SpikecError(f"--net {spec}: write it as package.module:function.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # what a user has at hand can be imported
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise SpikecError(
            f"--net {spec}: there is no module {error.name!r}; run spikec where it can be imported."
        ) from error
    except (Exception, SystemExit) as error:  # whatever the user's own code raises
        raise SpikecError(
            f"--net {spec}: importing {module_name} raised {type(error).__name__}: {error}; "
            "correct it first."
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise SpikecError(f"--net {spec}: {module_name} has no function {function_name!r}.")
    return module, function


def load_module(path: Path, spec: str) -> tuple[ModuleType, nn.Module]:
    """Builds a network by ``spec``, ``package.module:function``, with the checkpoint in ``path``.

    Returns the module that the function is in, and the network in eval mode.

    Raises:
        SpikecError: the function or the checkpoint cannot be used.
    """
    if path.suffix not in (".pt", ".pth"):
        raise SpikecError(
            f"{path}: cannot tell what kind of model this is; a torch checkpoint is named .pt or "
            f".pth, a network file {network_file.SUFFIX}."
        )
    try:
        from torch import nn

        from spikec.import_snntorch import load_checkpoint
    except ModuleNotFoundError as error:
        raise SpikecError(
            f"reading {path} needs the package {error.name!r}, which is not here: pip install "
            "torch snntorch."
        ) from error

    module, function = _builder(spec)
    try:
        net = function()
    except (Exception, SystemExit) as error:  # whatever the user's own code raises
        raise SpikecError(
            f"--net {spec}: raised {type(error).__name__}: {error}; it must build the network "
            "without arguments."
        ) from error
    if not isinstance(net, nn.Module):
        raise SpikecError(
            f"--net {spec}: returned a {type(net).__name__} where an nn.Module is needed."
        )
    load_checkpoint(net, path)
    return module, net.eval()


def load_model(
    path: Path, spec: str, input_shape: tuple[int, ...], name: str, numbers: str
) -> tuple[ModuleType, nn.Module, Model]:
    """What ``load_module`` returns, and the network compiled under ``name``.

    Raises:
        SpikecError: the network cannot be loaded or compiled.
    """
    module, net = load_module(path, spec)
    return module, net, Model.of(_imported(net, path, input_shape), name, numbers)


def import_checkpoint(
    path: Path, spec: str, input_shape: tuple[int, ...]
) -> tuple[nn.Module, ir.Network]:
    """The torch module of a checkpoint, and the network that it is.

    Raises:
        SpikecError: the network cannot be loaded or compiled.
    """
    _, net = load_module(path, spec)
    return net, _imported(net, path, input_shape)


def _imported(net: nn.Module, path: Path, input_shape: tuple[int, ...]) -> ir.Network:
    from spikec.import_snntorch import import_network

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return import_network(net, input_shape, path.name, digest)


def load_network(
    path: Path, spec: str | None, input_shape: tuple[int, ...] | None
) -> tuple[ir.Network, object]:
    """The network of a network file, or of a checkpoint and the function ``spec`` names.

    Returns it with its STEPS, the time steps a recording is binned into: the file's, or what the
    function's module calls so; None when there are none.

    Raises:
        SpikecError: the network cannot be loaded or compiled, or a network file comes with a
            ``spec`` or another input shape than its own.
    """
    if not _is_file(path):
        assert spec is not None and input_shape is not None, "main sees to that"
        module, net = load_module(path, spec)
        return _imported(net, path, input_shape), getattr(module, "STEPS", None)
    saved = network_file.read(path)
    if spec is not None:
        raise SpikecError(f"--net {spec}: {path} holds the whole network; leave --net out.")
    axes = saved.network.input.axes
    if input_shape not in (None, axes):
        raise SpikecError(
            f"--input {_comma(input_shape)}: {path} takes {_comma(axes)}; leave --input out."
        )
    return saved.network, saved.steps


def _comma(axes: tuple[int, ...] | None) -> str:
    return ",".join(map(str, axes or ()))


def _check(options: argparse.Namespace) -> int:
    if _is_file(options.model):  # what is in one was checked when it was saved
        load_network(options.model, options.net, options.input)
        print(f"{options.model}: can be compiled.")
        return 0
    _, net = load_module(options.model, options.net)
    from spikec.import_snntorch import check

    problems = check(net, options.input)
    for problem in problems:
        print(problem)
    if problems:
        print(f"{options.model}: {len(problems)} problem(s); it cannot be compiled.")
        return 1
    print(f"{options.model}: can be compiled.")
    return 0


def _compile(options: argparse.Namespace) -> int:
    check_name(options.name)
    network, own_steps = load_network(options.model, options.net, options.input)
    calibration = None
    if options.calibrate:
        height, width = event_map(network.input.axes, f"{options.model}: its input")
        steps = options.bins
        if steps is None:
            steps = _steps(options.net, own_steps) or _DEFAULT_STEPS
        recordings = [read_nmnist(path, width, height) for path in options.calibrate]
        calibration = [bin_events(recording, steps=steps) for recording in recordings]
    model = Model.of(
        network, options.name, options.numbers, options.kernels, calibration, options.input_max
    )
    report.check_budget(model, budget.Budget(options.max_flash, options.max_ram))
    model.write(options.out, generated_only=options.generated_only)
    if not options.quiet:
        print(model.report())
        print(f"written to {options.out}")
    return 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Result:
    """What one recording gave: spikes per class, the class with most, microseconds a step."""

    file: str
    events: int
    steps: int
    winner: int | None  # None when no output spiked
    counts: tuple[float, ...]  # whole numbers unless spikes are graded
    us_per_step: float


def _run(options: argparse.Namespace) -> int:
    network, recordings, steps = _recorded(options, options.steps)
    model = Model.of(network, "network", options.numbers, input_max=options.input_max)
    host = model.build()
    results = []
    for path, recording in recordings:
        frames = bin_events(recording, steps=steps, window_us=options.window_us)
        start = time.perf_counter()
        counts = host.run(frames).sum(axis=0)
        elapsed = time.perf_counter() - start
        winner = int(np.argmax(counts)) if counts.any() else None
        results.append(
            _Result(
                str(path), len(recording.x), steps, winner, tuple(counts.tolist()),
                elapsed / steps * 1e6,
            )
        )  # fmt: skip
    if options.json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
        return 0
    for result in results:
        print(
            f"{result.file}: {_class(result.winner)}, spikes {' '.join(map(str, result.counts))}, "
            f"{result.events:,} events in {result.steps} steps, {result.us_per_step:.0f} us a step"
        )
    return 0


def _recorded(
    options: argparse.Namespace, steps: int | None
) -> tuple[ir.Network, list[tuple[Path, Recording]], int]:
    """The network, the recordings of ``--events`` and how many steps to bin each into."""
    if options.input is not None:
        event_map(options.input, "--input")
    network, own_steps = load_network(options.model, options.net, options.input)
    height, width = event_map(network.input.axes, f"{options.model}: its input")
    recordings = [(path, read_nmnist(path, width, height)) for path in options.events]
    if steps is None:
        steps = _steps(options.net, own_steps) or _DEFAULT_STEPS
    return network, recordings, steps


def _profile(options: argparse.Namespace) -> int:
    from spikec.profile import profile

    network, recordings, steps = _recorded(options, options.bins)
    frames = [bin_events(recording, steps=steps) for _, recording in recordings]
    model = Model.of(network, "network", options.numbers, input_max=options.input_max)
    found = profile(model, frames, options.target)
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else found)
    return 0


def _eval(options: argparse.Namespace) -> int:
    return verbs.run_eval(options, *_loaded(options))


def _report(options: argparse.Namespace) -> int:
    return verbs.run_report(options, *_loaded(options))


def _prune(options: argparse.Namespace) -> int:
    network, own_steps = load_network(options.model, options.net, options.input)
    return prune.run(options, network, _steps(options.net, own_steps))


def _loaded(options: argparse.Namespace) -> tuple[ir.Network, int]:
    """The network, and how many steps to bin a recording into."""
    network, own_steps = load_network(options.model, options.net, options.input)
    return network, options.bins or _steps(options.net, own_steps) or _DEFAULT_STEPS


def _save(options: argparse.Namespace) -> int:
    network, own_steps = load_network(options.model, options.net, options.input)
    saved = network_file.Saved(network, _steps(options.net, own_steps))
    size = network_file.write(options.out, saved)
    if not options.quiet:
        print(f"{describe(network)}\nwritten to {options.out}, {size:,} bytes")
    return 0


def _steps(spec: str, steps: object) -> int | None:
    """The STEPS of the module that ``spec`` names, or of a network file, if any."""
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise SpikecError(
            f"--net {spec}: its module's STEPS is {steps!r}; make it a whole number of at least 1."
        )
    return steps


def _class(winner: int | None) -> str:
    return "no class: no output spiked" if winner is None else f"class {winner}"
