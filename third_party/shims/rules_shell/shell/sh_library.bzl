# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in sh_library."""

sh_library = native.sh_library
