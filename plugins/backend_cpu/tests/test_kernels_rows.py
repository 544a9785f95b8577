"""The other C kernels against float64: tables, norms, elementwise, rope, moves between spaces."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from synapse_core.formats import HELD_FORMATS, format_named

from .kernel_harness import check, library, like, run_same, stored, tensor, weight

pytestmark = pytest.mark.usefixtures("tier")

RNG = np.random.default_rng(3)
SHAPES = [(1, 1), (3, 7), (5, 64), (2, 130)]
KINDS = ["silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "sigmoid", "tanh"]
FORMATS = list(HELD_FORMATS)


def numbers(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def close(got, want, within=1e-6):
    assert np.abs(got - want).max() <= within * max(np.abs(want).max(), 1e-30)


def test_the_table_has_every_op():
    kernels = library()[2]
    assert len(kernels) == 21
    assert all(kernel.abi == 2 for kernel in kernels.values())


@pytest.mark.parametrize("format", FORMATS)
def test_embedding(format):
    table, ids = weight(numbers(9, 512), format), np.int32([[3], [0], [8], [3]])
    index = tensor(ids, limit=9)
    (y,) = run_same("embedding", [index, table], [like(index, 512)], [1.5])
    np.testing.assert_array_equal(y, table.array[ids[:, 0]] * np.float32(1.5))


@pytest.mark.parametrize("format", FORMATS)
def test_any_bytes_decode_to_the_bits_of_numpy(format):
    """All bits of all numbers; of a NaN only that it is one."""
    row_bytes = format_named(format).row_bytes(512)
    raw = RNG.integers(0, 256, (300, row_bytes), dtype=np.uint8)
    raw[0], raw[1] = 0, 255
    with np.errstate(all="ignore"):
        table = stored(raw, 512, format)
    index = tensor(np.arange(300, dtype=np.int32)[:, None], limit=300)
    (y,) = run_same("embedding", [index, table], [like(index, 512)], [1.0])
    nan = np.isnan(table.array)
    assert not nan.all()
    np.testing.assert_array_equal(np.isnan(y), nan)
    np.testing.assert_array_equal(y.view(np.uint32)[~nan], table.array.view(np.uint32)[~nan])


def test_embedding_refuses():
    table, index = weight(numbers(9, 5)), tensor(np.zeros((4, 1), np.int32), limit=9)
    y = like(index, 5)
    assert check("embedding", [index, table], [y], [1.0]) == 0
    for changes in ({"limit": 10}, {"limit": 0}, {"cols": 2}, {"dtype": 1}, {"kind": 2}):
        bad = tensor(np.zeros((4, 1), np.int32), limit=9)
        bad.fields.update(changes)
        assert check("embedding", [bad, table], [y], [1.0]), changes
    assert check("embedding", [index, table], [like(index, 4)], [1.0])
    assert check("embedding", [index, table], [like(index, 5, base=1)], [1.0])
    assert check("embedding", [index, weight(numbers(9, 6))], [y], [1.0])
    assert check("embedding", [index], [y], [1.0])


@pytest.mark.parametrize("format", FORMATS)
def test_add_positions(format):
    table, x = weight(numbers(12, 256), format), tensor(numbers(4, 256), positions=10)
    rows = {0: ([1, 1, 0, 3], [8, 9, 0, 4])}
    (y,) = run_same("add_positions", [x, table], [like(x)], [2], rows=rows)
    np.testing.assert_array_equal(y, x.array + table.array[[10, 11, 2, 6]])
    assert check("add_positions", [x, table], [like(x)], [3])
    assert check("add_positions", [x, table], [like(x)], [0xFFFFFFFF])
    assert check("add_positions", [tensor(x.array), table], [like(x)], [0])


def test_add_positions_of_groups():
    table, x = weight(numbers(3, 5)), tensor(numbers(6, 5), 1, base=0, multiple=3)
    (y,) = run_same("add_positions", [x, table], [like(x)], [0])
    np.testing.assert_array_equal(y, x.array + table.array[[0, 1, 2, 0, 1, 2]])
    assert check("add_positions", [x, table], [like(x)], [1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("runs", [1, 3])
def test_rmsnorm(shape, runs):
    rows, width = shape
    x, w = tensor(numbers(rows, runs * width)), weight(numbers(1, width))
    (y,) = run_same("rmsnorm", [x, w], [like(x)], [1e-3])
    parts = x.array.astype(np.float64).reshape(rows, runs, width)
    want = parts / np.sqrt((parts**2).mean(-1, keepdims=True) + 1e-3) * w.array[0]
    close(y, want.reshape(y.shape))


@pytest.mark.parametrize("shape", [(3, 7), (5, 64), (2, 130)])
@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("given", ["", "w", "b", "wb"])
def test_layernorm(shape, runs, given):
    rows, width = shape
    x = tensor(numbers(rows, runs * width) + 3)
    w = weight(numbers(1, width)) if "w" in given else None
    b = weight(numbers(1, width)) if "b" in given else None
    (y,) = run_same("layernorm", [x, w, b], [like(x)], [1e-5, width])
    parts = x.array.astype(np.float64).reshape(rows, runs, width)
    want = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(parts.var(-1, keepdims=True) + 1e-5)
    want = want * (w.array[0] if w else 1) + (b.array[0] if b else 0)
    close(y, want.reshape(y.shape), 3e-6)


def test_norm_of_a_sum_equals_sum_then_norm():
    x, r = tensor(numbers(4, 19)), tensor(numbers(4, 19))
    w, b = weight(numbers(1, 19)), weight(numbers(1, 19))
    (s,) = run_same("add", [x, r], [like(x)])
    np.testing.assert_array_equal(s, x.array + r.array)
    (rms,) = run_same("rmsnorm", [tensor(s), w], [like(x)], [1e-5])
    (layer,) = run_same("layernorm", [tensor(s), w, b], [like(x)], [1e-5, 19])
    fused = run_same("add_rmsnorm", [x, r, w], [like(x), like(x)], [1e-5])
    np.testing.assert_array_equal(fused, [s, rms])
    fused = run_same("add_layernorm", [x, r, w, b], [like(x), like(x)], [1e-5])
    np.testing.assert_array_equal(fused, [s, layer])


def test_norms_refuse():
    x, w = tensor(numbers(4, 12)), weight(numbers(1, 12))
    y = like(x)
    assert check("rmsnorm", [x, weight(numbers(1, 5))], [y], [1e-5])
    assert check("rmsnorm", [x, weight(numbers(1, 24))], [y], [1e-5])
    assert check("rmsnorm", [x, weight(numbers(2, 12))], [y], [1e-5])
    assert check("rmsnorm", [x, weight(numbers(1, 12), "f16")], [y], [1e-5])
    assert check("rmsnorm", [x, None], [y], [1e-5])
    assert check("rmsnorm", [x, w], [like(x, 11)], [1e-5])
    assert check("layernorm", [x, w, None], [y], [1e-5, 6])
    assert check("layernorm", [x, None, None], [y], [1e-5, 0])
    assert check("layernorm", [x, None, None], [y], [1e-5, 5])
    assert check("add_rmsnorm", [x, tensor(numbers(4, 11)), w], [y, y], [1e-5])
    assert check("add_rmsnorm", [x, x, w], [y], [1e-5])
    assert check("add_rmsnorm", [x, x, None], [y, y], [1e-5])
    assert check("add_layernorm", [x, x, w, weight(numbers(1, 6))], [y, y], [1e-5])


@pytest.mark.parametrize("shape", SHAPES)
def test_add_and_mul_with_a_tensor_or_a_vector(shape):
    x, r, w = tensor(numbers(*shape)), tensor(numbers(*shape)), weight(numbers(1, shape[1]))
    for other in (r, w):
        (y,) = run_same("add", [x, other], [like(x)])
        np.testing.assert_array_equal(y, x.array + other.array)
        (y,) = run_same("mul", [x, other], [like(x)])
        np.testing.assert_array_equal(y, x.array * other.array)


def test_scale_and_softcap():
    x = tensor(numbers(3, 21) * 40)
    (y,) = run_same("scale", [x], [like(x)], [0.3])
    np.testing.assert_array_equal(y, x.array * np.float32(0.3))
    (y,) = run_same("softcap", [x], [like(x)], [30.0])
    close(y, 30 * np.tanh(x.array.astype(np.float64) / 30))


def function(kind, x):
    x = x.astype(np.float64)
    match kind:
        case "silu":
            return x / (1 + np.exp(-x))
        case "gelu":
            erf = np.vectorize(lambda v: float(mpmath.erf(v)))
            return 0.5 * x * (1 + erf(x / np.sqrt(2)))
        case "gelu_tanh":
            return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        case "quick_gelu":
            return x / (1 + np.exp(-1.702 * x))
        case "relu":
            return np.maximum(x, 0)
        case "sigmoid":
            return 1 / (1 + np.exp(-x))
        case _:
            return np.tanh(x)


@pytest.mark.parametrize("kind", KINDS)
def test_activations(kind):
    code = KINDS.index(kind)
    x, u = tensor(numbers(3, 37) * 4), tensor(numbers(3, 37))
    (y,) = run_same("activation", [x], [like(x)], [code])
    close(y, function(kind, x.array))
    (y,) = run_same("gated_activation", [x, u], [like(x)], [code])
    close(y, function(kind, x.array) * u.array)


@pytest.mark.parametrize("kind", KINDS)
def test_activations_of_bad_numbers(kind):
    x = tensor(np.float32([[np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0]]))
    (y,) = run_same("activation", [x], [like(x)], [KINDS.index(kind)])
    assert np.isnan(y[0, 0])
    assert np.isfinite(y[0, 4:]).all()


def test_elementwise_refuse():
    x, y = tensor(numbers(3, 8)), like(tensor(numbers(3, 8)))
    assert check("add", [x, weight(numbers(1, 4))], [y])
    assert check("add", [x, weight(numbers(3, 8))], [y])
    assert check("add", [x, tensor(numbers(2, 8))], [y])
    assert check("mul", [x, None], [y])
    assert check("scale", [x], [like(x, 7)], [1.0])
    assert check("activation", [x], [y], [7])
    assert check("gated_activation", [x, x], [y], [7])
    assert check("gated_activation", [x, weight(numbers(1, 8))], [y], [0])
    for operand in (x, y):
        operand.fields.update(rows=2**28)
    assert check("scale", [x], [y], [1.0])


@pytest.mark.parametrize("style", [0, 1])
@pytest.mark.parametrize(("dim", "rotary"), [(8, 8), (10, 6), (2, 2)])
def test_rope(style, dim, rotary):
    heads, far = 3, 131071
    x = tensor(numbers(4, heads * dim), positions=far + 1)
    freq = weight((10000.0 ** (-np.arange(rotary // 2) * 2 / rotary))[None])
    position = [0, 1, 5000, far]
    (y,) = run_same("rope", [x, freq], [like(x)], [dim, rotary, style, 1.25],
                    rows={0: ([0, 0, 1, 2], position)})  # fmt: skip
    angle = np.float32(position)[:, None, None] * freq.array[0]
    cos, sin = 1.25 * np.cos(angle.astype(np.float64)), 1.25 * np.sin(angle.astype(np.float64))
    parts = x.array.reshape(4, heads, dim).astype(np.float64)
    want = parts.copy()
    half = rotary // 2
    a = slice(0, rotary, 2) if style else slice(0, half)
    b = slice(1, rotary, 2) if style else slice(half, rotary)
    want[..., a] = parts[..., a] * cos - parts[..., b] * sin
    want[..., b] = parts[..., b] * cos + parts[..., a] * sin
    close(y, want.reshape(y.shape))


def test_rope_refuses():
    x, freq = tensor(numbers(4, 24), positions=9), weight(numbers(1, 4))
    y = like(x)
    assert check("rope", [x, freq], [y], [8, 8, 0, 1.0]) == 0
    for words in ([0, 8, 0], [7, 8, 0], [8, 6, 0], [8, 7, 0], [8, 10, 0], [8, 8, 2], [8, 0, 0]):
        assert check("rope", [x, freq], [y], [*words, 1.0]), words
    assert check("rope", [tensor(x.array), freq], [like(tensor(x.array))], [8, 8, 0, 1.0])


def test_select_rows_by_index():
    x = tensor(numbers(7, 5))
    index = tensor(np.int32([[6], [0], [6]]), 1, limit_space=0)
    (y,) = run_same("select_rows", [x, index], [like(index, 5)])
    np.testing.assert_array_equal(y, x.array[[6, 0, 6]])
    assert check("select_rows", [tensor(x.array, 2), index], [like(index, 5)])
    assert check("select_rows", [x, tensor(index.array, 1, limit=7)], [like(index, 5)])
    assert check("select_rows", [x, index], [like(x)])


def test_select_and_pool_rows_of_groups():
    x = tensor(numbers(12, 5), 1, base=0, multiple=4)
    y = like(x, rows=3, space=0, multiple=1)
    groups = x.array.reshape(3, 4, 5)
    for inputs in ([x], [x, None]):
        (got,) = run_same("select_rows", inputs, [y], [2])
        np.testing.assert_array_equal(got, groups[:, 2])
    (got,) = run_same("pool_rows", [x], [y])
    close(got, groups.astype(np.float64).mean(axis=1))
    (got,) = run_same("pool_rows", [x], [y], [3])
    np.testing.assert_array_equal(got, groups[:, 3])
    (got,) = run_same("pool_rows", [x], [y], [1])
    close(got, groups[:, 1:].astype(np.float64).mean(axis=1))
    assert check("select_rows", [x], [y], [4])
    assert check("pool_rows", [x], [y], [4])
    for op in ("select_rows", "pool_rows"):
        assert check(op, [x], [like(x)], [0])
        assert check(op, [x], [like(x, rows=4, space=0, multiple=1)], [0])
        assert check(op, [x], [like(x, rows=3, space=2, base=2, multiple=1)], [0])


@pytest.mark.parametrize("back", [0, 1])
@pytest.mark.parametrize("multiple", [1, 4])
def test_append_row(back, multiple):
    x = tensor(numbers(3 * multiple, 5), int(multiple > 1), base=0, multiple=multiple)
    row = weight(numbers(1, 5))
    y = like(x, rows=3 * multiple + 3, space=2, multiple=multiple + 1)
    (got,) = run_same("append_row", [x, row], [y], [back])
    extra, groups = np.broadcast_to(row.array, (3, 1, 5)), x.array.reshape(3, multiple, 5)
    want = np.concatenate([groups, extra] if back else [extra, groups], axis=1)
    np.testing.assert_array_equal(got, want.reshape(-1, 5))
    assert check("append_row", [x, row], [y], [2])
    assert check("append_row", [x, row], [like(y, multiple=multiple + 2)], [0])
    assert check("append_row", [x, row], [like(y, rows=4)], [0])


def test_patches():
    image = numbers(2, 3, 6, 4)
    x = tensor(image.reshape(2, 72))
    y = like(x, 12, rows=12, space=1, base=0, multiple=6)
    (got,) = run_same("patches", [x], [y], [3, 6, 4, 2])
    want = image.reshape(2, 3, 3, 2, 2, 2).transpose(0, 2, 4, 1, 3, 5).reshape(12, 12)
    np.testing.assert_array_equal(got, want)
    for words in ([3, 6, 4, 0], [3, 6, 4, 3], [3, 4, 6, 4], [2**31, 2**17, 2**17, 2], [1, 6, 4, 2]):
        assert check("patches", [x], [y], words), words
    assert check("patches", [x], [like(y, multiple=5)], [3, 6, 4, 2])
    assert check("patches", [x], [like(y, rows=13)], [3, 6, 4, 2])


def test_slice_columns():
    x = tensor(numbers(4, 9))
    (y,) = run_same("slice_columns", [x], [like(x, 4)], [5, 4])
    np.testing.assert_array_equal(y, x.array[:, 5:])
    assert check("slice_columns", [x], [like(x, 4)], [6, 4])
    assert check("slice_columns", [x], [like(x, 4)], [0xFFFFFFFF, 4])
    assert check("slice_columns", [x], [like(x, 3)], [5, 4])
