# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in cc_import."""

cc_import = native.cc_import
