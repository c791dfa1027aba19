# SPDX-License-Identifier: Apache-2.0
"""``python -m spikec``: the same as the ``spikec`` command."""

import sys

from spikec.cli import main

sys.exit(main())
