"""The op that chooses a token: its rule, its random bits, and what a plain sort would have left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_core.errors import ShapeError
from synapse_core.ops import I32, SAMPLE, TensorType
from synapse_core.ops.sample import (
    COLUMNS,
    MOST_IDS,
    choose,
    draw_bits,
    exponential,
    halves_of,
    word_of,
)
from tests.ops.conftest import COUNTED, TOKENS, Space

CHARGED = Space("charged", "charged", 1, False)


def wishes(temperature=1.0, k=0, p=1.0, least=0.0, seed=0, draw=0):
    words = [*halves_of(seed), *halves_of(draw)]
    return np.float32([temperature, k, p, least, 1, 0, 0, *words])


def types(**changes):
    """The operands' types for 40 logits, some of them changed."""
    given = {
        "logits": TensorType(COUNTED, 40),
        "settings": TensorType(COUNTED, COLUMNS),
        "ids": TensorType(CHARGED, 1, I32, 40),
        "owners": TensorType(CHARGED, 1, I32, 0, "outputs"),
        "charges": TensorType(CHARGED, 2),
        "mask": TensorType(COUNTED, 3),
    }
    return list((given | changes).values())


def test_the_rule_gives_a_column_of_ids():
    bare = dict.fromkeys(("ids", "owners", "charges", "mask"))
    for given_ in (types(), types(**bare), types(mask=None)):
        assert SAMPLE.infer(given_, {}) == (TensorType(COUNTED, 1),)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"logits": TensorType(COUNTED, MOST_IDS + 1)}, "16777216 logits a row; at most 16777215"),
        ({"settings": TensorType(COUNTED, 14)}, "settings is outputs × 14.*outputs × 15"),
        ({"settings": TensorType(TOKENS, COLUMNS)}, "settings is tokens × 15"),
        ({"ids": TensorType(CHARGED, 1, I32, 41)}, "ids are below 41, there are 40 logits"),
        ({"ids": None}, "ids must be one column of i32, it is missing"),
        ({"owners": TensorType(CHARGED, 1, I32, 40)}, "owners count rows of 'nothing'"),
        ({"owners": TensorType(TOKENS, 1, I32, 0, "outputs")}, "owners is tokens × 1"),
        ({"charges": TensorType(CHARGED, 3)}, "charges is charged × 3.*charged × 2"),
        ({"mask": TensorType(COUNTED, 2)}, "mask is outputs × 2.*outputs × 3"),
    ],
)
def test_operands_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(ShapeError, match=said):
        SAMPLE.infer(types(**changes), {})


def test_random_bits_are_those_of_splitmix():
    """The first numbers of seed 1234567, as published beside the algorithm's ports."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [draw_bits(1234567, draw) for draw in range(3)] == [n >> 32 for n in published]


def test_a_word_goes_through_float_numbers_unchanged():
    for word in (0, 1, 2**64 - 1, 0x123456789ABCDEF0):
        assert word_of(np.float32(halves_of(word))) == word


def test_the_exponential_is_right_to_two_units_in_the_last_place():
    x = np.linspace(-80, 0, 10_001).astype(np.float32)
    true = np.exp(x.astype(np.float64))
    assert np.abs(exponential(x) / true - 1).max() <= 2 * 2.0**-23
    assert exponential(np.float32([0, -np.inf])).tolist() == [1, 0]


def by_sorting(logits, wish):
    """The same choice in the plainest way: Python's sort and Python's integers."""
    temperature, k, p, least = wish[:4]
    top = max(logits)
    behind = [abs(np.float32(top - x)) for x in logits]
    order = sorted(range(len(logits)), key=lambda place: (behind[place], place))
    kept = order[: int(k) or None]
    chances = exponential(np.float32([-(behind[id] / temperature) for id in range(len(logits))]))
    weight = [int(float(chance) * 2**40) for chance in chances]
    limit = sum(weight[id] for id in kept) * int(p * np.float32(2**32)) >> 32
    if p < 1:
        mass, number = 0, 0
        while mass <= limit:
            mass, number = mass + weight[kept[number]], number + 1
        kept = kept[:number]
    kept = [id for id in sorted(kept) if chances[id] >= least]
    target = (
        sum(weight[id] for id in kept) * draw_bits(word_of(wish[7:11]), word_of(wish[11:])) >> 32
    )
    for id in kept:
        if weight[id] > target:
            return id
        target -= weight[id]
    raise AssertionError("the target lies beyond the mass")


LEVELS = st.one_of(st.floats(-30, 30, width=32), st.sampled_from([-np.inf, 0.0, -0.0, 2.0]))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(LEVELS, min_size=1, max_size=60),
    st.floats(0.01171875, 100, width=32),
    st.integers(0, 60),
    st.floats(0.0009765625, 1, width=32),
    st.floats(0, 1, width=32),
    st.integers(0, 2**64 - 1),
)
def test_it_chooses_what_a_sort_would(levels, temperature, k, p, least, seed):
    logits = np.float32(levels)
    logits[len(logits) // 2] = 1.5
    wish = wishes(temperature, k, p, least, seed=seed, draw=seed >> 7)
    assert choose(logits, wish) == by_sorting(logits, wish)
