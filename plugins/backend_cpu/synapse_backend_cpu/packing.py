"""Weights packed for the kernels that read them faster so: a copy beside the mapped file."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import attrs
import numpy as np

from synapse_backend_cpu.mapped import MappedFiles
from synapse_backend_cpu.memory import large_zeros
from synapse_backend_cpu.native.declarations import declarations
from synapse_backend_cpu.native.library import runtime
from synapse_core.errors import Unavailable, UsageError
from synapse_core.program import Program, Tables

CHOSEN = "SYNAPSE_LAYOUT"
LAYOUTS = ("packed", "rows")
GROUP_ROWS = 16
# Bytes of a weight that one thread packs at a time.
SHARE_BYTES = 4 << 20
LINEAR = "linear"
ALIGN = 64


@attrs.frozen
class Packed:
    """The packed weights of a program: `table` is what `syn_program.packed` points to."""

    table: Any
    memory: np.ndarray

    @property
    def bytes(self) -> int:
        """How much memory they take."""
        return self.memory.size


@attrs.frozen
class _Place:
    """Where a weight is packed to: bytes [offset, offset + size) of the block."""

    number: int
    offset: int
    size: int


def is_wanted() -> bool:
    """Whether weights are packed: SYNAPSE_LAYOUT=rows leaves them as they lie in the file.

    Raises: UsageError for another value.
    """
    chosen = os.environ.get(CHOSEN) or LAYOUTS[0]
    if chosen not in LAYOUTS:
        raise UsageError(f"{CHOSEN}={chosen}: there are {', '.join(LAYOUTS)}")
    return chosen == LAYOUTS[0]


def packed_bytes(format: int, arith: int, rows: int, cols: int) -> int:
    """Return what a product's weight takes packed; 0 where its arithmetic reads it as it lies.

    `format` and `arith` are the numbers that a program has for them.

    Raises: as `is_wanted`, and as `runtime`.
    """
    if rows < GROUP_ROWS or not is_wanted():
        return 0
    return int(runtime().syn_packed_bytes(format, arith, rows, cols))


def pack(native: Any, program: Program, tables: Tables, threads: int) -> Packed | None:
    """Pack what the program's products read, where the table of kernels asks for it.

    The pages of a mapped file that have been packed are given back: they stay in the system's
    cache, from which whoever reads rows (an embedding) gets them again.

    Raises: Unavailable when there is not that much memory; as `packed_bytes`.
    """
    ffi, library = declarations(), runtime()
    places = list(_places(tables))
    if not places:
        return None
    try:
        memory = large_zeros(places[-1].offset + places[-1].size)
    except MemoryError as error:
        raise Unavailable(f"packed weights take {error}; {CHOSEN}=rows needs none") from error
    files = MappedFiles.of(program)
    weights = tables.weights
    pointers = ffi.new("const uint8_t *[]", max(1, len(weights)))
    shares: deque[tuple[Any, ...]] = deque()
    for place in places:
        weight = weights[place.number]
        to = ffi.from_buffer("uint8_t *", memory[place.offset : place.offset + place.size])
        pointers[place.number] = to
        source = native.segment[int(weight["segment"])].data + int(weight["offset"])
        shape = int(weight["format"]), int(weight["rows"]), int(weight["cols"])
        row_bytes = int(weight["row_bytes"])
        shares += [(to, source, *shape, *part, row_bytes) for part in _parts(place.size, shape[1])]

    def work() -> None:
        with suppress(IndexError):
            while True:
                *share, row_bytes = shares.popleft()
                library.syn_pack(*share)
                _, source, _, rows, _, first, end = share
                begin, stop = first * GROUP_ROWS, min(end * GROUP_ROWS, rows)
                address = int(ffi.cast("uintptr_t", source))
                files.give_back(address + begin * row_bytes, address + stop * row_bytes)

    helpers = [threading.Thread(target=work) for _ in range(threads - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    return Packed(pointers, memory)


def _places(tables: Tables) -> Iterable[_Place]:
    """Give each weight of a product that is packed its place in one block."""
    arithmetics: dict[int, set[int]] = {}
    for op, numbers in tables.reads_of(LINEAR):
        for number in numbers:
            arithmetics.setdefault(number, set()).add(int(op["attributes"][0]))
    offset = 0
    for number, arithmetic in sorted(arithmetics.items()):
        weight = tables.weights[number]
        format, shape = int(weight["format"]), (int(weight["rows"]), int(weight["cols"]))
        size = max(packed_bytes(format, arith, *shape) for arith in arithmetic)
        if size:
            yield _Place(number, offset, size)
            offset += size + -size % ALIGN


def _parts(size: int, rows: int) -> Iterable[tuple[int, int]]:
    """Split the groups of a weight among calls."""
    groups = -(-rows // GROUP_ROWS)
    step = max(1, groups * SHARE_BYTES // size)
    return ((first, min(first + step, groups)) for first in range(0, groups, step))
