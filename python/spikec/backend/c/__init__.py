# SPDX-License-Identifier: Apache-2.0
"""From planned networks to C."""
