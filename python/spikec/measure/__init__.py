# SPDX-License-Identifier: Apache-2.0
"""What a network does and costs: accuracy, time, instructions, bytes."""
