# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in py_runtime."""

py_runtime = native.py_runtime
