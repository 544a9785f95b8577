"""The C kernel of linear against float64, its integer sums against exact ones."""

from __future__ import annotations

import numpy as np
import pytest

from synapse_core.formats import format_named, quantise

from .kernel_harness import check, like, run, run_same, tensor, weight

RNG = np.random.default_rng(11)
F32, BF16, A8_32, A8_ROW = range(4)
CASES = [
    (F32, "f32"), (F32, "f16"), (F32, "bf16"), (F32, "int8"), (F32, "q8_0"),
    (BF16, "bf16"), (BF16, "f32"), (BF16, "f16"), (A8_32, "q8_0"), (A8_ROW, "int8"),
]  # fmt: skip


def numbers(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def to_bf16(x):
    format = format_named("bf16")
    return format.decode(format.encode(x), x.shape[1])


def expected(arith, x, w):
    """x · wᵀ in float64, with x and w rounded as the arithmetic says."""
    if arith == BF16:
        x, decoded = to_bf16(x), to_bf16(w.array)
    elif arith == A8_32:
        scale, codes = quantise(x.reshape(len(x), -1, 32))
        x, decoded = (scale.astype(np.float64) * codes).reshape(x.shape), w.array
    elif arith == A8_ROW:
        scale, codes = quantise(x)
        x, decoded = scale.astype(np.float64) * codes, w.array
    else:
        decoded = w.array
    return x.astype(np.float64) @ decoded.astype(np.float64).T


@pytest.mark.parametrize(("arith", "format"), CASES)
@pytest.mark.parametrize("rows", [1, 2, 4, 7])
@pytest.mark.parametrize("cols", [32, 96, 288])
def test_products(arith, format, rows, cols):
    x, w, b = numbers(rows, cols), weight(numbers(13, cols), format), weight(numbers(1, 13))
    xt = tensor(x)
    (y,) = run_same("linear", [xt, w, b], [like(xt, 13)], [arith])
    want = expected(arith, x, w) + b.array
    assert np.abs(y - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize(("arith", "format"), [c for c in CASES if c[1] != "q8_0"])
@pytest.mark.parametrize("cols", [1, 3, 7, 9, 33])
def test_odd_columns(arith, format, cols):
    x, w = numbers(5, cols), weight(numbers(6, cols), format)
    xt = tensor(x)
    (y,) = run_same("linear", [xt, w, None], [like(xt, 6)], [arith])
    want = expected(arith, x, w)
    assert np.abs(y - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize(("arith", "format"), CASES)
def test_rows_together_equal_rows_alone(arith, format):
    x, w = numbers(7, 64), weight(numbers(9, 64), format)
    (all_,) = run("linear", [tensor(x), w, None], [like(tensor(x), 9)], [arith])
    for t in range(7):
        one = tensor(x[t : t + 1])
        (y,) = run("linear", [one, w, None], [like(one, 9)], [arith])
        np.testing.assert_array_equal(y[0].view(np.uint32), all_[t].view(np.uint32))


@pytest.mark.parametrize(("arith", "format"), [(F32, "f16"), (A8_32, "q8_0")])
def test_pairs_together_equal_pairs_alone(arith, format):
    xt = tensor(numbers(3, 64))
    ws = [weight(numbers(n, 64), format) for n in (5, 1, 8, 3)]
    bs = [weight(numbers(1, 5)), None, weight(numbers(1, 8)), None]
    pairs = [operand for pair in zip(ws, bs, strict=True) for operand in pair]
    outs = [like(xt, w.fields["rows"]) for w in ws]
    together = run_same("linear", [xt, *pairs], outs, [arith])
    for w, b, got in zip(ws, bs, together, strict=True):
        (alone,) = run("linear", [xt, w, b], [like(xt, w.fields["rows"])], [arith])
        np.testing.assert_array_equal(alone.view(np.uint32), got.view(np.uint32))


def test_row_of_integers_is_exact():
    """Codes and scales of one: the sum is the integer, up to the largest that fits."""
    cols = 131072
    x = tensor(np.full((1, cols), 127, dtype=np.float32))
    w = weight(np.full((1, cols), -127, dtype=np.float32), "int8")
    (y,) = run("linear", [x, w, None], [like(x, 1)], [A8_ROW])
    assert y[0, 0] == np.float32(-127 * 127 * cols)
    w.buffer[4:] = 0x80  # a file may hold -128
    (y,) = run("linear", [x, w, None], [like(x, 1)], [A8_ROW])
    assert y[0, 0] == np.float32(-128 * 127 * cols)


@pytest.mark.parametrize(("arith", "format"), CASES)
def test_bad_numbers_do_no_harm(arith, format):
    x = numbers(4, 64)
    x[0, 5], x[1, 7], x[2, 9], x[3] = np.nan, np.inf, -np.inf, 1e-45
    xt = tensor(x)
    run_same("linear", [xt, weight(numbers(6, 64), format), None], [like(xt, 6)], [arith])


def test_check_refuses():
    x, w = tensor(numbers(2, 64)), weight(numbers(5, 64))
    y = like(x, 5)
    assert check("linear", [x, w, None], [y], [0]) == 0
    q8, i8 = weight(numbers(5, 64), "q8_0"), weight(numbers(5, 64), "int8")
    codes = [
        check("linear", [x], [], [0]),
        check("linear", [x, w, None], [y, y], [0]),
        check("linear", [x, w, None], [y], [4]),
        check("linear", [x, weight(numbers(5, 63)), None], [y], [0]),
        check("linear", [x, w, None], [y], [A8_32]),
        check("linear", [x, i8, None], [y], [A8_32]),
        check("linear", [x, q8, None], [y], [A8_ROW]),
        check("linear", [x, q8, None], [y], [BF16]),
        check("linear", [x, w, weight(numbers(1, 4))], [y], [0]),
        check("linear", [x, w, weight(numbers(2, 5))], [y], [0]),
        check("linear", [x, w, weight(numbers(1, 5), "f16")], [y], [0]),
        check("linear", [x, w, None], [like(x, 4)], [0]),
        check("linear", [x, w, None], [like(x, 5, rows=3)], [0]),
        check("linear", [x, w, None], [like(x, 5, space=1, base=1)], [0]),
        check("linear", [x, x, None], [y], [0]),
        check("linear", [w, w, None], [y], [0]),
    ]
    assert all(codes)
    w.fields["row_bytes"] -= 4
    assert check("linear", [x, w, None], [y], [0])
    w.fields.update(row_bytes=256, dtype=9)
    assert check("linear", [x, w, None], [y], [0])
