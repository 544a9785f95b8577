"""A function that goes on from its own output: each step's last row becomes the next of an input.

It is how a world model imagines, and no more than calls of an atomic function, one after the other.
A backend may bring the loop itself (`unroll` of a session), with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self, runtime_checkable

import attrs
import numpy as np

from synapse_core.backends.contract import Session
from synapse_core.errors import UsageError
from synapse_core.ops import F32, RowTable
from synapse_core.program import FunctionTable, Program, functions_of, header_of


@attrs.frozen
class Loop:
    """Which output of a function goes back to which input, in a window of at most so many rows.

    All inputs are float32 rows of one base space, whose positions count from the window's first.
    """

    function: str
    fed: str
    output: str
    window: int


@runtime_checkable
class Unrolls(Protocol):
    """A session that brings the loop itself."""

    def unroll(
        self, loop: Loop, series: np.ndarray, begun: int, given: Mapping[str, np.ndarray]
    ) -> None:
        """Fill `series` (S, N, C) from its first `begun` rows on; sequence n runs in slot n.

        `given` are the other inputs, float32 (S, N − 1, cols): all that the steps need.
        """
        ...


@attrs.frozen(eq=False)
class Unroller:
    """A loop of an opened program; `slots` is how many sequences run side by side in it."""

    session: Session
    table: FunctionTable
    loop: Loop
    space: str
    slots: int

    @classmethod
    def open(cls, session: Session, program: Program, loop: Loop) -> Self:
        """Check that a program's function can be run so.

        Raises: UsageError saying why it cannot.
        """
        table = functions_of(program).get(loop.function)
        if table is None:
            raise UsageError(f"this model has no function {loop.function!r} to go on from")
        inputs = {port.name: port.type for port in table.inputs}
        outputs = {port.name: port.type for port in table.outputs}
        if loop.fed not in inputs or loop.output not in outputs:
            raise UsageError(
                f"{loop.function!r} has no input {loop.fed!r} or output {loop.output!r}"
            )
        fed, output = inputs[loop.fed], outputs[loop.output]
        same = all(type.space == fed.space and type.dtype == F32 for type in inputs.values())
        if not same or output != fed or not (fed.space.is_base and fed.space.rows):
            raise UsageError(f"{loop.function!r}: {loop.output!r} is no next row of {loop.fed!r}")
        space = fed.space.name
        if not 1 <= loop.window <= min(table.max_rows[space], table.max_position[space]):
            raise UsageError(
                f"{loop.function!r}: a window of {loop.window} rows; the program was planned for"
                f" {table.max_rows[space]} rows and {table.max_position[space]} positions"
            )
        slots = min(
            int(header_of(program.image)["max_slots"]), table.max_rows[space] // loop.window
        )
        return cls(session, table, loop, space, slots)

    def run(self, begun: np.ndarray, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """Go on from what has begun, as long as the other inputs are given, and one row more.

        Shapes: begun (S, n, C), given (S, T, cols) each with T ≥ n → (S, T + 1, C), float32; the
        first n are `begun`.
        Raises: UsageError where shapes do not go together.
        """
        begun = np.ascontiguousarray(begun, np.float32)
        given = {name: np.ascontiguousarray(rows, np.float32) for name, rows in given.items()}
        self._check(begun, given)
        sequences, first, cols = begun.shape
        steps = next((rows.shape[1] for rows in given.values()), first)
        series = np.empty((sequences, steps + 1, cols), np.float32)
        series[:, :first] = begun
        for start in range(0, sequences, self.slots):
            part = slice(start, start + self.slots)
            rows = {name: values[part] for name, values in given.items()}
            if isinstance(self.session, Unrolls):
                self.session.unroll(self.loop, series[part], first, rows)
            else:
                self._unroll(series[part], first, rows)
        return series

    def _unroll(self, series: np.ndarray, begun: int, given: Mapping[str, np.ndarray]) -> None:
        sequences, total, cols = series.shape
        for end in range(begun, total):
            lo = max(0, end - self.loop.window)
            count = end - lo
            slot = np.repeat(np.arange(sequences), count)
            table = RowTable(slot, np.tile(np.arange(count), sequences))
            inputs = {self.loop.fed: series[:, lo:end].reshape(sequences * count, cols)} | {
                name: rows[:, lo:end].reshape(sequences * count, -1) for name, rows in given.items()
            }
            made = self.session.run(self.loop.function, inputs, {self.space: table})
            series[:, end] = made[self.loop.output].reshape(sequences, count, cols)[:, -1]

    def _check(self, begun: np.ndarray, given: Mapping[str, np.ndarray]) -> None:
        wanted = {port.name: port.type.cols for port in self.table.inputs}
        if set(given) != set(wanted) - {self.loop.fed}:
            names = ", ".join(sorted(set(wanted) - {self.loop.fed}))
            raise UsageError(f"{self.loop.function!r} goes on with {names or 'nothing else'} given")
        cols = wanted[self.loop.fed]
        if begun.ndim != 3 or begun.shape[2] != cols or min(begun.shape[:2]) < 1:
            raise UsageError(f"{self.loop.fed!r} is {begun.shape}, expected (S, n, {cols})")
        steps = {rows.shape[1] for rows in given.values() if rows.ndim == 3}
        for name, rows in given.items():
            fits = rows.ndim == 3 and rows.shape[0] == len(begun) and rows.shape[2] == wanted[name]
            if not fits or len(steps) != 1 or rows.shape[1] < begun.shape[1]:
                expected = f"({len(begun)}, {begun.shape[1]} or more, {wanted[name]})"
                raise UsageError(f"{name!r} is {rows.shape}, expected {expected}")
