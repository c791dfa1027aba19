# SPDX-License-Identifier: Apache-2.0
"""Writing a file so that it appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from spikec.errors import SpikecError


def write_whole(path: Path, data: bytes, what: str) -> None:
    """Writes ``data`` to ``path``; ``what`` it is, for the message.

    Raises:
        SpikecError: the place cannot be written; nothing is left there.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SpikecError(
            f"{path}: the {what} cannot be written ({error.strerror or error}); "
            "choose a folder that exists and can be written."
        ) from error
