# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in PyInfo."""

load("//python/private:builtin.bzl", "builtin_py_info")

PyInfo = builtin_py_info
