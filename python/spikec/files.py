# SPDX-License-Identifier: Apache-2.0
"""Writing a file so that it appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from spikec.errors import SpikecError


def write_whole(path: Path, data: bytes, what: str) -> None:
    """Writes ``data`` to ``path``; ``what`` it is, for the message.

    Raises:
        SpikecError: the place cannot be written; nothing is left there.
    """
    try:
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                part.unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:  # ValueError: no name, or a zero byte in it
        raise SpikecError(
            f"{path}: the {what} cannot be written ({getattr(error, 'strerror', error)}); "
            "choose a folder that exists and can be written."
        ) from error
