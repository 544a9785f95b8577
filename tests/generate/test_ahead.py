"""Guessing ahead changes no token, whoever guesses and whatever the slot can take back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
import pytest

from synapse_core.errors import UsageError
from synapse_core.generate import Generation, Greedy, make_sampler
from synapse_core.generate.ahead import Ahead
from synapse_core.generate.guess import DraftModel, PromptLookup, check_draft

PROMPT = [0, 5, 9, 3, 7, 11, 2]
COUNT = 40
SLOTS = {
    "rewinds": {},
    "windows": {"rewinds": False},
    "recurrent": {"recurrent": True, "spare": 1},
}


@attrs.define
class Known:
    """Guesses a text, wrongly where `is_wrong` says so."""

    text: Sequence[int]
    is_wrong: Callable[[int], bool] = lambda place: False

    def guess(self, seen: Sequence[int], most: int) -> list[int]:
        places = range(len(seen), min(len(seen) + most, len(self.text)))
        return [(self.text[n] + self.is_wrong(n)) % 32 for n in places]


def options(slot: str) -> dict[str, object]:
    return {"most_tokens": 12, "most_outputs": 10, **SLOTS[slot]}


def plain(toy, sampler, **changes) -> list[int]:
    return list(Generation(toy.decoder(**changes), sampler(), PROMPT, COUNT).ids())


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("wrong", [1, 2, 3, 7, 1000])
def test_the_tokens_are_those_of_plain_decoding(toy, slot, temperature, wrong) -> None:
    def sampler():
        return make_sampler(temperature, seed=3)

    expected = plain(toy, sampler)
    decoder = toy.decoder(**options(slot))
    guesser = Known([*PROMPT, *expected], lambda n: n % wrong == 0)
    generation = Generation(decoder, sampler(), PROMPT, COUNT, guesser=guesser)
    assert list(generation.ids()) == expected
    assert generation.ahead.guessed >= generation.ahead.right
    assert decoder.seen in ([*PROMPT, *expected], [*PROMPT, *expected[:-1]])
    assert decoder.session.memory[0][: len(decoder.seen)] == decoder.seen
    # The slot goes on as one that never guessed.
    longer = [*PROMPT, *expected, 4]
    again = Generation(decoder, sampler(), longer, 8, guesser=guesser)
    fresh = Generation(toy.decoder(), sampler(), longer, 8)
    assert list(again.ids()) == list(fresh.ids())


def test_right_guesses_save_calls(toy) -> None:
    expected = plain(toy, Greedy)
    decoder = toy.decoder(**options("rewinds"))
    ticks = iter(range(10**6))
    generation = Generation(
        decoder, Greedy(), PROMPT, COUNT,
        guesser=Known([*PROMPT, *expected]), clock=lambda: float(next(ticks)),
    )  # fmt: skip
    assert list(generation.ids()) == expected
    assert generation.ahead.right == generation.ahead.guessed
    assert generation.ahead.calls < COUNT / 3
    assert "guesses right" in generation.summary()


@pytest.mark.parametrize("slot", SLOTS)
def test_an_answer_that_ends_early_leaves_no_guess_behind(toy, slot) -> None:
    expected = plain(toy, Greedy)
    for count in range(1, 12):
        decoder = toy.decoder(**options(slot))
        guesser = Known([*PROMPT, *expected])
        made = Generation(decoder, Greedy(), PROMPT, count, guesser=guesser)
        assert list(made.ids()) == expected[:count]
        assert decoder.seen == [*PROMPT, *expected][: len(decoder.seen)]
        assert len(PROMPT) + count - 1 <= len(decoder.seen) <= len(PROMPT) + count


def test_a_full_context_ends_as_it_does_without_guesses(toy) -> None:
    expected = plain(toy, Greedy)
    for positions in range(len(PROMPT) + 1, len(PROMPT) + 14):
        wanted = Generation(toy.decoder(positions=positions), Greedy(), PROMPT, COUNT)
        decoder = toy.decoder(**options("rewinds"), positions=positions)
        guesser = Known([*PROMPT, *expected])
        found = Generation(decoder, Greedy(), PROMPT, COUNT, guesser=guesser)
        assert list(found.ids()) == list(wanted.ids())
        assert found.reason == wanted.reason


def test_a_recurrent_slot_without_a_second_one_is_refused_before_it_guesses(toy) -> None:
    decoder = toy.decoder(recurrent=True, most_outputs=4)
    decoder.prefill(PROMPT)
    with pytest.raises(UsageError, match="slots=2"):
        decoder.extend([1, 2])
    assert decoder.seen == PROMPT
    decoder.extend([1])
    with pytest.raises(UsageError, match="cannot go back from 8 tokens to 3"):
        decoder.keep(3)


def test_a_window_slot_goes_back_within_its_last_call_only(toy) -> None:
    decoder = toy.decoder(rewinds=False, most_outputs=4)
    decoder.prefill(PROMPT)
    decoder.extend([1, 2, 3])
    decoder.keep(len(PROMPT) + 1)
    decoder.step(4)
    with pytest.raises(UsageError, match="cannot go back"):
        decoder.keep(len(PROMPT))


def test_lookup_says_what_followed_the_longest_match_and_the_latest() -> None:
    lookup = PromptLookup()
    assert lookup.guess([1, 2, 3], 4) == []
    assert lookup.guess([1, 2, 3, 9, 1, 2], 3) == [3, 9, 1]
    assert lookup.guess([1, 2, 3, 9, 1, 2, 5, 1, 2], 2) == [5, 1]
    longest = [7, 8, 1, 2, 6, 0, 1, 2, 5, 7, 8, 1, 2]
    assert PromptLookup().guess(longest, 2) == [6, 0]


@pytest.mark.parametrize("period", [1, 2, 3, 5])
def test_a_text_that_goes_round_is_continued_round(period: int) -> None:
    text = [10 + n % period for n in range(12)]
    assert PromptLookup().guess(text, 9) == [10 + n % period for n in range(12, 21)]


def test_lookup_does_not_depend_on_how_often_it_was_asked() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        text = rng.integers(0, 3, 60).tolist()
        asked = PromptLookup()
        for end in range(1, 61, int(rng.integers(1, 9))):
            assert asked.guess(text[:end], 4) == PromptLookup().guess(text[:end], 4)


def test_a_draft_model_guesses_what_it_would_say_itself(toy) -> None:
    draft = DraftModel(toy.decoder(most_tokens=16))
    expected = plain(toy, Greedy)
    assert draft.guess(PROMPT, 5) == expected[:5]
    changed = [*PROMPT, expected[0], 4]
    assert draft.guess(changed, 1) == [int(np.argmax(toy.logits(changed)))]
    small = DraftModel(toy.decoder(positions=len(PROMPT) + 2))
    assert small.guess(PROMPT, 9) == expected[:3]
    assert small.guess([*PROMPT, 1, 2, 3], 9) == []
    decoder = toy.decoder(**options("rewinds"))
    generation = Generation(decoder, Greedy(), PROMPT, COUNT, guesser=draft)
    assert list(generation.ids()) == expected


def test_a_draft_model_guesses_what_the_sampler_will_draw_and_leaves_its_draws_alone(toy) -> None:
    def sampler():
        return make_sampler(1.5, seed=5)

    expected = plain(toy, sampler)
    likeliest = plain(toy, Greedy)
    assert expected[:8] != likeliest[:8]
    drawn = sampler()
    assert DraftModel(toy.decoder(), drawn).guess(PROMPT, 8) == expected[:8]
    generation = Generation(
        toy.decoder(**options("rewinds")),
        drawn,
        PROMPT,
        COUNT,
        guesser=DraftModel(toy.decoder(), drawn),
    )
    assert list(generation.ids()) == expected
    assert generation.ahead.right == generation.ahead.guessed > 0


def test_a_draft_model_of_other_tokens_is_refused(toy) -> None:
    draft = toy.decoder()
    draft.ports = attrs.evolve(draft.ports, vocabulary=31)
    with pytest.raises(UsageError, match="31 tokens, the model 32"):
        check_draft(toy.decoder(), draft)


def test_a_draft_model_whose_tokens_read_otherwise_is_refused(toy) -> None:
    class Capitals(type(toy.letters())):
        def piece(self, id: int) -> bytes:
            return super().piece(id).upper()

    model, draft = toy.decoder(), toy.decoder()
    check_draft(model, draft, (toy.letters(), toy.letters()))
    with pytest.raises(UsageError, match="token 2 of the draft"):
        check_draft(model, draft, (toy.letters(), Capitals()))


def test_a_program_with_logits_of_one_row_only_never_guesses(toy) -> None:
    expected = plain(toy, Greedy)
    decoder = toy.decoder(most_outputs=1)
    ahead = Ahead(decoder, Known([*PROMPT, *expected]))
    decoder.prefill(PROMPT)
    seen = list(PROMPT)
    for id in expected:
        seen.append(id)
        assert np.array_equal(ahead.after(seen), toy.logits(seen))
    assert ahead.guessed == 0
