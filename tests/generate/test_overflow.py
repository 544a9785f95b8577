"""A context that slides: what comes is what a fresh slot gives for the shortened text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synapse_core.api import load
from synapse_core.backends import NumpyBackend
from synapse_core.errors import UsageError
from synapse_core.generate import (
    Decoder,
    DraftModel,
    Generation,
    Greedy,
    Penalties,
    PromptLookup,
    make_sampler,
)
from synapse_core.testing import causal_decoder

PROMPT = [0, 5, 9, 3, 7, 11, 2]
COUNT = 60
SLOTS = {
    "rewinds": {},
    "windows": {"rewinds": False},
    "recurrent": {"recurrent": True},
    "recurrent with a spare": {"recurrent": True, "spare": 1},
}


def by_hand(
    fresh: Callable[[], Decoder],
    prompt: list[int],
    count: int,
    positions: int,
    sinks: int,
    penalty: Penalties | None = None,
) -> list[int]:
    """Return greedy tokens, each from a decoder that has seen nothing before."""
    seen, made = list(prompt), []
    for _ in range(count):
        logits = fresh().prefill(seen)
        assert logits is not None
        if penalty is not None:
            logits = penalty.apply(logits, seen)
        made.append(int(np.argmax(logits)))
        seen.append(made[-1])
        if len(seen) == positions + 1:
            recent = positions // 2 - sinks
            seen = seen[:sinks] + seen[-recent:]
    return made


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize(("positions", "sinks"), [(16, 4), (16, 0), (17, 7), (8, 3), (40, 4)])
def test_the_tokens_are_those_of_a_fresh_slot(toy, slot: str, positions: int, sinks: int) -> None:
    def fresh() -> Decoder:
        return toy.decoder(positions=positions, **SLOTS[slot])

    answer = Generation(fresh(), Greedy(), PROMPT, COUNT, overflow="slide", sinks=sinks)
    assert list(answer.ids()) == by_hand(fresh, PROMPT, COUNT, positions, sinks)
    assert answer.reason == "length"
    # The first time one is too many, then as often as the other half fills.
    half = positions - positions // 2 + 1
    assert answer.slides == 1 + (len(PROMPT) + COUNT - 1 - positions - 1) // half


def test_a_penalty_sees_the_shortened_text(toy) -> None:
    def fresh() -> Decoder:
        return toy.decoder(positions=16)

    penalty = Penalties(1.7, 0)
    answer = Generation(fresh(), Greedy(), PROMPT, COUNT, overflow="slide", penalty=penalty)
    made = list(answer.ids())
    assert made == by_hand(fresh, PROMPT, COUNT, 16, 4, penalty)
    assert made != by_hand(fresh, PROMPT, COUNT, 16, 4)


@pytest.mark.parametrize("slot", ["rewinds", "windows", "recurrent with a spare"])
@pytest.mark.parametrize("guesses", ["lookup", "draft"])
def test_guessing_ahead_changes_no_token(toy, slot: str, guesses: str) -> None:
    def run(guesser: object) -> tuple[list[int], Generation]:
        decoder = toy.decoder(positions=24, most_tokens=12, most_outputs=10, **SLOTS[slot])
        sampler = make_sampler(0.05, 0, 1.0, 3, 0.0)
        answer = Generation(decoder, sampler, PROMPT, 200, overflow="slide", guesser=guesser)
        return list(answer.ids()), answer

    made = DraftModel(toy.decoder(positions=24)) if guesses == "draft" else PromptLookup()
    found, answer = run(made)
    assert found == run(None)[0]
    assert answer.slides > 10
    if guesses == "draft":
        assert answer.ahead is not None
        assert answer.ahead.right > 0


def test_the_user_is_told_once_and_the_summary_says_how_often(toy) -> None:
    said: list[str] = []
    answer = Generation(
        toy.decoder(positions=16), Greedy(), PROMPT, COUNT, overflow="slide", noted=said.append
    )
    assert len(list(answer.ids())) == COUNT
    assert said == [
        "the context of 16 tokens is full: the model goes on with the first 4 and the last 4"
    ]
    assert f"the context slid {answer.slides} times" in answer.summary()


def test_a_second_prompt_behind_a_slide_gives_what_a_fresh_slot_gives(toy) -> None:
    decoder = toy.decoder(positions=16)
    first = Generation(decoder, Greedy(), PROMPT, 30, overflow="slide")
    list(first.ids())
    prompt = [*PROMPT, *first.tokens[:5]]
    second = Generation(decoder, Greedy(), prompt, 20, overflow="slide")
    fresh = Generation(toy.decoder(positions=16), Greedy(), prompt, 20, overflow="slide")
    assert list(second.ids()) == list(fresh.ids())


@pytest.mark.parametrize("sinks", [-1, 8, 9])
def test_sinks_that_leave_no_room_are_refused(toy, sinks: int) -> None:
    with pytest.raises(UsageError, match=f"{sinks} sinks: .* slides with 0 to 7"):
        Generation(toy.decoder(positions=16), Greedy(), PROMPT, 9, overflow="slide", sinks=sinks)


def test_a_window_model_slides_as_a_fresh_session_computes() -> None:
    case, ids = causal_decoder(), [3, 1, 4, 1, 5, 9, 2, 6] * 11

    def fresh() -> Decoder:
        executable = case.executable()
        return Decoder.open(NumpyBackend().open(executable), executable.program)

    answer = Generation(fresh(), Greedy(), ids, 70, overflow="slide")
    assert list(answer.ids()) == by_hand(fresh, ids, 70, 96, 4)
    assert answer.slides == 2


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_the_shipped_model_slides_as_a_fresh_slot_computes(backend: str) -> None:
    pytest.importorskip("synapse_backend_cpu" if backend == "cpu" else "numpy")
    pytest.importorskip("synapse_model_decoder")
    with load(backend=backend, context=32) as model, load(backend=backend, context=32) as other:
        prompt = model.tokenizer.encode("Once upon a time there was a", special=True)

        def fresh() -> Decoder:
            other.session.release(0)
            return Decoder.open(other.session, other.program)

        answer = model.generate(prompt, max_tokens=60, overflow="slide")
        assert list(answer.ids()) == by_hand(fresh, prompt, 60, 32, 4)
        assert answer.slides > 1


def test_a_prompt_cache_keeps_the_prompt_that_slid_away(tmp_path: Path) -> None:
    pytest.importorskip("synapse_model_decoder")
    found = []
    for _ in range(2):
        with load(backend="numpy", context=32) as model:
            cache = model.prompt_cache(tmp_path / "p")
            answer = model.generate(
                "Once upon a time", max_tokens=60, overflow="slide", prompt_cache=cache
            )
            found.append((list(answer.ids()), answer.prefilled))
            cache.write()
    assert found[0][0] == found[1][0]
    assert found[1][1] == 1 < found[0][1]
