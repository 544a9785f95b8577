"""What parsing JSON from outside may take, judged from its bytes before it is parsed.

Python takes up to 250 bytes for an entry that the file writes in ten, so that the size of a file
says little. Counting the marks between values takes milliseconds; a mark within a text
counts too, which real files have room for. A character beyond the first 65,536 makes Python take
four bytes for each of its text's.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs
import numpy as np

from synapse_core.errors import FileError

if TYPE_CHECKING:
    import msgspec

    Bytes = bytes | memoryview | msgspec.Raw

# What CPython 3.11 to 3.14 take at most for each mark: an empty list or object and its place; a
# key with its entry and the pair that it is handed over in; an item that is a short text.
BRACKET_BYTES, COLON_BYTES, COMMA_BYTES = 80, 180, 60
# A file of fewer bytes cannot be heavy.
SMALL_BYTES = 1 << 16
PART_BYTES = 1 << 20
QUOTE = ord('"')


@attrs.frozen
class JsonBounds:
    """At most so many bytes of file, of a single text, and of all parsed values as estimated."""

    file: int
    text: int
    values: int | None


# A config.json has some kB, with the names of 21,843 classes a MB; the index of 140,000
# tensors 14 MB.
PLAIN = JsonBounds(file=24 << 20, text=4 << 20, values=96 << 20)
# The largest real tokenizer.json, Gemma 3's, has 33 MB. Its longest text is a table of rewriting
# rules. Its values are bounded where they are parsed: all but the merges, which are never there
# all at once. The 262,144 tokens are some 90 MB.
TOKENIZER = JsonBounds(file=40 << 20, text=4 << 20, values=None)
TOKENIZER_VALUES = 128 << 20


def check_bounds(file: object, data: bytes, bounds: JsonBounds = PLAIN) -> None:
    """Refuse JSON that is too large or would take too much once parsed.

    Raises: FileError.
    """
    if len(data) > bounds.file:
        raise FileError(file, f"has {len(data)} bytes; at most {bounds.file} are read as JSON")
    if len(data) <= SMALL_BYTES:
        return
    if bounds.values is not None:
        check_values(file, [data], bounds.values, decoded=True)
    longest = longest_text(data)
    if longest > bounds.text:
        raise FileError(file, f"holds a text of {longest} bytes; at most {bounds.text} are read")


def check_values(file: object, parts: Iterable[Bytes], most: int, *, decoded: bool = False) -> None:
    """Refuse JSON, given in parts, whose values would take more than `most` bytes.

    With `decoded` that includes the whole of it as one text, which Python's parser begins with.

    Raises: FileError.
    """
    values = 0
    for part in parts:
        marks, letters = _estimate(part)
        values += marks + letters * (2 if decoded else 1)
    if values > most:
        problem = f"its values would take some {values >> 20} MB; at most {most >> 20}"
        raise FileError(file, f"{problem} are read as JSON")


def estimate_bytes(data: Bytes) -> int:
    """Return about how many bytes Python takes for the values, texts included."""
    return sum(_estimate(data))


def _estimate(data: Bytes) -> tuple[int, int]:
    """Return what the values take without their letters, and what the letters take."""
    brackets = colons = commas = blanks = highest = 0
    escapes = False
    whole = np.frombuffer(data, np.uint8)
    for begin in range(0, whole.size, PART_BYTES):
        part = whole[begin : begin + PART_BYTES]
        brackets += _count(part, "[") + _count(part, "{")
        colons += _count(part, ":")
        commas += _count(part, ",")
        blanks += _count(part, " ") + _count(part, "\n")
        highest = max(highest, int(part.max()))
        escapes = escapes or _count(part, "\\") > 0
    # One character of four bytes makes four of each in its text; an escape may stand for one.
    width = 4 if escapes or highest >= 0xF0 else 2 if highest >= 0xC4 else 1
    marks = BRACKET_BYTES * brackets + COLON_BYTES * colons + COMMA_BYTES * commas
    return marks, width * (whole.size - blanks)


def _count(part: np.ndarray, mark: str) -> int:
    return int(np.count_nonzero(part == ord(mark)))


def longest_text(data: bytes) -> int:
    """Return how many bytes lie between two quotation marks at most."""
    longest, since = 0, 0
    for begin in range(0, len(data), PART_BYTES):
        part = np.frombuffer(data, np.uint8, min(PART_BYTES, len(data) - begin), begin)
        quotes = np.flatnonzero(part == QUOTE)
        if len(quotes):
            gaps = np.diff(quotes)
            inner = int(gaps.max()) if len(gaps) else 0
            longest = max(longest, begin + int(quotes[0]) - since, inner)
            since = begin + int(quotes[-1])
    return max(longest, len(data) - since)


@contextmanager
def uncollected() -> Iterator[None]:
    """Parse in this: JSON has no cycles, and looking for them takes twice as long as parsing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
