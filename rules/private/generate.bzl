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
    shape = ",".join([str(axis) for axis in ctx.attr.input])
    arguments = ctx.actions.args()
    arguments.add("compile")
    arguments.add(ctx.file.checkpoint)
    arguments.add("--net", ctx.attr.net)
    arguments.add("--input", shape)
    arguments.add("--numbers", ctx.attr.numbers)
    arguments.add("--name", symbol)
    arguments.add("--out", headers[0].dirname)
    arguments.add("--generated-only")
    arguments.add("--quiet")
    ctx.actions.run(
        executable = ctx.executable.exporter,
        arguments = [arguments],
        inputs = [ctx.file.checkpoint],
        outputs = headers + sources,
        mnemonic = "SnnCompile",
        progress_message = "Compiling network %s to C" % ctx.label,
    )
    manifest = ctx.actions.declare_file(symbol + ".json")
    ctx.actions.write(manifest, struct(
        name = symbol,
        net = ctx.attr.net,
        input = ctx.attr.input,
        numbers = ctx.attr.numbers,
    ).to_json())
    return [
        DefaultInfo(files = depset(headers + sources)),
        OutputGroupInfo(
            checkpoint = depset([ctx.file.checkpoint]),
            headers = depset(headers),
            sources = depset(sources),
            manifest = depset([manifest]),
        ),
        SnnModelInfo(symbol = symbol),
    ]

generate = rule(
    implementation = _generate_impl,
    doc = "Compiles a trained network to C by the exporter. Output groups: `headers`, `sources`; " +
          "`checkpoint`, what it was compiled from; `manifest`, a JSON file that says how: name, " +
          "net, input, numbers.",
    attrs = {
        "checkpoint": attr.label(
            doc = "The weights: a state_dict saved by torch.save.",
            allow_single_file = [".pt", ".pth"],
            mandatory = True,
        ),
        "exporter": attr.label(
            doc = "The spikec command, able to import the network's module.",
            executable = True,
            cfg = "exec",
            mandatory = True,
        ),
        "input": attr.int_list(
            doc = "One frame's shape without time and batch, [C, H, W] or [N].",
            mandatory = True,
        ),
        "net": attr.string(
            doc = "The function that builds the network, package.module:function.",
            mandatory = True,
        ),
        "numbers": attr.string(
            doc = "The format of weights and membranes.",
            default = "f32",
        ),
        "symbol": attr.string(
            doc = "What generated files and symbols start with.",
            mandatory = True,
        ),
    },
    provides = [SnnModelInfo],
)
