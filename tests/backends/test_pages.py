"""Pages are counted right whatever happens to slots, and numpy keeps the contracts about them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from synapse_core.backends import NumpyBackend, PageCounts, PageTable
from synapse_core.errors import OutOfPages
from synapse_core.program import NO_PAGE, PAGE_ROWS
from synapse_core.testing.contracts.backend_pages import (
    require_pages_run_out_by_name,
    require_shared_pages_apart,
)

SLOTS, POSITIONS = 4, 6 * PAGE_ROWS


@pytest.mark.parametrize("truth", [True, False])
def test_numpy_shares_pages_and_runs_out_of_them(truth: bool) -> None:
    require_shared_pages_apart(NumpyBackend(truth=truth))
    require_pages_run_out_by_name(NumpyBackend(truth=truth))


class Rows:
    """What slots remember, in a pool of pages and, beside it, in a list each."""

    def __init__(self, limit: int) -> None:
        self.table = PageTable.of(0, 8, SLOTS, POSITIONS, limit)
        self.pool = np.zeros((limit, PAGE_ROWS), dtype=np.int64)
        self.known: list[list[int]] = [[] for _ in range(SLOTS)]
        self.copies = 0

    def copy(self, page: int, new: int) -> None:
        self.copies += 1
        self.pool[new] = self.pool[page]

    def write(self, slot: int, first: int, values: list[int]) -> None:
        self.table.reserve(slot, first, first + len(values), self.copy)
        for position, value in enumerate(values, first):
            page, row = self.table.table[slot, position // PAGE_ROWS], position % PAGE_ROWS
            assert self.table.owners[page] == 1
            self.pool[page, row] = value
        self.known[slot] = self.known[slot][:first] + values

    def share(self, source: int, target: int, positions: int) -> None:
        self.table.share(source, target, positions)
        self.known[target] = self.known[source][:positions]

    def check(self) -> None:
        table = self.table
        held = Counter(table.table[table.table != NO_PAGE].tolist())
        assert table.owners == [held[page] for page in range(table.pages)]
        assert sorted([*held, *table.free]) == list(range(table.pages))
        shared = sum(count > 1 for count in held.values())
        assert table.counts() == PageCounts(0, 8, table.limit, len(held), shared)
        for slot, known in enumerate(self.known):
            pages = table.table[slot, : -(-len(known) // PAGE_ROWS)]
            assert self.pool[pages].ravel()[: len(known)].tolist() == known


def test_shared_pages_keep_what_each_slot_wrote() -> None:
    rng = np.random.default_rng(3)
    rows = Rows(7)
    full = 0
    for n in range(3000):
        slot, other = (int(number) for number in rng.integers(0, SLOTS, 2))
        seen = len(rows.known[slot])
        what = rng.integers(0, 8)
        if what == 0:
            rows.table.release(slot)
            rows.known[slot] = []
        elif what < 4:
            rows.share(slot, other, int(rng.integers(0, seen + 1)))
        else:
            first = int(rng.integers(0, seen + 1)) if what < 6 else min(seen, POSITIONS - 1)
            count = int(rng.integers(1, min(100, POSITIONS - first) + 1))
            try:
                rows.write(slot, first, (1000 * n + np.arange(count)).tolist())
            except OutOfPages:
                full += 1
        rows.check()
    assert full > 100
    assert rows.copies > 100
    for slot in range(SLOTS):
        rows.table.release(slot)
    assert rows.table.counts().used == 0
    assert set(rows.table.owners) == {0}


def test_pages_behind_a_window_go_back_where_they_are_shared_too() -> None:
    table = PageTable.of(5, 8, 2, POSITIONS)
    table.reserve(0, 0, 2 * PAGE_ROWS, lambda page, new: None)
    table.share(0, 1, 2 * PAGE_ROWS)
    assert (table.counts().used, table.counts().shared) == (2, 2)
    table.reserve(0, 2 * PAGE_ROWS, 2 * PAGE_ROWS + 1, lambda page, new: None)
    assert (table.counts().used, table.counts().shared) == (3, 1)
    table.release(1)
    assert (table.counts().used, table.counts().shared) == (2, 0)
