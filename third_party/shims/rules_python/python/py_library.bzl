# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in py_library."""

py_library = native.py_library
