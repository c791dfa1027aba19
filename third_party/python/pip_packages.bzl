# SPDX-License-Identifier: Apache-2.0
"""Python packages out of hash-locked requirements, one target a package."""

load("//third_party/python:python_interpreter.bzl", "PIP_ENVIRON", "run_python")

def _pip_packages_impl(repository_ctx):
    attr = repository_ctx.attr

    # Every label first: resolving one later would start the whole rule again.
    pip = repository_ctx.path(attr._pip)
    split = repository_ctx.path(attr._split)
    locks = [repository_ctx.path(lock) for lock in attr.locks]

    for i in range(len(locks)):
        last = i == len(locks) - 1
        result = run_python(
            repository_ctx,
            pip,
            [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--no-compile",
                "--require-hashes",
                "--only-binary=:all:",
                "--target=all",
                "--requirement",
                locks[i],
            ],
            "Installing " + locks[i].basename,
            accept = None if last else "No matching distribution",
        )
        if result.return_code == 0:
            break

    arguments = [split, "--from=all"]
    if repository_ctx.os.environ.get("SPIKEC_PIP_PER_FILE", "0") == "1":
        arguments.append("--per-file")
    for package in attr.extra_deps:
        for dep in attr.extra_deps[package]:
            arguments.append("--dep={}={}".format(package, dep))
    run_python(repository_ctx, pip, arguments, "Splitting " + repository_ctx.name)
    repository_ctx.delete("all")

    repository_ctx.file("requirements.bzl", '''\
"""Labels of the packages in this repository."""

def requirement(name):
    """Returns the label of a package.

    Args:
      name: the package's name as pip has it.

    Returns:
      A Label.
    """
    return Label("//:" + name.lower().replace("_", "-").replace(".", "-"))
''', executable = False)

pip_packages = repository_rule(
    implementation = _pip_packages_impl,
    doc = "Installs hash-locked wheels with pip as it is configured here, a folder a package.",
    attrs = {
        "extra_deps": attr.string_list_dict(
            doc = "Imports that a package does not declare: {package: [packages]}.",
        ),
        "locks": attr.label_list(
            doc = "Requirement files with hashes, tried in this order: the next one only when " +
                  "pip finds no matching distribution for the one before.",
            allow_files = True,
            mandatory = True,
        ),
        "_pip": attr.label(
            doc = "A Python interpreter that has pip.",
            default = Label("@spikec_python//:tools/bin/python3"),
        ),
        "_split": attr.label(
            doc = "The program that makes a folder a package.",
            default = Label("//third_party/python:split_packages.py"),
        ),
    },
    # SPIKEC_PIP_PER_FILE=1: every file is an input of its own, which remote execution needs;
    # otherwise a package is one folder, which saves some seconds a test.
    environ = PIP_ENVIRON + ["SPIKEC_PIP_PER_FILE"],
)
