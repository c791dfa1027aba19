# SPDX-License-Identifier: Apache-2.0
"""snn_firmware: a compiled network as an image for a board."""

load("@rules_cc//cc:cc_binary.bzl", "cc_binary")
load("@rules_cc//cc:cc_library.bzl", "cc_library")
load("//cc:copts.bzl", "COPTS")
load("//rules:firmware_image.bzl", "firmware_image")
load("//rules:snn_cc_library.bzl", "snn_cc_library")
load("//rules/private:target_source.bzl", "target_source")

_BOARDS = [
    "mps2_an500",
    "portenta_h7",
]
_MANUAL = ["manual"]  # built through the image's transition only

def _check(name, board, program, steps, window_us):
    """Fails with a sentence unless there is such a firmware."""
    where = "snn_firmware(name = \"%s\"): " % name
    if board not in _BOARDS:
        fail(where + "board is \"%s\"; use \"%s\"." % (board, "\" or \"".join(_BOARDS)))
    if program not in ["app", "drive"]:
        fail(where + "program is \"%s\"; use \"app\" or \"drive\"." % program)
    if program == "drive" and board != "mps2_an500":
        fail(where + "program \"drive\" needs files, which %s has not; " % board +
             "use board \"mps2_an500\" or program \"app\".")
    if program == "app" and (steps < 1 or window_us < 1):
        fail(where + "program \"app\" needs steps and window_us of at least 1, not " +
             "%d and %d; give those that the network was trained with." % (steps, window_us))

def snn_firmware(
        name,
        model,
        board,
        program = "app",
        steps = 0,
        window_us = 0,
        tags = [],
        visibility = None):
    """Builds NAME.elf, NAME.bin and NAME.size.txt; fails when the board's memory is exceeded.

    It fails too when the network's code, tables or state exceed the budget of its snn_model. It is
    built for the Cortex-M7 with or without --platforms=//platforms:cortex_m7.

    Args:
      name: the image.
      model: a snn_model.
      board: "portenta_h7", or "mps2_an500", which QEMU emulates.
      program: "app" classifies what comes over the serial port; "drive" replays files and
        measures, on mps2_an500 only.
      steps: of "app", which needs it: time steps of one recording, at least 1.
      window_us: of "app", which needs it: microseconds of one time step, at least 1.
      tags: of the image.
      visibility: of the image.
    """
    app = program == "app"
    _check(name, board, program, steps, window_us)
    library = name + "_network"
    snn_cc_library(
        name = library,
        model = model,
        tags = _MANUAL,
    )
    target_source(
        name = name + "_target",
        app = app,
        model = model,
        steps = steps,
        tags = _MANUAL,
        window_us = window_us,
    )
    if app:
        native.filegroup(
            name = name + "_config",
            srcs = [":" + name + "_target"],
            output_group = "config",
            tags = _MANUAL,
        )
        cc_library(
            name = name + "_config_library",
            hdrs = [":" + name + "_config"],
            includes = [name + "_target"],
            tags = _MANUAL,
            deps = [":" + library],
        )
    cc_binary(
        name = name + "_elf",
        srcs = [":" + name + "_target"] + ([Label("//cc/firmware:portenta_main.c")] if app else []),
        copts = COPTS,
        tags = _MANUAL,
        target_compatible_with = [Label("//platforms:core_cortex_m7")],
        deps = [
            ":" + library,
            Label("//cc/firmware:board"),
            Label("//cc/firmware:" + board),
            ":" + name + "_config_library" if app else Label("//cc/firmware:drive"),
        ],
    )
    firmware_image(
        name = name,
        elf = ":" + name + "_elf",
        model = model,
        tags = tags,
        visibility = visibility,
    )
