# SPDX-License-Identifier: Apache-2.0
"""From the path of what a person has to a network: checkpoint, graph, JSON or network file."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from spikec.errors import SpikecError
from spikec.frontends import nir
from spikec.frontends.nir_layers import Steps
from spikec.ir import network as ir
from spikec.ir import network_file

if TYPE_CHECKING:
    from torch import nn

Semantics = Literal["snntorch", "published"]
"""Whose neurons an architecture in the published runtime's format has."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A network, and what came with it.

    Attributes:
        network: the network.
        steps: the time steps of a recording: a network file's, or what the module of the function
            that builds a checkpoint's network calls STEPS; None where nothing says.
        module: a checkpoint's torch module, in eval mode; None of others.
    """

    network: ir.Network
    steps: int | None = None
    module: Any = None


def load(
    path: Path,
    *,
    net: str | None = None,
    input_shape: tuple[int, ...] | None = None,
    weights: Path | None = None,
    semantics: Semantics = "snntorch",
    nir_steps: Steps | None = None,
) -> Loaded:
    """Loads the network in a file, whatever kind of file it is.

    Args:
        path: a network file, NAME.spikec; a checkpoint, NAME.pt or NAME.pth; a NIR graph, NAME.nir;
            or an architecture in the published runtime's format, NAME.json.
        net: of a checkpoint, ``package.module:function``, which builds its module.
        input_shape: one frame's shape without time and batch; of a checkpoint and an architecture.
        weights: of an architecture, the JSON file with its weights.
        semantics: of an architecture, how its neurons spike.
        nir_steps: of a NIR graph, the time step and the reset that it does not say.

    Raises:
        SpikecError: the file cannot be read, holds what is not supported, or an argument is missing
            or does not go with such a file.
    """
    if net is not None and path.suffix in (network_file.SUFFIX, nir.SUFFIX):
        raise SpikecError(f"--net {net}: {path} holds the whole network; leave --net out.")
    match path.suffix:
        case network_file.SUFFIX:
            saved = network_file.read(path)
            _match_input(path, saved.network, input_shape)
            return Loaded(saved.network, saved.steps)
        case nir.SUFFIX:
            network = nir.read_nir(path, nir_steps or Steps())
            _match_input(path, network, input_shape)
            return Loaded(network)
        case ".json":
            if net is not None:
                raise SpikecError(f"--net {net}: {path} describes the network; leave --net out.")
            if weights is None or input_shape is None:
                raise SpikecError(f"{path}: an architecture needs --weights and --input.")
            try:
                from spikec.frontends.pytorch.published import read_published
            except ModuleNotFoundError as error:
                raise _say_missing(path, error) from error
            return Loaded(read_published(path, weights, input_shape, semantics))
        case _:
            return _load_checkpoint(path, net, input_shape)


def _load_checkpoint(path: Path, net: str | None, input_shape: tuple[int, ...] | None) -> Loaded:
    if net is None or input_shape is None:
        raise SpikecError(f"{path}: a checkpoint needs --net and --input.")
    module, network = load_module(path, net)
    steps = read_steps(net, getattr(module, "STEPS", None))
    return Loaded(import_module(network, path, input_shape), steps, network)


def import_module(net: nn.Module, path: Path, input_shape: tuple[int, ...]) -> ir.Network:
    """The network that a module is, which was loaded from ``path``.

    Raises:
        SpikecError: something in it is not supported.
    """
    from spikec.frontends.pytorch.module import import_network

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return import_network(net, input_shape, path.name, digest)


def load_module(path: Path, spec: str) -> tuple[ModuleType, nn.Module]:
    """Builds a network by ``spec``, ``package.module:function``, with the checkpoint in ``path``.

    Returns the module that the function is in, and the network in eval mode.

    Raises:
        SpikecError: the function or the checkpoint cannot be used.
    """
    if path.suffix not in (".pt", ".pth"):
        raise SpikecError(
            f"{path}: cannot tell what kind of model this is; a torch checkpoint is named .pt or "
            f".pth, a NIR graph {nir.SUFFIX}, an architecture .json, a network file "
            f"{network_file.SUFFIX}."
        )
    try:
        from spikec.frontends.pytorch.checkpoint import load_checkpoint
        from spikec.frontends.pytorch.module import is_module
    except ModuleNotFoundError as error:
        raise _say_missing(path, error) from error

    module, function = _find_builder(spec)
    try:
        net = function()
    except (Exception, SystemExit) as error:  # whatever the user's own code raises
        raise SpikecError(
            f"--net {spec}: raised {type(error).__name__}: {error}; it must build the network "
            "without arguments."
        ) from error
    if not is_module(net):
        raise SpikecError(
            f"--net {spec}: returned a {type(net).__name__} where an nn.Module is needed."
        )
    load_checkpoint(net, path)
    return module, net.eval()


def _find_builder(spec: str) -> tuple[ModuleType, Callable[[], nn.Module]]:
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


def read_steps(spec: str | None, steps: object) -> int | None:
    """The STEPS of the module that ``spec`` names, if any.

    Raises:
        SpikecError: it is no number of time steps.
    """
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise SpikecError(
            f"--net {spec}: its module's STEPS is {steps!r}; make it an integer of at least 1."
        )
    return steps


def _say_missing(path: Path, error: ModuleNotFoundError) -> SpikecError:
    return SpikecError(
        f"reading {path} needs the package {error.name!r}, which is not here: pip install "
        "torch snntorch."
    )


def _match_input(path: Path, network: ir.Network, given: tuple[int, ...] | None) -> None:
    """Refuses another input shape than the network's own."""
    axes = network.input.axes
    if given not in (None, axes):
        raise SpikecError(
            f"--input {_comma(given)}: {path} takes {_comma(axes)}; leave --input out."
        )


def _comma(axes: tuple[int, ...] | None) -> str:
    return ",".join(map(str, axes or ()))
