"""Norms, activations and the ops of one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synapse_core.errors import ShapeError
from synapse_core.ops import TensorType, WeightType
from synapse_core.ops import elementwise as e
from synapse_core.ops.norm import ADD_LAYERNORM, ADD_RMSNORM, LAYERNORM, RMSNORM
from tests.ops.conftest import COUNTED, TOKENS, Weight, numbers, run

EPS = 0.01
ACTIVATIONS = {
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2,
    "quick_gelu": lambda x: x / (1 + math.exp(-1.702 * x)),
    "relu": lambda x: max(x, 0.0),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
}


def test_rmsnorm_equals_the_loop_for_each_run_of_columns():
    x, w = 3 * numbers(2, 6), Weight.of(numbers(3, seed=8))
    (y,) = run(RMSNORM, [x, w], eps=EPS)
    for t in range(2):
        for start in (0, 3):
            part = [float(v) for v in x[t, start : start + 3]]
            root = math.sqrt(sum(v * v for v in part) / 3 + EPS)
            expected = [v / root * float(g) for v, g in zip(part, w.rows_f32()[0], strict=True)]
            np.testing.assert_allclose(y[t, start : start + 3], expected, rtol=1e-5)


@pytest.mark.parametrize("has_w", [False, True])
@pytest.mark.parametrize("has_b", [False, True])
def test_layernorm_equals_the_loop_with_and_without_weights(has_w, has_b):
    x = 3 * numbers(2, 8) + 1
    w, b = Weight.of(numbers(4, seed=8)), Weight.of(numbers(4, seed=9))
    inputs = [x, w if has_w else None, b if has_b else None]
    (y,) = run(LAYERNORM, inputs, eps=EPS, width=4)
    for t in range(2):
        for start in (0, 4):
            part = [float(v) for v in x[t, start : start + 4]]
            mean = sum(part) / 4
            deviation = math.sqrt(sum((v - mean) ** 2 for v in part) / 4 + EPS)
            for i, v in enumerate(part):
                gain = float(w.rows_f32()[0, i]) if has_w else 1.0
                shift = float(b.rows_f32()[0, i]) if has_b else 0.0
                expected = (v - mean) / deviation * gain + shift
                assert y[t, start + i] == pytest.approx(expected, abs=1e-5)


def test_fused_norms_equal_a_sum_and_a_norm():
    x, r = numbers(3, 5), numbers(3, 5, seed=8)
    w, b = Weight.of(numbers(5, seed=9)), Weight.of(numbers(5, seed=10))
    total, y = run(ADD_RMSNORM, [x, r, w], eps=EPS)
    np.testing.assert_array_equal(total, x + r)
    np.testing.assert_array_equal(y, run(RMSNORM, [x + r, w], eps=EPS)[0])
    total, y = run(ADD_LAYERNORM, [x, r, w, b], eps=EPS)
    np.testing.assert_array_equal(total, x + r)
    np.testing.assert_array_equal(y, run(LAYERNORM, [x + r, w, b], eps=EPS, width=5)[0])


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_equal_their_formulas(kind):
    x = np.concatenate([4 * numbers(1, 40), [[0.0, 20.0, -20.0, 80.0, -80.0]]], axis=1)
    x = x.astype(np.float32)
    (y,) = run(e.ACTIVATION, [x], kind=kind)
    expected = [ACTIVATIONS[kind](float(v)) for v in x[0]]
    np.testing.assert_allclose(y[0], expected, rtol=2e-6, atol=1e-30)
    u = numbers(1, 45, seed=2)
    (gated,) = run(e.GATED_ACTIVATION, [x, u], kind=kind)
    np.testing.assert_array_equal(gated, y * u)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_of_huge_numbers_are_finite(kind):
    x = np.array([[1e30, -1e30]], np.float32)
    with np.errstate(over="ignore"):
        assert np.isfinite(run(e.ACTIVATION, [x], kind=kind)[0]).all()


def test_add_and_mul_take_a_tensor_or_a_vector():
    x, y, w = numbers(3, 4), numbers(3, 4, seed=8), Weight.of(numbers(4, seed=9))
    np.testing.assert_array_equal(run(e.ADD, [x, y])[0], x + y)
    np.testing.assert_array_equal(run(e.ADD, [x, w])[0], x + w.rows_f32())
    np.testing.assert_array_equal(run(e.MUL, [x, y])[0], x * y)
    np.testing.assert_array_equal(run(e.MUL, [x, w])[0], x * w.rows_f32())


def test_scale_softcap_and_slice():
    x = numbers(3, 6)
    np.testing.assert_array_equal(run(e.SCALE, [x], factor=-1.5)[0], x * np.float32(-1.5))
    (y,) = run(e.SOFTCAP, [100 * x], cap=2.0)
    np.testing.assert_allclose(y, 2 * np.tanh(50 * x.astype(np.float64)), rtol=1e-5)
    np.testing.assert_array_equal(run(e.SLICE_COLUMNS, [x], start=2, width=3)[0], x[:, 2:5])


X = TensorType(TOKENS, 6)
W5 = WeightType("w5", 1, 5)


@pytest.mark.parametrize(
    ("op", "inputs", "options", "words"),
    [
        (RMSNORM, [X, WeightType("n", 1, 4)], {}, r"6 columns.*'n' is \(1, 4\)"),
        (LAYERNORM, [X, None, None], {"width": 4}, "6 columns.*4"),
        (LAYERNORM, [X, W5, None], {"width": 6}, r"'w5' is \(1, 5\).*\(1, 6\)"),
        (ADD_RMSNORM, [X, X, W5], {}, r"'w5' is \(1, 5\).*\(1, 6\)"),
        (ADD_RMSNORM, [X, TensorType(TOKENS, 5), W5], {}, "tokens × 6.*tokens × 5"),
        (ADD_LAYERNORM, [X, X, None, W5], {}, r"'w5' is \(1, 5\).*\(1, 6\)"),
        (e.ADD, [X, TensorType(TOKENS, 5)], {}, "add: .*tokens × 6.*tokens × 5"),
        (e.ADD, [X, TensorType(COUNTED, 6)], {}, "tokens × 6.*outputs × 6"),
        (e.MUL, [X, W5], {}, r"mul: .*'w5' is \(1, 5\).*\(1, 6\)"),
        (e.GATED_ACTIVATION, [X, TensorType(TOKENS, 5)], {}, "tokens × 6.*tokens × 5"),
        (e.SLICE_COLUMNS, [X], {"start": 4, "width": 3}, "3 from 4, x has 6 columns"),
        (e.SOFTCAP, [X], {"cap": 0.0}, "cap is 0.0"),
        (e.SCALE, [W5], {}, "scale: x .*'w5'"),
        (e.ACTIVATION, [X, X], {}, "activation: 2 operands.*1"),
    ],
)
def test_errors_name_op_and_both_sides(op, inputs, options, words):
    with pytest.raises(ShapeError, match=words) as caught:
        op.infer(inputs, {"eps": EPS, **options})
    assert op.name in str(caught.value)
