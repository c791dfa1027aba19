# SPDX-License-Identifier: Apache-2.0
"""Runs the exporter: checkpoint in, C out."""

load(":snn_model_info.bzl", "SnnModelInfo")

def _generate_impl(ctx):
    symbol = ctx.attr.symbol
    headers = [
        ctx.actions.declare_file(symbol + ".h"),
        ctx.actions.declare_file(symbol + "_model.h"),
    ]
    sources = [
        ctx.actions.declare_file(symbol + ".c"),
        ctx.actions.declare_file(symbol + "_model.c"),
    ]
    if ctx.attr.target == "x86-64":
        # Each step takes the best level of x86-64 that the CPU at hand has.
        sources += [
            ctx.actions.declare_file(symbol + "_v3.c"),
            ctx.actions.declare_file(symbol + "_v4.c"),
        ]
    given = [ctx.file.checkpoint.path]
    if ctx.attr.net:
        given += ["--net", ctx.attr.net]
    if ctx.attr.input:
        given += ["--input", ",".join([str(axis) for axis in ctx.attr.input])]
    arguments = ctx.actions.args()
    arguments.add("compile")
    arguments.add_all(given)
    arguments.add("--numbers", ctx.attr.numbers)
    arguments.add("--name", symbol)
    arguments.add("--out", headers[0].dirname)
    arguments.add("--target", ctx.attr.target)
    arguments.add("--driven")
    if ctx.files.calibration:
        arguments.add_all("--calibrate", ctx.files.calibration)
        if ctx.attr.bins:
            arguments.add("--bins", ctx.attr.bins)
    for option, value in [
        ("--input-max", ctx.attr.input_max),
        ("--max-flash", ctx.attr.max_flash),
        ("--max-ram", ctx.attr.max_ram),
    ]:
        if value:
            arguments.add(option, value)
    arguments.add("--quiet")
    ctx.actions.run(
        executable = ctx.executable.exporter,
        arguments = [arguments],
        inputs = [ctx.file.checkpoint] + ctx.files.calibration,
        outputs = headers + sources,
        mnemonic = "SnnCompile",
        progress_message = "Compiling network %s to C" % ctx.label,
    )
    network = ctx.actions.declare_file(symbol + ".spikec")
    save = ctx.actions.args()
    save.add("save")
    save.add_all(given)
    save.add("--out", network)
    save.add("--quiet")
    ctx.actions.run(
        executable = ctx.executable.exporter,
        arguments = [save],
        inputs = [ctx.file.checkpoint],
        outputs = [network],
        mnemonic = "SnnSave",
        progress_message = "Saving network %s as a file" % ctx.label,
    )
    manifest = ctx.actions.declare_file(symbol + ".json")
    ctx.actions.write(manifest, struct(
        name = symbol,
        net = ctx.attr.net,
        input = ctx.attr.input,
        input_max = ctx.attr.input_max,
        numbers = ctx.attr.numbers,
    ).to_json())
    return [
        DefaultInfo(
            files = depset(headers + sources),
            runfiles = ctx.runfiles(files = headers + sources),
        ),
        OutputGroupInfo(
            checkpoint = depset([ctx.file.checkpoint]),
            headers = depset(headers),
            sources = depset(sources),
            manifest = depset([manifest]),
            network = depset([network]),
        ),
        SnnModelInfo(
            max_flash = ctx.attr.max_flash,
            max_ram = ctx.attr.max_ram,
            symbol = symbol,
        ),
    ]

generate = rule(
    implementation = _generate_impl,
    doc = "Compiles a trained network to C by the exporter. Output groups: `headers`, `sources`; " +
          "`checkpoint`, what it was compiled from; `manifest`, a JSON file that says how: name, " +
          "net, input, input_max, numbers; `network`, the network file.",
    attrs = {
        "bins": attr.int(
            doc = "Time steps to bin a recording of `calibration` into; 0 for the network's own.",
        ),
        "calibration": attr.label_list(
            doc = "Recordings by which to choose kernels.",
            allow_files = [".bin"],
        ),
        "checkpoint": attr.label(
            doc = "The weights, a state_dict saved by torch.save, or a network file.",
            allow_single_file = [".pt", ".pth", ".spikec"],
            mandatory = True,
        ),
        "exporter": attr.label(
            doc = "The spikec command, able to import the network's module.",
            executable = True,
            cfg = "exec",
            mandatory = True,
        ),
        "input": attr.int_list(
            doc = "One frame's shape without time and batch, [C, H, W] or [N]; a network file's " +
                  "is in it.",
        ),
        "input_max": attr.int(
            doc = "The most that an input is; 0 for what the network itself declares.",
        ),
        "max_flash": attr.int(
            doc = "Bytes of code and tables that the network may take; 0 for any.",
        ),
        "max_ram": attr.int(
            doc = "Bytes of state that the network may take; 0 for any.",
        ),
        "net": attr.string(
            doc = "The function that builds a checkpoint's network, package.module:function.",
        ),
        "numbers": attr.string(
            doc = "The format of weights and membranes.",
            default = "f32",
        ),
        "target": attr.string(
            doc = "The CPU whose instructions the C may use, as `spikec compile --target` has it.",
            default = "generic",
        ),
        "symbol": attr.string(
            doc = "What generated files and symbols start with.",
            mandatory = True,
        ),
    },
    provides = [SnnModelInfo],
)
