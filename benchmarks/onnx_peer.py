# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime as a peer: a compiled network's layers as an ONNX graph, on one thread.

A step is a graph from the neurons' state and a frame to the new state. The benchmark has it in two
forms. One Scan repeats it over a recording, which has to be there as a whole: of what was tried the
fastest on every network. A run() a step, given the state back as arrays, can follow a live sensor.
Microseconds a step, N-MNIST seed network at 50 steps, ONNX Runtime 1.31.1 on a Xeon with AVX-512:

    Scan over the recording, one run() a recording              44  (onnx_run)
    the convolutions over all steps at once, a Scan a layer     45
    the step graph with bound buffers, state swapped            48
    the step graph, run() with arrays                           59  (onnx_run_by_steps)

The state of a neuron is its membrane and its last spike, which is also its reset: judging the
membrane again instead costs 3 more. Flushing subnormals to zero changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from spikec.errors import SpikecError
from spikec.ir import network as ir

_OPSET = 21
_IR_VERSION = 10


def onnx_run(network: ir.Network) -> Callable[[ir.Floats], npt.NDArray[np.generic]]:
    """What runs ``network`` over frames ``[T, C, H, W]`` and gives its output spikes ``[T, N]``.

    Raises:
        SpikecError: a layer that the benchmarked networks do not have.
    """
    session = _session(_scan(step_graph(network)))

    def run(frames: ir.Floats) -> npt.NDArray[np.generic]:
        spikes: npt.NDArray[np.generic] = session.run(None, {"frames": frames[:, None]})[0]
        return spikes.reshape(len(frames), -1)

    return run


def onnx_run_by_steps(network: ir.Network) -> Callable[[ir.Floats], npt.NDArray[np.generic]]:
    """The same as :func:`onnx_run`, of a frame at a time: a step needs no frame after its own.

    Raises:
        SpikecError: a layer that the benchmarked networks do not have.
    """
    step = step_graph(network)
    session = _session(step)
    reset = _reset(step)

    def run(frames: ir.Floats) -> npt.NDArray[np.generic]:
        state = list(reset.values())
        spikes = []
        for frame in frames[:, None]:
            given = dict(zip(reset, state, strict=True))
            state = session.run(None, {**given, ir.INPUT: frame})
            spikes.append(state[-1])
        return np.concatenate(spikes).reshape(len(frames), -1)

    return run


def step_graph(network: ir.Network) -> onnx.GraphProto:
    """A step of ``network``, from its state and a frame, the last input, to its new state.

    All are ``[1, *axes]``. The last part of the state is the spikes of the network's output.

    Raises:
        SpikecError: a layer that the benchmarked networks do not have, or a last one of no spikes.
    """
    if not isinstance(network.output, ir.Leaky):
        raise SpikecError(
            f"layer {network.output.name} (torch {network.output.source!r}) is the last one and no "
            "Leaky; the ONNX graph that the benchmark builds gives the spikes of a last Leaky. End "
            "the network in one, or add this to benchmarks/onnx_peer.py."
        )
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    before: list[onnx.ValueInfoProto] = []  # the state that a step reads
    after: list[onnx.ValueInfoProto] = []  # the same, as it writes it

    def constant(name: str, values: ir.Weights) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def add(operator: str, inputs: list[str], output: str, **attributes: object) -> None:
        nodes.append(helper.make_node(operator, inputs, [output], **attributes))

    for layer in network.layers:
        name, value = layer.name, layer.inputs[0]
        given = network.shape_of(value)
        match layer:
            case ir.Conv2d(padding=(0, 0), dilation=(1, 1), groups=1):
                weight = constant(f"{name}_weight", layer.weight.transpose(3, 2, 0, 1))
                bias = constant(f"{name}_bias", layer.bias)
                add("Conv", [value, weight, bias], name, strides=layer.stride)
            case ir.Linear():
                rows = layer.weight.reshape(given.height, given.width, given.channels, -1)
                weight = constant(
                    f"{name}_weight", rows.transpose(2, 0, 1, 3).reshape(layer.weight.shape)
                )
                add("Gemm", [value, weight, constant(f"{name}_bias", layer.bias)], name)
            case ir.MaxPool2d(padding=(0, 0), dilation=(1, 1), clipped=False):
                add("MaxPool", [value], name, kernel_shape=layer.kernel, strides=layer.stride)
            case ir.Flatten():
                add("Flatten", [value], name)
            case ir.Leaky(reset="subtract", reset_delay=True) if (
                layer.unit_spikes and layer.beta.size == layer.threshold.size == 1
            ):
                # mem[t] = beta * mem[t-1] + I[t] - spk[t-1] * thr; spk[t] = mem[t] > thr
                beta = constant(f"{name}_beta", layer.beta.reshape(()))
                threshold = constant(f"{name}_threshold", layer.threshold.reshape(()))
                add("Mul", [f"{name}_mem_before", beta], f"{name}_decayed")
                add("Add", [f"{name}_decayed", value], f"{name}_driven")
                reset = f"{name}_before"
                if layer.threshold.item() != 1:
                    add("Mul", [reset, threshold], f"{name}_reset")
                    reset = f"{name}_reset"
                add("Sub", [f"{name}_driven", reset], f"{name}_mem")
                add("Greater", [f"{name}_mem", threshold], f"{name}_above")
                add("Cast", [f"{name}_above"], name, to=TensorProto.FLOAT)
                axes = (1, *layer.shape.axes)
                for part in (f"{name}_mem", name):
                    before.append(_value(f"{part}_before", axes))
                    after.append(_value(part, axes))
            case _:
                raise SpikecError(
                    f"layer {name} (torch {layer.source!r}): its {type(layer).__name__}, or an "
                    "option of it, is not in the ONNX graph that the benchmark builds, which knows "
                    "Conv2d and MaxPool2d without padding, dilation and groups, Linear, Flatten "
                    "and Leaky as it is by default; add it to benchmarks/onnx_peer.py."
                )
    frame = _value(ir.INPUT, (1, *network.input.axes))
    return helper.make_graph(nodes, "step", [*before, frame], after, constants)


def _scan(step: onnx.GraphProto) -> onnx.GraphProto:
    """``step`` over a recording: from ``frames [T, 1, *axes]`` to ``spikes [T, 1, *axes]``."""
    spikes = step.output[-1]
    body = helper.make_graph(  # what is stacked is another output than the state
        [*step.node, helper.make_node("Identity", [spikes.name], ["step_spikes"])],
        step.name,
        step.input,
        [*step.output, _value("step_spikes", _axes(spikes))],
        step.initializer,
    )
    zeros = [
        numpy_helper.from_array(values, f"first_{name}") for name, values in _reset(step).items()
    ]
    scan = helper.make_node(
        "Scan",
        [*(zero.name for zero in zeros), "frames"],
        [*(f"last_{state.name}" for state in step.output), "spikes"],
        body=body,
        num_scan_inputs=1,
    )
    return helper.make_graph(
        [scan],
        "recording",
        [_value("frames", ("T", *_axes(step.input[-1])))],
        [_value("spikes", ("T", *_axes(spikes)))],
        zeros,
    )


def _session(graph: onnx.GraphProto) -> onnxruntime.InferenceSession:
    """``graph`` on one thread."""
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _reset(step: onnx.GraphProto) -> dict[str, ir.Floats]:
    """The state before the first step, by the name of the step's input."""
    return {state.name: np.zeros(_axes(state), np.float32) for state in step.input[:-1]}


def _axes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)


def _value(name: str, axes: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)
