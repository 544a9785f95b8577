"""A backend and its sessions on an emulated machine: one thread, a fixed pool of KV pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import attrs
import numpy as np
from synapse_backend_cpu.calls import HostCall
from synapse_backend_cpu.errors import call_error, open_error
from synapse_backend_cpu.kept import KeptState, goes_back, kept_states, saved_sizes

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
from synapse_core.errors import Unavailable
from synapse_core.ops import RowTable
from synapse_core.program import FunctionTable, Program, Tables, functions_of, header_of
from synapse_core.program.records import MAX_GROUPS, MAX_SEGMENTS, MAX_SPACES

from .guest import plugin_of
from .machine import Machine

# guest_file, guest_call of guest.c: words
FILE = np.dtype([("image", "<u4", 2), ("externals", "<u4"), ("external", "<u4", (MAX_SEGMENTS, 2))])
CALL = np.dtype(
    [
        ("function", "<u4"),
        ("arena", "<u4", 2),
        ("scratch", "<u4", 2),
        ("slots", "<u4", 2),
        ("counts", "<u4"),
        ("rows", "<u4", (MAX_SPACES, 3)),
        ("pages", "<u4", (MAX_GROUPS, 4)),
    ]
)
MOST_GIVEN = 4
LOOP = np.dtype(
    [
        ("call", CALL),
        *((name, "<u4") for name in ("space", "window", "slots", "begun", "steps")),
        *((name, "<u4") for name in ("fed", "output", "givens")),
        ("given", "<u4", (MOST_GIVEN, 2)),
        *((name, "<u4") for name in ("series", "slot", "position")),
    ]
)


class RuntimeFault(NamedTuple):
    """syn_error."""

    code: int
    section: int
    index: int
    detail: int


@attrs.frozen
class EmulatedBackend:
    """Runs programs on a machine of one kind; every session has a machine of its own."""

    name: str
    machine: type[Machine]

    def unavailable(self) -> str | None:
        """Say which tool is missing, or None."""
        return self.machine.missing()

    def open(
        self, executable: Executable, *, threads: int | None = None, pages: int | None = None
    ) -> EmulatedSession:
        """Open a model, on one thread whatever is asked; see `Backend.open`."""
        names = Tables.of(executable.program.image).kernel_names()
        plugin = plugin_of([executable.find_op(name) for name in names])
        memory = GuestMemory(self.machine.start(self.machine.guest.build(plugin)))
        try:
            return EmulatedSession.open(memory, executable.program, pages)
        except BaseException:
            memory.machine.close()
            raise


class GuestMemory:
    """A machine's memory: blocks taken from it, arrays in and out."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._fault = self.take(16)

    def take(self, size: int) -> int:
        """Return the address of a block of zeros.

        Raises: Unavailable when the guest has no room.
        """
        address = self.machine.call("guest_take", size)
        if address == 0:
            raise Unavailable(f"the guest has no room for {size} bytes more")
        return address

    def put(self, array: np.ndarray, address: int | None = None) -> tuple[int, int]:
        """Write an array into a new block, or to an address; return address and bytes."""
        place = self.take(array.nbytes) if address is None else address
        self.machine.write(place, array.tobytes())
        return place, array.nbytes

    def get(self, address: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Read an array, copied."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(self.machine.read(address, size), dtype).reshape(shape).copy()

    def attempt(self, function: str, record: np.ndarray, address: int) -> RuntimeFault | None:
        """Call guest_open or guest_run with a record; return what the runtime refused."""
        self.put(record, address)
        if self.machine.call(function, address, self._fault) == 0:
            return None
        return RuntimeFault(*self.get(self._fault, (4,), "<u4").tolist())


class GuestFile:
    """A program's bytes in a guest's memory."""

    def __init__(self, memory: GuestMemory, program: Program) -> None:
        self._memory = memory
        self._record = np.zeros((), dtype=FILE)
        self._record["image"] = memory.put(program.image)
        self._record["externals"] = len(program.external)
        for number, data in enumerate(program.external):
            self._record["external"][number] = memory.put(data)
        self._address = memory.take(FILE.itemsize)

    def open(self) -> RuntimeFault | None:
        """Let the guest validate it; return what was refused."""
        return self._memory.attempt("guest_open", self._record, self._address)

    def replace(self, image: np.ndarray) -> None:
        """Write other bytes of the same size over the image."""
        self._memory.put(image, int(self._record["image"][0]))


@attrs.define(eq=False)
class EmulatedSession:
    """A program opened on a machine. `call` is its request but for the rows and the function."""

    memory: GuestMemory
    functions: Mapping[str, FunctionTable]
    kept: list[KeptState]
    groups: list[PageTable]
    slots: int
    slot_bytes: int
    call: np.ndarray
    call_address: int
    rows_address: int

    @classmethod
    def open(
        cls, memory: GuestMemory, program: Program, pages: int | None = None
    ) -> EmulatedSession:
        """Validate the program there and set its memory out; raises as `Backend.open`."""
        functions = functions_of(program)
        fault = GuestFile(memory, program).open()
        if fault is not None:
            raise open_error(fault, program)
        header, tables = header_of(program.image), Tables.of(program.image)
        slots = int(header["max_slots"])
        groups = page_tables(tables, functions, slots, pages)
        scratch = [memory.machine.call("guest_scratch_bytes", f.index) for f in functions.values()]
        sizes = {
            "arena": max(f.arena_bytes for f in functions.values()),
            "scratch": max(scratch),
            "slots": slots * int(header["slot_bytes"]),
        }
        call = np.zeros((), dtype=CALL)
        for name, size in sizes.items():
            call[name] = memory.take(size), size
        call["counts"] = memory.take(4 * slots)
        for number, group in enumerate(groups):
            # a pool that never grows
            pool = memory.take(group.limit * group.page_bytes)
            table = memory.take(group.table.nbytes)
            call["pages"][number] = pool, group.limit, group.table.shape[1], table
        rows = max(sum(f.max_rows.values()) for f in functions.values())
        places = memory.take(CALL.itemsize), memory.take(8 * rows)
        slot_bytes = int(header["slot_bytes"])
        kept = kept_states(tables)
        return cls(memory, functions, kept, groups, slots, slot_bytes, call, *places)

    @property
    def machine(self) -> Machine:
        """The machine that it runs on."""
        return self.memory.machine

    @property
    def counts(self) -> np.ndarray:
        """How many positions each slot has seen, uint32 (slots,)."""
        return self.memory.get(int(self.call["counts"]), (self.slots,), "<u4")

    def run(
        self,
        function: str,
        inputs: Mapping[str, np.ndarray],
        rows: Mapping[str, RowTable],
    ) -> dict[str, np.ndarray]:
        """Run one call; see `synapse_core.backends.Session.run`."""
        host = HostCall.of(self.functions, function, inputs, rows)
        host.reserve_pages(self.groups, self.counts, self._copy_page)
        call = self.call.copy()
        call["function"] = host.table.index
        self._put_rows(call, host)
        for number, group in enumerate(self.groups):
            self.memory.put(group.table, int(call["pages"][number][3]))
        arena = int(call["arena"][0])
        for offset, array in host.inputs():
            self.memory.put(array, arena + offset)
        fault = self.memory.attempt("guest_run", call, self.call_address)
        if fault is not None:
            raise call_error(fault, host.table)
        return {
            name: self.memory.get(arena + offset, shape, "<f4")
            for name, offset, shape in host.outputs()
        }

    def unroll(
        self, loop: Loop, series: np.ndarray, begun: int, given: Mapping[str, np.ndarray]
    ) -> None:
        """Run a loop in the guest; see `synapse_core.backends.Unrolls`."""
        table = self.functions[loop.function]
        inputs = {port.name: port for port in table.inputs}
        sequences, total, _ = series.shape
        record = np.zeros((), dtype=LOOP)
        record["call"] = self.call
        record["call"]["function"] = table.index
        space = inputs[loop.fed].type.space.name
        record["space"] = [space_.name for space_ in table.spaces].index(space)
        record["window"], record["slots"] = loop.window, sequences
        record["begun"], record["steps"] = begun, total - begun
        record["fed"] = inputs[loop.fed].tensor
        record["output"] = next(p.tensor for p in table.outputs if p.name == loop.output)
        record["givens"] = len(given)
        for number, (name, rows) in enumerate(given.items()):
            record["given"][number] = inputs[name].tensor, self.memory.put(rows)[0]
        record["series"] = self.memory.put(series)[0]
        for name in ("slot", "position"):
            record[name] = self.memory.take(4 * sequences * loop.window)
        fault = self.memory.attempt("guest_rollout", record, self.memory.take(LOOP.itemsize))
        if fault is not None:
            raise call_error(fault, table)
        series[:] = self.memory.get(int(record["series"]), series.shape, "<f4")

    def copy_state(self, source: int, target: int, positions: int | None = None) -> None:
        """Share a slot's pages; see `synapse_core.backends.Session.copy_state`."""
        seen = int(self.counts[known_slot(source, self.slots)])
        kept = seen if positions is None else positions
        check_copied(source, kept, seen, goes_back(self.kept, self.groups))
        slots, counts = int(self.call["slots"][0]), int(self.call["counts"])
        self.machine.call("guest_copy_state", slots, counts, source, known_slot(target, self.slots))
        for group in self.groups:
            group.share(source, target, kept)
        self.memory.put(np.uint32([kept]), counts + 4 * target)

    def _copy_page(self, number: int, page: int, new: int) -> None:
        pool, size = int(self.call["pages"][number][0]), self.groups[number].page_bytes
        self.machine.write(pool + new * size, self.machine.read(pool + page * size, size))

    def release(self, slot: int) -> None:
        """Forget a slot and free its pages."""
        address = int(self.call["counts"]) + 4 * known_slot(slot, self.slots)
        self.memory.put(np.zeros(1, dtype=np.uint32), address)
        for group in self.groups:
            group.release(slot)

    def page_counts(self) -> list[PageCounts]:
        """Count the pages; see `synapse_core.backends.Session.page_counts`."""
        return [group.counts() for group in self.groups]

    @property
    def state_form(self) -> str:
        """The machine that made the states."""
        return f"emulated {type(self.machine).__name__}"

    def save_state(self, slot: int, positions: int) -> list[np.ndarray]:
        """Return what a slot remembers; see `synapse_core.backends.Session.save_state`."""
        seen = int(self.counts[known_slot(slot, self.slots)])
        check_saved(slot, positions, seen, goes_back(self.kept, self.groups))
        parts = []
        for state in self.kept:
            if state.is_kv:
                group, pool = self.groups[state.group], self._pool(state.group)
                parts.append(state.read(group, pool, slot, positions))
            else:
                parts.append(self.memory.get(self._recurrent(state, slot), (state.size,), "u1"))
        return parts

    def load_state(self, slot: int, positions: int, parts: Sequence[np.ndarray]) -> None:
        """Make a slot remember what was saved; see `synapse_core.backends.Session.load_state`."""
        most = max(p for f in self.functions.values() for p in f.max_position.values())
        check_loaded(slot, self.slots, positions, most)
        check_parts(parts, saved_sizes(self.kept, self.groups, positions))
        self.release(slot)
        hold_pages(self.groups, slot, positions)
        for state, part in zip(self.kept, parts, strict=True):
            if state.is_kv:
                group, pool = self.groups[state.group], self._pool(state.group)
                state.write(group, pool, slot, positions, part)
                self.memory.put(pool, int(self.call["pages"][state.group][0]))
            else:
                self.memory.put(part, self._recurrent(state, slot))
        self.memory.put(np.uint32([positions]), int(self.call["counts"]) + 4 * slot)

    def _pool(self, number: int) -> np.ndarray:
        """Return a group's pages, copied."""
        pool, pages = (int(n) for n in self.call["pages"][number][:2])
        return self.memory.get(pool, (pages * self.groups[number].page_bytes,), "u1")

    def _recurrent(self, state: KeptState, slot: int) -> int:
        return int(self.call["slots"][0]) + slot * self.slot_bytes + state.offset

    def close(self) -> None:
        """End the machine."""
        self.machine.close()

    def _put_rows(self, call: np.ndarray, host: HostCall) -> None:
        address = self.rows_address
        for base in host.base_rows():
            places = [0, 0]
            for which, values in enumerate((base.slot, base.position)):
                if values is not None:
                    places[which], size = self.memory.put(values, address)
                    address += size
            call["rows"][base.space] = base.count, *places
