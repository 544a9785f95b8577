from __future__ import annotations

import numpy as np
import pytest

from synapse_core.errors import UsageError
from synapse_core.generate import Generation, Greedy, Penalties

PROMPT = [0, 5, 9, 3, 7, 11, 2]
LOGITS = np.array([2.0, -2.0, 0.0, 3.0, -1.0], dtype=np.float32)


def test_a_seen_logit_is_divided_where_positive_and_multiplied_where_negative() -> None:
    found = Penalties(2.0).apply(LOGITS, [0, 1, 2, 0, 0])
    assert found.tolist() == [1.0, -4.0, 0.0, 3.0, -1.0]
    assert found.dtype == np.float32


def test_the_logits_themselves_stay() -> None:
    before = LOGITS.copy()
    Penalties(2.0).apply(LOGITS, [0, 1])
    assert np.array_equal(LOGITS, before)


def test_a_window_forgets_what_is_before_it() -> None:
    seen = [3, 0, 0, 4]
    assert Penalties(2.0, window=3).apply(LOGITS, seen)[3] == 3.0
    assert Penalties(2.0, window=4).apply(LOGITS, seen)[3] == 1.5
    assert Penalties(2.0, window=0).apply(LOGITS, seen)[3] == 1.5
    assert Penalties(2.0, window=99).apply(LOGITS, seen)[3] == 1.5


def test_a_penalty_of_one_changes_nothing() -> None:
    assert np.array_equal(Penalties().apply(LOGITS, [0, 1]), LOGITS)


@pytest.mark.parametrize(
    "wrong",
    [
        (0.0,), (-1.0,), (float("nan"),), (2.0, -1), (1.0, 0, float("inf")),
        (1.0, 0, 0.0, float("nan")), (1.0, 0, 0.0, 0.0, {1: float("inf")}),
        (1.0, 0, 0.0, 0.0, {1: float("nan")}),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        Penalties(*wrong)


def plainly(options: Penalties, logits: np.ndarray, seen: list[int]) -> list[float]:
    """The same, number by number, in Python's own floats."""
    window = seen[-options.window :] if options.window else seen
    found = []
    for id, logit in enumerate(logits.tolist()):
        number = logit + options.bias.get(id, 0.0)
        if id in window:
            number = number * options.repetition if number < 0 else number / options.repetition
            number -= window.count(id) * options.frequency + options.presence
        found.append(number)
    return found


@pytest.mark.parametrize("window", [0, 7])
@pytest.mark.parametrize(
    "options",
    [
        {"frequency": 0.3}, {"presence": 0.7}, {"frequency": -0.5, "presence": -0.25},
        {"bias": {3: 1.5, 8: -2.0}}, {"bias": {3: float("-inf")}},
        {"repetition": 1.3, "frequency": 0.1, "presence": 0.2, "bias": {0: 4.0, 39: -4.0}},
    ],
)  # fmt: skip
def test_each_charge_is_what_it_is_number_by_number(options: dict, window: int) -> None:
    rng = np.random.default_rng(11)
    logits = rng.normal(scale=3, size=40).astype(np.float32)
    seen = rng.integers(0, 40, 60).tolist()
    penalties = Penalties(window=window, **options)
    expected = plainly(penalties, logits, seen)
    found = penalties.apply(logits, seen)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(found, logits)


def test_a_forbidden_token_never_comes_and_a_favoured_one_always(toy) -> None:
    first = list(Generation(toy.decoder(), Greedy(), PROMPT, 8).ids())
    never = Penalties(bias={first[0]: float("-inf")})
    assert first[0] not in Generation(toy.decoder(), Greedy(), PROMPT, 8, penalty=never).ids()
    always = Penalties(bias={7: 1e6})
    found = Generation(toy.decoder(), Greedy(), PROMPT, 8, penalty=always)
    assert list(found.ids()) == [7] * 8


def test_a_bias_of_a_token_that_is_not_there_is_refused(toy) -> None:
    with pytest.raises(UsageError, match="bias of token 1000000"):
        Generation(toy.decoder(), Greedy(), PROMPT, 8, penalty=Penalties(bias={10**6: 1.0}))


def test_the_loop_penalises_prompt_and_answer(toy) -> None:
    penalty = Penalties(5.0, window=9)
    seen = list(PROMPT)
    for _ in range(15):
        seen.append(int(np.argmax(penalty.apply(toy.logits(seen), seen))))
    generation = Generation(toy.decoder(), Greedy(), PROMPT, 15, penalty=penalty)
    assert list(generation.ids()) == seen[len(PROMPT) :]
    plain = list(Generation(toy.decoder(), Greedy(), PROMPT, 15).ids())
    assert plain != generation.tokens
    # An enormous penalty on everything gives a sequence without repetition.
    never = Generation(toy.decoder(), Greedy(), PROMPT, 15, penalty=Penalties(1e9))
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
    assert np.array_equal(Penalties(penalty).apply(logits, seen), expected)
