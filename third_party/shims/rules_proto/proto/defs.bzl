# SPDX-License-Identifier: Apache-2.0
"""What Bazel's own tools load from rules_proto; the project has no protocol buffers."""

proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
