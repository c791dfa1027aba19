# SPDX-License-Identifier: Apache-2.0
"""Runs a module that has a forward of its own and finds the graph of one time step. Imports torch.

The module runs for a few time steps on random frames of batch 1. What it does to them is recorded:
the layers and neurons that it calls, and torch's functions on what these return. The records of
all steps must be one and the same graph, but for membranes, which neurons keep themselves, and for
values of the step before, which loops carry over. What is read of the graph is where it is used.
"""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch
from torch import nn

from spikec.frontends.pytorch.calling import (
    MOST_STEPS,
    TRACED_STEPS,
    Feedback,
    Graph,
    Style,
    feed_frames,
    reset,
    snapshot_parameters,
    untouched,
)
from spikec.frontends.pytorch.layers import IDENTITIES, LAYERS
from spikec.frontends.pytorch.neurons import NEURONS
from spikec.frontends.pytorch.record import Recorder
from spikec.frontends.pytorch.roll import Rolled
from spikec.frontends.pytorch.values import (
    LIBRARIES,
    NEURON_TYPES,
    SEQUENCE,
    TooShortError,
    UntraceableError,
    tensors_in,
)

# Running a module, and leaving it as it was.


def trace(net: nn.Module, axes: tuple[int, ...]) -> Graph:
    """Finds what ``net``, in eval mode, does in one time step to a frame of ``axes``.

    Of what it returns, spikes are the network's outputs; the states of neurons are ignored, unless
    there are no spikes: then their neurons are the outputs. ``net`` is left as it was.

    Raises:
        UntraceableError: it does something that is not supported, or not the same in every step.
    """
    failures: list[tuple[bool, int, UntraceableError]] = []
    feeding = True
    lengths = {
        len(module)
        for module in net.modules()
        if isinstance(module, nn.ModuleList)
        and len(module) > 1
        and all(isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d) for each in module)
    }
    styles: tuple[Style, ...] = ("step", "time first", "batch first")
    for style in styles:
        counts = (
            [TRACED_STEPS, TRACED_STEPS] if style == "step" else [*sorted(lengths), TRACED_STEPS]
        )
        while counts:
            steps = counts.pop(0)
            with untouched(net):
                recorder = Recorder(net, steps)
                attempt = _Run(net, axes, recorder, feeding)
                numbers = _random_state()
                try:
                    graph = attempt.graph(style)
                    if numbers != _random_state():
                        raise UntraceableError(
                            "its forward draws random numbers, so that no two runs are the same",
                            "draw them outside, and give it what comes of them as its input",
                        )
                    return graph
                except UntraceableError as error:
                    if numbers != _random_state() and "random" not in error.found:
                        error.fix += (
                            "; it draws random numbers, too (as spikegen.rate does): draw them "
                            "outside, and give it what comes of them"
                        )
                    if isinstance(error, TooShortError) and steps < MOST_STEPS:
                        counts.append(4 * steps)
                    if style == "step" and not attempt.guessed:
                        counts = []
                    feeding = False
                    failures.append((error.misread, -recorder.count, error))
    raise min(failures, key=lambda failure: failure[:2])[2]


def _random_state() -> tuple[object, ...]:
    """What the generators of torch, NumPy and Python would go on from."""
    drawn = np.random.get_state(legacy=False)
    numpys = (drawn["state"]["pos"], drawn["has_gauss"], drawn["gauss"])
    return torch.get_rng_state().numpy().tobytes(), numpys, random.getstate()


