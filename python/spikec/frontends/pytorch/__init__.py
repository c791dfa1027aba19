# SPDX-License-Identifier: Apache-2.0
"""From snnTorch modules to networks. Of all packages only this and learning import torch."""
