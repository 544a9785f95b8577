"""linear in each of its arithmetics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_core.errors import ShapeError, UsageError
from synapse_core.formats import BLOCK_FORMATS
from synapse_core.ops import TensorType, WeightType
from synapse_core.ops.linear import LINEAR
from tests.ops.conftest import TOKENS, Weight, numbers, run

ARITHS = (
    ("f32", "f32"),
    ("bf16", "bf16"),
    ("int8", "a8/row"),
    *((name, "a8/32") for name in BLOCK_FORMATS),
)


def test_f32_is_the_dot_product_with_dequantised_rows_plus_bias():
    x, w, b = numbers(4, 7), Weight.of(numbers(3, 7, seed=6), "int8"), Weight.of(numbers(3, seed=7))
    (y,) = run(LINEAR, [x, w, b])
    rows = w.rows_f32()
    for t in range(4):
        for n in range(3):
            exact = sum(float(x[t, c]) * float(rows[n, c]) for c in range(7))
            assert y[t, n] == pytest.approx(exact + float(b.rows_f32()[0, n]), abs=1e-5)


def test_a_list_of_weights_gives_what_each_gives():
    x = numbers(4, 8)
    ws = [Weight.of(numbers(n, 8, seed=n)) for n in (2, 5, 3)]
    b = Weight.of(numbers(5))
    fused = run(LINEAR, [x, ws[0], None, ws[1], b, ws[2], None])
    single = [run(LINEAR, [x, w, bias])[0] for w, bias in zip(ws, (None, b, None), strict=True)]
    for one, other in zip(fused, single, strict=True):
        np.testing.assert_array_equal(one, other)


def quantised(run_of: np.ndarray) -> tuple[np.float32, list[int]]:
    """A run of activations in scalar float32: scale and codes."""
    most = np.float32(np.abs(run_of).max())
    inverse = np.float32(127) / most if most > 0 else np.float32(0)
    return most / np.float32(127), [int(np.rint(np.float32(v * inverse))) for v in run_of]


def test_a8_32_sums_blocks_in_integers_and_then_in_float32():
    x, w = numbers(3, 96), Weight.of(numbers(5, 96, seed=6), "q8_0")
    x[1, 32:64] = 0
    (y,) = run(LINEAR, [x, w, None], arith="a8/32")
    blocks = w.raw().reshape(5, 3, 34)
    for t in range(3):
        for n in range(5):
            lanes = [np.float32(0)] * 8
            for block in range(3):
                sx, xs = quantised(x[t, 32 * block : 32 * block + 32])
                sw = blocks[n, block, :2].copy().view("<f2")[0].astype(np.float32)
                ws = blocks[n, block, 2:].view(np.int8).tolist()
                isum = sum(a * b for a, b in zip(xs, ws, strict=True))
                lanes[block % 8] += np.float32(isum) * (sw * sx)
            assert y[t, n] == tree(lanes)


def tree(lanes: list[np.float32]) -> np.float32:
    """The order in which 8 lanes are added."""
    a, b, c, d, e, f, g, h = lanes
    return ((a + e) + (c + g)) + ((b + f) + (d + h))


@pytest.mark.parametrize("format", BLOCK_FORMATS)
def test_a8_32_adds_runs_and_their_minima_in_order(format):
    """Scalar by scalar: each run's integer sum, then its minimum, into its 32 columns' lane."""
    x, w = numbers(2, 2560), Weight.of(numbers(3, 2560, seed=6), format)
    (y,) = run(LINEAR, [x, w, None], arith="a8/32")
    parts = BLOCK_FORMATS[format].split(w.raw(), 2560)
    columns = parts.codes.shape[2]
    for t in range(2):
        blocks = [quantised(x[t, start : start + 32]) for start in range(0, 2560, 32)]
        for n in range(3):
            lanes = [np.float32(0)] * 8
            for r in range(parts.codes.shape[1]):
                block, start = divmod(r * columns, 32)
                sx, xs = blocks[block][0], blocks[block][1][start : start + columns]
                isum = sum(a * b for a, b in zip(xs, parts.codes[n, r].tolist(), strict=True))
                lanes[block % 8] += np.float32(isum) * (parts.scale[n, r] * sx)
                if parts.minimum is not None:
                    lanes[block % 8] += parts.minimum[n, r] * (np.float32(sum(xs)) * sx)
            assert y[t, n] == tree(lanes)


def test_a8_row_is_one_integer_sum_and_one_product():
    x, w = numbers(3, 33), Weight.of(numbers(5, 33, seed=6), "int8")
    x[1] = 0
    (y,) = run(LINEAR, [x, w, None], arith="a8/row")
    for t in range(3):
        for n in range(5):
            sx, xs = quantised(x[t])
            sw = w.raw()[n, :4].copy().view("<f4")[0]
            isum = sum(
                a * b for a, b in zip(xs, w.raw()[n, 4:37].view(np.int8).tolist(), strict=True)
            )
            assert y[t, n] == np.float32(isum) * (sw * sx)


def test_integer_sums_are_exact_where_float32_is_not():
    cols = 8192
    x = np.full((1, cols), 1, np.float32)
    w = np.full((1, cols), 127, np.float32)
    w[0, 0] = 1
    (y,) = run(LINEAR, [x, Weight.of(w, "int8"), None], arith="a8/row")
    assert y[0, 0] == np.float32(127 * (127 * (cols - 1) + 1)) * (np.float32(1) / np.float32(127))


def test_bf16_rounds_both_sides():
    x = np.array([[1 + 2.0**-9, 3.0]], np.float32)
    w = Weight.of(np.array([[1.0, 1 + 2.0**-9]], np.float32))
    assert run(LINEAR, [x, w, None], arith="bf16")[0].tolist() == [[4.0]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.floats(0.01, 100))
@pytest.mark.parametrize(("format", "arith"), ARITHS[1:])
def test_arithmetic_errs_within_its_bound(format, arith, seed, spread):
    x = numbers(2, 256, seed=seed) * np.float32(spread)
    w = Weight.of(numbers(3, 256, seed=seed + 1), format)
    truth = x.astype(np.float64) @ w.rows_f32().T.astype(np.float64)
    (y,) = run(LINEAR, [x, w, None], arith=arith)
    # Half a step of each activation times the sum of |w|; bf16 steps are relative.
    step = np.abs(x) / 256 if arith == "bf16" else np.abs(x).max(axis=1, keepdims=True) / 254
    bound = np.broadcast_to(step, x.shape) @ np.abs(w.rows_f32()).T
    assert (np.abs(y - truth) <= bound * 1.001 + 1e-4 * spread).all()
    assert np.abs(y - truth).max() > 0


@pytest.mark.parametrize(("format", "arith"), ARITHS)
def test_a_wide_head_computed_in_blocks_equals_its_rows(format, arith):
    cols = 256 if format.endswith("_k") else 32
    x, values = numbers(2, cols), numbers(8192 + 3, cols, seed=8)
    (y,) = run(LINEAR, [x, Weight.of(values, format), None], arith=arith)
    (tail,) = run(LINEAR, [x, Weight.of(values[8190:], format), None], arith=arith)
    np.testing.assert_allclose(y[:, 8190:], tail, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arith", "format"), [("a8/32", "int8"), ("a8/row", "q8_0"), ("a8/32", "f32")]
)
def test_an_integer_arithmetic_refuses_another_format(arith, format):
    with pytest.raises(UsageError, match=rf"{arith}.*'w'.*{format}"):
        run(LINEAR, [numbers(2, 32), Weight.of(numbers(3, 32), format), None], arith=arith)


def test_errors_name_both_sides():
    x, options = TensorType(TOKENS, 64), {"arith": "f32"}
    q = WeightType("layers.0.q", 10, 48)
    with pytest.raises(ShapeError, match=r"64.*layers.0.q.*48"):
        LINEAR.infer([x, q, None], options)
    q = WeightType("layers.0.q", 10, 64)
    with pytest.raises(ShapeError, match=r"b1.*\(1, 9\).*\(1, 10\)"):
        LINEAR.infer([x, q, WeightType("b1", 1, 9)], options)
    for inputs in ([x], [x, q], [x, *[q, None] * 5]):
        with pytest.raises(ShapeError, match=r"linear"):
            LINEAR.infer(inputs, options)
