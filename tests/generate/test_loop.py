from __future__ import annotations

import numpy as np
import pytest

from synapse_core.errors import UsageError
from synapse_core.generate import CONTEXT, END, LENGTH, STOPPED, Generation, Greedy, make_sampler

PROMPT = [0, 5, 9, 3, 7, 11, 2]


def greedy_by_hand(toy, prompt: list[int], count: int) -> list[int]:
    seen = list(prompt)
    for _ in range(count):
        seen.append(int(np.argmax(toy.logits(seen))))
    return seen[len(prompt) :]


def test_greedy_follows_the_largest_logit_whatever_the_chunk(toy) -> None:
    expected = greedy_by_hand(toy, PROMPT, 12)
    for chunk in (1, 2, 3, 7, 128):
        decoder = toy.decoder(most_tokens=chunk)
        assert list(Generation(decoder, Greedy(), PROMPT, 12).ids()) == expected


def test_prefill_never_exceeds_the_rows_of_the_program(toy) -> None:
    decoder = toy.decoder(most_tokens=4)
    decoder.prefill(PROMPT)
    assert decoder.session.calls == [4, 3]


def test_an_end_token_ends_and_is_not_shown(toy) -> None:
    expected = greedy_by_hand(toy, PROMPT, 30)
    end = expected[5]
    generation = Generation(toy.decoder(), Greedy(), PROMPT, 30, tokenizer=toy.letters(end))
    text = "".join(generation)
    assert generation.reason == END
    assert generation.tokens == expected[: expected.index(end)]
    assert text == generation.text == toy.letters().decode(generation.tokens)


def test_the_length_and_the_context_end_are_told_apart(toy) -> None:
    by_length = Generation(toy.decoder(), Greedy(), PROMPT, 3)
    assert len(list(by_length.ids())) == 3
    assert by_length.reason == LENGTH
    by_context = Generation(toy.decoder(positions=10), Greedy(), PROMPT, 99)
    assert len(list(by_context.ids())) == 10 - len(PROMPT) + 1
    assert by_context.reason == CONTEXT


def test_a_full_context_is_an_error_where_asked_after_the_same_tokens(toy) -> None:
    generation = Generation(toy.decoder(positions=10), Greedy(), PROMPT, 99, overflow="error")
    made = []
    with pytest.raises(UsageError, match="10 tokens is full after 4 of 99"):
        made.extend(generation.ids())
    assert generation.tokens == greedy_by_hand(toy, PROMPT, 4)
    assert generation.reason == CONTEXT
    # What fits exactly is no overflow.
    fits = Generation(toy.decoder(positions=10), Greedy(), PROMPT, 4, overflow="error")
    assert list(fits.ids()) == generation.tokens


def test_an_unknown_policy_for_a_full_context_is_refused(toy) -> None:
    with pytest.raises(UsageError, match="stop, slide or error"):
        Generation(toy.decoder(), Greedy(), PROMPT, 9, overflow="wrap")


def test_stopping_keeps_what_was_made(toy) -> None:
    generation = Generation(
        toy.decoder(), Greedy(), PROMPT, 99, stopped=lambda: len(generation.tokens) >= 4
    )
    assert list(generation.ids()) == greedy_by_hand(toy, PROMPT, 4)
    assert generation.reason == STOPPED


def test_stopping_during_prefill_makes_nothing(toy) -> None:
    generation = Generation(toy.decoder(most_tokens=1), Greedy(), PROMPT, 9, stopped=lambda: True)
    assert list(generation.ids()) == []
    assert generation.reason == STOPPED


def test_a_second_prompt_computes_only_what_is_new(toy) -> None:
    decoder = toy.decoder(most_tokens=64)
    first = Generation(decoder, Greedy(), PROMPT, 4)
    list(first.ids())
    longer = [*PROMPT, *first.tokens, 8, 9]
    decoder.session.calls.clear()
    second = Generation(decoder, Greedy(), longer, 1)
    assert list(second.ids()) == greedy_by_hand(toy, longer, 1)
    assert decoder.session.calls[0] == second.prefilled == 3


@pytest.mark.parametrize("rewinds", [True, False])
def test_a_changed_prompt_gives_what_a_fresh_slot_gives(toy, rewinds: bool) -> None:
    decoder = toy.decoder(rewinds=rewinds)
    list(Generation(decoder, Greedy(), PROMPT, 4).ids())
    changed = [*PROMPT[:3], 20, 21]
    assert list(Generation(decoder, Greedy(), changed, 6).ids()) == greedy_by_hand(toy, changed, 6)
    assert list(Generation(decoder, Greedy(), changed, 6).ids()) == greedy_by_hand(toy, changed, 6)


def test_after_a_failed_call_the_slot_begins_anew(toy) -> None:
    decoder = toy.decoder()
    decoder.prefill(PROMPT)
    decoder.session.fails = True
    with pytest.raises(UsageError):
        decoder.step(3)
    decoder.session.fails = False
    assert decoder.seen == []
    assert list(Generation(decoder, Greedy(), PROMPT, 5).ids()) == greedy_by_hand(toy, PROMPT, 5)


def test_all_logits_are_those_of_every_position(toy) -> None:
    rows = np.concatenate(list(toy.decoder().all_logits(PROMPT)))
    assert rows.shape == (len(PROMPT), toy.vocabulary)
    for n, row in enumerate(rows):
        assert np.array_equal(row, toy.logits(PROMPT[: n + 1]))


@pytest.mark.parametrize("chunks", [(1, 1), (4, 2), (4, 4), (7, 3), (64, 64)])
def test_logits_from_a_position_on_are_those_of_the_whole(toy, chunks: tuple[int, int]) -> None:
    ids = [*PROMPT, *range(2, 12)]
    expected = np.stack([toy.logits(ids[: n + 1]) for n in range(len(ids))])
    for first in range(len(ids)):
        decoder = toy.decoder(most_tokens=chunks[0], most_outputs=chunks[1])
        parts = list(decoder.all_logits(ids, first))
        assert max(map(len, parts)) <= chunks[1]
        assert max(decoder.session.calls) <= chunks[0]
        assert np.array_equal(np.concatenate(parts), expected[first:])


@pytest.mark.parametrize(
    ("ids", "says"),
    [([], "no tokens"), ([1, 32], "token 1 is 32"), ([-1], "ids are 0 to 31"), ([1] * 65, "--ctx")],
)
def test_ids_that_cannot_be_are_refused_before_anything_runs(
    toy, ids: list[int], says: str
) -> None:
    decoder = toy.decoder()
    with pytest.raises(UsageError, match=says):
        decoder.prefill(ids)
    assert decoder.session.calls == []


def test_the_same_seed_gives_the_same_tokens_and_another_seed_others(toy) -> None:
    def draw(seed: int) -> list[int]:
        sampler = make_sampler(1.0, 0, 1.0, seed)
        return list(Generation(toy.decoder(), sampler, PROMPT, 20).ids())

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_a_character_cut_by_the_length_is_left_out(toy) -> None:
    class Halves(type(toy.letters(1))):
        def piece(self, id: int) -> bytes:
            return b"\xc3"

    generation = Generation(toy.decoder(), Greedy(), PROMPT, 1, tokenizer=Halves(frozenset()))
    assert "".join(generation) == ""
    assert len(generation.tokens) == 1
