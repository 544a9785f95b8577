from __future__ import annotations

import numpy as np
import pytest

from synapse_core.errors import UsageError
from synapse_core.generate import Generation, Greedy, RepetitionPenalty

PROMPT = [0, 5, 9, 3, 7, 11, 2]
LOGITS = np.array([2.0, -2.0, 0.0, 3.0, -1.0], dtype=np.float32)


def test_a_seen_logit_is_divided_where_positive_and_multiplied_where_negative() -> None:
    found = RepetitionPenalty(2.0).apply(LOGITS, [0, 1, 2, 0, 0])
    assert found.tolist() == [1.0, -4.0, 0.0, 3.0, -1.0]
    assert found.dtype == np.float32


def test_the_logits_themselves_stay() -> None:
    before = LOGITS.copy()
    RepetitionPenalty(2.0).apply(LOGITS, [0, 1])
    assert np.array_equal(LOGITS, before)


def test_a_window_forgets_what_is_before_it() -> None:
    seen = [3, 0, 0, 4]
    assert RepetitionPenalty(2.0, window=3).apply(LOGITS, seen)[3] == 3.0
    assert RepetitionPenalty(2.0, window=4).apply(LOGITS, seen)[3] == 1.5
    assert RepetitionPenalty(2.0, window=0).apply(LOGITS, seen)[3] == 1.5
    assert RepetitionPenalty(2.0, window=99).apply(LOGITS, seen)[3] == 1.5


def test_a_penalty_of_one_changes_nothing() -> None:
    assert np.array_equal(RepetitionPenalty().apply(LOGITS, [0, 1]), LOGITS)


@pytest.mark.parametrize("wrong", [(0.0, 0), (-1.0, 0), (float("nan"), 0), (2.0, -1)])
def test_options_that_make_no_sense_are_refused(wrong: tuple[float, int]) -> None:
    with pytest.raises(UsageError):
        RepetitionPenalty(*wrong)


def test_the_loop_penalises_prompt_and_answer(toy) -> None:
    penalty = RepetitionPenalty(5.0, window=9)
    seen = list(PROMPT)
    for _ in range(15):
        seen.append(int(np.argmax(penalty.apply(toy.logits(seen), seen))))
    generation = Generation(toy.decoder(), Greedy(), PROMPT, 15, penalty=penalty)
    assert list(generation.ids()) == seen[len(PROMPT) :]
    plain = list(Generation(toy.decoder(), Greedy(), PROMPT, 15).ids())
    assert plain != generation.tokens
    # An enormous penalty on everything gives a sequence without repetition.
    never = Generation(toy.decoder(), Greedy(), PROMPT, 15, penalty=RepetitionPenalty(1e9))
    assert len({*PROMPT, *never.ids()}) == len(PROMPT) + 15


@pytest.mark.reference
@pytest.mark.parametrize("penalty", [0.5, 1.1, 1.3, 2.0])
def test_the_penalty_is_transformers_to_the_bit(penalty: float) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    rng = np.random.default_rng(8)
    logits = rng.normal(scale=4, size=500).astype(np.float32)
    seen = rng.integers(0, 500, 90).tolist()
    theirs = transformers.RepetitionPenaltyLogitsProcessor(penalty)
    expected = theirs(torch.tensor([seen]), torch.from_numpy(logits.copy())[None])[0].numpy()
    assert np.array_equal(RepetitionPenalty(penalty).apply(logits, seen), expected)
