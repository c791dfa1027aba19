# SPDX-License-Identifier: Apache-2.0
"""firmware_image: a linked program as the files that are flashed."""

load("//rules/private:image.bzl", "image", "raw_image")

def firmware_image(
        name,
        elf,
        model = None,
        tags = [],
        target_compatible_with = None,
        testonly = None,
        visibility = None):
    """Builds NAME.elf, NAME.bin, NAME.size.txt and NAME.size.json for the Cortex-M7.

    Whatever --platforms says, the program is built for //platforms:cortex_m7. NAME_elf_file,
    NAME_bin_file and NAME_size_json are the files one by one, for tests and rules that need one.

    Args:
      name: the image.
      elf: the linked program, a cc_binary.
      model: the snn_model that the program runs, if any; the build fails when it exceeds its
        budget.
      tags: of the image and its files.
      target_compatible_with: of the image.
      testonly: of the image.
      visibility: of the image and its files.
    """
    raw_image(
        name = name + "_raw",
        elf = elf,
        tags = ["manual"],  # built through the image's transition only
        testonly = testonly,
    )
    image(
        name = name,
        image = ":" + name + "_raw",
        model = model,
        tags = tags,
        target_compatible_with = target_compatible_with,
        testonly = testonly,
        visibility = visibility,
    )
    for file, group in [
        ("elf_file", "elf"),
        ("bin_file", "raw"),
        ("size_json", "size_json"),
    ]:
        native.filegroup(
            name = name + "_" + file,
            srcs = [":" + name],
            output_group = group,
            tags = tags,
            testonly = testonly,
            visibility = visibility,
        )
