# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in py_test."""

py_test = native.py_test
