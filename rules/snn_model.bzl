# SPDX-License-Identifier: Apache-2.0
"""snn_model: a trained network as generated C."""

load("@rules_python//python:py_binary.bzl", "py_binary")
load("@rules_python//python:py_library.bzl", "py_library")
load("//rules/private:generate.bzl", "generate")

def snn_model(name, checkpoint, net, input, deps, numbers = "f32", visibility = None):
    """Compiles a snnTorch checkpoint to NAME.h, NAME.c, NAME_model.h and NAME_model.c.

    Args:
      name: the target; also what generated files and symbols start with, so a C identifier.
      checkpoint: the weights, a state_dict saved by torch.save.
      net: the function that builds the network, package.module:function.
      input: one frame's shape without time and batch, [C, H, W] or [N].
      deps: the Python libraries that `net` is imported from.
      numbers: the format of weights and membranes, "f32".
      visibility: of the target.
    """
    py_library(
        name = name + "_net",
        visibility = visibility,
        deps = deps,
    )
    py_binary(
        name = name + "_exporter",
        srcs = [Label("//python/spikec:__main__.py")],
        main = Label("//python/spikec:__main__.py"),
        tags = ["manual"],
        deps = deps + [Label("//python/spikec:spikec")],
    )
    generate(
        name = name,
        checkpoint = checkpoint,
        exporter = ":" + name + "_exporter",
        input = input,
        net = net,
        numbers = numbers,
        symbol = name,
        visibility = visibility,
    )
