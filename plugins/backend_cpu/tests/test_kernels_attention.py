"""The C kernel of attention against float64: masks, slots, pages, and the order of its sums."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest

from synapse_core.formats import Q8_0

from .kernel_harness import Cache, check, like, run, run_same, tensor

pytestmark = pytest.mark.usefixtures("tier")

RNG = np.random.default_rng(5)
CAUSAL, WINDOW, FULL = range(3)
MASKS = {CAUSAL: "causal", WINDOW: "window", FULL: "full"}
LIMIT = 640


def numbers(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def attributes(heads, kv_heads, dim, mask=CAUSAL, window=0, scale=0.3, cap=0.0):
    return [heads, kv_heads, dim, mask, window, float(scale), float(cap)]


def attend(q, k, v, first, a):
    """Rows q of one slot, which are keys `first` and on of k and v; float64."""
    heads, kv_heads, dim, mask, window, scale, cap = a
    y = np.zeros(q.shape, dtype=np.float64)
    for t in range(len(q)):
        end = len(k) if mask == FULL else first + t + 1
        begin = max(0, end - window) if mask == WINDOW else 0
        for h in range(heads):
            one = slice(h * dim, (h + 1) * dim)
            g = h // (heads // kv_heads)
            kv = slice(g * dim, (g + 1) * dim)
            score = k[begin:end, kv].astype(np.float64) @ q[t, one].astype(np.float64) * scale
            if cap:
                score = cap * np.tanh(score / cap)
            p = np.exp(score - score.max())
            y[t, one] = p @ v[begin:end, kv] / p.sum()
    return y


def call(q, k, v, a, slots, positions, cache=None, threads=None):
    """Run the kernel over a base space with rows."""
    operands = [tensor(x, positions=LIMIT) for x in (q, k, v)]
    state = cache.operand() if cache else None
    options = {"rows": {0: (slots, positions)}, "cache": cache}
    if threads:
        options["threads"] = threads
    runner = run if threads else run_same
    (y,) = runner("attention", [*operands, state], [like(operands[0])], a, **options)
    return y


def close(got, want):
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


SHAPES = [(4, 2, 8), (3, 3, 5), (6, 1, 16), (1, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("mask", "window"), [(CAUSAL, 0), (WINDOW, 1), (WINDOW, 5), (FULL, 0)])
@pytest.mark.parametrize("cap", [0.0, 2.0])
def test_rows_of_the_call(shape, mask, window, cap):
    """Two slots in one call do not see each other."""
    heads, kv_heads, dim = shape
    a = attributes(*shape, mask, window, cap=cap)
    q, k, v = (numbers(19, n * dim) for n in (heads, kv_heads, kv_heads))
    y = call(q, k, v, a, [2] * 7 + [0] * 12, [*range(7), *range(12)])
    close(y[:7], attend(q[:7], k[:7], v[:7], 0, a))
    close(y[7:], attend(q[7:], k[7:], v[7:], 0, a))


@pytest.mark.parametrize("shape", [(4, 2, 8), (3, 3, 64), (6, 1, 21)])
@pytest.mark.parametrize(("mask", "window"), [(CAUSAL, 0), (WINDOW, 3), (WINDOW, 12)])
def test_rows_behind_do_not_change_a_row_s_bits(shape, mask, window):
    """Few keys are taken another way than many; which way is the row's own matter."""
    heads, kv_heads, dim = shape
    a = attributes(*shape, mask, window)
    q, k, v = (numbers(70, n * dim) for n in (heads, kv_heads, kv_heads))
    whole = call(q, k, v, a, [0] * 70, range(70))
    close(whole, attend(q, k, v, 0, a))
    for n in (1, 3, 8, 9, 17, 49):
        part = call(q[:n], k[:n], v[:n], a, [1] * n, range(n))
        np.testing.assert_array_equal(part, whole[:n])


@pytest.mark.parametrize("length", [256, 257, 288, 289, 545])
@pytest.mark.parametrize("mask", [CAUSAL, FULL])
def test_keys_behind_the_last_whole_piece(length, mask):
    a = attributes(2, 1, 24, mask, scale=0.8)
    q, k, v = (numbers(length, n * 24) for n in (2, 1, 1))
    y = call(q, k, v, a, [1] * length, range(length))
    close(y, attend(q, k, v, 0, a))


