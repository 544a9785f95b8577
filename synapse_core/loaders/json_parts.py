"""A JSON array of any length, parsed some items at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import msgspec

PART_BYTES = 1 << 18


def array_parts(array: msgspec.Raw, size: int = PART_BYTES) -> Iterator[list[Any]]:
    """Yield the items of an array in order, those of about `size` bytes at a time.

    What is yielded is not kept. `array` was found to be one, well-formed, by what made it.

    Raises: UnicodeDecodeError for a text that is not UTF-8.
    """
    import msgspec

    data = np.frombuffer(memoryview(array), np.uint8)[1:-1]
    begin, taken = 0, size
    while begin < data.size:
        part = data[begin : begin + taken]
        cut = part.size if begin + part.size == data.size else _last_comma(part)
        if cut is None:
            taken *= 2
            continue
        yield msgspec.json.decode(b"[%b]" % part[:cut].tobytes())
        begin, taken = begin + cut + 1, size


def _last_comma(part: np.ndarray) -> int | None:
    """Return where the last comma between two items is; None where a single one fills the part."""
    quotes = part == ord('"')
    slashes = part == ord("\\")
    if slashes.any():
        # Behind an odd number of them a quotation mark is a letter.
        place = np.arange(part.size, dtype=np.int32)
        other = np.maximum.accumulate(np.where(slashes, np.int32(-1), place))
        odd = slashes & ((place - other) % 2 == 1)
        quotes[1:] &= ~odd[:-1]
    opens = (part == ord("[")) | (part == ord("{"))
    closes = (part == ord("]")) | (part == ord("}"))
    comma = part == ord(",")
    at = np.flatnonzero(quotes | opens | closes | comma)
    outside = np.bitwise_xor.accumulate(quotes[at].view(np.uint8)) == 0
    steps = (opens[at].view(np.int8) - closes[at].view(np.int8)) * outside
    commas = at[comma[at] & outside & (np.cumsum(steps, dtype=np.int32) == 0)]
    return int(commas[-1]) if commas.size else None
