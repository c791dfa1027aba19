# SPDX-License-Identifier: Apache-2.0
"""The names of C actions, as Bazel's own tools have them."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", _ACTION_NAMES = "ACTION_NAMES")

ACTION_NAMES = _ACTION_NAMES