def test_groups_of_a_derived_space():
    a = attributes(2, 1, 4, FULL)
    q, k, v = numbers(12, 8), numbers(12, 4), numbers(12, 4)
    operands = [tensor(x, 1, base=0, multiple=4) for x in (q, k, v)]
    (y,) = run_same("attention", [*operands, None], [like(operands[0])], a)
    for group in range(3):
        rows = slice(group * 4, group * 4 + 4)
        close(y[rows], attend(q[rows], k[rows], v[rows], 0, a))


def rounded(x, dtype):
    if dtype == "f16":
        return x.astype(np.float16).astype(np.float32)
    if dtype == "bf16":
        bits = x.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).view(np.float32)
    if dtype == "q8_0":
        return Q8_0.decode(Q8_0.encode(x), x.shape[1])
    return x


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "q8_0"])
@pytest.mark.parametrize(("mask", "window"), [(CAUSAL, 0), (WINDOW, 70), (FULL, 0)])
@pytest.mark.parametrize("length", [6, 300])
@pytest.mark.parametrize("apart", [False, True])
def test_cache_in_chunks_mixed_with_another_slot(dtype, mask, window, length, apart):
    """Also where the rows of a head lie apart from those of the next."""
    dim = 32 if dtype == "q8_0" else 6
    a = attributes(4, 2, dim, mask, window, cap=0.0)
    q, k, v = (numbers(length, n * dim) for n in (4, 2, 2))
    cache = Cache(2 * dim, dtype, head=dim if apart else 0)
    kr, vr = rounded(k, dtype), rounded(v, dtype)
    at = 0
    for size in (1, 3, length - 5, 1):
        other = 2
        rows = slice(at, at + size)
        mixed = [np.concatenate([numbers(other, x.shape[1]), x[rows]]) for x in (q, k, v)]
        slots = [3] * other + [1] * size
        positions = [*range(other), *range(at, at + size)]
        y = call(*mixed, a, slots, positions, cache)[other:]
        at += size
        close(y, attend(q[rows], kr[:at], vr[:at], at - size, a))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        *product([(4, 2, 8), (2, 2, 136), (3, 1, 12)], ["f32", "f16", "bf16"]),
        *product([(2, 1, 96), (2, 2, 160)], ["f16", "q8_0"]),
    ],
)
@pytest.mark.parametrize(("mask", "window"), [(CAUSAL, 0), (WINDOW, 100)])
def test_whole_equals_chunks_equals_steps_to_the_bit(mask, window, shape, dtype):
    heads, kv_heads, dim = shape
    a = attributes(*shape, mask, window)
    q, k, v = (numbers(530, n * dim) for n in (heads, kv_heads, kv_heads))
    new = partial(Cache, kv_heads * dim, dtype)
    whole = call(q, k, v, a, [0] * 530, range(530), new(), threads=1)
    for sizes, head in (([256, 274], 0), ([1] * 3 + [61, 300, 164, 1, 1], 0), ([529, 1], dim)):
        cache, at, parts = new(head=head), 0, []
        for size in sizes:
            rows, positions = slice(at, at + size), range(at, at + size)
            parts.append(call(q[rows], k[rows], v[rows], a, [2] * size, positions, cache, 3))
            at += size
        np.testing.assert_array_equal(np.concatenate(parts).view(np.uint32), whole.view(np.uint32))


def test_q8_0_keys_are_the_format_s_own_bytes():
    """Halves are rounded away from zero; tiny and huge numbers have a scale of float16 still."""
    rows = numbers(4, 64) * np.float32([[1], [1e-30], [1e30], [0]])
    rows[0, :5] = [127, 0.5, -0.5, 1.5, -2.5]
    a = attributes(2, 2, 32)
    cache = Cache(64, "q8_0", slots=1)
    call(numbers(4, 64), rows, -rows, a, [0] * 4, range(4), cache, 1)
    page = cache.pool[cache.table[0, 0], cache.offset :]
    keys, values = page[: 64 * 68].reshape(64, 68), page[64 * 68 : 128 * 68].reshape(64, 68)
    np.testing.assert_array_equal(keys[:4], Q8_0.encode(rows))
    np.testing.assert_array_equal(values[:4], Q8_0.encode(-rows))


