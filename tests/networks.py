# SPDX-License-Identifier: Apache-2.0
"""Small snnTorch networks for tests: weights that make every layer spike, inputs, and a generator.

``Case`` names a network; ``prepare`` gives it weights and recordings. On a *grid* all numbers that
are summed are small multiples of a power of two, so that sums are exact in any order: snnTorch's
membranes then equal ours to the bit, and membranes often lie exactly on the threshold.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import snntorch
import torch
from torch import nn

Frames = npt.NDArray[np.float32]

STEPS = 14
MAP = (2, 9, 8)
LOWEST, HIGHEST = 0.005, 0.95  # the spike rates between which a layer's test means something


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """A network to compile: ``shape`` of one frame, layers without weights worth keeping."""

    name: str
    shape: tuple[int, ...]
    build: Callable[[], nn.Sequential]
    grid: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Prepared:
    """A network in eval mode whose layers spike, and what to show it: ``[T, *shape]`` each."""

    net: nn.Sequential
    recordings: tuple[Frames, ...]
    rates: dict[str, float]


def leaky(beta: Any = 0.9, **options: Any) -> snntorch.Leaky:
    """A Leaky as nn.Sequential wants it."""
    return snntorch.Leaky(**{"beta": beta, "init_hidden": True, **options})


def spread(*axes: int, low: float = 0.4, high: float = 1.3, seed: int = 5) -> torch.Tensor:
    """Values that differ from neuron to neuron."""
    values = np.random.default_rng(seed).uniform(low, high, axes)
    return torch.tensor(values, dtype=torch.float32)


def built(name: str, shape: tuple[int, ...], *layers: nn.Module, grid: bool = False) -> Case:
    """A network of copies of these layers."""
    return Case(name, shape, lambda: sized(nn.Sequential(*copy.deepcopy(layers)), shape), grid)


def on_map(name: str, *layers: nn.Module, grid: bool = False, tail: bool = True) -> Case:
    """Layers on a map of 2x9x8; with ``tail`` a small spiking readout follows."""
    end = [nn.Flatten(), nn.LazyLinear(5), leaky(output=True)] if tail else []
    return built(name, MAP, *layers, *end, grid=grid)


def sized(net: nn.Sequential, shape: tuple[int, ...]) -> nn.Sequential:
    """Gives lazy layers their sizes."""
    with torch.no_grad():
        net.eval()(torch.zeros(1, *shape))
    return net


def conv(*arguments: Any, **options: Any) -> nn.Conv2d:
    """A convolution of a map of 2 channels."""
    return nn.Conv2d(2, *arguments, **options)


def prepare(case: Case, seed: int = 0) -> Prepared:
    """Builds a case's network with seeded weights, scaled until every layer spikes now and then."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = case.build()
    _fill(net, rng, case.grid)
    net.eval()
    recordings = (
        counts(case.shape, rng), reals(case.shape, rng, case.grid), counts(case.shape, rng, 0.03)
    )  # fmt: skip
    return Prepared(net, recordings, _scale(net, np.concatenate(recordings), case.grid))


def counts(shape: tuple[int, ...], rng: np.random.Generator, density: float = 0.4) -> Frames:
    """Event counts ``[T, *shape]``, with an empty, a full and an almost empty step among them."""
    frames = rng.poisson(density, (STEPS, *shape)).astype(np.float32)
    frames[3] = 0
    frames[6] = 1
    frames[9] = 0
    frames[9].flat[rng.integers(frames[9].size)] = 2
    return frames


def reals(shape: tuple[int, ...], rng: np.random.Generator, grid: bool) -> Frames:
    """Numbers of either sign ``[T, *shape]``, most of them not zero."""
    frames = rng.normal(0.2, 1.0, (STEPS, *shape)) * (rng.random((STEPS, *shape)) < 0.8)
    return (np.round(frames * 8) / 8 if grid else frames).astype(np.float32)


