# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in cc_toolchain_suite."""

cc_toolchain_suite = native.cc_toolchain_suite
