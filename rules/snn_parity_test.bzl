# SPDX-License-Identifier: Apache-2.0
"""snn_parity_test: snnTorch = reference.py = host C = Cortex-M7 C, to the last spike."""

load("@rules_cc//cc:cc_binary.bzl", "cc_binary")
load("@rules_python//python:py_test.bzl", "py_test")
load("//cc:copts.bzl", "COPTS")
load("//rules:snn_cc_library.bzl", "snn_cc_library")
load("//rules:snn_firmware.bzl", "snn_firmware")
load("//rules/private:target_source.bzl", "target_source")

def snn_parity_test(
        name,
        model,
        steps = 50,
        events = [],
        shared = "",
        limit = 5,
        size = "medium",
        visibility = None):
    """Tests a compiled network against snnTorch, in every layer at every step.

    Of a network file there is no snnTorch module, and a network in integers is not meant to
    spike as the float one does: then the reference, the host's C and the Cortex-M7's are compared,
    and for integers it is printed how near they are to float.

    Compares on random frames always, and on recordings. Makes NAME_host, which replays a recording
    on this machine, and NAME_m7, the same for the emulated board.

    Args:
      name: the test.
      model: a snn_model, as the string ":name" or "//package:name".
      steps: time steps that a recording is binned into.
      events: recordings in N-MNIST's format.
      shared: a folder of the shared data with more recordings, used when it is there.
      limit: how many of those.
      size: of the test.
      visibility: of the programs.
    """
    if type(model) != "string" or ":" not in model:
        # snn_model's module is the target with _net at the end of its name.
        fail("snn_parity_test(name = \"%s\"): model is %r; " % (name, model) +
             "give it as \":name\" or \"//package:name\".")
    snn_cc_library(
        name = name + "_network",
        model = model,
    )
    target_source(
        name = name + "_target",
        model = model,
    )
    cc_binary(
        name = name + "_host",
        srcs = [":" + name + "_target"],
        copts = COPTS,
        linkstatic = True,
        target_compatible_with = ["@platforms//os:linux"],
        visibility = visibility,
        deps = [
            ":" + name + "_network",
            Label("//cc/firmware:board"),
            Label("//cc/firmware:drive"),
            Label("//cc/firmware:host"),
        ],
    )
    snn_firmware(
        name = name + "_m7",
        board = "mps2_an500",
        model = model,
        program = "drive",
        visibility = visibility,
    )
    for group in ["checkpoint", "manifest"]:
        native.filegroup(
            name = name + "_" + group,
            srcs = [model],
            output_group = group,
        )
    qemu = "@spikec_qemu//:qemu_system_arm"
    main = Label("//python/spikec/tools:parity.py")
    arguments = [
        "--manifest=$(rootpath :%s_manifest)" % name,
        "--checkpoint=$(rootpath :%s_checkpoint)" % name,
        "--host=$(rootpath :%s_host)" % name,
        "--firmware=$(rootpath :%s_m7_elf_file)" % name,
        "--qemu=$(rootpath %s)" % qemu,
        "--steps=%d" % steps,
        "--limit=%d" % limit,
    ]
    if shared:
        arguments.append("--shared=" + shared)
    if events:
        arguments.append("--events")
        arguments.extend(["$(rootpaths %s)" % label for label in events])
    py_test(
        name = name,
        size = size,
        srcs = [main],
        args = arguments,
        data = [
            ":%s_checkpoint" % name,
            ":%s_m7_elf_file" % name,
            ":%s_host" % name,
            ":%s_manifest" % name,
            qemu,
        ] + events,
        main = main,
        target_compatible_with = ["@platforms//os:linux"],
        deps = [
            model + "_net",
            Label("//python/spikec:spikec"),
            Label("//python/spikec/tools"),
        ],
    )
