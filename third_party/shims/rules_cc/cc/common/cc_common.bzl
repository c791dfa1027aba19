# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in cc_common."""

load("//cc/private:builtin.bzl", "builtin_cc_common")

cc_common = builtin_cc_common
