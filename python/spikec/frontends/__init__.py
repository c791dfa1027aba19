# SPDX-License-Identifier: Apache-2.0
"""From what a person has, a module, a checkpoint, a graph or a file, to a network."""
