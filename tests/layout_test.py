# SPDX-License-Identifier: Apache-2.0
"""Where modules may stand, what may import torch, and that no imports go round in a ring.

And that tests/mutate.py still finds what it changes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mutate

# Bazel shows a test its files through links; the links' ends lie in the checkout.
TOP = Path(__file__).resolve().parents[1]
ROOTS = ("python/spikec", "models", "benchmarks", "tests")
TORCH = ("python/spikec/frontends/pytorch", "python/spikec/learning")
"""The folders of spikec whose modules may import torch."""
ORDER = (
    "cli tools", "measure", "model", "learning", "frontends frontends.pytorch",
    "targets targets.cortex_m7", "backend.c", "passes", "semantics recordings", "ir",
    "errors files version",
)  # fmt: skip
"""Packages of spikec, each line above what it may import."""


def modules() -> dict[str, Path]:
    """Every module of the repository that is here, by its name."""
    found = {}
    for root in ROOTS:
        for path in sorted((TOP / root).rglob("*.py")):
            parts = path.relative_to(TOP).with_suffix("").parts
            parts = parts[1:] if parts[0] == "python" else parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path], whole: bool) -> Iterator[tuple[str, str]]:
    """Each import in a file: the module of ours, or else the package's name, and the line.

    ``whole``: those inside functions too, but never those for type checkers only, which do not run.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typed = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    nodes = (node for node in ast.walk(tree) if node not in typed) if whole else iter(tree.body)
    for node in nodes:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [
                full if (full := f"{module}.{alias.name}") in known else module
                for alias in node.names
            ]
        for name in names:
            line = getattr(node, "lineno", 0)
            yield (name if name in known else name.split(".")[0]), f"{path}:{line}"


def test_at_most_eight_modules_stand_in_the_package_s_own_folder() -> None:
    assert len(list((TOP / "python/spikec").glob("*.py"))) <= 8


def test_only_two_packages_import_torch() -> None:
    known = modules()
    found = {
        where
        for path in known.values()
        if "python/spikec" in path.as_posix()
        and not any(folder in path.as_posix() for folder in TORCH)
        for name, where in imports(path, known, whole=True)
        if name in ("torch", "snntorch")
    }
    assert not found


def test_no_modules_import_each_other_in_a_ring() -> None:
    known = modules()
    edges = {
        name: {other for other, _ in imports(path, known, whole=False) if other in known}
        for name, path in known.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(edges[name] - {name}):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())


def test_packages_import_only_what_is_below_them() -> None:
    known = {name: path for name, path in modules().items() if name.startswith("spikec.")}
    rank = {f"spikec.{package}": n for n, line in enumerate(ORDER) for package in line.split()}

    def of(name: str) -> int:
        while name not in rank:
            name = name.rpartition(".")[0]
        return rank[name]

    for name, path in known.items():
        if name == "spikec.__main__":
            continue
        for other, where in imports(path, known, whole=False):
            if other in known:
                assert of(other) >= of(name), f"{where}: {name} imports {other}, which is above it"


@pytest.mark.parametrize("mutation", mutate.MUTATIONS, ids=str)
def test_every_mutation_still_applies(mutation: mutate.Mutation) -> None:
    text = (TOP / mutation.file).read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1
    assert mutation.old != mutation.new
    assert all((TOP / test).is_file() for test in mutation.tests)
