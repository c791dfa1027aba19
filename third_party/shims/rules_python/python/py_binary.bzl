# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in py_binary."""

py_binary = native.py_binary
