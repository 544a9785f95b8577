"""A plugin's pass runs in every build, before the fusions, and can be looked at by its name."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from synapse_core.api.build import build
from synapse_core.api.stages import graph_stages
from synapse_core.graph import Constant, Graph
from synapse_core.passes import Pass
from synapse_core.plugins import default_host

SEEN: list[str] = []


def double_embedding(graph: Graph) -> Graph:
    """Twice the numbers of the table: a change that shows in what is built."""
    SEEN.append("double")
    table = graph.weights["embedding.weight"]
    numbers = table.source.raw().view(np.float32) * np.float32(2)
    changed = attrs.evolve(table, source=Constant.of(numbers))
    return attrs.evolve(graph, weights={**graph.weights, table.name: changed})


@attrs.frozen
class OnePass:
    """The installed plugins and one pass beside."""

    def get(self, kind, name):
        if kind == "pass":
            return Pass(name, double_embedding)
        return default_host().get(kind, name)

    def names(self, kind):
        return ("double",) if kind == "pass" else default_host().names(kind)

    def advice(self, kind, name):
        return default_host().advice(kind, name)


@pytest.fixture
def folder(shared_data):
    if "llama" not in default_host().names("model"):
        pytest.skip("no installed family reads llama")
    return shared_data / "stories260K" / "hf"


def test_it_is_a_stage_of_the_graph(folder):
    found = graph_stages(folder, registry=OnePass())
    names = list(found)
    assert names.index("double") < names.index("fuse_linears")
    before, after = (found[name].weights["embedding.weight"] for name in ("built", "double"))
    assert after.source.values[3, 5] == 2 * before.source.raw().view(np.float32)[3, 5]


def test_it_runs_when_a_model_is_built(folder):
    SEEN.clear()
    build(folder, registry=OnePass())
    assert SEEN == ["double"]
