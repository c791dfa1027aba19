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
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from spikec.backend.c.names import check_name, describe_network
from spikec.backend.c.target import CACHE_LINES, this_machine
from spikec.cli import options as verbs
from spikec.errors import SpikecError
from spikec.frontends import nir as import_nir
from spikec.ir import network as ir
from spikec.ir import network_file
from spikec.measure import prune_search as prune
from spikec.measure import report
from spikec.model import Model
from spikec.recordings import frames as frame_file
from spikec.recordings.dataset import event_map
from spikec.recordings.events import bin_events, read_nmnist
from spikec.targets import budget
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
    match options.model.suffix:
        case network_file.SUFFIX | import_nir.SUFFIX:
            pass
        case ".json":
            if options.weights is None or options.input is None:
                parser.error("an architecture needs --weights and --input")
        case _:
            if options.net is None or options.input is None:
                parser.error("a checkpoint needs --net and --input")
    verb: Callable[[argparse.Namespace], int] = options.verb
    try:
        _refuse_options_of_other_kinds(options)
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
            help="a checkpoint, NAME.pt, with --net and --input; a NIR graph, NAME.nir; an "
            "architecture in the published runtime's format, NAME.json, with --weights and "
            f"--input; or a network file, NAME{network_file.SUFFIX}",
        )  # fmt: skip
        sub.add_argument(
            "--net", metavar="MODULE:FUNCTION",
            help="the function without arguments that builds a checkpoint's network",
        )  # fmt: skip
        sub.add_argument(
            "--input", metavar="C,H,W", type=_axes, help="one frame's shape, or N"
        )  # fmt: skip
        sub.add_argument(
            "--weights", metavar="FILE", type=Path, help="an architecture's weights, a JSON file"
        )
        sub.add_argument(
            "--semantics", choices=["snntorch", "published"],
            help="of an architecture's neurons: snnTorch's, in which it was trained (the default), "
            "or the published runtime's own, which spikes differently",
        )  # fmt: skip
        sub.add_argument(
            "--nir-dt", metavar="SECONDS", type=float,
            help="the time step of a NIR graph, which does not say; by default 0.0001, as "
            "snnTorch exports it",
        )  # fmt: skip
        sub.add_argument(
            "--nir-reset", choices=typing.get_args(ir.ResetMechanism),
            help="what a NIR graph's neurons do when they fired: set the membrane to v_reset "
            "(zero, the default, as NIR has it), subtract v_threshold, or none",
        )  # fmt: skip
        sub.add_argument(
            "--nir-reset-delay", action="store_true",
            help="they do it in the next time step, as snnTorch does, not at once",
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
        help=f"{verbs.EVENTS}, such as the network will see",
    )  # fmt: skip
    compile_.add_argument(
        "--bins", type=int,
        help="time steps to bin a recording of --calibrate into; the network's module's STEPS, "
        f"or else {_DEFAULT_STEPS}",
    )  # fmt: skip
    compile_.add_argument(
        "--target", choices=("host", *CACHE_LINES), default="generic",
        help="the CPU whose instructions the C may use; the default is plain C for any, host the "
        "one at hand",
    )  # fmt: skip
    # For drivers that run any network, as Bazel's rules do: with an observer and a handle.
    compile_.add_argument("--driven", action="store_true", help=argparse.SUPPRESS)
    compile_.add_argument("--quiet", action="store_true", help="print nothing when all is well")
    verbs.add_input_max(compile_)
    verbs.add_readout(compile_, "--steps")
    compile_.add_argument(
        "--steps", type=verbs.positive, metavar="N",
        help="time steps after which the --readout is decided at the latest; with --early-exit "
        "exact the network's module's STEPS by default",
    )  # fmt: skip
    budget.add_options(compile_)
    run = verb("run", _run, "Classify recordings with the compiled network on this machine.")
    run.add_argument(
        "--events", required=True, nargs="+", type=Path, metavar="FILE", help=verbs.EVENTS
    )
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
    verbs.add_readout(run, "a recording's")
    run.add_argument("--json", action="store_true", help="print JSON instead of a table")
    profile = verb("profile", _profile, "Show what each layer does and costs on recordings.")
    profile.add_argument(
        "--events", required=True, nargs="+", type=Path, metavar="FILE", help=verbs.EVENTS
    )
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
            f".pth, a NIR graph {import_nir.SUFFIX}, an architecture .json, a network file "
            f"{network_file.SUFFIX}."
        )
    try:
        from torch import nn

        from spikec.frontends.pytorch.module import load_checkpoint
    except ModuleNotFoundError as error:
        raise _missing(path, error) from error

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


