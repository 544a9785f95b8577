"""Checkpoints to test on, and running them call by call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import pytest

from synapse_core.backends import Executable, Session
from synapse_core.errors import Unavailable
from synapse_core.families import Family, ModelConfig, bind_weights, build_graph, model_config
from synapse_core.graph import Graph
from synapse_core.loaders import SAFETENSORS
from synapse_core.passes import optimise
from synapse_core.plugins import default_host
from synapse_core.program import Limits, lower
from synapse_core.testing import rows

from .llama_cpp_tools import Converter, converter_script
from .reference_cases import CASES, Made, make_case

MOST_ROWS, MOST_SLOTS, MOST_POSITIONS = 64, 3, 64
Change = Callable[[ModelConfig], ModelConfig]
Rewrite = Callable[[Graph], Graph]
Make = Callable[[str], Made]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real checkpoints beside the checkout; where CI is true it must be there."""
    place = Path(__file__).parents[4] / "shared" / "data"
    if not place.is_dir():
        reason = "no ../shared/data beside the checkout: tests on real checkpoints did not run"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return place


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`make(name)`: the checkpoint of a case, made once."""
    known: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in known:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
            known[name] = make_case(CASES[name], folder)
        return known[name]

    return make


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
    folder: Path,
    family: Family,
    backend: str = "numpy",
    change: Change | None = None,
    rewrite: Rewrite | None = None,
    threads: int | None = None,
) -> Runner:
    """Build a checkpoint as the api does and open it.

    `change` plants a fault in the config, `rewrite` one in the graph.

    Skips the test when the backend is not installed or not for this machine.
    """
    host = default_host()
    if backend not in host.names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")
    checkpoint = SAFETENSORS.open(folder)
    config = model_config(family, checkpoint)
    config = change(config) if change else config
    built = build_graph(family, config, host, MOST_POSITIONS)
    graph = bind_weights(built, family, checkpoint)
    graph = optimise(rewrite(graph) if rewrite else graph)
    limits = Limits(default_rows=MOST_ROWS, slots=MOST_SLOTS, positions=MOST_POSITIONS, kv="f32")
    find_op = partial(host.get, "op")
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


@pytest.fixture
def runner() -> Callable[..., Runner]:
    """`runner(folder, family, backend, change, rewrite, threads)`: open a checkpoint."""
    return open_runner


@pytest.fixture(scope="session")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converter]:
    """Return llama.cpp's converter; skips where it is not there."""
    script = converter_script()
    pytest.importorskip("sentencepiece")
    with (tmp_path_factory.mktemp("converter") / "log").open("w") as log:
        waiting = Converter(script, log)
        yield waiting
        waiting.close()
