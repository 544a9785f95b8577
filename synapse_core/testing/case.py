"""A case of the conformance corpus: a graph with random weights, and calls to make on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from synapse_core.backends import Backend, Executable
from synapse_core.formats import format_named
from synapse_core.graph import Constant, Encoded, Graph, Weight
from synapse_core.ops import CORE_OPS, Op, RowTable
from synapse_core.program import Limits, lower


@attrs.frozen(eq=False)
class Call:
    """One call: a function, its inputs, and slot and position of its rows by base space."""

    function: str
    inputs: Mapping[str, np.ndarray]
    rows: Mapping[str, RowTable]


@attrs.frozen(eq=False)
class Case:
    """A graph and a script of calls; `ops` are what it needs beyond the core's."""

    name: str
    graph: Graph
    calls: tuple[Call, ...]
    limits: Limits
    ops: tuple[Op, ...] = ()

    def executable(self) -> Executable:
        """Lower the graph."""
        find_op = finder(self.ops)
        return Executable(lower(self.graph, self.limits, find_op), find_op, self.graph)

    def run(self, backend: Backend, *, threads: int | None = None) -> list[dict[str, np.ndarray]]:
        """Run all calls on a fresh session and return their outputs."""
        session = backend.open(self.executable(), threads=threads)
        try:
            return [session.run(call.function, call.inputs, call.rows) for call in self.calls]
        finally:
            session.close()


def finder(extra: Sequence[Op] = ()) -> Callable[[str], Op]:
    """Return a lookup of the core's ops and some more, without a plugin host."""
    table = {op.name: op for op in (*CORE_OPS, *extra)}
    return table.__getitem__


def rows(*runs: tuple[int, int, int]) -> RowTable:
    """Return the row table of runs (slot, first position, count)."""
    slot = [slot for slot, _, count in runs for _ in range(count)]
    position = [first + n for _, first, count in runs for n in range(count)]
    return RowTable(np.array(slot, dtype=np.int64), np.array(position, dtype=np.int64))


def fill_weights(graph: Graph, seed: int, formats: Mapping[str, str] | None = None) -> Graph:
    """Give every weight without a source random numbers.

    Matrices have a standard deviation of 1/√cols, so that rows keep their size through a layer;
    vectors lie around one. `formats` maps a weight's name to the format it is held in.
    """
    rng = np.random.default_rng(seed)
    held = formats or {}
    weights = {
        name: weight if weight.source else _filled(weight, rng, held.get(name, "f32"))
        for name, weight in sorted(graph.weights.items())
    }
    return attrs.evolve(graph, weights={name: weights[name] for name in graph.weights})


def _filled(weight: Weight, rng: np.random.Generator, format: str) -> Weight:
    shape = (weight.rows, weight.cols)
    if weight.rows == 1:
        return attrs.evolve(weight, source=Constant.of(1.0 + 0.3 * rng.standard_normal(shape)))
    numbers = (rng.standard_normal(shape) / np.sqrt(weight.cols)).astype(np.float32)
    if format == "f32":
        return attrs.evolve(weight, source=Constant.of(numbers))
    return attrs.evolve(weight, source=Encoded.encode(numbers, format_named(format)))
