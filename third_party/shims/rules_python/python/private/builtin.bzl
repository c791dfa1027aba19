# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in Python names; a file cannot re-export a built-in under its own name."""

builtin_py_info = PyInfo
