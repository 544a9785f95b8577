"""Passes: what changes, and that the numbers do not."""

from xml.etree import ElementTree

import attrs
import numpy as np
import pytest

from synapse_core.backends import NumpyBackend
from synapse_core.errors import GraphError, UsageError
from synapse_core.formats import CARRIED, I8_G16
from synapse_core.graph import Constant, Encoded, GraphBuilder, WeightScope
from synapse_core.ops import TensorType
from synapse_core.passes import (
    Rule,
    as_diff,
    as_dot,
    as_svg,
    as_text,
    assign_arithmetic,
    assign_formats,
    expand,
    fold_constants,
    fuse_add_norm,
    fuse_gate,
    fuse_linears,
    optimise,
    plan_for,
    remove_dead,
    stages,
)
from synapse_core.testing import (
    causal_decoder,
    fill_weights,
    finder,
    image_encoder,
    two_towers,
    window_predictor,
)

TOYS = (causal_decoder(), image_encoder(), window_predictor(), two_towers())


def ops_of(graph):
    return [node.op for function in graph.functions.values() for node in function.nodes]


@pytest.fixture
def built():
    g = GraphBuilder(finder())
    f = g.function("f")
    x = f.input("x", TensorType(f.space("tokens"), 8))
    return g, f, x, WeightScope(g)


def test_linears_of_one_input_are_one_list(built):
    g, f, x, w = built
    a = f.linear(x, w.matrix("a", 3, 8))
    b = f.linear(x, w.matrix("b", 5, 8), w.vector("bias", 5))
    f.output("a", a)
    f.output("b", b)
    (node,) = fuse_linears(g.finish()).functions["f"].nodes
    assert [operand and operand.name for operand in node.inputs] == ["x", "a", None, "b", "bias"]
    assert [out.name for out in node.outputs] == [a.name, b.name]


def test_linears_of_other_inputs_stay_apart(built):
    g, f, x, w = built
    y = f.op("scale", x, factor=2.0)
    f.output("a", f.linear(x, w.matrix("a", 3, 8)))
    f.output("b", f.linear(y, w.matrix("b", 3, 8)))
    assert ops_of(fuse_linears(g.finish())).count("linear") == 2


def test_gate_is_fused_only_when_nobody_else_reads_it(built):
    g, f, x, _ = built
    a = f.op("activation", x, kind="silu")
    f.output("y", f.op("mul", a, f.op("scale", x, factor=3.0)))
    assert "gated_activation" in ops_of(fuse_gate(g.finish()))
    f.output("a", a)
    assert "gated_activation" not in ops_of(fuse_gate(g.finish()))


def test_sum_and_norm_are_fused_and_the_sum_stays_readable(built):
    g, f, x, w = built
    s = f.op("add", x, f.op("scale", x, factor=2.0))
    f.output("sum", s)
    f.output("normed", f.op("rmsnorm", s, w.vector("n", 8), eps=1e-6))
    graph = fuse_add_norm(g.finish())
    assert ops_of(graph) == ["scale", "add_rmsnorm"]
    assert graph.functions["f"].outputs["sum"].name == s.name


def test_norm_in_groups_is_not_fused(built):
    g, f, x, w = built
    s = f.op("add", x, x)
    f.output("normed", f.op("rmsnorm", s, w.vector("n", 4), eps=1e-6))
    assert "add_rmsnorm" not in ops_of(fuse_add_norm(g.finish()))


def test_dead_nodes_and_weights_go(built):
    g, f, x, w = built
    f.linear(x, w.matrix("unused", 3, 8))
    f.output("y", f.op("scale", x, factor=2.0))
    graph = remove_dead(g.finish())
    assert ops_of(graph) == ["scale"]
    assert graph.weights == {}


def test_scales_merge_and_a_scale_by_one_goes(built):
    g, f, x, _ = built
    y = f.op("scale", f.op("scale", f.op("scale", x, factor=2.0), factor=1.0), factor=3.0)
    f.output("y", y)
    (node,) = fold_constants(g.finish()).functions["f"].nodes
    assert node.options == {"factor": 6.0}


