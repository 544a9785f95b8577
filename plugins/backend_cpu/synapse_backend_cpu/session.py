"""A program opened by the C runtime, with all its memory."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np

from synapse_backend_cpu.calls import HostCall
from synapse_backend_cpu.errors import call_error, open_error
from synapse_backend_cpu.kept import KeptState, goes_back, kept_states, saved_sizes
from synapse_backend_cpu.looping import native_loop
from synapse_backend_cpu.memory import lazy_zeros
from synapse_backend_cpu.native.declarations import declarations
from synapse_backend_cpu.native.kernels import kernel_pointers
from synapse_backend_cpu.native.library import library_path, runtime, tier
from synapse_backend_cpu.packing import pack
from synapse_core.backends import (
    Executable,
    Loop,
    PageCounts,
    PageTable,
    check_copied,
    check_loaded,
    check_parts,
    check_saved,
    hold_pages,
    known_slot,
    page_tables,
)
from synapse_core.errors import Unavailable, UsageError
from synapse_core.ops import RowTable
from synapse_core.program import (
    FunctionTable,
    Program,
    Tables,
    aligned_zeros,
    functions_of,
    header_of,
)

ALIGN = 64
# Multiply-adds of a call that one thread does in about a millisecond: where other programs want the
# cores too, threads would wait for each other at every op for longer than that.
SMALL_CALL = 1_000_000


@attrs.define(eq=False)
class CpuSession:
    """One program, its arena, states and pages, and the threads that run it.

    `state_form` names the runtime that makes the states: its table of kernels and what it was
    compiled from. `_library` runs it, whatever SYNAPSE_CPU says later. `_numbers` are those of all
    weights; `_alone` says that a small call may run on one thread. Calls of several Python threads
    run one behind the other: arena and scratch are the session's.
    """

    program: Program
    functions: Mapping[str, FunctionTable]
    kept: list[KeptState]
    groups: list[PageTable]
    pools: list[np.ndarray]
    slots: np.ndarray
    slot_bytes: int
    counts: np.ndarray
    arena: np.ndarray
    scratch: dict[int, np.ndarray]
    state_form: str
    _library: Any
    _native: Any
    _pool: Any
    _keep: list[Any]
    _numbers: int
    _alone: bool
    _finalizer: Any = None
    _lock: Any = attrs.field(factory=threading.Lock)

    @classmethod
    def open(
        cls, executable: Executable, threads: int | None, pages: int | None = None
    ) -> CpuSession:
        """Validate the program and set its memory out; raises as `Backend.open`."""
        ffi, library = declarations(), runtime()
        program = executable.program
        image = _aligned(program.image)
        tables = Tables.of(image, program.path or "program")
        ops = [executable.find_op(name) for name in tables.kernel_names()]
        native = ffi.new("syn_program *")
        keep = _open(native, image, program, kernel_pointers(ops))
        functions = functions_of(program)
        header = header_of(image)
        slots, slot_bytes = int(header["max_slots"]), int(header["slot_bytes"])
        groups = page_tables(tables, functions, slots, pages)
        alone = threads is None
        threads = threads or usable_cores()
        packed = pack(native, program, tables, threads)
        if packed is not None:
            native.packed = packed.table
            keep.append(packed)
        pool = library.syn_pool_create(threads)
        if pool == ffi.NULL:
            raise Unavailable(f"backend 'cpu': {threads} threads cannot be started")
        weights = tables.weights
        numbers = int(np.sum(weights["rows"].astype(np.int64) * weights["cols"]))
        session = cls(
            program,
            functions,
            kept_states(tables),
            groups,
            [_pool(group) for group in groups],
            aligned_zeros(max(ALIGN, slots * slot_bytes)),
            slot_bytes,
            np.zeros(slots, dtype=np.uint32),
            aligned_zeros(max((f.arena_bytes for f in functions.values()), default=ALIGN)),
            {
                f.index: aligned_zeros(
                    max(ALIGN, library.syn_scratch_bytes(native, f.index, threads))
                )
                for f in functions.values()
            },
            f"cpu {library_path(tier()).stem.removeprefix('synapse-runtime-')}"[:64],
            library,
            native,
            pool,
            keep,
            numbers,
            alone,
        )
        session._finalizer = weakref.finalize(session, library.syn_pool_destroy, pool)
        return session

    def run(
        self,
        function: str,
        inputs: Mapping[str, np.ndarray],
        rows: Mapping[str, RowTable],
    ) -> dict[str, np.ndarray]:
        """Run one call; see `synapse_core.backends.Session.run`."""
        with self._turn():
            host = HostCall.of(self.functions, function, inputs, rows)
            ffi = declarations()
            keep: list[Any] = []
            call = ffi.new("syn_call *")
            call.function = host.table.index
            host.reserve_pages(self.groups, self.counts, self._copy_page)
            self._fill_rows(call, host, keep)
            self._fill_pages(call, keep)
            self._fill_memory(call, host.table, keep)
            for offset, array in host.inputs():
                self.arena[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8)
            error = ffi.new("syn_error *")
            if self._is_small(max(host.counts.values(), default=0)):
                call.threads = 1
                refused = self._library.syn_run(self._native, call, error)
            else:
                refused = self._library.syn_pool_run(self._pool, self._native, call, error)
            if refused:
                raise call_error(error, host.table)
            return {name: self._output(offset, shape) for name, offset, shape in host.outputs()}

    def unroll(
        self, loop: Loop, series: np.ndarray, begun: int, given: Mapping[str, np.ndarray]
    ) -> None:
        """Run a loop in the runtime; see `synapse_core.backends.Unrolls`."""
        with self._turn():
            table = self.functions[loop.function]
            ffi = declarations()
            keep: list[Any] = []
            call, error = ffi.new("syn_call *"), ffi.new("syn_error *")
            call.function = table.index
            self._fill_memory(call, table, keep)
            native = native_loop(table, loop, series, begun, given, keep)
            if self._is_small(len(series) * loop.window):
                call.threads = 1
                none = ffi.NULL
                refused = self._library.syn_rollout(self._native, call, native, none, none, error)
            else:
                refused = self._library.syn_pool_rollout(
                    self._pool, self._native, call, native, error
                )
            if refused:
                raise call_error(error, table)

    def _is_small(self, rows: int) -> bool:
        """Whether one thread should do it, where the caller did not say how many; same bits."""
        return self._alone and self._numbers * rows < SMALL_CALL

    def copy_state(self, source: int, target: int, positions: int | None = None) -> None:
        """Share a slot's pages; see `synapse_core.backends.Session.copy_state`."""
        seen = int(self.counts[known_slot(source, len(self.counts))])
        kept = seen if positions is None else positions
        check_copied(source, kept, seen, goes_back(self.kept, self.groups))
        ffi = declarations()
        self._library.syn_state_copy(
            self._native,
            ffi.from_buffer("uint8_t *", self.slots),
            ffi.from_buffer("uint32_t *", self.counts),
            source,
            known_slot(target, len(self.counts)),
        )
        for group in self.groups:
            group.share(source, target, kept)
        self.counts[target] = kept

    def release(self, slot: int) -> None:
        """Forget a slot and free its pages."""
        self.counts[known_slot(slot, len(self.counts))] = 0
        for group in self.groups:
            group.release(slot)

    def page_counts(self) -> list[PageCounts]:
        """Count the pages of keys and values; see `synapse_core.backends.Session.page_counts`."""
        return [group.counts() for group in self.groups]

    def save_state(self, slot: int, positions: int) -> list[np.ndarray]:
        """Return what a slot remembers; see `synapse_core.backends.Session.save_state`."""
        seen = int(self.counts[known_slot(slot, len(self.counts))])
        check_saved(slot, positions, seen, goes_back(self.kept, self.groups))
        parts = []
        for state in self.kept:
            if state.is_kv:
                group, pool = self.groups[state.group], self._pool_of(state.group)
                parts.append(state.read(group, pool, slot, positions))
            else:
                parts.append(self._recurrent(state, slot).copy())
        return parts

    def load_state(self, slot: int, positions: int, parts: Sequence[np.ndarray]) -> None:
        """Make a slot remember what was saved; see `synapse_core.backends.Session.load_state`."""
        most = max((p for f in self.functions.values() for p in f.max_position.values()), default=0)
        check_loaded(slot, len(self.counts), positions, most)
        check_parts(parts, saved_sizes(self.kept, self.groups, positions))
        self.release(slot)
        hold_pages(self.groups, slot, positions)
        pools = [self._pool_of(number) for number in range(len(self.groups))]

        def put(state: KeptState, part: np.ndarray) -> None:
            if state.is_kv:
                state.write(self.groups[state.group], pools[state.group], slot, positions, part)
            else:
                self._recurrent(state, slot)[:] = part

        with ThreadPoolExecutor(usable_cores()) as threads:
            list(threads.map(put, self.kept, parts))
        self.counts[slot] = positions

    def _recurrent(self, state: KeptState, slot: int) -> np.ndarray:
        begin = slot * self.slot_bytes + state.offset
        return self.slots[begin : begin + state.size]

    def close(self) -> None:
        """Join the threads; no call runs any more."""
        with self._lock:
            if self._finalizer is not None:
                self._finalizer()
            self._pool = None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until no other call runs; refuse one on a closed session."""
        with self._lock:
            if self._pool is None:
                raise UsageError("the model is closed; open it again")
            yield

    def _output(self, offset: int, shape: tuple[int, int]) -> np.ndarray:
        """Return a float32 tensor of the arena, copied."""
        size = 4 * shape[0] * shape[1]
        return self.arena[offset : offset + size].view("<f4").reshape(shape).copy()

    def _fill_rows(self, call: Any, host: HostCall, keep: list[Any]) -> None:
        ffi = declarations()
        for base in host.base_rows():
            call.rows[base.space].count = base.count
            for field in ("slot", "position"):
                values = getattr(base, field)
                if values is not None:
                    keep.append(ffi.from_buffer("uint32_t *", values))
                    setattr(call.rows[base.space], field, keep[-1])

    def _fill_pages(self, call: Any, keep: list[Any]) -> None:
        ffi = declarations()
        for number, group in enumerate(self.groups):
            pool = self._pool_of(number)
            pages = call.pages[number]
            pages.pool = ffi.from_buffer("uint8_t *", pool)
            pages.pages = pool.size // group.page_bytes
            pages.per_slot = group.table.shape[1]
            pages.table = ffi.from_buffer("uint32_t *", group.table)
            keep += [pool, group.table]

    def _copy_page(self, number: int, page: int, new: int) -> None:
        pool, size = self._pool_of(number), self.groups[number].page_bytes
        pool[new * size : (new + 1) * size] = pool[page * size : (page + 1) * size]

    def _pool_of(self, number: int) -> np.ndarray:
        """Return a group's pool, grown where it cannot hold all the pages handed out."""
        group, pool = self.groups[number], self.pools[number]
        if group.pages * group.page_bytes > pool.size:
            most = min(max(4, group.pages * 3 // 2), group.limit)
            grown = aligned_zeros(max(group.pages, most) * group.page_bytes)
            grown[: pool.size] = pool
            self.pools[number] = grown
        return self.pools[number]

    def _fill_memory(self, call: Any, table: FunctionTable, keep: list[Any]) -> None:
        ffi = declarations()
        for name, block in (
            ("arena", self.arena),
            ("scratch", self.scratch[table.index]),
            ("slots", self.slots),
        ):
            keep.append(ffi.from_buffer("uint8_t *", block))
            setattr(call, name, keep[-1])
            setattr(call, f"{name}_bytes", block.size)
        call.counts = ffi.from_buffer("uint32_t *", self.counts)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pool(group: PageTable) -> np.ndarray:
    """Return room for all pages that a group may have; none where it must grow instead."""
    pool = lazy_zeros(group.limit * group.page_bytes) if group.limit else None
    return aligned_zeros(0) if pool is None else pool


def _open(native: Any, image: np.ndarray, program: Program, kernels: list[Any]) -> list[Any]:
    ffi = declarations()
    keep: list[Any] = [image, ffi.from_buffer("uint8_t *", image), *program.external]
    external = ffi.new("syn_bytes[]", max(1, len(program.external)))
    for number, data in enumerate(program.external):
        keep.append(ffi.from_buffer("uint8_t *", data))
        external[number].data, external[number].bytes = keep[-1], data.size
    table = ffi.new("const syn_kernel *[]", kernels)
    error = ffi.new("syn_error *")
    code = runtime().syn_open(
        native, keep[1], image.size, external, len(program.external), table, len(kernels), error
    )
    if code:
        raise open_error(error, program)
    return [*keep, external, table]


def _aligned(image: np.ndarray) -> np.ndarray:
    """Return the image at an address that is a multiple of 8, copied only if it is not."""
    if image.ctypes.data % 8 == 0:
        return image
    copy = aligned_zeros(image.size)
    copy[:] = image
    return copy
