# SPDX-License-Identifier: Apache-2.0
"""pytest_test: one file of tests under pytest."""

load("@rules_python//python:py_test.bzl", "py_test")
load("@spikec_pip//:requirements.bzl", "requirement")

# The cross compiler and the emulator of the Cortex-M7, where python/spikec looks for them.
CORTEX_M7 = {
    "SPIKEC_CORTEX_M7_CC": "@spikec_arm_gcc//:bin/gcc",
    "SPIKEC_CORTEX_M7_QEMU": "@spikec_qemu//:qemu_system_arm",
}

def pytest_test(
        name,
        deps = [],
        data = [],
        env = {},
        env_lists = {},
        torch = True,
        cortex_m7 = False,
        size = "medium",
        shard_count = 1,
        tags = []):
    """Runs the tests of NAME.py; a file without tests fails, and a skip shows its reason.

    Settings go as arguments and not as `env`: with that, Bazel 4.2.3 crashes where a test is
    skipped as incompatible.

    Args:
      name: the test, and its file without .py.
      deps: what it imports, besides pytest, spikec and what spikec needs.
      data: files it reads.
      env: what is set in its environment: labels, as the paths of their files, which it can read.
      env_lists: the same for labels of several files: their paths, with spaces between.
      torch: whether it may import torch, and all of spikec; else it has //python/spikec:core.
      cortex_m7: whether it builds and runs programs of the emulated Cortex-M7.
      size: of the test.
      shard_count: into how many parts, which run side by side, its tests are dealt.
      tags: of the test.
    """
    main = Label("//tests:pytest_main.py")
    labels = dict(env)
    files = list(data)
    if cortex_m7:
        labels.update(CORTEX_M7)
        files.append("@spikec_arm_gcc//:all_files")
    common = ["//tests:with_torch"] if torch else ["//tests:without_torch"]
    py_test(
        name = name,
        size = size,
        srcs = [
            name + ".py",
            main,
        ],
        main = main,
        args = ["$(rootpath %s.py)" % name] + [
            "%s=$(rootpath %s)" % (variable, label)
            for variable, label in labels.items()
        ] + [
            "%s='$(rootpaths %s)'" % (variable, label)
            for variable, label in env_lists.items()
        ],
        data = files + [
            label
            for label in labels.values() + env_lists.values()
            if label not in files
        ],
        shard_count = shard_count if shard_count > 1 else None,
        tags = tags,
        target_compatible_with = ["@platforms//os:linux"],
        deps = deps + common + [requirement("pytest")],
    )