class _Run:
    """One try at a module, in one style.

    ``feeding``: what it returns goes into arguments that it can do without, if there are such.
    """

    def __init__(
        self, net: nn.Module, axes: tuple[int, ...], recorder: Recorder, feeding: bool
    ) -> None:
        self.net = net
        self.axes = axes
        self.recorder = recorder
        self.feeding = feeding
        self.guessed = False

    def graph(self, style: Style) -> Graph:
        recorder = self.recorder
        steps = recorder.steps
        generator = torch.Generator().manual_seed(0)
        frames = torch.rand((steps, *self.axes), generator=generator)
        reset(self.net)
        parameters = snapshot_parameters(self.net)
        for name, module in self.net.named_modules():
            self._watch(name, module)
        results: list[Any] = []
        feedback: tuple[Feedback, ...] = ()
        try:
            with recorder:
                if style == "step":
                    for step in range(steps):
                        frame = frames[step][None]
                        value = recorder.make("input", (), "B", frame.shape, option=step)
                        recorder.know(frame, value)
                        fed = feed_frames(feedback, results)
                        if not step:
                            fed = {
                                name: recorder.zero(torch.zeros(0), name)
                                for name, required in parameters
                                if required
                            }
                        results.append(self.net(frame, **fed))
                        calls = recorder.calls.values()
                        if not step and any(len(each) > 1 for each in calls):
                            style = "held"
                            break
                        if not step:
                            feedback = self._feedback(parameters, results[0])
                else:
                    whole = frames[:, None] if style == "time first" else frames[None]
                    lead = "TB" if style == "time first" else "BT"
                    recorder.know(whole, recorder.make("input", (), lead, whole.shape))
                    results.append(self.net(whole))
        except UntraceableError:
            raise
        except Exception as error:  # whatever the user's own code raises
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UntraceableError(
                f"its forward cannot be run on frames of {'x'.join(map(str, self.axes))} with "
                f"batch 1: {type(error).__name__} at {_raised_at(error)} ({reason})",
                "make it run for such an input, and check the input shape",
            ) from error
        recorder.check_zeros()
        own = None
        if style != "step":
            steps = self._own_steps(results[0])
            own = None if style != "held" and steps == recorder.steps else steps
        return Rolled(recorder, style, steps, own, feedback).graph(results)

    def _watch(self, name: str, module: nn.Module) -> None:
        """Stands in for the forward of a layer or of neurons, which are not looked into."""
        recorder = self.recorder
        kind = type(module)
        inner = any(
            type(parent) in NEURONS and parent is not module and module in parent.modules()
            for parent in self.net.modules()
        )
        leaf = not list(module.children()) and kind.__module__.startswith("torch.nn.modules.")
        known = isinstance(module, (*LAYERS, *IDENTITIES, *NEURON_TYPES))
        if inner or not (known or leaf):
            return
        forward = module.forward

        def paused(*args: Any, **kwargs: Any) -> Any:
            if recorder.paused:
                return forward(*args, **kwargs)
            recorder.paused = True
            try:
                return forward(*args, **kwargs)
            finally:
                recorder.paused = False

        def layer(*args: Any, **kwargs: Any) -> Any:
            first, *others = (*args, *kwargs.values())
            return recorder.layer(name, module, first, lambda given: paused(given, *others))

        def neurons(*args: Any, **kwargs: Any) -> Any:
            return recorder.neurons(name, module, args, kwargs, paused)

        module.forward = neurons if isinstance(module, NEURON_TYPES) else layer

    def _own_steps(self, result: Any) -> int:
        """The time steps of a module that has its own: as many as what it collects."""
        recorder = self.recorder
        for tensor in tensors_in(result):
            value = recorder.known(tensor)
            while value is not None and value.kind in ("over time", "reshape"):
                value = value.inputs[0]
            if value is not None and value.kind == "stack":
                return len(value.inputs)
        counts = [len(calls) for calls in recorder.calls.values()]
        if len(set(counts)) > 1 and isinstance(result, list) and len(result) in counts:
            return len(result)
        whole = any(isinstance(calls[0].module, SEQUENCE) for calls in recorder.calls.values())
        return recorder.steps if whole or not counts else min(counts)

    def _feedback(self, parameters: list[tuple[str, bool]], result: Any) -> tuple[Feedback, ...]:
        """Which result of a step goes into which argument of the next."""
        required = any(must for _, must in parameters)
        count = len(result) if isinstance(result, tuple | list) else 1
        names = parameters
        if not required and not self.feeding:
            return ()
        self.guessed = not required
        if required:
            names = [(name, must) for name, must in parameters if must]
        if not names or (not required and (count < len(names) or count == 1)):
            return ()
        if count < len(names) or count == 1:
            listed = ", ".join(name for name, _ in names)
            raise UntraceableError(
                f"its forward takes {listed} and returns {count} value(s), so that what goes into "
                "the next step is not known",
                "return the output first and then every state in the order of the arguments, or "
                "use init_hidden=True",
            )
        recorder = self.recorder
        first = count - len(names)  # states are the last results, or all of them
        found: list[Feedback] = []
        for i, (name, must) in enumerate(names):
            place = first + i
            if name in recorder.given:  # to neurons, so that the result is known
                call, state = recorder.given[name]
                for k, each in enumerate(result):
                    value = recorder.known(each)
                    own = value is not None and value.call is call
                    if own and value is not None and state == (value.option or "spk"):
                        place = k
            shape = tuple(result[place].shape) if must else None
            found.append((name, place, shape))
        return tuple(found)


def _raised_at(error: Exception) -> str:
    """The last line of the user's own code in an error's traceback."""
    found = "an unknown line"
    entry = error.__traceback__
    while entry is not None:
        file = entry.tb_frame.f_code.co_filename
        if not file.startswith(LIBRARIES):
            found = f"{os.path.basename(file)}:{entry.tb_lineno}"
        entry = entry.tb_next
    return found


# From the records of all steps to the graph of one.
