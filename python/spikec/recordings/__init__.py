# SPDX-License-Identifier: Apache-2.0
"""Recordings: events, frames, folders of labelled files."""
