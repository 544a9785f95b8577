"""What a model would need, from headers and config alone: no weight is read."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from synapse_core.formats import CORE_FORMATS, Formats, carrier_of
from synapse_core.graph import Graph, Weight
from synapse_core.passes.formats import given_format
from synapse_core.program import Limits, Program, Tables, functions_of
from synapse_core.program.records import PAGE_ROWS


@attrs.frozen
class Memory:
    """Units: bytes. `weights` lie in mapped files where they keep their format."""

    weights: int
    kv: int
    recurrent: int
    arena: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.recurrent + self.arena


def estimate(
    program: Program,
    graph: Graph | None = None,
    format: str | None = None,
    formats: Formats = CORE_FORMATS,
) -> Memory:
    """Estimate what running a program needs with all its slots full.

    With the graph, `format` tells what its matrices would be held in.
    """
    tables = Tables.of(program.image, program.path or "program")
    functions = functions_of(program).values()
    positions = max((p for f in functions for p in f.max_position.values()), default=0)
    rows = max((rows for f in functions for rows in f.max_rows.values()), default=0)
    slots = slots_of(program)
    pages = [
        int(group["page_bytes"]) * _pages(positions, int(group["window"]), rows)
        for group in tables.groups
    ]
    if graph is not None:
        weights = sum(_held_bytes(weight, format, formats) for weight in graph.weights.values())
    else:
        places = {(int(w["segment"]), int(w["offset"])): w for w in tables.weights}
        weights = sum(int(w["rows"]) * int(w["row_bytes"]) for w in places.values())
    return Memory(
        weights=weights,
        kv=slots * sum(pages),
        recurrent=slots * slot_bytes_of(program),
        arena=max((f.arena_bytes for f in functions), default=0),
    )


def slots_of(program: Program) -> int:
    """Return how many slots a program was planned for."""
    from synapse_core.program.image import header_of

    return int(header_of(program.image)["max_slots"])


def slot_bytes_of(program: Program) -> int:
    """Return the bytes of recurrent memory that a slot has."""
    from synapse_core.program.image import header_of

    return int(header_of(program.image)["slot_bytes"])


def limits_of(limits: Limits) -> Iterable[tuple[str, object]]:
    """Return what was planned for, to be shown."""
    return attrs.asdict(limits).items()


def _pages(positions: int, window: int, rows: int) -> int:
    """Pages of a slot: all positions, or the window and a call's rows, wherever pages begin."""
    kept = positions if window == 0 else min(positions, window + rows + PAGE_ROWS)
    return -(-kept // PAGE_ROWS)


def _held_bytes(weight: Weight, format: str | None, formats: Formats) -> int:
    held = formats.named(weight.type.format)
    if weight.rows > 1:
        given = held if format is None else given_format(format, weight, formats)
        held = carrier_of(given, weight.cols)
    return weight.rows * held.row_bytes(weight.cols)
