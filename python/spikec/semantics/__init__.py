# SPDX-License-Identifier: Apache-2.0
"""What networks mean: the reference, its functions, bounds, readouts, comparisons."""
