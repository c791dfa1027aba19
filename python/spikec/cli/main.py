# SPDX-License-Identifier: Apache-2.0
"""The ``spikec`` command: finds the verb and runs it.

Each verb is a module, ``verb_NAME.py``, with the functions ``add_options(parser)`` and
``run(options)``. It is imported when its options are asked for, so that ``spikec --version`` and
``spikec --help`` need neither NumPy nor torch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from spikec.errors import SpikecError
from spikec.version import VERSION

_VERBS = {
    "check": "List everything in a network that cannot be compiled.",
    "compile": "Write a network as self-contained C.",
    "run": "Classify recordings with the compiled network on this machine.",
    "profile": "Show what each layer does and costs on recordings.",
    "eval": "Judge a network on labelled recordings, with an interval.",
    "report": "Show what a network takes on a Cortex-M7, layer by layer.",
    "prune": "Write a smaller network, and show what it costs and loses.",
    "save": "Write a network as one file that every verb reads, without torch.",
}
_SHELLS = ("bash", "zsh", "tcsh", "fish")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb. Exit status 0: done; 1: a user's mistake, told on stderr; 2: bad usage.

    130: stopped from the keyboard.
    """
    if "BUILD_WORKING_DIRECTORY" in os.environ:  # under `bazel run`: where the user typed it
        os.chdir(os.environ["BUILD_WORKING_DIRECTORY"])
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--print-completion"]:
        return _print_completion(given[1:])
    verb = next((word for word in given if not word.startswith("-")), None)
    options = build_parser([verb] if verb in _VERBS else []).parse_args(given)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except SpikecError as error:
        print(f"spikec: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("spikec: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has had enough: `spikec run ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def build_parser(verbs: Sequence[str] = tuple(_VERBS)) -> argparse.ArgumentParser:
    """The command line's parser, which knows the options of ``verbs`` and the names of all."""
    parser = argparse.ArgumentParser(
        prog="spikec",
        description="Compiles trained snnTorch networks into plain C.",
        epilog="`spikec VERB --help` has a verb's options and examples. "
        f"`spikec --print-completion SHELL` prints completion for {', '.join(_SHELLS)}.",
    )
    parser.add_argument("--version", action="version", version=f"spikec {VERSION}")
    subparsers = parser.add_subparsers(required=True, metavar="VERB")
    for name, text in _VERBS.items():
        sub = subparsers.add_parser(
            name,
            help=text,
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in verbs:
            module = importlib.import_module(f"spikec.cli.verb_{name}")
            module.add_options(sub)
            sub.set_defaults(run=module.run, fail=sub.error)
    return parser


def _print_completion(shells: Sequence[str]) -> int:
    """Prints a script by which a shell completes verbs, options and choices."""
    if len(shells) != 1 or shells[0] not in _SHELLS:
        print(f"spikec: --print-completion takes one of {', '.join(_SHELLS)}.", file=sys.stderr)
        return 2
    parser = build_parser()
    if shells[0] == "fish":  # which shtab does not know
        print("\n".join(_complete_fish(parser)))
        return 0
    import shtab

    print(shtab.complete(parser, shells[0]))
    return 0


def _complete_fish(parser: argparse.ArgumentParser) -> list[str]:
    """The lines by which fish completes the command: verbs, then each verb's options."""
    lines = ["complete -c spikec -n __fish_use_subcommand -l version -d 'Print the version'"]
    (verbs,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    for name, sub in verbs.choices.items():
        lines.append(
            f"complete -c spikec -n __fish_use_subcommand -f -a {name} -d '{_VERBS[name]}'"
        )
        for action in sub._actions:
            if action.help == argparse.SUPPRESS:
                continue
            for option in action.option_strings:
                kind = "-l" if option.startswith("--") else "-s"
                line = f"complete -c spikec -n '__fish_seen_subcommand_from {name}' {kind} "
                line += option.lstrip("-")
                if action.choices is not None:
                    line += f" -x -a '{' '.join(map(str, action.choices))}'"
                lines.append(line)
    return lines
