# SPDX-License-Identifier: Apache-2.0
"""A Python target finds only what it declares."""

import importlib.util
import sys


def main() -> None:
    """Fail when a package that no dependency brings can be found, or the safe path is off."""
    found = [name for name in ("numpy", "pip", "torch") if importlib.util.find_spec(name)]
    if found:
        raise SystemExit(f"undeclared packages can be imported: {', '.join(found)}")
    if not sys.flags.safe_path:
        raise SystemExit("PYTHONSAFEPATH is off: a script's own folder is on sys.path")


if __name__ == "__main__":
    main()
