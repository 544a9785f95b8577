"""Many texts one behind the other, each behind its length, found without a step for each.

A vocabulary has 150,000 tokens and as many merges. Where the upper six bytes of a length are zero,
as of every text below 64 KB, a length ends where a run of zeros does; that every text then ends
where the next one begins is checked for all at once. What is not of this form is left to be read
one by one.
"""

from __future__ import annotations

import numpy as np

LENGTH_BYTES = 8
ZEROS = 6
WINDOW_BYTES = 1 << 20
# A window that holds fewer costs more than their steps would.
FEWEST = 4096


def find_texts(view: memoryview, begin: int, count: int) -> tuple[np.ndarray, int]:
    """Return where up to `count` texts from byte `begin` on start, and where the last one ends.

    A text that is not UTF-8, does not end within `view` or is of another form ends the search
    before it; the search may end earlier, never later.
    Shapes: starts int64 (n,), of the texts themselves, n <= count.
    """
    found: list[np.ndarray] = []
    position, left = begin, count
    while left:
        data = np.frombuffer(view[position : position + WINDOW_BYTES], np.uint8)
        if len(data) <= LENGTH_BYTES:
            break
        starts, ends = _chained(data, left)
        if not len(starts) or not _are_utf8(data[: ends[-1]], starts):
            break
        found.append(starts + position)
        position, left = position + int(ends[-1]), left - len(starts)
        if len(starts) < FEWEST:
            break
    return np.concatenate(found) if found else np.empty(0, np.int64), position


def _chained(data: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and ends of the texts that follow each other from the first byte on."""
    zero = data == 0
    run = zero[:-ZEROS]
    for shift in range(1, ZEROS):
        run = run & zero[shift : len(zero) - ZEROS + shift]
    starts = np.flatnonzero(run & ~zero[ZEROS:]) + ZEROS
    starts = starts[starts >= LENGTH_BYTES][: most + 1]
    if not len(starts) or starts[0] != LENGTH_BYTES:
        return starts[:0], starts[:0]
    lengths = data[starts - LENGTH_BYTES].astype(np.int64) + 256 * data[starts - 7].astype(np.int64)
    ends = starts + lengths
    wrong = np.flatnonzero(ends[:-1] + LENGTH_BYTES != starts[1:])
    whole = int(wrong[0]) + 1 if len(wrong) else len(starts)
    whole = min(whole, most)
    while whole and ends[whole - 1] > len(data):
        whole -= 1
    return starts[:whole], ends[:whole]


def _are_utf8(data: np.ndarray, starts: np.ndarray) -> bool:
    """Whether each text is UTF-8: so is what they are with zeros for their lengths."""
    plain = data.copy()
    plain[starts - LENGTH_BYTES] = 0
    plain[starts - 7] = 0
    try:
        str(plain.data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
