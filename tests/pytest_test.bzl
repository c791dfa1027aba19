# SPDX-License-Identifier: Apache-2.0
"""pytest_test: one file of tests under pytest."""

load("@rules_python//python:py_test.bzl", "py_test")
load("@spikec_pip//:requirements.bzl", "requirement")

def pytest_test(name, src, deps = [], data = [], args = [], size = "medium"):
    """Runs the tests of one file; a file without tests fails, and a skip shows its reason.

    Settings go as arguments and not as `env`: with that, Bazel 4.2.3 crashes where a test is
    skipped as incompatible.

    Args:
      name: the test.
      src: its file.
      deps: what it imports, besides pytest.
      data: files it reads.
      args: further arguments, NAME=VALUE: set in its environment.
      size: of the test.
    """
    main = Label("//tests:pytest_main.py")
    py_test(
        name = name,
        size = size,
        srcs = [
            src,
            main,
        ],
        main = main,
        args = ["$(rootpath %s)" % src] + args,
        data = data,
        target_compatible_with = ["@platforms//os:linux"],
        deps = deps + [requirement("pytest")],
    )
