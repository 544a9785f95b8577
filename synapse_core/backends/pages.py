"""Pages of keys and values: handed out on demand, shared by count, given back behind windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from synapse_core.errors import OutOfPages, UsageError
from synapse_core.program import NO_PAGE, PAGE_ROWS, FunctionTable, Tables


@attrs.frozen
class PageCounts:
    """How many pages there are of one group, that is of the layers of one window (0: none).

    Of at most `limit`, `used` are held by slots, `shared` of these by more than one.

    Units: page_bytes in bytes.
    """

    window: int
    page_bytes: int
    limit: int
    used: int
    shared: int

    @property
    def free(self) -> int:
        """How many may still be taken."""
        return self.limit - self.used

    def as_dict(self) -> dict[str, int]:
        """Return all of it by name, `free` too."""
        return {**attrs.asdict(self), "free": self.free}


@attrs.define
class PageTable:
    """The pages of one group and who holds them; a page of several owners is read by all.

    Shapes: table (slots, per_slot) uint32, NO_PAGE where a slot has none; owners (pages,).
    """

    window: int
    page_bytes: int
    table: np.ndarray
    limit: int
    free: list[int] = attrs.field(factory=list)
    owners: list[int] = attrs.field(factory=list)

    @classmethod
    def of(
        cls, window: int, page_bytes: int, slots: int, positions: int, pages: int | None = None
    ) -> PageTable:
        """Return an empty table for slots of at most `positions`; by default all may be full."""
        per_slot = -(-positions // PAGE_ROWS)
        table = np.full((slots, per_slot), NO_PAGE, dtype=np.uint32)
        return cls(window, page_bytes, table, min(pages or table.size, table.size))

    @property
    def pages(self) -> int:
        """How many pages the pool must have: those handed out, and those given back since."""
        return len(self.owners)

    def counts(self) -> PageCounts:
        """Count the pages."""
        shared = sum(count > 1 for count in self.owners)
        used = self.pages - len(self.free)
        return PageCounts(self.window, self.page_bytes, self.limit, used, shared)

    def reserve(self, slot: int, first: int, end: int, copy: Callable[[int, int], None]) -> None:
        """Give a slot pages of its own for its positions [first, end), which a call will write.

        Pages that lie behind the window of the first position go back. A page that another slot
        holds too is replaced, after `copy(page, new)`.

        Raises: OutOfPages; the slot remembers the same then.
        """
        row = self.table[slot]
        seen = first_row(first, self.window) // PAGE_ROWS
        self._give_back(row[:seen])
        for entry in range(first // PAGE_ROWS, -(-end // PAGE_ROWS)):
            page = int(row[entry])
            if page == NO_PAGE:
                row[entry] = self._take()
            elif self.owners[page] > 1:
                row[entry] = self._take()
                copy(page, int(row[entry]))
                self.owners[page] -= 1

    def share(self, source: int, target: int, positions: int) -> None:
        """Let `target` hold just the pages that `source` does of its first positions.

        Of one slot to itself, the pages behind them go back.
        """
        kept = -(-positions // PAGE_ROWS)
        held = self.table[source, :kept].copy()
        for page in held[held != NO_PAGE]:
            self.owners[page] += 1
        self.release(target)
        self.table[target, :kept] = held

    def release(self, slot: int) -> None:
        """Take all pages of a slot back."""
        self._give_back(self.table[slot])

    def _take(self) -> int:
        if not self.free and self.pages == self.limit:
            raise OutOfPages(
                f"all {self.limit} pages of keys and values are in use, {PAGE_ROWS} positions each;"
                " release a slot, or allow more (pages=)"
            )
        if not self.free:
            self.owners.append(0)
            self.free.append(self.pages - 1)
        page = self.free.pop()
        self.owners[page] = 1
        return page

    def _give_back(self, entries: np.ndarray) -> None:
        for page in entries[entries != NO_PAGE].tolist():
            self.owners[page] -= 1
            if not self.owners[page]:
                self.free.append(page)
        entries[entries != NO_PAGE] = NO_PAGE


def first_row(positions: int, window: int) -> int:
    """Return the first row that a call at position `positions` sees."""
    return max(0, positions - window + 1) if window else 0


def pages_of(positions: int, window: int, rows: int) -> int:
    """Return how many pages a slot of so many positions has at most, in calls of so many rows."""
    kept = min(positions, window + rows + PAGE_ROWS) if window else positions
    return -(-kept // PAGE_ROWS)


def hold_pages(groups: Sequence[PageTable], slot: int, positions: int) -> None:
    """Give a slot the pages of so many positions seen, and no others.

    Raises: OutOfPages; the slot has none then.
    """
    try:
        for group in groups:
            group.release(slot)
            group.reserve(slot, first_row(positions, group.window), positions, _copy_nothing)
    except OutOfPages:
        for group in groups:
            group.release(slot)
        raise


def page_tables(
    tables: Tables, functions: Mapping[str, FunctionTable], slots: int, pages: int | None = None
) -> list[PageTable]:
    """Return an empty table for each of a program's groups, of at most `pages` pages each.

    Raises: UsageError for a limit below 1.
    """
    if pages is not None and pages < 1:
        raise UsageError(f"{pages} pages of keys and values: must be 1 or more (pages=)")
    positions = max((p for f in functions.values() for p in f.max_position.values()), default=0)
    kinds = [(int(group["window"]), int(group["page_bytes"])) for group in tables.groups]
    return [PageTable.of(window, size, slots, positions, pages) for window, size in kinds]


def _copy_nothing(page: int, new: int) -> None:
    """Pages that were just taken have one owner: there is nothing to copy."""
