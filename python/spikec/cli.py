# SPDX-License-Identifier: Apache-2.0
"""The ``spikec`` command: check, compile and run a trained network."""

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

from spikec.errors import SpikecError
from spikec.events import bin_events, read_nmnist
from spikec.model import Model
from spikec.version import VERSION

if TYPE_CHECKING:
    from torch import nn

_DEFAULT_STEPS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb. Exit status 0: done; 1: a user's mistake, told on stderr; 2: bad usage."""
    if "BUILD_WORKING_DIRECTORY" in os.environ:  # under `bazel run`: where the user typed it
        os.chdir(os.environ["BUILD_WORKING_DIRECTORY"])
    options = _parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], int] = options.verb
    try:
        return verb(options)
    except SpikecError as error:
        print(f"spikec: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has had enough: `spikec run ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="spikec", description="Compiles trained snnTorch networks into plain C."
    )
    parser.add_argument("--version", action="version", version=f"spikec {VERSION}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(
        name: str, function: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(verb=function)
        sub.add_argument("model", metavar="MODEL", type=Path, help="a checkpoint, NAME.pt")
        sub.add_argument(
            "--net", required=True, metavar="MODULE:FUNCTION",
            help="the function without arguments that builds the network",
        )  # fmt: skip
        sub.add_argument(
            "--input", required=True, metavar="C,H,W", type=_axes, help="one frame's shape, or N"
        )
        return sub

    verb("check", _check, "List everything in a network that cannot be compiled.")
    compile_ = verb("compile", _compile, "Write a network as self-contained C.")
    compile_.add_argument("--name", required=True, help="the start of files' and symbols' names")
    compile_.add_argument("--out", required=True, type=Path, help="the folder to write")
    compile_.add_argument("--numbers", default="f32", help="weights and membranes: f32")
    compile_.add_argument(
        "--generated-only", action="store_true",
        help="leave out the headers that are the same for every network",
    )  # fmt: skip
    compile_.add_argument("--quiet", action="store_true", help="print nothing when all is well")
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
    run.add_argument("--numbers", default="f32", help="weights and membranes: f32")
    run.add_argument("--json", action="store_true", help="print JSON instead of a table")
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
            ".pth."
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
    from spikec.import_snntorch import import_network

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    network = import_network(net, input_shape, path.name, digest)
    return module, net, Model.of(network, name, numbers)


def _check(options: argparse.Namespace) -> int:
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
    from spikec.emit_c import check_name

    check_name(options.name)
    _, _, model = load_model(
        options.model, options.net, options.input, options.name, options.numbers
    )
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
    channels = options.input[0]
    if len(options.input) != 3 or channels != 2:
        raise SpikecError(
            f"--input {','.join(map(str, options.input))}: recordings have two polarities, so run "
            "needs a network with input 2,H,W."
        )
    _, height, width = options.input
    if min(height, width) < 1:
        raise SpikecError(f"--input 2,{height},{width}: a frame has at least one pixel.")
    recordings = [(path, read_nmnist(path, width, height)) for path in options.events]
    module, _, model = load_model(
        options.model, options.net, options.input, "network", options.numbers
    )
    steps = options.steps
    if steps is None:
        steps = getattr(module, "STEPS", _DEFAULT_STEPS)
        if not isinstance(steps, int):
            raise SpikecError(
                f"--net {options.net}: its module's STEPS is {steps!r}; make it a whole number or "
                "give --steps."
            )
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


def _class(winner: int | None) -> str:
    return "no class: no output spiked" if winner is None else f"class {winner}"
