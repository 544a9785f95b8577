from __future__ import annotations

import numpy as np
import pytest

from synapse_core.errors import SynapseError, UsageError
from synapse_core.generate import Greedy, Random, make_sampler

LOGITS = np.array([0.5, 3.0, -1.0, 2.5, 3.0, 0.0], dtype=np.float32)


def frequencies(sampler: Random, count: int = 4000) -> np.ndarray:
    drawn = [sampler.choose(LOGITS) for _ in range(count)]
    return np.bincount(drawn, minlength=len(LOGITS)) / count


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def test_greedy_takes_the_first_of_equals() -> None:
    assert Greedy().choose(LOGITS) == 1


def test_draws_follow_the_softmax_at_each_temperature() -> None:
    for temperature in (0.5, 1.0, 2.0):
        drawn = frequencies(Random(temperature, seed=3))
        assert np.abs(drawn - softmax(LOGITS / temperature)).max() < 0.03


def test_top_k_keeps_the_k_likeliest_and_equals_by_id() -> None:
    assert set(np.flatnonzero(frequencies(Random(5.0, top_k=2, seed=1)))) == {1, 4}
    assert set(np.flatnonzero(frequencies(Random(5.0, top_k=1, seed=1)))) == {1}


def test_a_large_vocabulary_draws_what_sorting_it_all_would() -> None:
    rng = np.random.default_rng(9)
    logits = rng.normal(scale=4, size=5000).astype(np.float32)
    logits[rng.integers(0, 5000, 400)] = logits.max()
    for k in (0, 1, 7, 450, 4999, 9999):
        order = np.argsort(-logits, kind="stable")[: k or None]
        weights = np.exp(logits[order].astype(np.float64) - float(logits.max()))
        bits = np.random.PCG64(5)
        sampler = Random(1.0, top_k=k, seed=5)
        for _ in range(50):
            draw = (int(bits.random_raw()) >> 11) * 2.0**-53
            place = np.searchsorted(weights.cumsum(), draw * weights.sum(), side="right")
            assert sampler.choose(logits) == order[place]


def test_top_p_keeps_the_smallest_set_that_reaches_the_mass() -> None:
    masses = np.sort(softmax(LOGITS))[::-1].cumsum()
    kept = np.flatnonzero(frequencies(Random(1.0, top_p=float(masses[1]) + 0.01, seed=1)))
    assert set(kept) == {1, 3, 4}
    assert set(np.flatnonzero(frequencies(Random(1.0, top_p=0.01, seed=1)))) == {1}


def test_a_seed_fixes_the_draws_on_every_machine() -> None:
    sampler = Random(1.0, seed=42)
    assert [sampler.choose(LOGITS) for _ in range(12)] == GOLDEN


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in ((-1.0, 0, 1.0), (float("nan"), 0, 1.0), (1.0, -1, 1.0), (1.0, 0, 0.0)):
        with pytest.raises(UsageError):
            make_sampler(*wrong)
    with pytest.raises(UsageError):
        make_sampler(1.0, 0, 1.0, seed=-1)


def test_temperature_zero_is_greedy() -> None:
    assert isinstance(make_sampler(0.0), Greedy)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(wrong: float) -> None:
    broken = LOGITS.copy()
    broken[2] = wrong
    for sampler in (Greedy(), Random(seed=1)):
        with pytest.raises(SynapseError, match="not finite"):
            sampler.choose(broken)


def test_a_masked_token_is_never_drawn() -> None:
    masked = LOGITS.copy()
    masked[1] = -np.inf
    sampler = Random(3.0, seed=5)
    assert all(sampler.choose(masked) != 1 for _ in range(500))


# Random(1.0, seed=42) on LOGITS: PCG64's raw bits, computed once.
GOLDEN = [3, 4, 3, 4, 1, 5, 3, 3, 1, 4, 4, 3]
