"""A slot's states as bytes that say nothing of pages: rows of keys, rows of values, by head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
import numpy as np

from synapse_core.backends import PageTable, first_row
from synapse_core.formats import format_named
from synapse_core.program import KV_CODES, PAGE_ROWS, STATE_KV, Tables

KV_NAMES = {code: name for name, code in KV_CODES.items()}


@attrs.frozen
class KeptState:
    """One state of a program: how its saved bytes lie.

    Shapes: saved keys and values (heads, rows, head_bytes), the rows that the next position sees.
    """

    kind: int
    group: int
    offset: int
    size: int
    key_heads: int = 0
    heads: int = 0
    head_bytes: int = 0

    @classmethod
    def of(cls, record: np.void) -> KeptState:
        """Read a state's record."""
        kind, group = int(record["kind"]), int(record["group"])
        offset, size = int(record["offset"]), int(record["bytes"])
        if kind != STATE_KV:
            return cls(kind, group, offset, size)
        head = int(record["head"]) or int(record["width"])
        head_bytes = format_named(KV_NAMES[int(record["dtype"])]).row_bytes(head)
        keys, values = int(record["width"]) // head, int(record["width_v"]) // head
        return cls(kind, group, offset, size, keys, keys + values, head_bytes)

    @property
    def is_kv(self) -> bool:
        """Whether it lies in pages."""
        return self.kind == STATE_KV

    def shape(self, positions: int, window: int) -> tuple[int, int, int]:
        """Return the shape of what is saved of so many positions."""
        return self.heads, positions - first_row(positions, window), self.head_bytes

    def saved_bytes(self, positions: int, window: int) -> int:
        """Return how many bytes are saved of so many positions."""
        heads, rows, size = self.shape(positions, window)
        return heads * rows * size if self.is_kv else self.size

    def read(self, group: PageTable, pool: np.ndarray, slot: int, positions: int) -> np.ndarray:
        """Return what is saved of keys and values in a pool of pages."""
        part = np.empty(self.shape(positions, group.window), dtype=np.uint8)
        for rows, page in self._rows(group, pool, slot, positions):
            part[:, rows] = page
        return part.reshape(-1)

    def write(
        self, group: PageTable, pool: np.ndarray, slot: int, positions: int, part: np.ndarray
    ) -> None:
        """Put what was saved into the pages that the slot has now."""
        saved = part.reshape(self.shape(positions, group.window))
        for rows, page in self._rows(group, pool, slot, positions):
            page[:] = saved[:, rows]

    def _rows(
        self, group: PageTable, pool: np.ndarray, slot: int, positions: int
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows of what is saved, where they lie in a page: (heads, n, head_bytes))."""
        first = first_row(positions, group.window)
        for entry in range(first // PAGE_ROWS, -(-positions // PAGE_ROWS)):
            begin = int(group.table[slot, entry]) * group.page_bytes + self.offset
            size = self.heads * PAGE_ROWS * self.head_bytes
            page = pool[begin : begin + size].reshape(self.heads, PAGE_ROWS, self.head_bytes)
            start, end = max(first, entry * PAGE_ROWS), min(positions, (entry + 1) * PAGE_ROWS)
            here = slice(start - entry * PAGE_ROWS, end - entry * PAGE_ROWS)
            yield slice(start - first, end - first), page[:, here]


def saved_sizes(
    kept: Sequence[KeptState], groups: Sequence[PageTable], positions: int
) -> list[int]:
    """Return the bytes of each state's part."""
    windows = [groups[state.group].window if state.is_kv else 0 for state in kept]
    pairs = zip(kept, windows, strict=True)
    return [state.saved_bytes(positions, window) for state, window in pairs]


def kept_states(tables: Tables) -> list[KeptState]:
    """Return a program's states in the order that they are saved in."""
    return [KeptState.of(record) for record in tables.states]


def goes_back(kept: Sequence[KeptState], groups: Sequence[PageTable]) -> bool:
    """Whether a slot can forget its last positions only: nothing is recurrent or has a window."""
    return all(state.is_kv for state in kept) and not any(group.window for group in groups)
