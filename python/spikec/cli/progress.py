# SPDX-License-Identifier: Apache-2.0
"""How far a verb is, on a terminal's standard error, and nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from spikec.measure.evaluate import Progress


@contextlib.contextmanager
def show_progress(what: str) -> Iterator[Progress | None]:
    """A bar while recordings are run: what is given is called with how many are done, and of all.

    ``what`` is the word before the bar.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def draw(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield draw


def say(text: str) -> None:
    """Tells on a terminal what is at work."""
    if sys.stderr.isatty():
        print(f"... {text}", file=sys.stderr, flush=True)
