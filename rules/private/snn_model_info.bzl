# SPDX-License-Identifier: Apache-2.0
"""What the rules know of a generated network."""

SnnModelInfo = provider(
    doc = "A network that spikec has compiled to C.",
    fields = {
        "symbol": "what the generated files and symbols start with",
    },
)