def test_vectors_become_float32_constants_with_their_transform(built):
    g, f, x, w = built
    f.output("y", f.op("rmsnorm", x, w.vector("n", 8, "one_plus"), eps=1e-6))
    graph = g.finish()
    half = np.linspace(-1, 1, 8, dtype=np.float16)
    source = Encoded("f16", 1, 8, half.view(np.uint8).reshape(1, 16))
    weight = attrs.evolve(graph.weights["n"], source=source)
    folded = fold_constants(attrs.evolve(graph, weights={"n": weight})).weights["n"]
    assert folded.transform == ""
    assert isinstance(folded.source, Constant)
    assert np.array_equal(folded.source.values[0], 1 + half.astype(np.float32))


def test_formats_follow_the_plan_and_fall_back(built):
    g, f, x, w = built
    y = f.linear(x, w.matrix("a", 32, 8))
    f.output("y", f.linear(y, w.matrix("b", 4, 32)))
    heard = []
    graph = assign_formats(fill_weights(g.finish(), 1), [Rule("*", "q8_0")], heard.append)
    assert {c.name: c.given for c in heard} == {"a": "f16", "b": "q8_0"}
    assert graph.weights["b"].type.format == "q8_0"
    assert 0 < heard[1].error < 0.01


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("q4_k", {"a": "f16", "b": "q5_0", "c": "q4_k"}),
        ("q5_k", {"a": "f16", "b": "q5_1", "c": "q5_k"}),
        ("q6_k", {"a": "f16", "b": "q8_0", "c": "q6_k"}),
        ("q4_0", {"a": "f16", "b": "q4_0", "c": "q4_0"}),
        ("i8g16", {"a": "f16", "b": "i8g16", "c": "i8g16"}),
    ],
)
def test_rows_that_do_not_divide_fall_back_step_by_step(built, asked, given):
    g, f, x, w = built
    x = f.linear(f.linear(x, w.matrix("a", 32, 8)), w.matrix("b", 256, 32))
    f.output("y", f.linear(x, w.matrix("c", 4, 256)))
    heard = []
    graph = assign_formats(fill_weights(g.finish(), 1), [Rule("*", asked)], heard.append)
    assert {c.name: c.given for c in heard} == given
    assert {c.asked for c in heard} == {asked}
    named = assign_arithmetic(graph)
    assert [n.options["arith"] for n in _linears(named)] == ["f32", "a8/32", "a8/32"]


@pytest.mark.parametrize("stored", CARRIED)
def test_what_no_program_holds_is_carried_bit_for_bit(built, stored):
    format = CARRIED[stored]
    g, f, x, w = built
    y = f.linear(f.linear(x, w.matrix("a", 256, 8)), w.matrix("b", 4, 256))
    f.output("y", f.op("rmsnorm", y, w.vector("n", 4), eps=1e-6))
    graph = fill_weights(g.finish(), 1)
    raw = np.random.default_rng(2).integers(0, 64, (4, format.row_bytes(256)), dtype=np.uint8)
    held = attrs.evolve(graph.weights["b"], source=Encoded(stored, 4, 256, raw), format=None)
    graph = attrs.evolve(graph, weights={**graph.weights, "b": held})
    heard = []
    loaded = assign_formats(graph, [], heard.append)
    (choice,) = heard
    assert (choice.name, choice.asked, choice.given, choice.error) == ("b", stored, "i8g16", 0.0)
    weight = loaded.weights["b"]
    assert weight.type.format == weight.source.format == "i8g16"
    assert choice.bytes == weight.source.raw().size == 4 * 256 // 32 * 48
    numbers = format.decode(raw, 256)
    assert numbers.any()
    assert I8_G16.decode(weight.source.raw(), 256).tobytes() == numbers.tobytes()
    assert [n.options["arith"] for n in _linears(assign_arithmetic(loaded))] == ["f32", "a8/32"]
    asked = assign_formats(graph, [Rule("b", "q8_0")]).weights["b"]
    assert asked.source.format == "q8_0"
    with pytest.raises(UsageError, match=rf"{stored!r} can be read, not written.*q8_0"):
        assign_formats(graph, [Rule("a", stored)])


