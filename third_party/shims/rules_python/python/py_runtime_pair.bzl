# SPDX-License-Identifier: Apache-2.0
"""The pair of runtimes a Python toolchain holds, as Bazel's own tools have it."""

load("@bazel_tools//tools/python:toolchain.bzl", _py_runtime_pair = "py_runtime_pair")

py_runtime_pair = _py_runtime_pair
