# SPDX-License-Identifier: Apache-2.0
"""What every pass and every target speaks of: networks, operations, programs of neurons."""
