# SPDX-License-Identifier: Apache-2.0
"""What Bazel's own tools load from rules_python."""

py_binary = native.py_binary
py_library = native.py_library
py_runtime = native.py_runtime
py_test = native.py_test
