# SPDX-License-Identifier: Apache-2.0
"""Passes over the intermediate representation; each leaves its input as it was."""
