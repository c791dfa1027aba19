# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in cc_test."""

cc_test = native.cc_test
