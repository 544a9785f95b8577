"""Batch norms: a linear takes them in, or a product and a sum take their place."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from synapse_core.backends import Executable, NumpyBackend
from synapse_core.errors import ShapeError
from synapse_core.formats import format_named
from synapse_core.graph import Encoded, Graph, GraphBuilder, WeightScope
from synapse_core.ops import RowTable, TensorType
from synapse_core.passes import fold_batchnorm, optimise
from synapse_core.program import Limits, lower
from synapse_core.testing import fill_weights, finder

COLS, WIDTH = 32, 7
EPS = 0.02


def ops_of(graph: Graph) -> list[str]:
    return [node.op for function in graph.functions.values() for node in function.nodes]


def graph_of(*, bias: bool = True, affine: bool = True, linear: bool = True) -> Graph:
    builder = GraphBuilder(finder())
    g, w = builder.function("f"), WeightScope(builder)
    x = g.input("x", TensorType(g.space("rows", rows=False), COLS))
    if linear:
        x = g.linear(x, w.matrix("w", WIDTH, COLS), w.vector("b", WIDTH) if bias else None)
    width = x.type.cols
    own = [w.vector(f"norm.{name}", width) if affine else None for name in ("weight", "bias")]
    statistics = [w.vector(f"norm.{name}", width) for name in ("mean", "variance")]
    g.output("y", g.op("batchnorm", x, *statistics, *own, eps=EPS))
    return fill_weights(builder.finish(), 3)


def numbers(graph: Graph, name: str) -> np.ndarray:
    source = graph.weights[name].source
    assert source is not None
    return format_named(source.format).decode(source.raw(), source.cols)


def run(graph: Graph) -> np.ndarray:
    find_op = finder()
    program = lower(graph, Limits(), find_op)
    x = np.random.default_rng(4).standard_normal((5, COLS), np.float32)
    rows: dict[str, RowTable] = {}
    return NumpyBackend().open(Executable(program, find_op, graph)).run("f", {"x": x}, rows)["y"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_a_linear_takes_the_norm_in(bias: bool, affine: bool) -> None:
    graph = graph_of(bias=bias, affine=affine)
    assert ops_of(graph) == ["linear", "batchnorm"]
    folded = optimise(graph)
    assert ops_of(folded) == ["linear"]
    assert len(folded.weights) == 2
    np.testing.assert_allclose(run(folded), run(graph), rtol=0, atol=2e-6)
    x = np.random.default_rng(4).standard_normal((5, COLS), np.float32)
    y = x @ numbers(graph, "w").T + (numbers(graph, "b") if bias else 0)
    y = (y - numbers(graph, "norm.mean")) / np.sqrt(numbers(graph, "norm.variance") + EPS)
    y = y * numbers(graph, "norm.weight") + numbers(graph, "norm.bias") if affine else y
    np.testing.assert_allclose(run(folded), y, rtol=0, atol=5e-6)


def test_without_a_linear_it_is_a_product_and_a_sum() -> None:
    graph = graph_of(linear=False)
    folded = optimise(graph)
    assert ops_of(folded) == ["mul", "add"]
    np.testing.assert_allclose(run(folded), run(graph), rtol=0, atol=5e-6)


def test_weights_of_another_format_keep_their_bytes() -> None:
    graph = graph_of()
    kept = Encoded.encode(numbers(graph, "w"), format_named("q8_0"))
    weights = graph.weights | {"w": attrs.evolve(graph.weights["w"], source=kept, format="q8_0")}
    graph = attrs.evolve(graph, weights=weights)
    folded = fold_batchnorm(graph)
    assert ops_of(folded) == ["linear", "mul", "add"]
    assert folded.weights["w"].source is kept
    np.testing.assert_allclose(run(folded), run(graph), rtol=0, atol=5e-6)


def test_what_others_read_too_is_left_alone() -> None:
    graph = graph_of()
    function = graph.functions["f"]
    shown = attrs.evolve(function, outputs={**function.outputs, "x": function.nodes[0].outputs[0]})
    folded = fold_batchnorm(attrs.evolve(graph, functions={"f": shown}))
    assert ops_of(folded) == ["linear", "mul", "add"]


def test_statistics_that_are_missing_are_named() -> None:
    builder = GraphBuilder(finder())
    g, w = builder.function("f"), WeightScope(builder)
    x = g.input("x", TensorType(g.space("rows", rows=False), COLS))
    with pytest.raises(ShapeError, match="variance"):
        g.op("batchnorm", x, w.vector("mean", COLS), None, None, None, eps=EPS)