def test_a_smaller_position_truncates():
    a = attributes(2, 2, 4)
    q, k, v = numbers(8, 8), numbers(8, 8), numbers(8, 8)
    cache = Cache(8, "f32")
    call(numbers(8, 8), numbers(8, 8), numbers(8, 8), a, [0] * 8, range(8), cache, 1)
    y = call(q, k, v, a, [0] * 8, range(8), cache, 1)
    close(y, attend(q, k, v, 0, a))


def test_missing_pages_behind_the_window_do_no_harm():
    """A host may give back what no row sees; what it gave back too early is left out."""
    a = attributes(1, 1, 4, WINDOW, 20)
    q, k, v = numbers(200, 4), numbers(200, 4), numbers(200, 4)
    cache = Cache(4, "f32")
    call(q[:199], k[:199], v[:199], a, [0] * 199, range(199), cache, 1)
    cache.table[0, :2] = [0xFFFFFFFF, 1000]
    y = call(q[199:], k[199:], v[199:], a, [0], [199], cache, 1)
    close(y, attend(q[199:], k, v, 199, a))
    cache.table[0, 2] = 0xFFFFFFFF
    y = call(q[199:], k[199:], v[199:], a, [0], [199], cache, 1)
    close(y, attend(q[199:], k[192:], v[192:], 7, a))


def test_huge_scores_stay_finite():
    a = attributes(2, 1, 4, scale=1.0)
    q, k, v = numbers(9, 8) * 1e3, numbers(9, 4) * 1e3, numbers(9, 4)
    y = call(q, k, v, a, [0] * 9, range(9))
    close(y, attend(q, k, v, 0, a))


def test_bad_numbers_do_no_harm():
    a = attributes(2, 1, 4)
    q, k, v = numbers(9, 8), numbers(9, 4), numbers(9, 4)
    q[1], k[3, 1], v[5, 2], k[7] = np.nan, np.inf, -np.inf, np.nan
    call(q, k, v, a, [0] * 9, range(9), Cache(4))
    call(q, k, v, a, [0] * 9, range(9))


def test_check_refuses():
    q, k = tensor(numbers(3, 24), positions=LIMIT), tensor(numbers(3, 12), positions=LIMIT)
    cache, y = Cache(12), like(q)
    a = attributes(4, 2, 6)

    def refused(inputs=None, outputs=None, **changes):
        names = ("heads", "kv_heads", "dim", "mask", "window")
        words = [changes.get(name, word) for name, word in zip(names, a, strict=False)]
        return check("attention", inputs or [q, k, k, cache.operand()], outputs or [y], words)

    assert refused() == 0
    assert refused([q, k, k, None]) == 0
    assert refused([q, k, k]) == 0
    for changes in (
        {"heads": 0}, {"kv_heads": 0}, {"dim": 0}, {"heads": 3}, {"kv_heads": 3}, {"dim": 7},
        {"heads": 2**30, "dim": 2**30}, {"mask": 3}, {"mask": WINDOW},
    ):  # fmt: skip
        assert refused(**changes), changes
    derived = [tensor(numbers(4, n), 1, base=0, multiple=2) for n in (24, 12, 12)]
    assert refused([*derived, None], [like(derived[0])]) == 0
    assert refused([*derived, cache.operand()], [like(derived[0])])
    for field, value in (
        ("dtype", 6), ("cols", 11), ("width_v", 11), ("state_kind", 2), ("group", 4),
        ("head", 3), ("head", 8), ("head", 24),
        ("offset", 2**64 - 8), ("bytes", 128), ("page_bytes", 100), ("kind", 2),
    ):  # fmt: skip
        state = cache.operand()
        state.fields[field] = value
        assert refused([q, k, k, state]), field
    plain = [tensor(numbers(3, n)) for n in (24, 12, 12)]
    assert refused([*plain, None], [like(plain[0])])
    assert refused([q, k, tensor(numbers(4, 12), positions=LIMIT), None])
    assert refused([q, k, k, None], [like(q, 12)])
    assert refused([q, k])
