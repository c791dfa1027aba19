# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in CcToolchainConfigInfo."""

load("//cc/private:builtin.bzl", "builtin_cc_toolchain_config_info")

CcToolchainConfigInfo = builtin_cc_toolchain_config_info
