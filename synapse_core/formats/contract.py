"""What a weight format is: the bytes of a row, and back."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class WeightFormat(Protocol):
    """How a weight's numbers are stored, row by row.

    `code` is its number in a program; `block` how many columns share a scale (1: none do).
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
        """How many columns share a scale; 1: none do."""
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
