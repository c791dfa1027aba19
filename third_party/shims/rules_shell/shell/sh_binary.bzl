# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in sh_binary."""

sh_binary = native.sh_binary
