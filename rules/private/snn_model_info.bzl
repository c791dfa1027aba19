# SPDX-License-Identifier: Apache-2.0
"""What the rules know of a generated network."""

SnnModelInfo = provider(
    doc = "A network that spikec has compiled to C.",
    fields = {
        "max_flash": "bytes of code and tables that it may take; 0 for any",
        "max_ram": "bytes of state that it may take; 0 for any",
        "symbol": "what the generated files and symbols start with",
    },
)
