# SPDX-License-Identifier: Apache-2.0
"""What runs or holds the C: this machine, and boards."""
