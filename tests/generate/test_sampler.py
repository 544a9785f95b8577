from __future__ import annotations

import numpy as np
import pytest

from synapse_core.errors import SynapseError, UsageError
from synapse_core.generate import Greedy, Random, make_sampler
from synapse_core.ops import sample
from synapse_core.ops.sample import draw_bits

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
        order = np.sort(np.argsort(-logits, kind="stable")[: k or None])
        weights = np.exp(logits[order].astype(np.float64) - float(logits.max()))
        sampler = Random(1.0, top_k=k, seed=5)
        for number in range(50):
            draw = draw_bits(5, number) * 2.0**-32
            place = np.searchsorted(weights.cumsum(), draw * weights.sum(), side="right")
            assert sampler.choose(logits) == order[place]


@pytest.mark.parametrize("k", [1, 3, 40, 700, 19999])
@pytest.mark.parametrize("sort", ["random", "falling", "rising", "sampled", "masked", "equal"])
def test_the_k_likeliest_are_found_wherever_they_lie(sort: str, k: int) -> None:
    logits = np.random.default_rng(5).normal(scale=3, size=20000).astype(np.float32)
    if sort == "falling":
        logits = -np.sort(-logits)
    if sort == "rising":
        logits = np.sort(logits)
    if sort == "sampled":  # where a sample by steps looks, and nowhere else
        logits[::64] += 100
    if sort == "masked":
        logits[50:] = -np.inf
    if sort == "equal":
        logits[:] = 1
    order = np.argsort(-logits, kind="stable")[:k]
    drawn = {Random(1e4, top_k=k, seed=seed).choose(logits) for seed in range(300)}
    assert drawn <= set(order[np.isfinite(logits[order])].tolist())
    assert len(drawn) >= min(k, 30)


def test_top_p_keeps_the_smallest_set_that_reaches_the_mass() -> None:
    masses = np.sort(softmax(LOGITS))[::-1].cumsum()
    kept = np.flatnonzero(frequencies(Random(1.0, top_p=float(masses[1]) + 0.01, seed=1)))
    assert set(kept) == {1, 3, 4}
    assert set(np.flatnonzero(frequencies(Random(1.0, top_p=0.01, seed=1)))) == {1}


def test_min_p_keeps_what_has_that_share_of_the_likeliest() -> None:
    # LOGITS at temperature 2: e^-0.25 of the likeliest is the fourth, e^-1.25 the first.
    shares = np.exp((LOGITS - 3.0) / 2.0)
    for share in (0.1, 0.25, 0.5, 0.8, 1.0):
        drawn = frequencies(Random(2.0, seed=1, min_p=share), 2000)
        assert set(np.flatnonzero(drawn)) == set(np.flatnonzero(shares >= share))


def test_min_p_counts_behind_the_temperature_and_beside_the_others() -> None:
    # At temperature 1 the share of id 3 is 0.61, at 2 it is 0.78.
    assert set(np.flatnonzero(frequencies(Random(1.0, seed=1, min_p=0.7)))) == {1, 4}
    assert set(np.flatnonzero(frequencies(Random(2.0, seed=1, min_p=0.7)))) == {1, 3, 4}
    narrow = Random(2.0, top_k=1, seed=1, min_p=0.7)
    assert set(np.flatnonzero(frequencies(narrow, 500))) == {1}


def test_without_min_p_a_seed_draws_what_it_drew_before() -> None:
    sampler = Random(1.0, seed=42, min_p=0.0)
    assert [sampler.choose(LOGITS) for _ in range(12)] == GOLDEN


def test_a_seed_fixes_the_draws_on_every_machine() -> None:
    sampler = Random(1.0, seed=42)
    assert [sampler.choose(LOGITS) for _ in range(12)] == GOLDEN


def test_options_that_make_no_sense_are_refused() -> None:
    for wrong in ((-1.0, 0, 1.0), (float("nan"), 0, 1.0), (1.0, -1, 1.0), (1.0, 0, 0.0)):
        with pytest.raises(UsageError):
            make_sampler(*wrong)
    with pytest.raises(UsageError):
        make_sampler(1.0, 0, 1.0, seed=-1)
    with pytest.raises(UsageError, match=r"below 2\^64"):
        make_sampler(1.0, 0, 1.0, seed=1 << 64)
    for wrong_share in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError):
            make_sampler(min_p=wrong_share)


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


@pytest.mark.reference
@pytest.mark.parametrize("k", [0, 5, 60])
@pytest.mark.parametrize("p", [1.0, 0.9, 0.3])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.4])
def test_what_may_be_drawn_is_what_transformers_leaves(
    k: int, p: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    warpers = [transformers.TemperatureLogitsWarper(1.7)]
    warpers += [transformers.TopKLogitsWarper(k)] if k else []
    warpers += [transformers.TopPLogitsWarper(p)] if p < 1 else []
    warpers += [transformers.MinPLogitsWarper(share)] if share else []
    rng = np.random.default_rng(3)
    for _ in range(2):
        logits = rng.normal(scale=3, size=200).astype(np.float32)
        scores = torch.from_numpy(logits.copy())[None]
        for warper in warpers:
            scores = warper(None, scores)
        chances = torch.softmax(scores.double(), dim=-1)[0].numpy()
        drawn = np.zeros(200)
        # The draw runs evenly over the sums, so that every interval is met.
        monkeypatch.setattr(sample, "draw_bits", lambda seed, draw: (2 * draw + 1) << 18)
        sampler = Random(1.7, k, p, seed=1, min_p=share)
        for _ in range(1 << 13):
            drawn[sampler.choose(logits)] += 1
        assert np.abs(drawn / (1 << 13) - chances).max() <= 2 / (1 << 13)


# Random(1.0, seed=42) on LOGITS: SplitMix64's bits, computed once.
GOLDEN = [4, 1, 1, 1, 1, 4, 1, 4, 1, 3, 1, 3]
