"""The core's weight formats, by name and by code."""

from __future__ import annotations

from synapse_core.errors import UsageError
from synapse_core.formats.blocks import Q4_0, Q4_1, Q5_0, Q5_1
from synapse_core.formats.carried import CARRIED
from synapse_core.formats.carrier import I8_G16
from synapse_core.formats.contract import BlockFormat, WeightFormat
from synapse_core.formats.floats import BF16, F16, F32
from synapse_core.formats.integers import INT8, Q8_0
from synapse_core.formats.superblocks import Q4_K, Q5_K, Q6_K

_BLOCKS: tuple[BlockFormat, ...] = (Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, I8_G16)
BLOCK_FORMATS: dict[str, BlockFormat] = {format.name: format for format in _BLOCKS}
# What a program can hold; every kernel that reads weights reads them all.
_HELD: tuple[WeightFormat, ...] = (F32, F16, BF16, INT8, *_BLOCKS)
HELD_FORMATS: dict[str, WeightFormat] = {format.name: format for format in _HELD}
FORMATS: dict[str, WeightFormat] = {**HELD_FORMATS, **CARRIED}


def format_named(name: str) -> WeightFormat:
    """Return a format of the core by its name; `Formats` knows those of plugins too.

    Raises: UsageError listing the names there are.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UsageError(f"no weight format {name!r}; there are: {', '.join(FORMATS)}") from None


def format_of_code(code: int) -> WeightFormat:
    """Return a format by its number in a program.

    Raises: UsageError for a number that no format has.
    """
    for format in HELD_FORMATS.values():
        if format.code == code:
            return format
    raise UsageError(f"no weight format has the code {code}; is this Synapse too old for the file?")
