# SPDX-License-Identifier: Apache-2.0
"""Loads a checkpoint into the module that it was saved from."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from spikec.errors import SpikecError


def load_checkpoint(net: nn.Module, path: Path) -> None:
    """Loads the weights in ``path``, a ``state_dict`` saved by ``torch.save``, into ``net``.

    Raises:
        SpikecError: the file cannot be read, holds more than tensors, or its tensors are not
            the network's.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise SpikecError(f"{path}: there is no such file; name a checkpoint.") from error
    except pickle.UnpicklingError as error:
        raise SpikecError(
            f"{path}: this pickle holds more than tensors (or is no checkpoint at all), and "
            "loading it could run code, so it is refused; save the weights alone with "
            "torch.save(net.state_dict(), path)."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpikecError(
            f"{path}: cannot be read as a torch checkpoint ({reason}); it may be truncated: "
            "save it again with torch.save(net.state_dict(), path)."
        ) from error
    if isinstance(state, Mapping):
        for key in ("state_dict", "model_state_dict"):
            if isinstance(state.get(key), Mapping):
                state = state[key]
    tensors = isinstance(state, Mapping) and all(
        isinstance(key, str) and torch.is_tensor(value) for key, value in state.items()
    )
    if not tensors:
        raise SpikecError(
            f"{path}: holds a {type(state).__name__} where a state_dict (names to tensors) is "
            "needed; save it with torch.save(net.state_dict(), path)."
        )
    expected = net.state_dict()
    missing = sorted(set(expected) - set(state))
    extra = sorted(set(state) - set(expected))
    wrong = [
        f"{name} is {tuple(state[name].shape)} in the file and {tuple(tensor.shape)} in the network"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    other = [
        f"{name} is {_type(state[name])} in the file and {_type(tensor)} in the network"
        for name, tensor in expected.items()
        if name in state and _type(state[name]) != _type(tensor)
    ]
    faults = []
    if missing:
        faults.append(f"tensors are missing: {', '.join(missing)}")
    if extra:
        faults.append(f"tensors are not in the network: {', '.join(extra)}")
    if wrong:
        faults.append(f"shapes differ: {', '.join(wrong)}")
    if other:
        faults.append(f"types differ: {', '.join(other)}")
    if faults:
        raise SpikecError(
            f"{path}: does not fit the network that --net builds: {'; '.join(faults)}; use the "
            "function that built the network which was saved."
        )
    net.load_state_dict(dict(state))


def _type(tensor: torch.Tensor) -> str:
    """A tensor's type in a word or two: ``float32``, ``sparse float32``."""
    layout = "" if tensor.layout == torch.strided else "sparse "
    return f"{layout}{str(tensor.dtype).removeprefix('torch.')}"
