"""The states of a program: where they lie in KV pages and in a slot's recurrent memory."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from synapse_core.errors import GraphError
from synapse_core.formats import format_named
from synapse_core.ops import StateType
from synapse_core.program import records as r

STATE_ALIGN = 64


@attrs.define
class StateTable:
    """State records, page groups (one for each window), and the bytes of a slot."""

    records: list[tuple[int, ...]] = attrs.field(factory=list)
    names: dict[str, int] = attrs.field(factory=dict)
    group_bytes: dict[int, int] = attrs.field(factory=dict)
    slot_bytes: int = 0

    @classmethod
    def plan(cls, states: Iterable[StateType], kv: str) -> StateTable:
        """Place every state; `kv` is the type of keys and values."""
        if kv not in r.KV_CODES:
            raise GraphError(f"KV type {kv!r}: must be one of {', '.join(r.KV_CODES)}")
        table = cls()
        for state in states:
            table.names[state.name] = len(table.records)
            table.records.append(table._place(state, kv))
        return table

    @property
    def groups(self) -> list[tuple[int, ...]]:
        """The page groups' records."""
        if len(self.group_bytes) > r.MAX_GROUPS:
            raise GraphError(
                f"{len(self.group_bytes)} different attention windows; at most {r.MAX_GROUPS}"
            )
        return [(size, window, 0) for window, size in self.group_bytes.items()]

    def index(self, name: str) -> int:
        """Return a state's number."""
        return self.names[name]

    def _place(self, state: StateType, kv: str) -> tuple[int, ...]:
        if state.kind == "recurrent":
            offset, size = self.slot_bytes, 4 * state.width
            self.slot_bytes = r.align(offset + size, STATE_ALIGN)
            return (offset, size, r.STATE_RECURRENT, 0, r.DTYPE_CODES["f32"], state.width, 0, 0)
        offset = self.group_bytes.get(state.window, 0)
        format = format_named(kv)
        head = state.head_dim or state.width
        if not all(format.accepts(n) for n in (head, state.width, state.width_v)):
            raise GraphError(
                f"KV type {kv}: state {state.name!r} has heads of {head} numbers,"
                " expected a multiple of 32; take f16"
            )
        size = r.PAGE_ROWS * (format.row_bytes(state.width) + format.row_bytes(state.width_v))
        self.group_bytes[state.window] = r.align(offset + size, STATE_ALIGN)
        group = list(self.group_bytes).index(state.window)
        code = r.KV_CODES[kv]
        return (offset, size, r.STATE_KV, group, code, state.width, state.width_v, state.head_dim)
