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
    # The helpers are imported as tests.NAME from the top of the repository.
    top = str(Path(__file__).parent.parent)
    if top not in sys.path:
        sys.path.insert(0, top)
    # pytest's own statuses: 5 is "no tests collected", so an empty file is no success.
    return int(pytest.main(options))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: pytest_main.py FILE [NAME=VALUE...]")
    sys.exit(main(sys.argv[1:]))