def modules(net: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules of nested Sequentials in order."""
    for name, module in net._modules.items():
        if isinstance(module, nn.Sequential):
            yield from modules(module, f"{prefix}{name}.")
        elif module is not None:
            yield f"{prefix}{name}", module


def _fill(net: nn.Sequential, rng: np.random.Generator, grid: bool) -> None:
    def put(tensor: torch.Tensor | None, values: npt.NDArray[np.float64]) -> None:
        if tensor is not None:
            rounded = np.round(values * 16) / 16 if grid else values
            tensor.data = torch.tensor(rounded, dtype=torch.float32)

    for _, module in modules(net):
        match module:
            case nn.Conv2d() | nn.Linear():
                shape = tuple(module.weight.shape)
                put(module.weight, rng.normal(0.05, 1.5 / math.sqrt(math.prod(shape[1:])), shape))
                if module.bias is not None:
                    put(module.bias, rng.normal(0, 0.2, tuple(module.bias.shape)))
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                size = (module.num_features,)
                put(module.running_mean, rng.normal(0, 0.3, size))
                put(module.running_var, rng.uniform(0.3, 2.0, size))
                if module.affine:
                    put(
                        module.weight, rng.uniform(0.4, 1.6, size) * rng.choice([-1, 1, 1, 1], size)
                    )
                    put(module.bias, rng.normal(0.1, 0.3, size))
            case _:
                pass


def _scale(net: nn.Sequential, frames: Frames, grid: bool) -> dict[str, float]:
    """Scales the last weights before each Leaky until it spikes at a middling rate."""
    rates = {}
    values = torch.tensor(frames)
    segment: list[nn.Module] = []
    with torch.no_grad():
        for name, module in modules(net):
            segment.append(module)
            if not isinstance(module, snntorch.Leaky):
                continue
            weighted = [m for m in segment if isinstance(getattr(m, "weight", None), nn.Parameter)]
            factor = 2.0 if grid else 1.5
            for _ in range(16):
                fired = _through(segment, values)
                rate = float((fired != 0).float().mean())
                if 0.04 <= rate <= 0.6 or not weighted:
                    break
                weight = weighted[-1].weight
                assert isinstance(weight, nn.Parameter)
                weight.mul_(factor if rate < 0.04 else 1 / factor)
            rates[name] = rate
            values = fired
            segment = []
    return rates


def _through(segment: list[nn.Module], values: torch.Tensor) -> torch.Tensor:
    *stateless, spiking = segment
    for module in stateless:
        values = module(values)
    assert isinstance(spiking, snntorch.Leaky)
    spiking.reset_mem()
    fired = []
    for step in values:
        result = spiking(step[None])
        fired.append(result[0] if isinstance(result, tuple) else result)
    spiking.reset_mem()
    return torch.cat(fired)


def random_case(seed: int) -> Case:
    """A random network over all options that are supported; the same seed, the same network.

    Networks that torch refuses or whose layers hardly ever spike are drawn again.
    """
    rng = np.random.default_rng([seed, 2024])
    while True:
        grid = bool(rng.random() < 0.4)
        draw = int(rng.integers(1 << 30))
        shape, layers = _random_layers(np.random.default_rng(draw), grid)
        if layers is None:
            continue

        def build(draw: int = draw, grid: bool = grid) -> nn.Sequential:
            again = _random_layers(np.random.default_rng(draw), grid)[1]
            assert again is not None
            return nn.Sequential(*again)

        case = Case(f"random {seed}", shape, build, grid)
        if all(LOWEST <= rate <= HIGHEST for rate in prepare(case, seed).rates.values()):
            return case


def _random_layers(
    rng: np.random.Generator, grid: bool
) -> tuple[tuple[int, ...], list[nn.Module] | None]:
    """The frame shape and layers, or None where a window or kernel does not fit its input."""

    def chance(p: float) -> bool:
        return bool(rng.random() < p)

    def some(*choices: Any) -> Any:
        return choices[int(rng.integers(len(choices)))]

    def pair(*choices: int) -> Any:
        return some(*choices) if chance(0.6) else (some(*choices), some(*choices))

    def parameter(axes: tuple[int, ...], low: float, high: float) -> Any:
        sizes = some((), (axes[0], *(1,) * (len(axes) - 1)), axes, (1,))
        values = rng.uniform(low, high, sizes)
        values = np.round(values * 8) / 8 if grid else values
        return torch.tensor(values, dtype=torch.float32)

    def neurons(axes: tuple[int, ...]) -> snntorch.Leaky:
        grade: Any = 1.0
        if chance(0.2):
            grade = parameter(axes, 0.5, 2.0) * some(1, 1, -1)
        return leaky(
            beta=some(0.5, 0.9, 0.97, 1, 1.3, -0.2, 0, parameter(axes, 0.3, 1.0)),
            threshold=some(1.0, 1.0, 0.5, parameter(axes, 0.4, 1.4)),
            reset_mechanism=some("subtract", "subtract", "zero", "none"),
            reset_delay=chance(0.6),
            graded_spikes_factor=grade,
            learn_graded_spikes_factor=isinstance(grade, torch.Tensor) and chance(0.5),
        )

    def pool() -> nn.Module:
        if chance(0.6):
            kernel = pair(2, 2, 2, 3)
            if chance(0.5):
                return nn.MaxPool2d(kernel)
            return nn.MaxPool2d(
                kernel, pair(1, 2, 3), some(0, 0, 1), pair(1, 1, 2), ceil_mode=chance(0.5)
            )
        return nn.AvgPool2d(
            pair(2, 4) if grid else pair(2, 3), pair(1, 2), some(0, 0, 1), ceil_mode=chance(0.5),
            count_include_pad=grid or chance(0.5),
            divisor_override=some(1, 2, 4) if grid or chance(0.3) else None,
        )  # fmt: skip

    layers: list[nn.Module] = []
    flat = chance(0.25)
    shape: tuple[int, ...]
    if flat:
        shape = (int(rng.integers(3, 40)),)
    else:
        shape = (int(rng.integers(1, 5)), int(rng.integers(4, 12)), int(rng.integers(4, 12)))
    value = torch.zeros(1, *shape)

    def add(module: nn.Module) -> None:
        nonlocal value
        result = module.eval()(value)
        value = result[0] if isinstance(result, tuple) else result
        layers.append(module)

    def extras(norm: float) -> None:
        if chance(norm) and not grid:
            size = value.shape[1]
            kind = nn.BatchNorm2d if value.ndim == 4 else nn.BatchNorm1d
            add(kind(size, affine=chance(0.7), eps=some(1e-5, 1e-3)))
        if chance(0.1):
            add(some(nn.Dropout(0.5), nn.Identity(), nn.Dropout(0.1)))

    try:
        extras(0.1)
        if chance(0.1):
            add(neurons(tuple(value.shape[1:])))
        if not flat:
            if chance(0.1):
                add(pool())
            for _ in range(int(rng.integers(0, 3))):
                groups = some(1, 1, value.shape[1])
                padding: Any = some(0, 1, (1, 2), "valid", "same", 2)
                stride = 1 if padding == "same" else pair(1, 1, 2, 3)
                add(
                    nn.Conv2d(
                        value.shape[1], groups * int(rng.integers(1, 5)), pair(1, 2, 3, 3, 4),
                        stride, padding, pair(1, 1, 1, 2), groups, bias=chance(0.7),
                    )
                )  # fmt: skip
                extras(0.3)
                if chance(0.5):
                    add(pool())
                    extras(0.1)
                add(neurons(tuple(value.shape[1:])))
                if chance(0.3):
                    add(pool())
                extras(0.1)
            add(nn.Flatten())
            extras(0.15)
        if value.shape[1] > 600:
            return shape, None
        for _ in range(int(rng.integers(1, 3))):
            for _ in range(some(1, 1, 1, 2)):
                add(nn.Linear(value.shape[1], int(rng.integers(3, 24)), bias=chance(0.7)))
                extras(0.3)
            add(neurons((value.shape[1],)))
            extras(0.05)
        if not isinstance(layers[-1], snntorch.Leaky):
            layers.append(neurons((value.shape[1],)))
        if bool((value == -math.inf).any()):  # a pooling window without an input in it
            return shape, None
    except (RuntimeError, ValueError):
        return shape, None
    last = layers[-1]
    assert isinstance(last, snntorch.Leaky)
    last.output = chance(0.5)
    last.init_hidden = not last.output or chance(0.5)
    return shape, layers