def _missing(path: Path, error: ModuleNotFoundError) -> SpikecError:
    return SpikecError(
        f"reading {path} needs the package {error.name!r}, which is not here: pip install "
        "torch snntorch."
    )


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
    from spikec.frontends.pytorch.module import import_network

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
    if path.suffix != network_file.SUFFIX:
        assert spec is not None and input_shape is not None, "main sees to that"
        module, net = load_module(path, spec)
        return _imported(net, path, input_shape), getattr(module, "STEPS", None)
    saved = network_file.read(path)
    if spec is not None:
        raise SpikecError(f"--net {spec}: {path} holds the whole network; leave --net out.")
    _own_input(path, saved.network, input_shape)
    return saved.network, saved.steps


def _own_input(path: Path, network: ir.Network, given: tuple[int, ...] | None) -> None:
    axes = network.input.axes
    if given not in (None, axes):
        raise SpikecError(
            f"--input {_comma(given)}: {path} takes {_comma(axes)}; leave --input out."
        )


def _network(options: argparse.Namespace) -> tuple[ir.Network, object]:
    """The network that the command line names, whatever it is in, with its STEPS, if any."""
    path: Path = options.model
    if path.suffix == import_nir.SUFFIX:
        if options.net is not None:
            raise SpikecError(
                f"--net {options.net}: {path} holds the whole network; leave --net out."
            )
        network = import_nir.read_nir(path, _nir_steps(options))
        _own_input(path, network, options.input)
        return network, None
    if path.suffix != ".json":
        return load_network(path, options.net, options.input)
    if options.net is not None:
        raise SpikecError(f"--net {options.net}: {path} describes the network; leave --net out.")
    try:
        from spikec.frontends.pytorch.published import read_published
    except ModuleNotFoundError as error:
        raise _missing(path, error) from error
    semantics: Literal["snntorch", "published"] = options.semantics or "snntorch"
    return read_published(path, options.weights, options.input, semantics), None


def _refuse_options_of_other_kinds(options: argparse.Namespace) -> None:
    path: Path = options.model
    of_architecture = {"--weights": options.weights, "--semantics": options.semantics}
    of_nir = {
        "--nir-dt": options.nir_dt,
        "--nir-reset": options.nir_reset,
        "--nir-reset-delay": options.nir_reset_delay or None,
    }
    _goes_with(path, of_architecture, ".json", "an architecture, NAME.json")
    _goes_with(path, of_nir, import_nir.SUFFIX, "a NIR graph, NAME.nir")


def _goes_with(path: Path, given: Mapping[str, object], suffix: str, what: str) -> None:
    for name, value in given.items():
        if value is not None and path.suffix != suffix:
            raise SpikecError(f"{name} goes with {what}, and {path} is none; leave it out.")


def _nir_steps(options: argparse.Namespace) -> import_nir.Steps:
    given = {"dt": options.nir_dt, "reset": options.nir_reset}
    chosen = {name: value for name, value in given.items() if value is not None}
    return import_nir.Steps(**chosen, reset_delay=options.nir_reset_delay)


def _comma(axes: tuple[int, ...] | None) -> str:
    return ",".join(map(str, axes or ()))


def _check(options: argparse.Namespace) -> int:
    if options.model.suffix in (network_file.SUFFIX, import_nir.SUFFIX, ".json"):
        _network(options)  # which says what is wrong
        if options.model.suffix == import_nir.SUFFIX:
            print(f"{options.model}: read as {_nir_steps(options)}.")
        print(f"{options.model}: can be compiled.")
        return 0
    _, net = load_module(options.model, options.net)
    from spikec.frontends.pytorch.module import check

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
    network, own_steps = _network(options)
    calibration = None
    if options.calibrate:
        steps = _steps_for(options, network, options.calibrate, options.bins, own_steps)
        paths = verbs.recordings(options.calibrate, network)
        calibration = [_frames(options, network, path, steps)[0] for path in paths]
    limit = options.steps
    if limit is None and options.early_exit == "exact":
        limit = _steps(options.net, own_steps)
    model = Model.of(
        network, options.name, options.numbers, options.kernels, calibration, options.input_max,
        options.readout, options.early_exit, limit,
    )  # fmt: skip
    report.check_budget(model, budget.Budget(options.max_flash, options.max_ram))
    target = this_machine() if options.target == "host" else options.target
    model.write(options.out, target=target, driven=options.driven)
    if not options.quiet:
        print(model.report())
        print(f"written to {options.out}")
    return 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Result:
    """What one recording gave: spikes per class, the class, microseconds a step."""

    file: str
    events: int
    steps: int
    winner: int | None  # by most spikes or by the readout; None when no output spiked
    decided_after: int | None  # time steps; None without a readout
    counts: tuple[float, ...]  # whole numbers unless spikes are graded
    us_per_step: float


