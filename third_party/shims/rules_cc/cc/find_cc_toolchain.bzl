# SPDX-License-Identifier: Apache-2.0
"""Finding the C toolchain from a rule."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", _find_cpp_toolchain = "find_cpp_toolchain")

CC_TOOLCHAIN_TYPE = "@bazel_tools//tools/cpp:toolchain_type"

find_cc_toolchain = _find_cpp_toolchain
find_cpp_toolchain = _find_cpp_toolchain

def use_cc_toolchain(mandatory = True):
    """Returns what a rule puts in its `toolchains` to use C.

    Args:
      mandatory: accepted for upstream's sake; always true here.

    Returns:
      A list with the C toolchain type.
    """
    if not mandatory:
        fail("This shim of rules_cc has only mandatory C toolchains; leave `mandatory` out.")
    return [CC_TOOLCHAIN_TYPE]
