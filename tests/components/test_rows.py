"""Feed-forwards, norms and positions: what they build, and the numbers of their tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from synapse_core.components import (
    GeGlu,
    Gelu,
    LayerNorm,
    Learned,
    RmsNorm,
    Rope,
    RopeBasis,
    Sinusoidal,
    SwiGlu,
)
from synapse_core.components.rope_scaling import default, dynamic, linear, llama3, longrope, yarn
from synapse_core.errors import UsageError
from synapse_core.graph import Constant, GraphBuilder, WeightScope
from synapse_core.ops import TensorType
from synapse_core.testing.case import finder

WIDTH = 24
YARN = {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 32}
LONGROPE = {
    **YARN,
    "type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [2.0] * 4,
}


def build(component: Any, width: int = WIDTH) -> GraphBuilder:
    """Build one component over rows of some columns, below the scope `c`."""
    builder = GraphBuilder(finder())
    g = builder.function("forward")
    x = g.input("x", TensorType(g.space("tokens"), width))
    y = component.build(g, x, WeightScope(builder, "c"))
    assert y.type == x.type
    g.output("y", y)
    return builder


@pytest.mark.parametrize(
    ("component", "kind"),
    [
        (SwiGlu(hidden=40), "silu"),
        (GeGlu(hidden=40), "gelu"),
        (GeGlu(hidden=40, activation="gelu_tanh"), "gelu_tanh"),
    ],
)
def test_gated_networks_are_built_unfused(component: Any, kind: str) -> None:
    builder = build(component)
    nodes = builder.functions["forward"].nodes
    assert [node.op for node in nodes] == ["linear", "linear", "activation", "mul", "linear"]
    assert nodes[2].options["kind"] == kind
    assert set(builder.weights) == {"c.gate.weight", "c.up.weight", "c.down.weight"}


def test_the_plain_network_has_two_layers_and_biases() -> None:
    builder = build(Gelu(hidden=40))
    assert [node.op for node in builder.functions["forward"].nodes] == [
        "linear",
        "activation",
        "linear",
    ]
    assert set(builder.weights) == {"c.up.weight", "c.up.bias", "c.down.weight", "c.down.bias"}


def test_one_plus_is_a_transform_of_the_weight() -> None:
    assert build(RmsNorm(eps=1e-6, one_plus=True)).weights["c.weight"].transform == "one_plus"
    assert build(RmsNorm(eps=1e-6)).weights["c.weight"].transform == ""


def test_a_norm_of_given_width_has_a_weight_of_that_width() -> None:
    assert build(RmsNorm(eps=1e-6, width=8)).weights["c.weight"].cols == 8
    assert build(LayerNorm(eps=1e-5, width=8)).weights["c.bias"].cols == 8


def test_layernorm_without_affine_and_bias_has_no_weights() -> None:
    assert build(LayerNorm(eps=1e-5, affine=False, bias=False)).weights == {}


def test_layers_with_the_same_rope_share_one_constant_and_others_get_their_own() -> None:
    builder = GraphBuilder(finder())
    g = builder.function("forward")
    x = g.input("x", TensorType(g.space("tokens"), WIDTH))
    for theta in (1e4, 1e4, 1e6, 1e4, 1e6):
        x = Rope(head_dim=8, theta=theta).build(g, x, WeightScope(builder))
    assert sorted(builder.weights) == ["rope.inv_freq", "rope.inv_freq.1"]


def test_frequencies_fall_from_one_by_powers_of_theta() -> None:
    found, magnitude = default(RopeBasis(10000.0, 8), {})
    np.testing.assert_allclose(found, [1.0, 0.1, 0.01, 0.001], rtol=1e-6)
    assert (found.dtype, magnitude) == (np.float32, 1.0)


def test_linear_scaling_divides_all_frequencies() -> None:
    basis = RopeBasis(10000.0, 8)
    found, _ = linear(basis, {"factor": 4.0})
    np.testing.assert_array_equal(found, basis.inv_freq() / 4)


def test_llama3_scaling_keeps_short_waves_and_divides_long_ones() -> None:
    basis = RopeBasis(500000.0, 64)
    parameters = {
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192.0,
    }
    found, _ = llama3(basis, parameters)
    ratio = found / basis.inv_freq()
    wave = 2 * np.pi / basis.inv_freq()
    assert (ratio[wave < 8192 / 4] == 1).all()
    np.testing.assert_allclose(ratio[wave > 8192], 1 / 32, rtol=1e-6)
    between = ratio[(wave > 8192 / 4) & (wave < 8192)]
    assert len(between)
    assert ((between > 1 / 32) & (between < 1)).all()


def test_dynamic_scaling_raises_the_base_past_the_trained_length_only() -> None:
    parameters = {"factor": 3.0, "original_max_position_embeddings": 32}
    within, magnitude = dynamic(RopeBasis(1e4, 8, 32), parameters)
    np.testing.assert_array_equal(within, RopeBasis(1e4, 8).inv_freq())
    beyond, _ = dynamic(RopeBasis(1e4, 8, 64), parameters)
    # 3 · 64 / 32 − 2 = 4 times as long; the slowest pair turns 4 times as slowly.
    np.testing.assert_allclose(beyond / within, 4.0 ** (-np.arange(4) / 3), rtol=1e-6)
    assert magnitude == 1.0


def test_yarn_keeps_fast_pairs_divides_slow_ones_and_mixes_between() -> None:
    basis = RopeBasis(1e4, 128)
    parameters = {"factor": 4.0, "original_max_position_embeddings": 4096}
    found, magnitude = yarn(basis, parameters)
    ratio = found / basis.inv_freq()
    turns = 4096 * basis.inv_freq() / (2 * np.pi)
    np.testing.assert_allclose(ratio[turns > 40], 1.0, rtol=1e-6)
    np.testing.assert_allclose(ratio[turns < 0.9], 0.25, rtol=1e-6)
    assert (np.diff(ratio) <= 1e-7).all()
    assert len(ratio[(ratio < 0.99) & (ratio > 0.26)]) > 10
    assert magnitude == pytest.approx(0.1 * np.log(4) + 1)
    assert yarn(basis, {**parameters, "attention_factor": 0.5})[1] == 0.5
    both = {**parameters, "mscale": 1.0, "mscale_all_dim": 1.0}
    assert yarn(basis, both)[1] == pytest.approx(1.0)


def test_longrope_takes_the_long_divisors_from_one_past_the_trained_length() -> None:
    short, long = [1.0, 1.5, 2.0, 2.5], [3.0, 4.0, 5.0, 6.0]
    parameters = {
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "short_factor": short,
        "long_factor": long,
    }
    plain = RopeBasis(1e4, 8).inv_freq()
    for context, divisors in ((1, short), (4096, short), (4097, long)):
        found, magnitude = longrope(RopeBasis(1e4, 8, context), parameters)
        np.testing.assert_allclose(found, plain / divisors, rtol=1e-6)
        # √(1 + ln 32 / ln 4096), on both sides.
        assert magnitude == pytest.approx(np.sqrt(1 + 5 / 12))


@pytest.mark.parametrize(
    ("scaling", "text"),
    [
        (
            {"type": "dynamic", "factor": 2, "original_max_position_embeddings": 8},
            "scaling 'dynamic' needs the context that the graph is built for",
        ),
        (
            {
                "type": "longrope",
                "factor": 2,
                "original_max_position_embeddings": 8,
                "short_factor": [1] * 4,
                "long_factor": [1] * 4,
            },
            "scaling 'longrope' needs the context that the graph is built for",
        ),
        (
            {
                "type": "yarn",
                "factor": 2,
                "original_max_position_embeddings": 8,
                "beta_slow": 33,
            },
            "scaling 'yarn' with theta 10000, beta_fast 32, beta_slow 33; it takes theta > 1",
        ),
    ],
)
def test_a_scaling_that_lacks_what_it_needs_is_refused_when_it_is_built(
    scaling: dict[str, Any], text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build(Rope(head_dim=8, theta=1e4, scaling=scaling))
    assert str(caught.value).startswith(f"position 'rope': {text}")


def test_factors_divide_each_frequency_after_the_scaling() -> None:
    factors = [1.0, 2.0, 4.0, 8.0]
    scaling = {"type": "linear", "factor": 2.0}
    rope = Rope(head_dim=8, theta=1e4, scaling=scaling, factors=factors)
    source = build(rope).weights["rope.inv_freq"].source
    assert isinstance(source, Constant)
    expected = RopeBasis(1e4, 8).inv_freq() / 2 / np.float32(factors)
    np.testing.assert_array_equal(source.values[0], expected)


def test_a_learned_table_has_a_row_for_each_position_and_the_offset() -> None:
    weight = build(Learned(context=10, offset=2)).weights["c.weight"]
    assert (weight.rows, weight.cols) == (12, WIDTH)


def test_the_sinusoidal_table_interleaves_sine_and_cosine() -> None:
    source = build(Sinusoidal(context=5), width=4).weights["c.sinusoidal"].source
    assert isinstance(source, Constant)
    row = source.values[3]
    np.testing.assert_allclose(row, [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SwiGlu(hidden=-1), "ffn 'swiglu': hidden is -1; must be a whole number from 1 on"),
        (lambda: GeGlu(hidden=8, activation="mish"), "ffn 'geglu': activation is 'mish'; must be"),
        (lambda: RmsNorm(eps=float("inf")), "norm 'rmsnorm': eps is inf; must be a finite number"),
        (
            lambda: Rope(head_dim=7, theta=1e4),
            "position 'rope': rotary_dim 7, head_dim 7; rotary_dim must be even",
        ),
        (lambda: Rope(head_dim=8, theta=0), "position 'rope': theta is 0; must be a finite number"),
        (
            lambda: Rope(head_dim=8, theta=1e4, scaling={"type": "elastic"}),
            "position 'rope': scaling type is 'elastic'; must be one of default, linear, dyn",
        ),
        (
            lambda: Rope(head_dim=8, theta=1e4, scaling={"type": "linear"}),
            "position 'rope': scaling factor is None; must be a finite number",
        ),
        (
            lambda: Rope(head_dim=8, theta=1e4, scaling={"type": "linear", "factor": 2, "x": 1}),
            "position 'rope': scaling 'linear' takes no 'x'",
        ),
        (
            lambda: Rope(head_dim=8, theta=1e4, scaling={**LONGROPE, "long_factor": [1.0] * 3}),
            "position 'rope': scaling long_factor must have 4 numbers, one for each pair",
        ),
        (
            lambda: Rope(head_dim=8, theta=1e4, scaling={**LONGROPE, "short_factor": [1, 1, 1, 0]}),
            "position 'rope': scaling short_factor[3] is 0; must be a finite number",
        ),
        (
            lambda: Rope(head_dim=8, theta=1e4, scaling={**YARN, "truncate": 1}),
            "position 'rope': scaling truncate is 1; must be true or false",
        ),
        (
            lambda: Rope(head_dim=8, theta=1e4, scaling={**YARN, "mscale": "1"}),
            "position 'rope': scaling mscale is '1'; must be a finite number",
        ),
        (
            lambda: Rope(head_dim=8, theta=1e4, factors=[1.0] * 3),
            "position 'rope': 3 factors, 4 pairs of columns; there must be one for each",
        ),
        (
            lambda: Rope(head_dim=8, theta=1e4, factors=[1.0, 0.0, 1.0, 1.0]),
            "position 'rope': factors is 0.0; must be a finite number",
        ),
        (
            lambda: build(Sinusoidal(context=1 << 24)),
            "position 'sinusoidal': a table of 16777216 × 24; the width must be even",
        ),
    ],
)
def test_options_out_of_range_are_refused_by_name(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value).startswith(text)
