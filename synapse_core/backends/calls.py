"""Checking a call before it runs: what every backend written in Python needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from synapse_core.errors import UsageError
from synapse_core.ops import I32, RowTable
from synapse_core.program import FunctionTable, Port

_NUMPY_DTYPE = {"f32": np.dtype(np.float32), "i32": np.dtype(np.int32)}


def take_inputs(function: FunctionTable, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the inputs by name as contiguous (rows, cols) arrays of their port's dtype.

    Raises: UsageError naming a missing or unknown input, or a shape that does not fit.
    """
    unknown = sorted(set(inputs) - {port.name for port in function.inputs})
    if unknown:
        raise UsageError(f"function {function.name!r} has no input {unknown[0]!r}")
    return {port.name: _take(function, port, inputs) for port in function.inputs}


def count_rows(
    function: FunctionTable, inputs: Mapping[str, np.ndarray], rows: Mapping[str, RowTable]
) -> dict[str, int]:
    """Return how many rows each base space has in a call; `inputs` as `take_inputs` gives them.

    Raises: UsageError where inputs and row tables disagree, or a count is over the program's.
    """
    counts: dict[str, int] = {}
    for space in function.base_spaces:
        if space.rows and space.name not in rows:
            raise UsageError(
                f"function {function.name!r} needs slot and position of {space.name!r}"
            )
        if space.name in rows:
            counts[space.name] = len(rows[space.name])
    for port in function.inputs:
        space = port.type.space
        count, remainder = divmod(len(inputs[port.name]), space.multiple)
        known = counts.setdefault(space.base, count)
        if remainder or known != count:
            raise UsageError(
                f"input {port.name!r} has {len(inputs[port.name])} rows,"
                f" {space.base!r} has {known} × {space.multiple}"
            )
    for name, count in counts.items():
        if count > function.max_rows[name]:
            raise UsageError(
                f"{count} rows of {name!r} in one call; the program was planned for"
                f" {function.max_rows[name]}"
            )
    return counts


def check_ids(
    function: FunctionTable, inputs: Mapping[str, np.ndarray], counts: Mapping[str, int]
) -> None:
    """Check that every id is in its range.

    Raises: UsageError naming input, row and range.
    """
    multiples = {space.name: (space.base, space.multiple) for space in function.spaces}
    for port in function.inputs:
        if port.type.dtype != I32:
            continue
        limit = port.type.limit
        if port.type.limit_space:
            base, multiple = multiples[port.type.limit_space]
            limit = counts[base] * multiple
        ids = inputs[port.name]
        wrong = np.flatnonzero(((ids < 0) | (ids >= limit)).any(axis=1))
        if wrong.size:
            row = int(wrong[0])
            raise UsageError(
                f"input {port.name!r} row {row} is {ids[row].tolist()}; must be 0 to {limit - 1}"
            )


def check_rows(function: FunctionTable, rows: Mapping[str, RowTable], slots: int) -> None:
    """Check slots' runs: each below `slots` and once, positions consecutive and below the bound.

    Raises: UsageError naming space, row and rule.
    """
    for name, table in rows.items():
        if len(table) == 0:
            continue
        if table.slot.min() < 0 or table.slot.max() >= slots:
            raise UsageError(
                f"slot {int(table.slot.max())} in {name!r}; the program was planned for {slots}"
            )
        begins = np.flatnonzero(np.diff(table.slot, prepend=-1) != 0)
        if len(set(table.slot[begins].tolist())) != len(begins):
            raise UsageError(f"rows of one slot must lie together; {name!r} has a slot in two runs")
        inside = np.ones(len(table), dtype=bool)
        inside[begins] = False
        step = np.diff(table.position, prepend=0)
        if (step[inside] != 1).any():
            raise UsageError(f"positions of a slot's rows must follow each other in {name!r}")
        bound = function.max_position[name]
        if table.position.min() < 0 or table.position.max() >= bound:
            raise UsageError(
                f"position {int(table.position.max())} in {name!r};"
                f" the program was planned for positions below {bound}"
            )


def known_slot(slot: int, slots: int) -> int:
    """Return a slot that there is.

    Raises: UsageError.
    """
    if not 0 <= slot < slots:
        raise UsageError(f"slot {slot}: the program was planned for {slots}")
    return slot


def _take(function: FunctionTable, port: Port, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    if port.name not in inputs:
        raise UsageError(f"function {function.name!r} needs input {port.name!r}")
    given = np.asarray(inputs[port.name])
    wide = given if given.ndim == 2 else _in_rows(given)
    if wide.shape[1] != port.type.cols:
        raise UsageError(
            f"input {port.name!r} has rows of {wide.shape[1]}, the model takes {port.type.cols}"
        )
    return np.ascontiguousarray(wide, dtype=_NUMPY_DTYPE[port.type.dtype])


def _in_rows(given: np.ndarray) -> np.ndarray:
    return given.reshape(len(given), -1) if given.ndim else given.reshape(1, 1)
