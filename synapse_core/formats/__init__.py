"""Weight formats: how numbers are stored, and back."""

from __future__ import annotations

from synapse_core.formats.carried import CARRIED, CarriedFormat
from synapse_core.formats.carrier import I8_G16
from synapse_core.formats.contract import BlockFormat, Runs, WeightFormat
from synapse_core.formats.floats import BF16, F16, F32
from synapse_core.formats.held import carrier_of, carry
from synapse_core.formats.installed import CORE_FORMATS, Formats
from synapse_core.formats.integers import INT8, Q8_0, quantise
from synapse_core.formats.table import (
    BLOCK_FORMATS,
    FORMATS,
    HELD_FORMATS,
    format_named,
    format_of_code,
)

__all__ = [
    "BF16",
    "BLOCK_FORMATS",
    "CARRIED",
    "CORE_FORMATS",
    "F16",
    "F32",
    "FORMATS",
    "HELD_FORMATS",
    "I8_G16",
    "INT8",
    "Q8_0",
    "BlockFormat",
    "CarriedFormat",
    "Formats",
    "Runs",
    "WeightFormat",
    "carrier_of",
    "carry",
    "format_named",
    "format_of_code",
    "quantise",
]
