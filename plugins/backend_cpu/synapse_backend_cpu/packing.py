"""Weights packed for the kernels that read them faster so: a copy beside the mapped file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import numpy as np

from synapse_backend_cpu.native.declarations import declarations
from synapse_backend_cpu.native.library import runtime
from synapse_core.errors import UsageError
from synapse_core.program import Tables, aligned_zeros

CHOSEN = "SYNAPSE_LAYOUT"
LAYOUTS = ("packed", "rows")
GROUP_ROWS = 16
# Bytes of a weight that one thread packs at a time.
SHARE_BYTES = 4 << 20
LINEAR = "linear"


@attrs.frozen
class Packed:
    """The packed weights of a program: `table` is what `syn_program.packed` points to."""

    table: Any
    arrays: tuple[np.ndarray, ...]

    @property
    def bytes(self) -> int:
        """How much memory they take."""
        return sum(array.size for array in self.arrays)


def is_wanted() -> bool:
    """Whether weights are packed: SYNAPSE_LAYOUT=rows leaves them as they lie in the file.

    Raises: UsageError for another value.
    """
    chosen = os.environ.get(CHOSEN) or LAYOUTS[0]
    if chosen not in LAYOUTS:
        raise UsageError(f"{CHOSEN}={chosen}: there are {', '.join(LAYOUTS)}")
    return chosen == LAYOUTS[0]


def pack(native: Any, tables: Tables, threads: int) -> Packed | None:
    """Pack what the program's products read, where the table of kernels asks for it."""
    if not is_wanted():
        return None
    ffi, library = declarations(), runtime()
    weights = tables.weights
    pointers = ffi.new("const uint8_t *[]", max(1, len(weights)))
    arrays: list[np.ndarray] = []
    shares: list[tuple[Any, ...]] = []
    for number in tables.weights_of(LINEAR):
        weight = weights[number]
        shape = int(weight["format"]), int(weight["rows"]), int(weight["cols"])
        size = library.syn_packed_bytes(*shape)
        if not size or shape[1] < GROUP_ROWS:
            continue
        to = aligned_zeros(size)
        arrays.append(to)
        pointers[number] = place = ffi.from_buffer("uint8_t *", to)
        source = native.segment[int(weight["segment"])].data + int(weight["offset"])
        shares += [(place, source, *shape, *part) for part in _parts(size, shape[1])]
    if not arrays:
        return None
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda share: library.syn_pack(*share), shares))
    return Packed(pointers, tuple(arrays))


def _parts(size: int, rows: int) -> Iterable[tuple[int, int]]:
    """Split the groups of a weight among calls."""
    groups = -(-rows // GROUP_ROWS)
    step = max(1, groups * SHARE_BYTES // size)
    return ((first, min(first + step, groups)) for first in range(0, groups, step))
