"""What parsing JSON from outside may take, judged from its bytes before it is parsed.

Python takes up to 250 bytes for an entry that the file writes in ten, so that the size of a file
says little. Counting the marks between values takes milliseconds; a mark within a text
counts too, which real files have room for.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import numpy as np

from synapse_core.errors import FileError

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
    values: int


# A config.json has some kB, with the names of 21,843 classes a MB; the index of 140,000
# tensors 14 MB.
PLAIN = JsonBounds(file=24 << 20, text=4 << 20, values=96 << 20)
# The largest real tokenizer.json, Gemma 3's, has 33 MB: 262,144 tokens and 514,906 merges are
# 180 MB of values. Its longest text is a table of rewriting rules.
TOKENIZER = JsonBounds(file=40 << 20, text=4 << 20, values=208 << 20)


def check_bounds(file: object, data: bytes, bounds: JsonBounds = PLAIN) -> None:
    """Refuse JSON that is too large or would take too much once parsed.

    Raises: FileError.
    """
    if len(data) > bounds.file:
        raise FileError(file, f"has {len(data)} bytes; at most {bounds.file} are read as JSON")
    if len(data) <= SMALL_BYTES:
        return
    values = estimate_bytes(data)
    if values > bounds.values:
        problem = f"its values would take some {values >> 20} MB; at most {bounds.values >> 20}"
        raise FileError(file, f"{problem} are read as JSON")
    longest = longest_text(data)
    if longest > bounds.text:
        raise FileError(file, f"holds a text of {longest} bytes; at most {bounds.text} are read")


def estimate_bytes(data: bytes) -> int:
    """Return about how many bytes Python takes for the values, the letters of texts left out."""
    brackets = data.count(b"[") + data.count(b"{")
    colons, commas = data.count(b":"), data.count(b",")
    return BRACKET_BYTES * brackets + COLON_BYTES * colons + COMMA_BYTES * commas


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
