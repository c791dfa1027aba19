# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in CcInfo."""

load("//cc/private:builtin.bzl", "builtin_cc_info")

CcInfo = builtin_cc_info
