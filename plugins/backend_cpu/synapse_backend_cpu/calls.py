"""A call on its way to the runtime: the same for every host that is written in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import attrs
import numpy as np

from synapse_core.backends import PageTable, count_rows, take_inputs
from synapse_core.errors import UsageError
from synapse_core.ops import RowTable
from synapse_core.program import FunctionTable


class BaseRows(NamedTuple):
    """Rows of a base space as `syn_rows` holds them; no slot and position where it carries none."""

    space: int
    count: int
    slot: np.ndarray | None
    position: np.ndarray | None


@attrs.frozen(eq=False)
class HostCall:
    """One call with its arrays checked; slots, positions and ids are the runtime's to judge."""

    table: FunctionTable
    arrays: Mapping[str, np.ndarray]
    counts: Mapping[str, int]
    rows: Mapping[str, RowTable]

    @classmethod
    def of(
        cls,
        functions: Mapping[str, FunctionTable],
        function: str,
        inputs: Mapping[str, np.ndarray],
        rows: Mapping[str, RowTable],
    ) -> HostCall:
        """Take a call's arrays.

        Raises: UsageError for an unknown function or input, a shape that does not fit, or too
        many rows.
        """
        table = functions.get(function)
        if table is None:
            raise UsageError(f"no function {function!r}; there are: {', '.join(functions)}")
        arrays = take_inputs(table, inputs)
        return cls(table, arrays, count_rows(table, arrays, rows), rows)

    def base_rows(self) -> Iterator[BaseRows]:
        """Give the rows of every base space; what no uint32 can say becomes out of bounds."""
        for number, space in enumerate(self.table.spaces):
            if not space.is_base:
                continue
            given = self.rows.get(space.name)
            yield BaseRows(
                number,
                self.counts[space.name],
                None if given is None else _narrow(given.slot),
                None if given is None else _narrow(given.position),
            )

    def inputs(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give each input's offset in the arena and its array (rows, cols)."""
        for port in self.table.inputs:
            yield int(self.table.tensors[port.tensor]["offset"]), self.arrays[port.name]

    def outputs(self) -> Iterator[tuple[str, int, tuple[int, int]]]:
        """Give each output's name, offset in the arena and shape (rows, cols); float32."""
        for port in self.table.outputs:
            space = port.type.space
            shape = self.counts[space.base] * space.multiple, port.type.cols
            yield port.name, int(self.table.tensors[port.tensor]["offset"]), shape

    def reserve_pages(
        self,
        groups: Sequence[PageTable],
        seen: np.ndarray,
        copy: Callable[[int, int, int], None],
    ) -> None:
        """Hand out the pages that the call writes; `seen` (slots,) counts each slot's positions.

        `copy(group, page, new)` copies one that another slot shares. A run that is out of bounds
        gets none, and the runtime says why.

        Raises: OutOfPages; every slot remembers what it did.
        """
        for name, row_table in self.rows.items():
            bound = self.table.max_position.get(name, 0)
            for slot, first, end in _spans(row_table):
                if not (0 <= slot < len(seen) and 0 <= first < end <= bound):
                    continue
                for number, group in enumerate(groups) if first <= seen[slot] else ():
                    group.reserve(slot, first, end, partial(copy, number))


def _narrow(values: np.ndarray) -> np.ndarray:
    bounded = np.minimum(np.maximum(values, -1), 0xFFFFFFFE)  # in half the time of np.clip
    return np.ascontiguousarray(bounded).astype(np.uint32)


def _spans(table: RowTable) -> list[tuple[int, int, int]]:
    """Return (slot, first position, end) of each run of one slot."""
    if len(table) == 0:
        return []
    begins = [0, *(np.flatnonzero(table.slot[1:] != table.slot[:-1]) + 1)]
    ends = [*begins[1:], len(table)]
    return [
        (int(table.slot[b]), int(table.position[b]), int(table.position[b]) + int(e - b))
        for b, e in zip(begins, ends, strict=True)
    ]
