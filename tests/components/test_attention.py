"""Attention components: what they build and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from synapse_core.components import (
    GroupedQueryAttention,
    MultiHeadAttention,
    MultiQueryAttention,
    RmsNorm,
    Rope,
    SlidingWindow,
)
from synapse_core.errors import UsageError
from synapse_core.graph import GraphBuilder, WeightScope
from synapse_core.ops import StateType, TensorType
from synapse_core.testing.case import finder

WIDTH = 24


def build(component: Any) -> GraphBuilder:
    """Build one component over rows of WIDTH columns, below the scope `a`."""
    builder = GraphBuilder(finder())
    g = builder.function("forward")
    x = g.input("x", TensorType(g.space("tokens"), WIDTH))
    y = component.build(g, x, WeightScope(builder, "a"))
    assert y.type.cols == WIDTH
    g.output("y", y)
    return builder


def shapes(builder: GraphBuilder) -> dict[str, tuple[int, int]]:
    """Return the declared weights' shapes by name."""
    return {name: (weight.rows, weight.cols) for name, weight in builder.weights.items()}


def test_gqa_declares_its_weights_by_canonical_name() -> None:
    found = shapes(build(GroupedQueryAttention(heads=6, kv_heads=2, head_dim=10, biases="qkv")))
    assert found == {
        "a.q.weight": (60, WIDTH),
        "a.q.bias": (1, 60),
        "a.k.weight": (20, WIDTH),
        "a.k.bias": (1, 20),
        "a.v.weight": (20, WIDTH),
        "a.v.bias": (1, 20),
        "a.o.weight": (WIDTH, 60),
    }


def test_qk_norm_is_applied_before_rope_and_to_q_and_k_only() -> None:
    component = GroupedQueryAttention(
        heads=4,
        kv_heads=2,
        head_dim=8,
        qk_norm=RmsNorm(eps=1e-6, width=8),
        position=Rope(head_dim=8, theta=1e4),
    )
    builder = build(component)
    ops = [node.op for node in builder.functions["forward"].nodes]
    assert ops == [*["linear"] * 3, "rmsnorm", "rmsnorm", "rope", "rope", "attention", "linear"]
    assert shapes(builder)["a.q_norm.weight"] == shapes(builder)["a.k_norm.weight"] == (1, 8)
    assert "rope.inv_freq" in builder.weights


def test_mha_has_a_kv_head_for_each_query_head_and_mqa_one_for_all() -> None:
    assert MultiHeadAttention(heads=3, head_dim=4).kv_heads == 3
    assert MultiQueryAttention(heads=3, head_dim=4).kv_heads == 1
    assert shapes(build(MultiHeadAttention(heads=3, head_dim=4)))["a.k.weight"] == (12, WIDTH)
    assert shapes(build(MultiQueryAttention(heads=3, head_dim=4)))["a.k.weight"] == (4, WIDTH)


def test_a_window_limits_the_mask_and_what_the_state_keeps() -> None:
    builder = build(SlidingWindow(heads=2, kv_heads=1, head_dim=6, window=5))
    (node,) = [n for n in builder.functions["forward"].nodes if n.op == "attention"]
    assert (node.options["mask"], node.options["window"]) == ("window", 5)
    assert builder.states == {"a.kv": StateType("a.kv", "kv", 6, 6, 5, 6)}


def test_attention_over_the_call_keeps_nothing() -> None:
    component = MultiHeadAttention(heads=2, head_dim=4, mask="full", source="call")
    assert build(component).states == {}


def test_scale_is_one_over_the_root_of_head_dim_unless_given() -> None:
    def scale(component: Any) -> object:
        nodes = build(component).functions["forward"].nodes
        return next(node.options["scale"] for node in nodes if node.op == "attention")

    assert scale(MultiHeadAttention(heads=2, head_dim=16)) == 0.25
    assert scale(MultiHeadAttention(heads=2, head_dim=16, scale=0.5)) == 0.5


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: GroupedQueryAttention(heads=32, kv_heads=5, head_dim=8),
            "attention 'gqa': 32 query heads, 5 kv heads;"
            " query heads must be a multiple of kv heads",
        ),
        (
            lambda: MultiHeadAttention(heads=0, head_dim=8),
            "attention 'mha': heads is 0; must be a whole number from 1 on",
        ),
        (
            lambda: MultiQueryAttention(heads=2, head_dim=True),
            "attention 'mqa': head_dim is True; must be a whole number from 1 on",
        ),
        (
            lambda: SlidingWindow(heads=2, kv_heads=2, head_dim=8, window=0),
            "attention 'sliding_window': mask 'window' with a window of 0;"
            " a window goes with mask 'window', and only there",
        ),
        (
            lambda: GroupedQueryAttention(heads=2, kv_heads=2, head_dim=8, mask="full"),
            "attention 'gqa': mask 'full' sees rows to come; it needs source 'call'",
        ),
        (
            lambda: GroupedQueryAttention(heads=2, kv_heads=2, head_dim=8, biases="qx"),
            "attention 'gqa': biases are 'qx'; they are letters of 'qkvo'",
        ),
        (
            lambda: GroupedQueryAttention(heads=2, kv_heads=2, head_dim=8, softcap=float("nan")),
            "attention 'gqa': softcap is nan; must be a finite number, at least 0",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == text
