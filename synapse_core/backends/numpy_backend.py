"""The numpy backend: the reference that every other backend is held against.

It runs graphs, and programs record by record. As the truth (the default) it computes linears in
float32 on the dequantised weights and keeps float32 keys and values, whatever the program names;
with `truth=False` it follows the named arithmetic and KV type, and is the oracle for lowering and
kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from synapse_core.backends.calls import check_ids, check_rows, count_rows, known_slot, take_inputs
from synapse_core.backends.contract import Executable
from synapse_core.backends.kept import check_copied, check_loaded, check_parts, check_saved
from synapse_core.backends.numpy_states import RecurrentState, State, make_state
from synapse_core.backends.numpy_steps import Step, steps_of_graph, steps_of_program
from synapse_core.backends.pages import PageCounts, PageTable, hold_pages, page_tables
from synapse_core.errors import UsageError
from synapse_core.ops import OperandType, RowTable, Space, StateType, TensorType
from synapse_core.program import FunctionTable, Tables, functions_of, header_of


@attrs.frozen
class NumpyBackend:
    """Runs any model whose ops have a reference, that is all of them."""

    truth: bool = True
    name: str = "numpy"

    def unavailable(self) -> str | None:
        """Numpy is always there."""
        return None

    def open(
        self, executable: Executable, *, threads: int | None = None, pages: int | None = None
    ) -> NumpySession:
        """Open a model; `threads` is numpy's own matter, `pages` are counted as if there were."""
        functions = functions_of(executable.program)
        if executable.graph is not None:
            steps = steps_of_graph(executable.graph, executable.find_op)
        else:
            steps = steps_of_program(executable.program, functions, executable.find_op)
        slots = int(header_of(executable.program.image)["max_slots"])
        groups = page_tables(Tables.of(executable.program.image), functions, slots, pages)
        kv = _kv_type(executable, self.truth)
        return NumpySession(functions, steps, self.truth, kv, slots, groups)


