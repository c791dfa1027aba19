# SPDX-License-Identifier: Apache-2.0
"""Split one `pip install --target` folder into a folder and a Bazel target a package.

Run by pip_packages.bzl in the new repository with the interpreter that has pip.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.metadata
import py_compile
import re
import shutil
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

# One folder with torch: its libraries find these by paths relative to their own.
_PARTS_OF_TORCH = re.compile(r"(nvidia|cuda|triton)(-|$)")

_LIBRARY = """
py_library(
    name = "{name}",
    data = {data},
    imports = ["packages/{name}"],
    visibility = ["//visibility:public"],
    deps = [{deps}],
)
"""


def normalized(name: str) -> str:
    """The name as requirement files and targets have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def folder_of(name: str) -> str:
    """The package whose folder and target hold this one."""
    return "torch" if _PARTS_OF_TORCH.match(name) else name


def dependencies(distribution: importlib.metadata.Distribution) -> set[str]:
    """The names a distribution requires here, extras left out."""
    found = set()
    for line in distribution.requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found.add(normalized(requirement.name))
    return found


def move(distribution: importlib.metadata.Distribution, root: Path, target: Path) -> None:
    """Move the files a distribution owns from `root` to `target`."""
    for file in distribution.files or []:
        # Scripts, outside the folder by their record, are not wanted.
        if ".." in file.parts:
            continue
        source = root / file
        if source.is_file():
            goal = target / file
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, goal)


def main() -> None:
    """Split the folder named on the command line and write BUILD.bazel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="root", type=Path, required=True)
    parser.add_argument("--per-file", action="store_true")
    parser.add_argument("--dep", action="append", default=[], metavar="PACKAGE=DEP")
    arguments = parser.parse_args()

    distributions = {
        normalized(distribution.metadata["Name"]): distribution
        for distribution in importlib.metadata.distributions(path=[str(arguments.root)])
    }
    requires: dict[str, set[str]] = {folder_of(name): set() for name in distributions}
    for name, distribution in distributions.items():
        requires[folder_of(name)] |= {folder_of(dep) for dep in dependencies(distribution)}
    for extra in arguments.dep:
        package, dep = extra.split("=")
        requires[package].add(dep)

    for name, distribution in sorted(distributions.items()):
        move(distribution, arguments.root, Path("packages") / folder_of(name))

    # Byte code that neither dates nor places make stale: bazel's folders are read-only.
    compileall.compile_dir(
        "packages",
        quiet=2,
        workers=0,
        stripdir="packages",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )

    build = ['load("@rules_python//python:py_library.bzl", "py_library")\n']
    for name in sorted(requires):
        data = f'["packages/{name}"]'
        if arguments.per_file:
            data = f'glob(["packages/{name}/**"], exclude = ["**/* *"])'
        deps = sorted((requires[name] & requires.keys()) - {name})
        build.append(
            _LIBRARY.format(name=name, data=data, deps=", ".join(f'":{dep}"' for dep in deps))
        )
    Path("BUILD.bazel").write_text("".join(build), encoding="utf-8")


if __name__ == "__main__":
    main()