def test_arithmetic_follows_the_format_and_refuses_what_cannot_be():
    graph = causal_decoder("q8_0").graph
    arith = {node.options["arith"] for node in _linears(assign_arithmetic(graph))}
    assert arith == {"a8/32"}
    assert {n.options["arith"] for n in _linears(assign_arithmetic(graph, "f32"))} == {"f32"}
    with pytest.raises(UsageError, match=r"'a8/row' with weight .* in q8_0"):
        assign_arithmetic(graph, "a8/row")


def test_products_with_an_exact_weight_are_in_float32_unless_asked():
    g = GraphBuilder(finder())
    f, w = g.function("f"), WeightScope(g)
    x = f.input("x", TensorType(f.space("tokens"), 32))
    for name, exact in (("a", False), ("b", True), ("c", False), ("d", True)):
        f.output(name, f.linear(x, w.matrix(name, 4, 32, exact=exact)))
    graph = assign_formats(fill_weights(g.finish(), 1), plan_for("q8_0"))
    ariths = [n.options["arith"] for n in _linears(assign_arithmetic(graph))]
    assert ariths == ["a8/32", "f32", "a8/32", "f32"]
    assert {n.options["arith"] for n in _linears(assign_arithmetic(graph, "a8/32"))} == {"a8/32"}
    fused = fuse_linears(assign_arithmetic(graph))
    assert [[w.name for w in n.inputs[1::2]] for n in _linears(fused)] == [["a", "c"], ["b", "d"]]


def _linears(graph):
    return [n for f in graph.functions.values() for n in f.nodes if n.op == "linear"]


@pytest.mark.parametrize("case", TOYS, ids=lambda case: case.name)
def test_expansion_computes_the_same(case):
    plain = attrs.evolve(case, graph=expand(case.graph))
    fused = {"add_rmsnorm", "add_layernorm", "gated_activation"}
    assert not fused & set(ops_of(plain.graph))
    for a, b in zip(case.run(NumpyBackend()), plain.run(NumpyBackend()), strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", TOYS, ids=lambda case: case.name)
def test_optimising_twice_changes_nothing(case):
    assert as_text(optimise(case.graph)) == as_text(case.graph)


def test_pass_is_skipped_where_its_op_is_not_declared():
    graph = expand(causal_decoder().graph)
    declared = {*ops_of(graph)}
    assert not {"gated_activation", "add_rmsnorm"} & set(ops_of(optimise(graph, declared=declared)))
    with pytest.raises(GraphError, match="'rope'"):
        optimise(graph, declared=declared - {"rope"})


def test_stages_can_be_shown_and_compared():
    graph = expand(causal_decoder().graph)
    shown = dict(stages(graph))
    assert next(iter(shown)) == "built"
    assert "gated_activation" in as_text(shown["fuse_gate"])
    names = ("assign_arithmetic", "fuse_linears")
    diff = as_diff(shown[names[0]], shown[names[1]], names)
    assert "+  linear.0: tokens × 64, linear.1: tokens × 32" in diff
    assert as_diff(graph, graph, ("a", "b")) == ""


def test_dot_names_every_node_and_closes_its_braces():
    text = as_dot(two_towers().graph)
    assert text.count("{") == text.count("}")
    assert "encode_text" in text
    assert "patches" in text


def test_svg_is_well_formed_and_shows_every_node():
    graph = two_towers().graph
    root = ElementTree.fromstring(as_svg(graph))
    boxes = [e for e in root.iter() if e.tag.endswith("rect")]
    functions = graph.functions.values()
    assert len(boxes) == sum(len(f.inputs) + len(f.nodes) + len(f.outputs) for f in functions)
