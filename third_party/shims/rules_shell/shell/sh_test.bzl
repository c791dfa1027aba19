# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in sh_test."""

sh_test = native.sh_test
