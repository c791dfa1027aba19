# SPDX-License-Identifier: Apache-2.0
"""bzl_library as a plain group of files, which is all Bazel's own tools need of it."""

def bzl_library(name, srcs = [], deps = [], **kwargs):
    """Groups Starlark files.

    Args:
      name: the target's name.
      srcs: Starlark files.
      deps: other groups.
      **kwargs: common attributes.
    """
    native.filegroup(
        name = name,
        srcs = srcs + deps,
        visibility = kwargs.get("visibility"),
    )
