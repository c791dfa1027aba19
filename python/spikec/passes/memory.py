# SPDX-License-Identifier: Apache-2.0
"""Finds out when each scratch buffer is alive, and packs those that never meet into one place."""

from __future__ import annotations

from spikec.ir.operations import Buffer, DenseArray, Operation, SpikeList


def find_lifetimes(
    operations: tuple[Operation, ...], output: DenseArray | SpikeList | None, persistent: set[str]
) -> list[tuple[Buffer, int, int]]:
    """Each scratch buffer with the first and the last operation that touches it."""
    spans: dict[str, tuple[Buffer, int, int]] = {}
    for at, operation in enumerate(operations):
        for buffer in operation.touched:
            first = spans[buffer.name][1] if buffer.name in spans else at
            spans[buffer.name] = (buffer, first, at)
    if output is not None:
        buffer, first, _ = spans[output.buffer.name]
        spans[buffer.name] = (buffer, first, len(operations))
    return [span for span in spans.values() if span[0].name not in persistent]


def share_memory(scratch: list[tuple[Buffer, int, int]]) -> tuple[tuple[Buffer, ...], ...]:
    """Packs buffers into slots, largest first, each into the first slot free in its time."""
    slots: list[list[tuple[Buffer, int, int]]] = []
    for entry in sorted(scratch, key=lambda item: (-item[0].bytes, item[1], item[0].name)):
        _, first, last = entry
        for slot in slots:
            if all(last < other_first or other_last < first for _, other_first, other_last in slot):
                slot.append(entry)
                break
        else:
            slots.append([entry])
    return tuple(
        tuple(buffer for buffer, _, _ in sorted(slot, key=lambda item: item[1])) for slot in slots
    )
