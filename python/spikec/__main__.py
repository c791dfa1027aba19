# SPDX-License-Identifier: Apache-2.0
"""``python -m spikec``: the same as the ``spikec`` command."""

import sys

from spikec.cli.main import main

sys.exit(main())
