# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime as a peer: a compiled network's layers as an ONNX graph, on one thread.

A step is a graph from a frame and the neurons' state to spikes and the new state; one Scan repeats
it over a recording. Of what was tried this was the fastest on every network. Microseconds a step,
N-MNIST seed network at 50 steps, ONNX Runtime 1.31.1 on a Xeon with AVX-512:

    Scan over the recording, one run() a recording              44
    the convolutions over all steps at once, a Scan a layer     45
    the step graph with bound buffers, state swapped            48
    the step graph, run() with arrays                           59

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

from spikec import ir
from spikec.errors import SpikecError

_OPSET = 21
_IR_VERSION = 10


def onnx_run(network: ir.Network) -> Callable[[ir.Floats], npt.NDArray[np.generic]]:
    """What runs ``network`` over frames ``[T, C, H, W]`` and gives its output spikes ``[T, N]``.

    Raises:
        SpikecError: a layer that the benchmarked networks do not have.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = onnxruntime.InferenceSession(
        onnx_model(network).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(frames: ir.Floats) -> npt.NDArray[np.generic]:
        spikes: npt.NDArray[np.generic] = session.run(None, {"frames": frames[:, None]})[0]
        return spikes.reshape(len(frames), -1)

    return run


def onnx_model(network: ir.Network) -> onnx.ModelProto:
    """``network`` as a model from ``frames [T, 1, *axes]`` to ``spikes [T, 1, *axes]``.

    Raises:
        SpikecError: a layer that the benchmarked networks do not have.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    before: list[onnx.ValueInfoProto] = []  # the state that a step reads
    after: list[onnx.ValueInfoProto] = []  # the same, as it writes it
    zeros: list[onnx.TensorProto] = []  # the same, before the first step

    def constant(name: str, values: ir.Floats) -> str:
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
                    zeros.append(numpy_helper.from_array(np.zeros(axes, np.float32), f"{part}_0"))
            case _:
                raise SpikecError(
                    f"layer {name} (torch {layer.source!r}): its {type(layer).__name__}, or an "
                    "option of it, is not in the ONNX graph that the benchmark builds, which knows "
                    "Conv2d and MaxPool2d without padding, dilation and groups, Linear, Flatten "
                    "and Leaky as it is by default; add it to benchmarks/onnx_peer.py."
                )
    frame = (1, *network.input.axes)
    spikes = (1, *network.output.shape.axes)
    add("Identity", [network.output.name], "step_spikes")
    step = helper.make_graph(
        nodes,
        "step",
        [*before, _value(ir.INPUT, frame)],
        [*after, _value("step_spikes", spikes)],
        constants,
    )
    scan = helper.make_node(
        "Scan",
        [*(zero.name for zero in zeros), "frames"],
        [*(f"last_{state.name}" for state in after), "spikes"],
        body=step,
        num_scan_inputs=1,
    )
    recording = helper.make_graph(
        [scan],
        "recording",
        [_value("frames", ("T", *frame))],
        [_value("spikes", ("T", *spikes))],
        zeros,
    )
    model = helper.make_model(
        recording, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
    )
    onnx.checker.check_model(model)
    return model


def _value(name: str, axes: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)
