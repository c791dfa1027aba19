# SPDX-License-Identifier: Apache-2.0
"""From a linked program to what is flashed: ELF, BIN and a size report."""

load("@rules_cc//cc:find_cc_toolchain.bzl", "find_cc_toolchain", "use_cc_toolchain")
load(":cortex_m7.bzl", "cortex_m7")
load(":snn_model_info.bzl", "SnnModelInfo")

def _raw_impl(ctx):
    toolchain = find_cc_toolchain(ctx)
    raw = ctx.actions.declare_file(ctx.label.name + ".bin")
    ctx.actions.run(
        executable = toolchain.objcopy_executable,
        arguments = ["-O", "binary", ctx.file.elf.path, raw.path],
        inputs = [ctx.file.elf],
        tools = toolchain.all_files,
        outputs = [raw],
        mnemonic = "FirmwareRaw",
        progress_message = "Writing the bytes to flash of %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset([ctx.file.elf, raw])),
        OutputGroupInfo(elf = depset([ctx.file.elf]), raw = depset([raw])),
    ]

raw_image = rule(
    implementation = _raw_impl,
    doc = "An ELF and the bytes that go to flash, by the toolchain's objcopy.",
    attrs = {
        "elf": attr.label(
            doc = "The linked program.",
            allow_single_file = True,
            mandatory = True,
        ),
        "_cc_toolchain": attr.label(
            doc = "For Bazel versions that find the toolchain by attribute.",
            default = "@bazel_tools//tools/cpp:current_cc_toolchain",
        ),
    },
    toolchains = use_cc_toolchain(),
)

def _image_impl(ctx):
    # A transition makes a list of its targets.
    groups = ctx.attr.image[0][OutputGroupInfo]
    elf = ctx.actions.declare_file(ctx.label.name + ".elf")
    raw = ctx.actions.declare_file(ctx.label.name + ".bin")
    ctx.actions.symlink(output = elf, target_file = groups.elf.to_list()[0])
    ctx.actions.symlink(output = raw, target_file = groups.raw.to_list()[0])
    text = ctx.actions.declare_file(ctx.label.name + ".size.txt")
    data = ctx.actions.declare_file(ctx.label.name + ".size.json")
    arguments = ctx.actions.args()
    arguments.add(elf)
    arguments.add("--text", text)
    arguments.add("--json", data)
    if ctx.attr.model:
        info = ctx.attr.model[SnnModelInfo]
        arguments.add("--network", info.symbol)
        arguments.add("--max-flash", info.max_flash)
        arguments.add("--max-ram", info.max_ram)
    ctx.actions.run(
        executable = ctx.executable._elf_size,
        arguments = [arguments],
        inputs = [elf],
        outputs = [text, data],
        mnemonic = "FirmwareSize",
        progress_message = "Measuring %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset([elf, raw, text, data])),
        OutputGroupInfo(
            elf = depset([elf]),
            raw = depset([raw]),
            size_json = depset([data]),
        ),
    ]

image = rule(
    implementation = _image_impl,
    doc = "Firmware built for the Cortex-M7 whatever --platforms says: NAME.elf, NAME.bin, " +
          "NAME.size.txt and NAME.size.json. Fails when the network in it exceeds its budget.",
    attrs = {
        "image": attr.label(
            doc = "The raw_image.",
            cfg = cortex_m7,
            mandatory = True,
        ),
        "model": attr.label(
            doc = "The snn_model that the image runs, whose budget it keeps; it may run none.",
            providers = [SnnModelInfo],
        ),
        "_allowlist_function_transition": attr.label(
            doc = "Bazel wants it of every rule with a transition.",
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
        "_elf_size": attr.label(
            doc = "Prints what an image takes.",
            cfg = "exec",
            default = "//python/spikec/targets/cortex_m7:elf_size",
            executable = True,
        ),
    },
)