@attrs.define
class NumpySession:
    """A model's steps and what its slots remember."""

    functions: Mapping[str, FunctionTable]
    steps: Mapping[str, tuple[Step, ...]]
    truth: bool
    kv: str
    slots: int
    groups: list[PageTable]
    states: dict[str, State] = attrs.field(factory=dict)
    counts: dict[int, int] = attrs.field(factory=dict)

    def run(
        self,
        function: str,
        inputs: Mapping[str, np.ndarray],
        rows: Mapping[str, RowTable],
    ) -> dict[str, np.ndarray]:
        """Run one call; see `Session.run`."""
        table = self.functions.get(function)
        if table is None:
            raise UsageError(f"no function {function!r}; there are: {', '.join(self.functions)}")
        arrays = take_inputs(table, inputs)
        counts = count_rows(table, arrays, rows)
        check_ids(table, arrays, counts)
        check_rows(table, rows, self.slots)
        steps = self.steps[function]
        self._begin(table, steps, rows)
        tensors: dict[int | str, np.ndarray] = {
            port.tensor: arrays[port.name] for port in table.inputs
        }
        for step in steps:
            call = _Call(step, counts, rows)
            operands = [self._operand(step, n, tensors) for n in range(len(step.inputs))]
            outputs = step.op.reference(call, operands, self._options(step))
            for key, output in zip(step.outputs, outputs, strict=True):
                tensors[key] = output
        if _states_in(steps):
            for name in rows:
                for slot, first, count in runs_of(rows[name]):
                    self.counts[slot] = first + count
        return {port.name: tensors[port.tensor] for port in table.outputs}

    def copy_state(self, source: int, target: int, positions: int | None = None) -> None:
        """Make a slot remember what another does; see `Session.copy_state`."""
        seen = self.counts.get(known_slot(source, self.slots), 0)
        kept = seen if positions is None else positions
        check_copied(source, kept, seen, self._goes_back)
        known_slot(target, self.slots)
        if not kept:
            self.release(target)
            return
        for state in self.states.values():
            state.copy(source, target, kept)
        for group in self.groups:
            group.share(source, target, kept)
        self.counts[target] = kept

    def release(self, slot: int) -> None:
        """Forget a slot."""
        known_slot(slot, self.slots)
        for state in self.states.values():
            state.forget(slot)
        for group in self.groups:
            group.release(slot)
        self.counts.pop(slot, None)

    def page_counts(self) -> list[PageCounts]:
        """Count the pages that keys and values would lie in."""
        return [group.counts() for group in self.groups]

    @property
    def state_form(self) -> str:
        """See `Session.state_form`."""
        return f"numpy {'truth' if self.truth else 'named'}"

    def save_state(self, slot: int, positions: int) -> list[np.ndarray]:
        """Return what a slot remembers; see `Session.save_state`."""
        check_saved(slot, positions, self.counts.get(slot, 0), self._goes_back)
        return [self.states[name].save(slot, positions) for name in self._state_types()]

    def load_state(self, slot: int, positions: int, parts: Sequence[np.ndarray]) -> None:
        """Make a slot remember what was saved; see `Session.load_state`."""
        types = self._state_types()
        new = {name: make_state(type, self.kv) for name, type in types.items()}
        most = max((p for f in self.functions.values() for p in f.max_position.values()), default=0)
        check_loaded(slot, self.slots, positions, most)
        check_parts(parts, [state.saved_bytes(positions) for state in new.values()])
        self.release(slot)
        hold_pages(self.groups, slot, positions)
        for (name, state), part in zip(new.items(), parts, strict=True):
            self.states.setdefault(name, state).load(slot, positions, part)
        self.counts[slot] = positions

    @property
    def _goes_back(self) -> bool:
        types = self._state_types().values()
        return all(type.kind != "recurrent" and not type.window for type in types)

    def _state_types(self) -> dict[str, StateType]:
        found = [_states_in(steps) for steps in self.steps.values()]
        return {name: type for states in found for name, type in states.items()}

    def close(self) -> None:
        """Forget everything."""
        self.states.clear()
        self.counts.clear()

    def _begin(
        self, table: FunctionTable, steps: tuple[Step, ...], rows: Mapping[str, RowTable]
    ) -> None:
        """Check that slots go on where they stopped; take pages; clear those that begin anew."""
        states = _states_in(steps)
        for type in states.values():
            if type.name not in self.states:
                self.states[type.name] = make_state(type, self.kv)
        recurrent = any(type.kind == "recurrent" for type in states.values())
        for name, row_table in rows.items():
            for slot, first, _ in runs_of(row_table):
                seen = self.counts.get(slot, 0) if states else 0
                if first > seen or (recurrent and first not in (0, seen)):
                    raise UsageError(
                        f"slot {slot} of {name!r} begins at position {first}, it has seen {seen}"
                    )
        runs = [run for table in rows.values() for run in runs_of(table)] if states else []
        for slot, first, count in runs:
            for group in self.groups:
                group.reserve(slot, first, first + count, lambda page, new: None)
        for slot, first, _ in runs:
            if first == 0:
                self._reset(states, slot)

    def _reset(self, states: Mapping[str, StateType], slot: int) -> None:
        for name in states:
            state = self.states[name]
            if isinstance(state, RecurrentState):
                state.forget(slot)

    def _operand(self, step: Step, number: int, tensors: Mapping[int | str, np.ndarray]) -> object:
        operand, type = step.inputs[number], step.input_types[number]
        if isinstance(type, TensorType):
            return tensors[operand]  # type: ignore[index]
        if isinstance(type, StateType):
            return self.states[type.name]
        return operand

    def _options(self, step: Step) -> Mapping[str, object]:
        if self.truth and "arith" in step.options:
            return {**step.options, "arith": "f32"}
        return step.options


@attrs.frozen
class _Call:
    """What an op's reference may ask."""

    step: Step
    counts: Mapping[str, int]
    tables: Mapping[str, RowTable]

    def count(self, space: Space) -> int:
        return self.counts[space.base] * space.multiple

    def rows(self, space: Space) -> RowTable:
        if space.is_base:
            return self.tables[space.name]
        number = np.arange(self.count(space))
        return RowTable(number // space.multiple, number % space.multiple)

    def output_types(self) -> tuple[TensorType, ...]:
        return self.step.output_types

    def input_types(self) -> tuple[OperandType, ...]:
        return self.step.input_types


def runs_of(table: RowTable) -> list[tuple[int, int, int]]:
    """Return (slot, first position, count) of each slot's run in a call."""
    return [
        (slot, int(table.position[rows.start]), rows.stop - rows.start)
        for slot, rows in table.runs()
    ]


def _states_in(steps: tuple[Step, ...]) -> dict[str, StateType]:
    types = (type for step in steps for type in step.input_types)
    return {type.name: type for type in types if isinstance(type, StateType)}


def _kv_type(executable: Executable, truth: bool) -> str:
    from synapse_core.program.records import KV_CODES, STATE_KV
    from synapse_core.program.tables import Tables

    if truth:
        return "f32"
    for state in Tables.of(executable.program.image).states:
        if int(state["kind"]) == STATE_KV:
            return {code: name for name, code in KV_CODES.items()}[int(state["dtype"])]
    return "f32"
