# SPDX-License-Identifier: Apache-2.0
"""snn_cc_library: a compiled network as a C library for any platform."""

load("@rules_cc//cc:cc_library.bzl", "cc_library")
load("//cc:copts.bzl", "COPTS")

def snn_cc_library(name, model, visibility = None, tags = []):
    """Compiles a network's C for the platform at hand: include "MODEL.h", call MODEL_step().

    Args:
      name: the library.
      model: a snn_model.
      visibility: of the library.
      tags: of the library.
    """
    for group in ["headers", "sources"]:
        native.filegroup(
            name = name + "_" + group,
            srcs = [model],
            output_group = group,
            tags = tags,
        )

    cc_library(
        name = name,
        srcs = [":" + name + "_sources"],
        hdrs = [":" + name + "_headers"],
        copts = COPTS,
        includes = ["."],
        tags = tags,
        visibility = visibility,
        deps = [
            Label("//cc/host:model"),
            Label("//cc/runtime"),
        ],
    )
