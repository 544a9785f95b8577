"""The kernel that chooses a token, against its numpy reference: the same id, always."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_core.ops import sample

from .kernel_harness import check, library, like, run, run_same, tensor

pytestmark = pytest.mark.usefixtures("tier")

INF = np.inf
TEMPERATURES = [0.0, 1e-30, 0.01, 0.8, 1.0, 7.0, 1e4, INF]


def wanted(temperature=1.0, k=0, p=1.0, least=0.0, penalties=(1.0, 0.0, 0.0), seed=0, draw=0):
    words = [*sample.halves_of(seed), *sample.halves_of(draw)]
    return np.float32([[temperature, k, p, least, *penalties, *words]])


def operands(logits, wishes, charges=None, mask=None):
    """The six operands; `charges` are rows (owner, id, times, bias)."""
    x = tensor(logits)
    given = [x, tensor(wishes), None, None, None, None]
    if charges is not None:
        owner, id, times, bias = zip(*charges, strict=True) if charges else ((), (), (), ())
        numbers = np.stack([np.float32(times), np.float32(bias)], axis=1)
        given[2] = tensor(np.int32(id)[:, None], 1, limit=logits.shape[1])
        given[3] = tensor(np.int32(owner)[:, None], 1, limit_space=0)
        given[4] = tensor(numbers, 1)
    if mask is not None:
        given[5] = tensor(mask)
    return given, [like(x, 1)]


def by_reference(given):
    arrays = [operand and operand.array for operand in given]
    return sample.reference(None, arrays, {})[0]


def halves(allowed):
    """A mask (T, V) of booleans as the op takes it."""
    allowed = np.atleast_2d(allowed)
    bits = np.packbits(allowed, axis=1, bitorder="little")
    return np.pad(bits, ((0, 0), (0, bits.shape[1] % 2))).view("<u2").astype(np.float32)


def same(logits, wishes, charges=None, mask=None, threads=1):
    """Run both; return the ids on which they agree."""
    given, out = operands(np.atleast_2d(np.float32(logits)), wishes, charges, mask)
    (found,) = run("sample", given, out, threads=threads)
    expected = by_reference(given)
    assert found.tobytes() == expected.tobytes(), (found, expected)
    return found[:, 0].astype(int)


SORTS = ["normal", "flat", "peaked", "ties", "holes", "tiny", "huge", "falling"]


def logits_of(sort, size, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(scale=3, size=size).astype(np.float32)
    match sort:
        case "flat":
            x = np.full(size, x[0])
        case "peaked":
            x[rng.integers(0, size, 3)] += 20
        case "ties":
            x = np.round(x)
        case "holes":
            x[rng.random(size) < 0.7] = -INF
            x[size // 2] = 1
        case "tiny":
            x *= np.float32(1e-40)
        case "huge":
            x = np.clip(x.astype(np.float64) * 1e38, -3e38, 3e38)
        case "falling":
            x = -np.sort(-x)
    return x.astype(np.float32)


@pytest.mark.parametrize("size", [1, 16, 17, 64, 65, 320, 5000])
@pytest.mark.parametrize("sort", SORTS)
def test_reference_and_kernel_choose_the_same(sort, size):
    shares = ((1.0, 0.0), (0.95, 0.0), (0.3, 0.05), (1e-12, 0.0), (1.0, 1.0))
    for number, temperature in enumerate(TEMPERATURES):
        wishes = [
            wanted(temperature, max(k, 0), p, least, seed=number, draw=k)
            for k in (0, 1, 2, 40, size - 1, size, 9999)
            for p, least in shares
        ]
        logits = np.tile(logits_of(sort, size, number), (len(wishes), 1))
        ids = same(logits, np.concatenate(wishes), threads=1 + number % 3)
        assert min(ids) >= 0
        assert max(ids) < size
        if temperature > 100 and size > 10 and sort in ("normal", "flat", "ties"):
            assert len(set(ids)) > 3


@st.composite
def cases(draw):
    """Logits in few places, so that equals and gaps are common, and any wishes."""
    size, rows = draw(st.integers(1, 200)), draw(st.integers(1, 3))
    numbers = st.sampled_from(
        [-INF, -3e38, -9.0, -1e-42, -0.0, 0.0, 0.5, 0.5000001, 1.0, 8.0, 3e38]
    )
    sparse = draw(st.lists(numbers, min_size=rows * size, max_size=rows * size))
    share = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 1.0]))
    wishes = [
        wanted(
            draw(st.one_of(st.sampled_from(TEMPERATURES), st.floats(0, 50, width=32))),
            draw(st.integers(0, size + 1)),
            draw(share),
            draw(share),
            (draw(st.floats(0.5, 2, width=32)), draw(st.floats(-2, 2, width=32)), 0.25),
            draw(st.integers(0, 2**64 - 1)),
            draw(st.integers(0, 2**64 - 1)),
        )
        for _ in range(rows)
    ]
    places = st.tuples(
        st.integers(0, rows - 1),
        st.integers(0, size - 1),
        st.integers(0, 3),
        st.one_of(st.just(0.0), st.just(-INF), st.floats(-5, 5, width=32)),
    )
    charges = draw(st.one_of(st.none(), st.lists(places, max_size=20)))
    allowed = draw(st.one_of(st.none(), st.lists(st.booleans(), min_size=size, max_size=size)))
    mask = None if allowed is None else np.tile(halves(np.array(allowed)), (rows, 1))
    return np.float32(sparse).reshape(rows, size), np.concatenate(wishes), charges, mask


@settings(max_examples=100, deadline=None, derandomize=True)
@given(cases())
def test_reference_and_kernel_agree_on_anything(case):
    same(*case)


def test_chances_have_the_bits_of_the_kernels_exponential():
    x = np.concatenate([np.linspace(-110, 0, 100_001), [-INF, -0.0, -1e-45]]).astype(np.float32)
    ffi, lib, _ = library()
    found = np.empty_like(x)
    lib.test_exp(ffi.cast("float *", found.ctypes.data), ffi.cast("float *", x.ctypes.data), len(x))
    np.testing.assert_array_equal(sample.exponential(x).view(np.uint32), found.view(np.uint32))


def test_greedy_takes_the_first_of_equals():
    logits = np.zeros(300, np.float32)
    logits[[70, 71, 250]] = 2
    assert same(logits, wanted(0.0)) == 70
    logits[69] = np.float32(2.0000002)
    assert same(logits, wanted(0.0)) == 69


def test_draws_are_those_of_the_softmax():
    """Chi-square of 20,000 draws of 12 ids; with 11 degrees of freedom once in 1,000 over 31.3."""
    logits = np.random.default_rng(4).normal(scale=1.5, size=12).astype(np.float32)
    count, chunk = 20_000, 500
    hits = np.zeros(12)
    for start in range(0, count, chunk):
        wishes = [wanted(0.9, seed=5, draw=start + n) for n in range(chunk)]
        ids = same(np.tile(logits, (chunk, 1)), np.concatenate(wishes))
        hits += np.bincount(ids, minlength=12)
    weights = np.exp(logits.astype(np.float64) / 0.9)
    expected = count * weights / weights.sum()
    assert ((hits - expected) ** 2 / expected).sum() < 31.3


def test_a_mask_leaves_what_it_allows():
    logits = logits_of("normal", 100, 1)
    for only in (0, 15, 16, 63, 64, 99):
        allowed = np.arange(100) == only
        assert same(logits, wanted(5.0), mask=halves(allowed)) == only
        assert same(logits, wanted(0.0), mask=halves(allowed)) == only


def test_nothing_left_and_no_numbers_are_told_apart():
    logits = logits_of("normal", 100, 1)
    assert same(logits, wanted(), mask=halves(np.zeros(100, bool))) == -1
    assert same(logits, wanted(), [(0, id, 0, -INF) for id in range(100)]) == -1
    for temperature in (0.0, 1.0):
        for wrong in (np.nan, INF):
            broken = logits.copy()
            broken[[70, 80]] = wrong
            assert same(broken, wanted(temperature)) == -71
            allowed = np.arange(100) < 70
            assert 0 <= same(broken, wanted(temperature), mask=halves(allowed)) < 70


def test_the_unlikely_is_drawn_where_a_draw_falls_there():
    """5,000 ids, each e^-20 as likely as the top one: the highest of many draws is one of them."""
    draw = max(range(1 << 18), key=lambda draw: sample.draw_bits(3, draw))
    logits = np.full(5064, -20, np.float32)
    logits[:64] = -INF
    logits[5] = 0
    assert same(logits, wanted(1.0, seed=3, draw=draw)) >= 64
    assert same(logits - 40, wanted(1.0, seed=3, draw=draw)) >= 64
    assert same(logits * 2, wanted(1.0, seed=3, draw=draw)) == 5


def test_zeros_of_both_signs_are_equals():
    logits = np.full(150, -2, np.float32)
    logits[[3, 70, 71, 140]] = -0.0
    logits[[4, 72, 141]] = 0.0
    wishes = np.concatenate([wanted(1.0, 2, draw=draw) for draw in range(40)])
    assert set(same(np.tile(logits, (40, 1)), wishes)) == {3, 4}
    assert set(same(np.tile(-logits - 4, (40, 1)), wishes)) == {0, 1}


def test_every_charge_counts():
    """All ids are charged, so that a wrong number changes who is first."""
    rng = np.random.default_rng(9)
    logits = rng.normal(size=(60, 90)).astype(np.float32)
    logits -= np.linspace(0, 4, 60, dtype=np.float32)[:, None]  # the first are over 0, or under
    charges = [
        (row, id, int(rng.integers(0, 3)), float(rng.normal(scale=0.3)))
        for row in range(60)
        for id in range(90)
    ]
    amounts = rng.uniform([0.5, -0.5, -0.5], [2.0, 0.5, 0.5], (60, 3))
    greedy = np.concatenate([wanted(0.0, penalties=tuple(row)) for row in amounts])
    uncharged = same(logits, greedy)
    assert (same(logits, greedy, charges) != uncharged).sum() > 20
    drawn = np.concatenate([wanted(0.1, 3, penalties=tuple(row), draw=7) for row in amounts])
    same(logits, drawn, charges)


def test_charges_are_of_their_own_row():
    logits = np.zeros((2, 80), np.float32)
    ids = same(logits, np.tile(wanted(0.0), (2, 1)), [(1, 79, 0, 1.0), (0, 3, 0, 0.5)])
    assert ids.tolist() == [3, 79]
    penalties = np.tile(wanted(0.0, penalties=(1.0, 1.0, 0.5)), (2, 1))
    ids = same(logits + 1, penalties, [(0, id, 1, 0.0) for id in range(79)])
    assert ids.tolist() == [79, 0]


def test_settings_of_any_bits_do_no_harm():
    """A program may be handed anything; what comes out is an id, or the word that there is none."""
    rng = np.random.default_rng(8)
    bits = rng.integers(0, 2**32, (64, sample.COLUMNS), dtype=np.uint32)
    bits[:8] = np.float32([np.nan, INF, -INF, -1, 3e38, 1e-45, 0.5, 70000])[:, None].view(np.uint32)
    wishes = bits.view(np.float32)
    logits = rng.normal(size=(64, 130)).astype(np.float32)
    mask = rng.integers(0, 2**32, (64, 9), dtype=np.uint32).view(np.float32)
    mask[:, 0] = 65535
    charges = [(n % 64, n % 130, n % 3, -1.0) for n in range(200)]
    ids = same(logits, wishes, charges, mask)
    assert min(ids) >= -130
    assert max(ids) < 130


def test_threads_change_nothing():
    wishes = np.concatenate([wanted(1.0, k, 0.9, 0.01, draw=k) for k in range(7)])
    given_, out = operands(np.tile(logits_of("normal", 700, 2), (7, 1)), wishes)
    run_same("sample", given_, out)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({0: {"cols": 1 << 24}}, 2),
        ({0: {"dtype": 4}}, 2),
        ({1: {"cols": 14}}, 3),
        ({1: {"rows": 2}}, 3),
        ({1: {"base": 1}}, 3),
        ({2: {"limit": 41}}, 4),
        ({2: {"limit": 0}}, 4),
        ({2: {"cols": 2}}, 4),
        ({3: {"limit_space": 1}}, 4),
        ({3: {"limit": 40}}, 4),
        ({3: {"rows": 3}}, 4),
        ({4: {"cols": 1}}, 4),
        ({4: {"base": 0}}, 4),
        ({3: {"kind": 0}}, 4),
        ({2: {"kind": 0}}, 4),
        ({5: {"cols": 2}}, 5),
        ({5: {"rows": 2}}, 5),
    ],
)
def test_what_could_not_be_run_is_refused(fault, code):
    logits = np.zeros((1, 40), np.float32)
    given_, out = operands(
        logits, wanted(), [(0, 1, 1, 0.0), (0, 2, 0, 1.0)], halves(np.ones(40, bool))
    )
    assert check("sample", given_, out) == 0
    for number, fields in fault.items():
        given_[number].fields.update(fields)
    assert check("sample", given_, out) == code


def test_other_operands_and_outputs_are_refused():
    given_, out = operands(np.zeros((1, 40), np.float32), wanted())
    assert check("sample", given_, out) == 0
    assert check("sample", given_[:5], out) == 1
    assert check("sample", given_, [like(given_[0], 2)]) == 6
