# SPDX-License-Identifier: Apache-2.0
"""spikec's version, printed in every generated file."""

VERSION = "0.1.0"
