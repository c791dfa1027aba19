# SPDX-License-Identifier: Apache-2.0
"""The one exception that spikec raises for a user's mistake."""

from __future__ import annotations


class SpikecError(ValueError):
    """A user's mistake, as a sentence: what is wrong, where, what is supported, what to do."""
