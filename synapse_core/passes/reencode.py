"""From one format to another, some rows at a time, and what was lost on the way."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from synapse_core.formats import WeightFormat, carrier_of, carry


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


def relative_error(lost: float, total: float) -> float:
    """Return √(lost / total): the root mean square of what moved in that of the numbers."""
    return (lost / total) ** 0.5 if total else 0.0