def _run(options: argparse.Namespace) -> int:
    network, paths, steps = _recorded(options, options.steps)
    model = Model.of(
        network, "network", options.numbers, input_max=options.input_max,
        **verbs.chosen_readout(options, network, steps),
    )  # fmt: skip
    recordings = [(path, *_frames(options, network, path, steps)) for path in paths]
    host = model.build()
    results = []
    for path, frames, events in recordings:
        start = time.perf_counter()
        counts = host.run(frames).sum(axis=0)
        elapsed = time.perf_counter() - start
        decision = None
        winner = int(np.argmax(counts)) if counts.any() else None
        if model.readout is not None:
            decision = host.classify(frames)
            winner = decision.winner
        results.append(
            _Result(
                str(path), events, steps, winner, decision.steps if decision else None,
                tuple(counts.tolist()), elapsed / steps * 1e6,
            )
        )  # fmt: skip
    if options.json:
        print(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
        return 0
    for result in results:
        print(
            f"{result.file}: {_class(result.winner)}{_after(result.decided_after)}, spikes "
            f"{' '.join(map(str, result.counts))}, {result.events:,} events in {result.steps} "
            f"steps, {result.us_per_step:.0f} us a step"
        )
    return 0


def _recorded(options: argparse.Namespace, steps: int | None) -> tuple[ir.Network, list[Path], int]:
    """The network, the recordings of ``--events`` and how many steps each has."""
    of_events = any(frame_file.file_of(path) is None for path in options.events)
    if options.input is not None and of_events:
        event_map(options.input, "--input")
    network, own_steps = _network(options)
    steps = _steps_for(options, network, options.events, steps, own_steps)
    return network, verbs.recordings(options.events, network), steps


def _steps_for(
    options: argparse.Namespace, network: ir.Network, paths: Sequence[Path], asked: int | None,
    own_steps: object,
) -> int:  # fmt: skip
    """The time steps of recordings in frames, or how many to bin recordings of events into."""
    known = verbs.steps_of(paths, network, asked)
    return known if known is not None else _steps(options.net, own_steps) or _DEFAULT_STEPS


def _frames(
    options: argparse.Namespace, network: ir.Network, path: Path, steps: int
) -> tuple[npt.NDArray[np.float32], int]:
    """One recording's frames ``[T, *axes]``, and how many events it has."""
    axes, window = network.input.axes, getattr(options, "window_us", None)
    if frame_file.is_recording(path):
        if window is not None:
            raise SpikecError(f"--window-us: {path.parent} holds frames; leave it out.")
        frames = frame_file.read(path, axes)
        return frames, int(np.count_nonzero(frames))
    height, width = event_map(axes, f"{options.model}: its input")
    recording = read_nmnist(path, width, height)
    return bin_events(recording, steps=steps, window_us=window), len(recording.x)


def _profile(options: argparse.Namespace) -> int:
    from spikec.measure.profile import profile

    network, paths, steps = _recorded(options, options.bins)
    frames = [_frames(options, network, path, steps)[0] for path in paths]
    model = Model.of(network, "network", options.numbers, input_max=options.input_max)
    found = profile(model, frames, options.target)
    print(json.dumps(dataclasses.asdict(found), indent=2) if options.json else found)
    return 0


def _eval(options: argparse.Namespace) -> int:
    return verbs.run_eval(options, *_loaded(options))


def _report(options: argparse.Namespace) -> int:
    return verbs.run_report(options, *_loaded(options))


def _prune(options: argparse.Namespace) -> int:
    network, own_steps = _network(options)
    data = [options.data] if options.data else []
    steps = verbs.steps_of(data, network, options.bins) or _steps(options.net, own_steps)
    return prune.run(options, network, steps)


def _loaded(options: argparse.Namespace) -> tuple[ir.Network, int]:
    """The network, and how many steps its recordings have."""
    network, own_steps = _network(options)
    paths = [*getattr(options, "events", []), *([options.data] if options.data else [])]
    return network, _steps_for(options, network, paths, options.bins, own_steps)


def _save(options: argparse.Namespace) -> int:
    network, own_steps = _network(options)
    saved = network_file.Saved(network, _steps(options.net, own_steps))
    size = network_file.write(options.out, saved)
    if not options.quiet:
        print(f"{describe_network(network)}\nwritten to {options.out}, {size:,} bytes")
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


def _after(steps: int | None) -> str:
    return "" if steps is None else f" after {steps} steps"
