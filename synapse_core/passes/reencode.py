"""From one format to another, some rows at a time, and what was lost on the way."""

from __future__ import annotations

import mmap
from typing import NamedTuple

import numpy as np

from synapse_core.formats import WeightFormat, carrier_of, carry

# Where a matrix is smaller, malloc may keep its room.
OWN_PAGES_BYTES = 1 << 16


class Reencoded(NamedTuple):
    """Rows in their new format: uint8 (rows, row_bytes).

    `lost` is the sum of the squares of what the numbers moved by, `total` that of the numbers.
    """

    raw: np.ndarray
    lost: float
    total: float


def reencode(raw: np.ndarray, cols: int, stored: WeightFormat, format: WeightFormat) -> Reencoded:
    """Decode rows, uint8 (rows, row_bytes), and encode them; their float32 exists meanwhile.

    A format that no program holds goes to what carries it bit for bit.
    """
    numbers = stored.decode(raw, cols)
    if carrier_of(stored, cols) is format:
        encoded = carry(stored, raw, cols)
    else:
        encoded = format.encode(numbers)
    again = format.decode(encoded, cols)
    lost = float(np.square(again - numbers, dtype=np.float64).sum())
    return Reencoded(encoded, lost, float(np.square(numbers, dtype=np.float64).sum()))


def room_for(rows: int, row_bytes: int) -> np.ndarray:
    """Return room for a matrix, uint8 (rows, row_bytes), that goes back to the system with it.

    What malloc has given back to it, it keeps: of a model's matrices, a third.
    """
    size = rows * row_bytes
    if size < OWN_PAGES_BYTES:
        return np.empty((rows, row_bytes), dtype=np.uint8)
    return np.frombuffer(mmap.mmap(-1, size), dtype=np.uint8).reshape(rows, row_bytes)


def relative_error(lost: float, total: float) -> float:
    """Return √(lost / total): the root mean square of what moved in that of the numbers."""
    return (lost / total) ** 0.5 if total else 0.0
