# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in cc_toolchain."""

cc_toolchain = native.cc_toolchain
