from __future__ import annotations

import numpy as np
import pytest

from synapse_core.errors import UsageError
from synapse_core.generate import (
    Generation,
    Greedy,
    Penalties,
    TokenLogprob,
    log_softmax,
    make_sampler,
)

PROMPT = [0, 5, 9, 3, 7, 11, 2]


def test_log_probabilities_are_the_logarithm_of_the_softmax() -> None:
    logits = np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    expected = np.exp(logits.astype(np.float64))
    expected = np.log(expected / expected.sum(axis=1, keepdims=True))
    assert np.allclose(log_softmax(logits), expected, rtol=1e-14)
    assert log_softmax(logits)[1].tolist() == pytest.approx([-np.log(3)] * 3)


def test_logits_too_large_to_be_exponents_are_no_harm() -> None:
    found = log_softmax(np.array([3000.0, 3001.0], dtype=np.float32))
    assert found.tolist() == pytest.approx([-1.3132616875, -0.3132616875])


def test_the_top_is_likeliest_first_and_of_equals_the_smaller_id() -> None:
    logits = np.array([1.0, 3.0, -np.inf, 3.0, 2.0], dtype=np.float32)
    found = TokenLogprob.of(logits, 4, 9)
    assert [id for id, _ in found.top] == [1, 3, 4, 0]
    assert found.logprob == dict(found.top)[4]
    assert TokenLogprob.of(logits, 4, 2).top == found.top[:2]
    assert TokenLogprob.of(logits, 4, 0).top == ()


def test_every_token_has_the_models_own_log_probability(toy) -> None:
    sampler, penalty = make_sampler(0.5, 3, 1.0, 4), Penalties(3.0)
    generation = Generation(toy.decoder(), sampler, PROMPT, 10, top_logprobs=2, penalty=penalty)
    ids = list(generation.ids())
    assert [found.id for found in generation.logprobs] == ids
    seen = list(PROMPT)
    for found in generation.logprobs:
        row = toy.logits(seen).astype(np.float64)
        chances = row - np.log(np.exp(row).sum())
        assert found.logprob == pytest.approx(chances[found.id], rel=1e-12)
        assert [id for id, _ in found.top] == np.argsort(-chances)[:2].tolist()
        seen.append(found.id)


def test_unasked_log_probabilities_are_not_kept(toy) -> None:
    generation = Generation(toy.decoder(), Greedy(), PROMPT, 5)
    list(generation.ids())
    assert generation.logprobs == []


def test_a_negative_number_of_them_is_refused(toy) -> None:
    with pytest.raises(UsageError, match="0 or more"):
        Generation(toy.decoder(), Greedy(), PROMPT, 5, top_logprobs=-1)
