# SPDX-License-Identifier: Apache-2.0
"""Networks that are trained again. Of all packages only this and frontends.pytorch import torch."""
