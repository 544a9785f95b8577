"""The C kernel of linear against float64, its integer sums against exact ones."""

from __future__ import annotations

import numpy as np
import pytest

from synapse_core.formats import BLOCK_FORMATS, format_named, quantise
from synapse_core.ops import WeightType
from synapse_core.ops.linear import PRODUCTS

from .kernel_harness import check, like, run, run_same, stored, tensor, weight

pytestmark = pytest.mark.usefixtures("tier")

RNG = np.random.default_rng(11)
F32, BF16, A8_32, A8_ROW = range(4)
CASES = [
    (F32, "f32"), (F32, "f16"), (F32, "bf16"), (F32, "int8"), (F32, "q8_0"),
    (BF16, "bf16"), (BF16, "f32"), (BF16, "f16"), (A8_32, "q8_0"), (A8_ROW, "int8"),
    *((arith, name) for name in BLOCK_FORMATS if name != "q8_0" for arith in (F32, A8_32)),
]  # fmt: skip


def numbers(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def to_bf16(x):
    format = format_named("bf16")
    return format.decode(format.encode(x), x.shape[1])


class Held:
    """A weight as the numpy reference reads one."""

    def __init__(self, operand, format):
        self.type = WeightType("w", *operand.array.shape, format)
        self.operand = operand

    def raw(self):
        return self.operand.buffer.reshape(self.operand.fields["rows"], -1)


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
@pytest.mark.parametrize("rows", [1, 2, 4, 7, 13, 40])
@pytest.mark.parametrize("blocks", [1, 3, 9, 19])
def test_products(arith, format, rows, blocks):
    cols = blocks * max(32, format_named(format).block)
    x, w, b = numbers(rows, cols), weight(numbers(13, cols), format), weight(numbers(1, 13))
    xt = tensor(x)
    (y,) = run_same("linear", [xt, w, b], [like(xt, 13)], [arith])
    want = expected(arith, x, w) + b.array
    assert np.abs(y - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize(("arith", "format"), [c for c in CASES if c[1] not in BLOCK_FORMATS])
@pytest.mark.parametrize("cols", [1, 3, 7, 9, 33, 40])
@pytest.mark.parametrize("rows", [1, 5, 33])
def test_odd_columns(arith, format, cols, rows):
    x, w = numbers(rows, cols), weight(numbers(6, cols), format)
    xt = tensor(x)
    (y,) = run_same("linear", [xt, w, None], [like(xt, 6)], [arith])
    want = expected(arith, x, w)
    assert np.abs(y - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize(("arith", "format"), CASES)
def test_rows_together_equal_rows_alone(arith, format):
    """With two tiles of any kind."""
    x, w = numbers(70, 512), weight(numbers(41, 512), format)
    (all_,) = run("linear", [tensor(x), w, None], [like(tensor(x), 41)], [arith])
    for few in (2, 6, 12, 13, 29):
        some = tensor(x[:few])
        (y,) = run("linear", [some, w, None], [like(some, 41)], [arith])
        np.testing.assert_array_equal(y.view(np.uint32), all_[:few].view(np.uint32))
    for t in range(0, 70, 9):
        one = tensor(x[t : t + 1])
        (y,) = run("linear", [one, w, None], [like(one, 41)], [arith])
        np.testing.assert_array_equal(y[0].view(np.uint32), all_[t].view(np.uint32))


@pytest.mark.parametrize(("arith", "format"), CASES)
@pytest.mark.parametrize("rows", [192, 211, 257])
def test_threads_that_share_many_rows_give_the_same(arith, format, rows):
    cols = 3 * max(32, format_named(format).block)
    x = numbers(rows, cols)
    xt = tensor(x)
    pairs = [(weight(numbers(n, cols), format), weight(numbers(1, n))) for n in (40, 13)]
    ys = run_same(
        "linear", [xt, *(o for pair in pairs for o in pair)], [like(xt, 40), like(xt, 13)], [arith]
    )
    for y, (w, b) in zip(ys, pairs, strict=True):
        want = expected(arith, x, w) + b.array
        assert np.abs(y - want).max() <= 1e-5 * np.abs(want).max()
    few = tensor(x[-9:])
    (y,) = run("linear", [few, *pairs[0]], [like(few, 40)], [arith])
    np.testing.assert_array_equal(y.view(np.uint32), ys[0][-9:].view(np.uint32))


@pytest.mark.parametrize(("arith", "format"), [(F32, "f16"), (A8_32, "q4_k"), (A8_ROW, "int8")])
def test_many_outputs_equal_few(arith, format):
    """Outputs of half a megabyte and more may go another way to memory."""
    x, w = numbers(160, 256), weight(numbers(1024, 256), format)
    (many,) = run_same("linear", [tensor(x), w, None], [like(tensor(x), 1024)], [arith])
    few = tensor(x[100:117])
    (y,) = run("linear", [few, w, None], [like(few, 1024)], [arith])
    np.testing.assert_array_equal(y.view(np.uint32), many[100:117].view(np.uint32))


@pytest.mark.parametrize(
    ("arith", "format"), [(F32, "f16"), (A8_32, "q8_0"), (A8_32, "mixed"), (F32, "mixed")]
)
def test_pairs_together_equal_pairs_alone(arith, format):
    """Also where each pair has a format of its own, as a file of q4_k with some q6_k has."""
    xt = tensor(numbers(3, 256))
    formats = ["q4_k", "q6_k", "i8g16", "q5_0"] if format == "mixed" else [format] * 4
    ws = [weight(numbers(n, 256), f) for n, f in zip((5, 1, 8, 3), formats, strict=True)]
    bs = [weight(numbers(1, 5)), None, weight(numbers(1, 8)), None]
    pairs = [operand for pair in zip(ws, bs, strict=True) for operand in pair]
    outs = [like(xt, w.fields["rows"]) for w in ws]
    together = run_same("linear", [xt, *pairs], outs, [arith])
    for w, b, got in zip(ws, bs, together, strict=True):
        (alone,) = run("linear", [xt, w, b], [like(xt, w.fields["rows"])], [arith])
        np.testing.assert_array_equal(alone.view(np.uint32), got.view(np.uint32))


@pytest.mark.parametrize("format", [f for a, f in CASES if a == A8_32])
@pytest.mark.parametrize("rows", [1, 9])
def test_codes_at_their_ends_are_summed_exactly(format, rows):
    """All of a run, or one pair of each four columns, at one end: where 16 bits would not hold."""
    block = max(32, format_named(format).block)
    column = np.arange(2 * block)
    pairs = np.where(column % 4 < 2, 1, -1)
    ends = np.stack([pairs, -pairs, np.ones_like(pairs), np.where(column % 2, 1, -1)])
    w = weight(np.concatenate([ends, -ends]).astype(np.float32) * 3, format)
    x = np.resize(np.concatenate([ends, -ends, np.maximum(ends, 0)]), (rows + 11, 2 * block))
    for some in (x[:rows], x[rows:]):
        xt = tensor(some.astype(np.float32))
        (y,) = run_same("linear", [xt, w, None], [like(xt, 8)], [A8_32])
        want = expected(A8_32, xt.array, w)
        assert np.abs(y - want).max() <= 1e-5 * np.abs(want).max()


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
    x = numbers(4, 256)
    x[0, 5], x[1, 7], x[2, 9], x[3] = np.nan, np.inf, -np.inf, 1e-45
    xt = tensor(x)
    run_same("linear", [xt, weight(numbers(6, 256), format), None], [like(xt, 6)], [arith])


FLOATS = ["f32", "f16", "bf16"]


@pytest.mark.parametrize("format", FLOATS)
@pytest.mark.parametrize("cols", [32, 264, 1000])
def test_floats_are_as_exact_as_float32(format, cols):
    """However many rows there are: what is multiplied in parts of numbers loses none of them."""
    x, w = numbers(70, cols), weight(numbers(37, cols), format)
    want = expected(F32, x, w)
    size = np.abs(x).astype(np.float64) @ np.abs(w.array).astype(np.float64).T
    for rows in (*range(1, 18), 31, 32, 33, 48, 70):
        xt = tensor(x[:rows])
        (y,) = run_same("linear", [xt, w, None], [like(xt, 37)], [F32])
        assert (np.abs(y - want[:rows]) <= 5e-7 * size[:rows]).all()


def test_float16_of_all_sizes_are_multiplied_exactly():
    """Every float16 that is a number, the smallest and the largest too, by one."""
    every = np.arange(65536, dtype=np.uint16)
    every = every[np.isfinite(every.view(np.float16))].reshape(-1, 64)
    w = stored(every.view(np.uint8), 64, "f16")
    x = tensor(np.eye(64, dtype=np.float32))
    (y,) = run_same("linear", [x, w, None], [like(x, len(every))], [F32])
    np.testing.assert_array_equal(y.T, w.array)


@pytest.mark.parametrize("format", FLOATS)
@pytest.mark.parametrize("size", [1e-45, 1e-40, 1e-30, 1e25, 3e38])
@pytest.mark.parametrize("rows", [1, 20])
def test_floats_of_extreme_size(format, size, rows):
    """A row of x so small that parts of its numbers are lost, or so large that they overflow."""
    one = np.float32(size)
    x = np.tile(RNG.integers(-1, 2, (1, 64)).astype(np.float32) * one, (rows, 1))
    x[rows // 2 :] = numbers(rows - rows // 2, 64) if rows > 1 else x
    w = weight(RNG.integers(1, 4, (21, 64)).astype(np.float32) / 128, format)
    want = x.astype(np.float64) @ w.array.astype(np.float64).T
    xt = tensor(x)
    (y,) = run_same("linear", [xt, w, None], [like(xt, 21)], [F32])
    steps = 64 * np.spacing(np.abs(want).astype(np.float32))
    assert (np.abs(y - want) <= np.maximum(1e-5 * np.abs(want).max(1)[:, None], steps)).all()


@pytest.mark.parametrize("arith", [F32, BF16])
@pytest.mark.parametrize("format", FLOATS)
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_infinities_are_those_of_float32(arith, format, rows):
    """Of x and of the weight: where a product is infinite or no number, and nowhere else."""
    x, w = numbers(rows, 64), numbers(36, 64)
    w[3, 5], w[17, 6], w[35, 7], w[20] = np.inf, -np.inf, np.nan, 0
    if rows > 1:
        x[1, 9], x[2, 0], x[rows - 1, 63] = np.inf, -np.inf, np.nan
    held = weight(w, format)
    with np.errstate(invalid="ignore"):
        want = expected(arith, x, held)
    xt = tensor(x)
    (y,) = run_same("linear", [xt, held, None], [like(xt, 36)], [arith])
    for kind in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(kind(y), kind(want))
    fine = np.isfinite(want)
    assert np.abs(y[fine] - want[fine]).max() <= 1e-5 * np.abs(want[fine]).max()


@pytest.mark.parametrize("format", BLOCK_FORMATS)
@pytest.mark.parametrize("rows", [1, 5])
def test_blocks_equal_the_reference(tier, format, rows):
    """To the bit in plain C; the fast tables have an order of their own."""
    cols = 9 * max(32, format_named(format).block)
    x, w = numbers(rows, cols), weight(numbers(13, cols), format)
    (y,) = run_same("linear", [tensor(x), w, None], [like(tensor(x), 13)], [A8_32])
    want = PRODUCTS["a8/32"](x)(Held(w, format), slice(None))
    if tier.folder is None:
        np.testing.assert_array_equal(y.view(np.uint32), want.view(np.uint32))
    assert np.abs(y - want).max() <= 1e-6 * np.abs(want).max()


@pytest.mark.parametrize("format", BLOCK_FORMATS)
def test_a_column_of_the_identity_is_the_decoded_number(format):
    """Each number of a row alone, as f32 multiplies it: what the format's decoder gives."""
    block = max(32, format_named(format).block)
    w = weight(numbers(3, block), format)
    x = tensor(np.eye(block, dtype=np.float32))
    (y,) = run("linear", [x, w, None], [like(x, 3)], [F32])
    np.testing.assert_array_equal(y.T, w.array)


@pytest.mark.parametrize("format", BLOCK_FORMATS)
@pytest.mark.parametrize("arith", [F32, A8_32])
def test_any_bytes_do_no_harm(arith, format):
    """Scales that are infinite or no numbers, codes at both ends."""
    block = max(32, format_named(format).block)
    raw = RNG.integers(0, 256, (50, format_named(format).row_bytes(2 * block)), dtype=np.uint8)
    raw[0], raw[1] = 0, 255
    with np.errstate(all="ignore"):
        w = stored(raw, 2 * block, format)
        x = numbers(3, 2 * block)
        want = expected(arith, x, w)
    xt = tensor(x)
    (y,) = run("linear", [xt, w, None], [like(xt, 50)], [arith])
    tame = np.abs(w.array).max(axis=1) < 1e30
    assert tame.any()
    # The terms of a row cancel where its numbers are of all sizes, so against their sum
    scale = np.abs(x).sum(axis=1)[:, None] * np.abs(w.array[tame]).max(axis=1)
    assert (np.abs(y - want)[:, tame] <= 1e-5 * scale).all()


def test_check_refuses():
    x, w = tensor(numbers(2, 64)), weight(numbers(5, 64))
    y = like(x, 5)
    assert check("linear", [x, w, None], [y], [0]) == 0
    wide, narrow = tensor(numbers(2, 256)), weight(numbers(5, 256), "q4_k")
    narrow.fields.update(cols=64, row_bytes=36)  # a quarter of a super-block
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
        *(
            check("linear", [wide, weight(numbers(5, 256), name), None], [like(wide, 5)], [arith])
            for name in BLOCK_FORMATS
            for arith in (BF16, A8_ROW)
        ),
        check("linear", [x, narrow, None], [y], [A8_32]),
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
    w.fields.update(row_bytes=256, dtype=15)
    assert check("linear", [x, w, None], [y], [0])
