"""A checkpoint on a backend, call by call, to be compared with what others compute of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import pytest

from synapse_core.api.source import open_checkpoint
from synapse_core.backends import Executable, Session
from synapse_core.errors import Unavailable
from synapse_core.families import (
    Family,
    ModelConfig,
    bind_weights,
    build_graph,
    choose_family,
    model_config,
)
from synapse_core.graph import Graph
from synapse_core.ops import Op
from synapse_core.passes import optimise, plan_for
from synapse_core.plugins import default_host
from synapse_core.program import Limits, lower
from synapse_core.testing.case import rows

MOST_ROWS, MOST_SLOTS, MOST_POSITIONS = 128, 3, 256
Change = Callable[[ModelConfig], ModelConfig]
Rewrite = Callable[[Graph], Graph]


@attrs.define
class Runner:
    """A checkpoint on a backend, with one session for all calls."""

    session: Session

    def logits(self, *runs: tuple[int, int, Sequence[int]]) -> list[np.ndarray]:
        """Run one call of (slot, first position, ids) runs; return each run's logits, all rows."""
        table = rows(*((slot, first, len(ids)) for slot, first, ids in runs))
        ids = np.concatenate([ids for _, _, ids in runs])
        inputs = {"ids": ids, "select": np.arange(len(ids))}
        found = self.session.run("forward", inputs, {"tokens": table})["logits"]
        ends = np.cumsum([len(ids) for _, _, ids in runs])
        return np.split(found, ends[:-1])

    def in_chunks(self, ids: Sequence[int], sizes: Sequence[int], slot: int = 0) -> np.ndarray:
        """Run a sequence in chunks of the given sizes, the last one repeated until the end."""
        parts, first, number = [], 0, 0
        while first < len(ids):
            size = sizes[min(number, len(sizes) - 1)]
            parts += self.logits((slot, first, ids[first : first + size]))
            first, number = first + size, number + 1
        return np.concatenate(parts)


def open_runner(
    path: Path,
    family: Family | None = None,
    backend: str = "numpy",
    *,
    change: Change | None = None,
    rewrite: Rewrite | None = None,
    ops: Mapping[str, Op] | None = None,
    format: str | None = None,
    threads: int | None = None,
    positions: int = MOST_POSITIONS,
) -> Runner:
    """Build a checkpoint as the api does and open it, by the family that claims it unless given.

    `change` plants a fault in the config, `rewrite` one in the graph, `ops` are others than those
    of their names. `positions` is the context that it is built for.

    Skips the test when the backend is not installed or not for this machine.
    """
    host = default_host()
    if backend not in host.names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")
    checkpoint = open_checkpoint(path, host)
    family = family or choose_family(checkpoint, host)
    config = model_config(family, checkpoint)
    config = change(config) if change else config
    built = build_graph(family, config, host, positions)
    graph = bind_weights(built, family, checkpoint)
    graph = optimise(rewrite(graph) if rewrite else graph, plan=plan_for(format, family.keeps))
    limits = Limits(default_rows=MOST_ROWS, slots=MOST_SLOTS, positions=positions, kv="f32")
    named = partial(host.get, "op")

    def find_op(name: str) -> Op:
        return (ops or {}).get(name) or named(name)

    made = host.get("backend", backend)
    made = made() if isinstance(made, type) else made
    reason = made.unavailable()
    if reason:
        pytest.skip(f"backend {backend!r} is unavailable: {reason}")
    executable = Executable(lower(graph, limits, find_op), find_op, graph)
    try:
        return Runner(made.open(executable, threads=threads))
    except Unavailable as error:
        pytest.skip(f"backend {backend!r}: {error}")
