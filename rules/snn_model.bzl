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
        input_max = 0,
        max_flash = 0,
        max_ram = 0,
        tags = [],
        visibility = None):
    """Compiles a trained network to C for the platform at hand.

    That is NAME.h and NAME.c; a handle for drivers of any network, NAME_model.h and NAME_model.c;
    and for x86-64 its higher levels, NAME_v3.c and NAME_v4.c.

    A network file (.spikec) takes neither `net` nor `input` nor `deps`, and is compiled without
    torch. `spikec save` makes one of a NIR graph or of the published runtime's JSON.

    Args:
      name: the target; also what generated files and symbols start with, so a C identifier.
      checkpoint: the weights, a state_dict saved by torch.save, or a network file.
      net: the function that builds a checkpoint's network, package.module:function.
      input: a checkpoint's: one frame's shape without time and batch, [C, H, W] or [N].
      deps: the Python libraries that `net` is imported from.
      numbers: the format of weights and membranes: "f32", or "int8", integers only.
      calibration: recordings (.bin) such as the network will see, by which each layer's kernel is
        chosen, event-driven or dense; without them all are event-driven. The spikes are the same.
      bins: time steps to bin such a recording into; 0 for the network's own number.
      input_max: the most events that one input counts in a time step, so that inputs are whole
        numbers from 0 to it; 0 for what the network declares itself, if anything.
      max_flash: bytes of flash that the network's code and tables may take; 0 for any. The build
        fails with a sentence when the tables alone take more, and that of every snn_firmware of
        the network when code and tables, as linked, do.
      max_ram: bytes of RAM that the network's state may take; 0 for any. A program's stack and
        variables come on top.
      tags: of the target.
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
        input_max = input_max,
        max_flash = max_flash,
        max_ram = max_ram,
        net = net,
        numbers = numbers,
        symbol = name,
        target = select({
            str(Label("//platforms:is_cortex_m7")): "cortex-m7",
            str(Label("//platforms:is_x86_64")): "x86-64",
            "//conditions:default": "generic",
        }),
        tags = tags,
        visibility = visibility,
    )
