# SPDX-License-Identifier: Apache-2.0
"""Bazel's built-in C names; a file cannot re-export a built-in under the built-in's own name."""

builtin_cc_common = cc_common  # buildifier: disable=native-cc-common
builtin_cc_info = CcInfo  # buildifier: disable=native-cc-info
builtin_cc_toolchain_config_info = CcToolchainConfigInfo
