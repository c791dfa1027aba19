# SPDX-License-Identifier: Apache-2.0
"""snn_model: a trained network as generated C."""

load("@rules_python//python:py_binary.bzl", "py_binary")
load("@rules_python//python:py_library.bzl", "py_library")
load("//rules/private:generate.bzl", "generate")

def snn_model(
        name,
        checkpoint,
        net = "",
        input = [],
        deps = [],
        numbers = "f32",
        calibration = [],
        bins = 0,
        visibility = None):
    """Compiles a trained network to NAME.h, NAME.c, NAME_model.h and NAME_model.c.

    A network file (.spikec) takes neither `net` nor `input` nor `deps`, and is compiled without
    torch.

    Args:
      name: the target; also what generated files and symbols start with, so a C identifier.
      checkpoint: the weights, a state_dict saved by torch.save, or a network file.
      net: the function that builds a checkpoint's network, package.module:function.
      input: a checkpoint's: one frame's shape without time and batch, [C, H, W] or [N].
      deps: the Python libraries that `net` is imported from.
      numbers: the format of weights and membranes, "f32".
      calibration: recordings (.bin) such as the network will see, by which each layer's kernel is
        chosen, event-driven or dense; without them all are event-driven. The spikes are the same.
      bins: time steps to bin such a recording into; 0 for the network's own number.
      visibility: of the target.
    """
    py_library(
        name = name + "_net",
        visibility = visibility,
        deps = deps,
    )
    exporter = Label("//python/spikec:command_core")
    if net:
        exporter = ":" + name + "_exporter"
        py_binary(
            name = name + "_exporter",
            srcs = [Label("//python/spikec:__main__.py")],
            main = Label("//python/spikec:__main__.py"),
            tags = ["manual"],
            deps = deps + [Label("//python/spikec:spikec")],
        )
    generate(
        name = name,
        bins = bins,
        calibration = calibration,
        checkpoint = checkpoint,
        exporter = exporter,
        input = input,
        net = net,
        numbers = numbers,
        symbol = name,
        visibility = visibility,
    )
