"""Memory in pages as large as the system gives: the fewer, the sooner an address is found."""

from __future__ import annotations

import mmap
from contextlib import suppress

import numpy as np

# Memory of this process alone; on Windows it is so anyway, and there are no flags.
PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
LARGE_PAGE = 1 << 21


def large_zeros(size: int) -> np.ndarray:
    """Return uint8 zeros, (size,), that begin at a page; 0 bytes are 1.

    Raises: MemoryError when the system has no room for them.
    """
    size = max(1, size)
    try:
        block = mmap.mmap(-1, size + LARGE_PAGE if size >= LARGE_PAGE else size, **PRIVATE)
    except OSError as error:
        raise MemoryError(f"{size:,} bytes: {error.strerror}") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            block.madvise(mmap.MADV_HUGEPAGE)
    zeros = np.frombuffer(block, dtype=np.uint8)
    first = -zeros.ctypes.data % LARGE_PAGE if size >= LARGE_PAGE else 0
    return zeros[first : first + size]
