"""Weight formats: how numbers are stored, and back."""

from __future__ import annotations

from synapse_core.errors import UsageError
from synapse_core.formats.contract import WeightFormat
from synapse_core.formats.floats import BF16, F16, F32
from synapse_core.formats.integers import INT8, Q8_0, quantise

FORMATS: dict[str, WeightFormat] = {format.name: format for format in (F32, F16, BF16, INT8, Q8_0)}

__all__ = [
    "BF16",
    "F16",
    "F32",
    "FORMATS",
    "INT8",
    "Q8_0",
    "WeightFormat",
    "format_named",
    "format_of_code",
    "quantise",
]


def format_named(name: str) -> WeightFormat:
    """Return a format by its name.

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
    for format in FORMATS.values():
        if format.code == code:
            return format
    raise UsageError(f"no weight format has the code {code}; is this Synapse too old for the file?")
