"""KV pages: handed out on demand, given back behind windows, by slot and by group."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from synapse_core.program import NO_PAGE, PAGE_ROWS, FunctionTable, Tables


@attrs.define
class PageTable:
    """The pages of one group (the layers of one window) and who holds them.

    Shapes: table (slots, per_slot) uint32, NO_PAGE where a slot has none.
    """

    window: int
    page_bytes: int
    table: np.ndarray
    free: list[int] = attrs.field(factory=list)
    pages: int = 0

    @classmethod
    def of(cls, window: int, page_bytes: int, slots: int, positions: int) -> PageTable:
        """Return an empty table for slots of at most `positions`."""
        per_slot = -(-positions // PAGE_ROWS)
        table = np.full((slots, per_slot), NO_PAGE, dtype=np.uint32)
        return cls(window, page_bytes, table)

    def reserve(self, slot: int, first: int, end: int) -> int:
        """Give a slot the pages that a call with its positions [first, end) needs.

        Pages that lie behind the window of the first position go back. Returns how many pages the
        pool must have in all.
        """
        row = self.table[slot]
        seen = max(0, first - self.window + 1) // PAGE_ROWS if self.window else 0
        self._give_back(row[:seen])
        for entry in range(first // PAGE_ROWS, -(-end // PAGE_ROWS)):
            if row[entry] == NO_PAGE:
                row[entry] = self._take()
        return self.pages

    def release(self, slot: int) -> None:
        """Take all pages of a slot back."""
        self._give_back(self.table[slot])

    def copied(self, source: int, target: int) -> list[tuple[int, int]]:
        """Give `target` pages of its own like `source`'s; return (from, to) of each."""
        self.release(target)
        pairs = []
        for entry in np.flatnonzero(self.table[source] != NO_PAGE):
            self.table[target, entry] = self._take()
            pairs.append((int(self.table[source, entry]), int(self.table[target, entry])))
        return pairs

    def _take(self) -> int:
        if self.free:
            return self.free.pop()
        self.pages += 1
        return self.pages - 1

    def _give_back(self, entries: np.ndarray) -> None:
        held = entries[entries != NO_PAGE]
        self.free.extend(int(page) for page in held)
        entries[entries != NO_PAGE] = NO_PAGE


def page_tables(
    tables: Tables, functions: Mapping[str, FunctionTable], slots: int
) -> list[PageTable]:
    """Return an empty table for each of a program's groups."""
    positions = max((p for f in functions.values() for p in f.max_position.values()), default=0)
    return [
        PageTable.of(int(group["window"]), int(group["page_bytes"]), slots, positions)
        for group in tables.groups
    ]
