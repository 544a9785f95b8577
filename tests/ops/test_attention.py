"""attention: masks, slots, chunks, groups."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_core.errors import ShapeError
from synapse_core.ops import RowTable, StateType, TensorType, complete_options
from synapse_core.ops.attention import ATTENTION
from tests.ops.conftest import COUNTED, TOKENS, Cache, Space, numbers, run, table

H, G, D = 4, 2, 3
BASE = {"heads": H, "kv_heads": G, "head_dim": D, "scale": 0.7}
GROUPS = Space("images.patches", "images", 4)


def qkv(rows: int, seed: int = 3) -> list[np.ndarray]:
    return [numbers(rows, n * D, seed=seed + n) for n in (H, G)] + [numbers(rows, G * D, seed=seed)]


def cache() -> Cache:
    return Cache(StateType("kv", "kv", G * D, G * D))


def attend(inputs, rows: RowTable | None = None, state: Cache | None = None, **options):
    return run(ATTENTION, [*inputs, state], rows=rows, **{"mask": "causal", **BASE, **options})[0]


def plain(q, k, v, sees, cap: float = 0.0) -> np.ndarray:
    """One number at a time, in float64."""
    y = np.zeros(q.shape)
    for t in range(len(q)):
        for h in range(H):
            g = h // (H // G)
            keys = [s for s in range(len(k)) if sees(t, s)]
            scores = []
            for s in keys:
                dot = sum(float(q[t, h * D + d]) * float(k[s, g * D + d]) for d in range(D))
                scores.append(cap * math.tanh(0.7 * dot / cap) if cap else 0.7 * dot)
            weights = [math.exp(score) for score in scores]
            for d in range(D):
                mixed = sum(w * float(v[s, g * D + d]) for w, s in zip(weights, keys, strict=True))
                y[t, h * D + d] = mixed / sum(weights)
    return y


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(
    ("options", "sees"),
    [
        ({"mask": "causal"}, lambda t, s: s <= t),
        ({"mask": "full"}, lambda t, s: True),
        ({"mask": "window", "window": 3}, lambda t, s: 0 <= t - s < 3),
        ({"mask": "window", "window": 1}, lambda t, s: s == t),
    ],
)
def test_equals_the_loop(options, sees, kept):
    inputs = qkv(6)
    y = attend(inputs, state=cache() if kept else None, **options)
    np.testing.assert_allclose(y, plain(*inputs, sees), atol=2e-6)


def test_softcap_bounds_the_scores():
    inputs = qkv(5)
    expected = plain(*inputs, lambda t, s: s <= t, cap=0.5)
    np.testing.assert_allclose(attend(inputs, softcap=0.5), expected, atol=2e-6)


@settings(max_examples=30, deadline=None)
@given(cuts=st.sets(st.integers(1, 8)), window=st.integers(0, 10))
def test_chunks_equal_the_whole(cuts, window):
    inputs, state = qkv(9), cache()
    mask = {"mask": "window", "window": window} if window else {"mask": "causal"}
    edges = [0, *sorted(cuts), 9]
    parts = [
        attend([x[a:b] for x in inputs], table((2, a, b - a)), state, **mask)
        for a, b in itertools.pairwise(edges)
    ]
    np.testing.assert_allclose(np.concatenate(parts), attend(inputs, **mask), atol=1e-6)


def test_full_with_a_state_sees_up_to_the_run_s_end():
    inputs, state = qkv(7), cache()
    attend([x[:4] for x in inputs], table((0, 0, 4)), state, mask="full")
    y = attend([x[4:] for x in inputs], table((0, 4, 3)), state, mask="full")
    np.testing.assert_allclose(y, attend(inputs, mask="full")[4:], atol=1e-6)


def test_going_back_overwrites_what_came_after():
    inputs, state = qkv(6), cache()
    attend(qkv(6, seed=30), table((0, 0, 6)), state)
    attend([x[:3] for x in inputs], table((0, 0, 3)), state)
    y = attend([x[3:] for x in inputs], table((0, 3, 3)), state)
    np.testing.assert_allclose(y, attend(inputs)[3:], atol=1e-6)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("mask", ["causal", "full"])
def test_mixed_slots_equal_each_alone_in_any_order(mask, kept):
    inputs, lengths = qkv(10), {3: 4, 0: 1, 7: 5}
    starts = dict(zip(lengths, np.cumsum([0, *lengths.values()]), strict=False))
    alone = {
        slot: attend([x[starts[slot] : starts[slot] + n] for x in inputs], mask=mask)
        for slot, n in lengths.items()
    }
    for order in ([3, 0, 7], [7, 3, 0], [0, 7, 3]):
        rows = np.concatenate([starts[s] + np.arange(lengths[s]) for s in order])
        runs = table(*((slot, 0, lengths[slot]) for slot in order))
        y = attend([x[rows] for x in inputs], runs, cache() if kept else None, mask=mask)
        expected = np.concatenate([alone[slot] for slot in order])
        np.testing.assert_allclose(y, expected, atol=1e-6)


@given(extra=st.integers(0, 5))
def test_a_window_over_all_rows_is_causal(extra):
    inputs = qkv(6)
    y = attend(inputs, mask="window", window=6 + extra)
    np.testing.assert_array_equal(y, attend(inputs))


def test_a_derived_space_attends_within_each_group():
    inputs = qkv(12)
    types = [TensorType(GROUPS, x.shape[1]) for x in inputs]
    options = {"mask": "full", **BASE}
    rows = table((5, 0, 1), (1, 0, 1), (2, 0, 1))
    (y,) = run(ATTENTION, [*inputs, None], types=[*types, None], rows=rows, **options)
    for group in range(3):
        part = slice(4 * group, 4 * group + 4)
        alone = attend([x[part] for x in inputs], mask="full")
        np.testing.assert_allclose(y[part], alone, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kv_heads": 3}, "4 query heads, 3 kv heads; query heads must be a multiple"),
        ({"head_dim": 5}, "q has 12 columns.*4 heads of 5.*20"),
        ({"mask": "window"}, "window.*0"),
        ({"q": TensorType(COUNTED, H * D)}, "outputs.*tokens|tokens.*outputs"),
        ({"state": StateType("kv", "kv", 8, 6)}, "state 'kv'.*8 and 6.*6"),
        ({"state": StateType("s", "recurrent", 6)}, "state 's'"),
        ({"state": StateType("kv", "kv", 6, 6, 4)}, "state 'kv' keeps 4.*all"),
    ],
)
def test_errors_name_both_sides(changes, words):
    given = {"q": TensorType(TOKENS, H * D), "k": TensorType(TOKENS, G * D), "state": None}
    operands = {key: changes.get(key, value) for key, value in given.items()}
    options = {key: value for key, value in changes.items() if key not in given}
    complete = complete_options(ATTENTION, {"mask": "causal", **BASE, **options})
    inputs = [operands["q"], operands["k"], operands["k"], operands["state"]]
    with pytest.raises(ShapeError, match=words):
        ATTENTION.infer(inputs, complete)


def test_rows_without_slots_and_derived_rows_with_a_state_are_refused():
    complete = complete_options(ATTENTION, {"mask": "causal", **BASE})
    for space, state, words in (
        (COUNTED, None, "outputs"),
        (GROUPS, StateType("kv", "kv", 6, 6), "derived"),
    ):
        types = [TensorType(space, n * D) for n in (H, G, G)]
        with pytest.raises(ShapeError, match=words):
            ATTENTION.infer([*types, state], complete)
