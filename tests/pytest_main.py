# SPDX-License-Identifier: Apache-2.0
"""Runs pytest on one test file, for Bazel: a skip shows its reason, and no test at all fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


def main(arguments: list[str]) -> int:
    """Runs ``FILE [NAME=VALUE...]``: the tests in a file, with names set in its environment.

    The exit status is 0 only if tests ran and none failed.
    """
    file, *settings = arguments
    for setting in settings:
        name, _, value = setting.partition("=")
        os.environ[name] = value
    options = [file, "-rs", "-p", "no:cacheprovider"]
    chosen = os.environ.get("TESTBRIDGE_TEST_ONLY")  # bazel test --test_filter=...
    if chosen:
        options += ["-k", chosen]
    report = os.environ.get("XML_OUTPUT_FILE")
    if report:
        options.append(f"--junitxml={report}")
    plugins: list[object] = []
    if "TEST_TOTAL_SHARDS" in os.environ:
        Path(os.environ["TEST_SHARD_STATUS_FILE"]).touch()
        plugins.append(
            _Shard(int(os.environ["TEST_SHARD_INDEX"]), int(os.environ["TEST_TOTAL_SHARDS"]))
        )
    # The helpers are imported as tests.NAME from the top of the repository.
    top = str(Path(__file__).parent.parent)
    if top not in sys.path:
        sys.path.insert(0, top)
    # pytest's own statuses: 5 is "no tests collected", so an empty file is no success.
    return int(pytest.main(options, plugins))


class _Shard:
    """Keeps each test for one of ``total`` runs: every ``total``th, from ``index`` on."""

    def __init__(self, index: int, total: int) -> None:
        self.index, self.total = index, total

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Drops the tests of the other runs; of a file with fewer tests than runs keeps one."""
        items[:] = items[self.index :: self.total] or items[:1]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: pytest_main.py FILE [NAME=VALUE...]")
    sys.exit(main(sys.argv[1:]))
