"""What a weight format is: the bytes of a row, and back."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Runs(NamedTuple):
    """Rows of a block format taken apart: a number is scale · code, then + minimum if any.

    Shapes: scale (rows, runs) float32; codes (rows, runs, columns of a run) int8; minimum as scale,
    or None where the format has none, and nothing is added.
    """

    scale: np.ndarray
    codes: np.ndarray
    minimum: np.ndarray | None = None

    def numbers(self) -> np.ndarray:
        """Return float32 (rows, cols), computed in float32 in this order."""
        with np.errstate(invalid="ignore", over="ignore"):  # a file may hold infinite scales
            numbers = self.scale[..., None] * self.codes.astype(np.float32)
            if self.minimum is not None:
                numbers += self.minimum[..., None]
        rows, runs, columns = self.codes.shape
        return numbers.reshape(rows, runs * columns)


class WeightFormat(Protocol):
    """How a weight's numbers are stored, row by row.

    `code` is its number in a program, 0 where no program holds it; rows are whole blocks of `block`
    columns.
    """

    @property
    def name(self) -> str:
        """What plans and tables call it."""
        ...

    @property
    def code(self) -> int:
        """Its number in a program."""
        ...

    @property
    def block(self) -> int:
        """How many columns a block has; 1: any width will do."""
        ...

    def accepts(self, cols: int) -> bool:
        """Whether rows of so many columns can be stored."""
        ...

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row."""
        ...

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Return float32 rows (rows, cols) as uint8 (rows, row_bytes)."""
        ...

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return uint8 (rows, row_bytes) as float32 (rows, cols)."""
        ...


class BlockFormat(WeightFormat, Protocol):
    """A format whose numbers are small integers with a scale for each run of 16 or 32 columns."""

    @property
    def run(self) -> int:
        """How many columns share a scale that is complete: 16 or 32."""
        ...

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        """Take rows, uint8 (rows, row_bytes), apart."""
        ...
