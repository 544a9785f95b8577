"""Tokens chosen by a backend's op are those that the samplers choose themselves."""

from __future__ import annotations

import numpy as np
import pytest

from synapse_core.backends import NumpyBackend
from synapse_core.errors import SynapseError, Unavailable, UsageError
from synapse_core.generate import (
    Charges,
    Chooser,
    DraftModel,
    Generation,
    Greedy,
    Penalties,
    PromptLookup,
    Random,
    Request,
    Scheduler,
    make_sampler,
)

PROMPT = [0, 5, 9, 9, 12]
PENALTIES = (
    Penalties(),
    Penalties(1.3),
    Penalties(1.0, 3, 0.7, 0.4, {4: 1.5, 9: -2.0}),
    Penalties(bias={id: float("-inf") for id in range(20)}),
)


class Counting(Chooser):
    """Counts its calls: what does not go through it is seen."""

    calls = 0

    def choose(self, *given):
        self.calls += 1
        return super().choose(*given)


@pytest.fixture
def chooser(toy) -> Counting:
    chooser = Counting.open(NumpyBackend(), toy.vocabulary)
    assert isinstance(chooser, Counting)
    return chooser


def with_chooser(toy, chooser, **options):
    decoder = toy.decoder(**options)
    decoder.chooser = chooser
    return decoder


@pytest.mark.parametrize("penalty", PENALTIES, ids=("none", "repetition", "window", "forbidden"))
@pytest.mark.parametrize("wish", [(0.0,), (0.9, 0, 1.0, 7), (2.0, 5, 0.9, 1 << 63, 0.05)])
def test_an_answer_is_the_one_without_it(toy, chooser, penalty, wish):
    def answer(decoder, **options):
        sampler = make_sampler(*wish)
        generation = Generation(decoder, sampler, PROMPT, 30, penalty=penalty, **options)
        return list(generation.ids())

    plain = answer(toy.decoder())
    assert answer(with_chooser(toy, chooser)) == plain
    assert chooser.calls == len(plain) > 0
    many = {"most_tokens": 8, "most_outputs": 4}
    guessed = answer(with_chooser(toy, chooser, **many), guesser=PromptLookup())
    assert guessed == plain
    slid = [
        answer(decoder, overflow="slide")
        for decoder in (toy.decoder(positions=16), with_chooser(toy, chooser, positions=16))
    ]
    assert slid[0] == slid[1]


def test_a_draft_draws_through_its_own_what_the_answer_will(toy, chooser):
    drawn = make_sampler(1.5, seed=5)
    draft = DraftModel(with_chooser(toy, chooser), drawn)
    expected = list(Generation(toy.decoder(), make_sampler(1.5, seed=5), PROMPT, 8).ids())
    assert draft.guess(PROMPT, 8) == expected
    assert chooser.calls == 8
    assert drawn.draws == 0


def test_answers_beside_each_other_go_through_one(toy, chooser):
    def answers(shared):
        first = with_chooser(toy, shared, most_tokens=9, most_outputs=4)
        others = [type(first)(first.session, first.ports, True, n, chooser=shared) for n in (1, 2)]
        scheduler = Scheduler([first, *others])
        asked = [
            Generation(first, make_sampler(1.1, seed=n), [0, 3 + n], 12, penalty=PENALTIES[n % 3])
            for n in range(6)
        ]
        for generation in asked:
            scheduler.submit(Request(generation))
        while scheduler.step():
            pass
        return [generation.tokens for generation in asked]

    assert answers(chooser) == answers(None)
    assert chooser.calls == 6 * 12


def test_a_sampler_of_another_kind_chooses_itself(toy, chooser):
    class Second:
        def choose(self, logits):
            return int(np.argsort(-logits)[1])

    class Careless(Random):
        def choose(self, logits):
            return 7

    decoder = with_chooser(toy, chooser)
    second = list(Generation(decoder, Second(), PROMPT, 6).ids())
    assert second == list(Generation(toy.decoder(), Second(), PROMPT, 6).ids())
    assert list(Generation(decoder, Careless(seed=1), PROMPT, 3).ids()) == [7, 7, 7]
    assert chooser.calls == 0


def test_a_backend_without_the_kernel_has_none(toy):
    class Poor(NumpyBackend):
        def open(self, executable, *, threads=None):
            raise Unavailable("op 'sample' has no kernel here")

    assert Chooser.open(Poor(), toy.vocabulary) is None


@pytest.mark.parametrize("sampler", [Greedy(), Random(seed=1)], ids=("greedy", "random"))
def test_why_nothing_can_be_chosen_is_said(chooser, toy, sampler):
    logits = toy.logits(PROMPT)
    forbidden = Penalties(bias=dict.fromkeys(range(toy.vocabulary), float("-inf")))
    with pytest.raises(SynapseError, match="no token may come"):
        chooser.choose(sampler, logits, Charges(forbidden))
    for wrong in (np.nan, np.inf):
        broken = logits.copy()
        broken[11] = wrong
        for charges in (None, Charges(Penalties(2.0))):
            with pytest.raises(SynapseError, match=rf"not finite \(id 11 is {wrong}\)"):
                chooser.choose(sampler, broken, charges, PROMPT)


def test_an_id_that_the_model_does_not_have_is_refused(chooser, toy):
    with pytest.raises(UsageError, match="must be 0 to 31"):
        chooser.choose(Greedy(), toy.logits(PROMPT), Charges(Penalties(2.0)), [99])


@pytest.mark.parametrize("window", [0, 1, 7, 500])
def test_charges_kept_along_are_those_of_counting_anew(window):
    rng = np.random.default_rng(window)
    penalties = Penalties(1.5, window, 0.1, bias={3: 0.5, 999: -1.0})
    kept, seen = Charges(penalties), []
    for step in range(120):
        seen += rng.integers(0, 150, rng.integers(0, 4)).tolist()
        if step % 40 == 39:
            del seen[2 : len(seen) // 2]
        ids, numbers = kept.of(seen)
        times = {int(id): number[0] for id, number in zip(ids, numbers, strict=True) if number[0]}
        unique, counts = np.unique(np.array(seen[-window:], np.int64), return_counts=True)
        assert times == dict(zip(unique.tolist(), counts.tolist(), strict=True))
        biased = {int(id): number[1] for id, number in zip(ids, numbers, strict=True) if number[1]}
        assert biased == {3: 0.5, 999: -1.0}
        assert len(set(ids.tolist())) == len(ids)


def test_nothing_is_counted_where_it_does_not_matter():
    ids, numbers = Charges(Penalties(bias={3: 1.0})).of([1, 2, 3])
    assert (ids.tolist(), numbers.tolist()) == ([3], [[0.0, 1.0]])
