# SPDX-License-Identifier: Apache-2.0
"""Programs of the Cortex-M7: building, running under QEMU, counting."""
