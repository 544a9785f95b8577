"""The files that a program's weights are mapped from, and giving their pages back."""

from __future__ import annotations

import mmap
from contextlib import suppress

import attrs
import numpy as np

from synapse_core.program import Program


@attrs.frozen
class MappedFiles:
    """Files mapped for reading only: address, bytes and the mapping of each."""

    files: tuple[tuple[int, int, mmap.mmap], ...]

    @classmethod
    def of(cls, program: Program) -> MappedFiles:
        """Find a program's files; what it holds in memory of its own is none of them."""
        found = {}
        for array in (program.image, *program.external):
            mapping = _mapping_of(array)
            if mapping is not None:
                whole = np.frombuffer(mapping, dtype=np.uint8)
                found[whole.ctypes.data] = (whole.ctypes.data, whole.size, mapping)
        return cls(tuple(found.values()))

    def give_back(self, begin: int, end: int) -> None:
        """Let go of the whole pages in addresses [begin, end) where a file lies there.

        They leave this process only: the next read takes them from the system's cache, or from the
        file. Memory that no file stands behind is never touched: it would become zeros.
        """
        for address, size, mapping in self.files:
            first = max(0, -(-(begin - address) // mmap.PAGESIZE)) * mmap.PAGESIZE
            last = min(end - address, size) // mmap.PAGESIZE * mmap.PAGESIZE
            if first < last and hasattr(mmap, "MADV_DONTNEED"):
                with suppress(OSError):  # a system that cannot
                    mapping.madvise(mmap.MADV_DONTNEED, first, last - first)


def _mapping_of(array: np.ndarray) -> mmap.mmap | None:
    """Return what maps the file of an array; None for other memory, and for what can be written."""
    if not isinstance(array, np.memmap) or array.mode != "r":
        return None
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
