"""What a program holds the rows of a format as: the same bytes, or others that say the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from synapse_core.errors import PluginError
from synapse_core.formats.carried import CarriedFormat
from synapse_core.formats.carrier import I8_G16
from synapse_core.formats.contract import Runs, WeightFormat
from synapse_core.formats.floats import F32
from synapse_core.formats.table import HELD_FORMATS

RUN = 16  # columns that share a scale in the carrier


def carrier_of(format: WeightFormat, cols: int) -> WeightFormat:
    """Return the format that a program holds rows of a format in; its numbers are the same bits.

    The core's own that have kernels hold themselves. One whose numbers are scale · code + minimum,
    said by `split`, with runs of whole 16 columns, is held as i8g16; any other as f32.
    """
    if HELD_FORMATS.get(format.name) is format:
        return format
    if isinstance(format, CarriedFormat):
        return I8_G16
    run = getattr(format, "run", 0) if hasattr(format, "split") else 0
    fits = isinstance(run, int) and run > 0 and run % RUN == 0 and I8_G16.accepts(cols)
    return I8_G16 if fits else F32


def carry(format: WeightFormat, raw: np.ndarray, cols: int) -> np.ndarray:
    """Return rows, uint8 (rows, row_bytes) of a format, as uint8 rows of its carrier.

    Raises: PluginError for a plugin's format whose `split` says other numbers than its `decode`.
    """
    held = carrier_of(format, cols)
    if held is format:
        return raw
    if isinstance(format, CarriedFormat):
        return I8_G16.join(format.split(raw, cols))
    with np.errstate(invalid="ignore", over="ignore"):  # a file may hold infinite scales
        numbers = format.decode(raw, cols)
    if held is F32:
        return F32.encode(numbers)
    splitting: Any = format
    runs: Runs = splitting.split(raw, cols)
    expected = (len(raw), cols // splitting.run, splitting.run)
    if runs.codes.shape != expected or runs.codes.dtype != np.int8:
        raise PluginError(
            f"weight format {format.name!r}: split gives codes {runs.codes.dtype}"
            f" {runs.codes.shape}, they must be int8 {expected}"
        )
    joined = I8_G16.join(runs)
    if not np.array_equal(I8_G16.decode(joined, cols), numbers, equal_nan=True):
        raise PluginError(
            f"weight format {format.name!r}: split and decode give other numbers;"
            " `synapse check` of its distribution shows where"
        )
    return joined
