"""Memory of a session: in large pages, or addresses that take memory when written to."""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress

import numpy as np

# Memory of this process alone; on Windows it is so anyway, and there are no flags.
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS if hasattr(mmap, "MAP_ANONYMOUS") else 0
# Linux: nothing is set aside for addresses that may never be used. Python 3.11 has no name for it.
NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


def large_zeros(size: int) -> np.ndarray:
    """Return uint8 zeros, (size,), in pages as large as the system gives: the fewer, the faster.

    Raises: MemoryError when the system has no room for them.
    """
    block = _mapped(size, PRIVATE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            block.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(block, dtype=np.uint8)


def lazy_zeros(size: int) -> np.ndarray | None:
    """Return uint8 zeros, (size,), of which only what is written to takes memory.

    None where the system gives no more addresses than memory.
    """
    if not NO_RESERVE:
        return None
    try:
        return np.frombuffer(_mapped(size, PRIVATE | NO_RESERVE), dtype=np.uint8)
    except MemoryError:
        return None


def _mapped(size: int, flags: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, size, **({"flags": flags} if flags else {}))
    except (OSError, OverflowError) as error:
        raise MemoryError(f"{size:,} bytes: {error}") from error
