"""Answers of the shipped model beside others, on the backend that `auto` takes."""

from __future__ import annotations

import numpy as np
import pytest

from synapse_core.api import Model, load
from synapse_core.generate import Generation, Request

SLOTS = 16
PREFIX = "Once upon a time there was a little girl named Lily. " * 40


@pytest.fixture(scope="module")
def model():
    with load(slots=SLOTS, output_rows=SLOTS) as model:
        yield model


def generation_of(model: Model, n: int) -> Generation:
    prefix = model.tokenizer.encode(PREFIX, special=True)[:400]
    assert len(prefix) == 400
    prompt = [*prefix, *model.tokenizer.encode(f"She saw {n} dogs", special=False)]
    sorts = (
        {},
        {"temperature": 0.8, "seed": n},
        {"repetition_penalty": 1.3},
        {"stop": [".", "and"], "temperature": 1.0, "seed": n},
        {"logprobs": 2},
    )
    return model.generate(prompt, max_tokens=20, **sorts[n % len(sorts)])


def test_sixteen_at_once_are_bit_equal_to_each_alone(model: Model) -> None:
    scheduler = model.scheduler()
    requests = [scheduler.submit(Request(generation_of(model, n))) for n in range(SLOTS)]
    while scheduler.step():
        pass
    scheduler.clear()
    for n, request in enumerate(requests):
        alone = generation_of(model, n)
        "".join(alone)
        beside = request.generation
        assert request.error is None
        assert beside.tokens == alone.tokens
        assert beside.text == alone.text
        assert beside.reason == alone.reason
        assert beside.logprobs == alone.logprobs


def test_guided_answers_beside_others_are_those_of_lone_runs(model: Model) -> None:
    pytest.importorskip("llguidance")
    grammar = 'start: ("cat" | "dog" | "bird") (" and " ("fish" | "horse"))?'

    def wanted(n: int) -> Generation:
        guided = {"grammar": grammar} if n % 2 else {}
        return model.generate(f"I saw {n} ", max_tokens=9, temperature=1.5, seed=n, **guided)

    scheduler = model.scheduler(4)
    requests = [scheduler.submit(Request(wanted(n))) for n in range(8)]
    while scheduler.step():
        pass
    scheduler.clear()
    for n, request in enumerate(requests):
        alone = wanted(n)
        text = "".join(alone)
        assert request.generation.text == text
        assert request.generation.tokens == alone.tokens
        if n % 2:
            assert text.startswith(("cat", "dog", "bird"))


def test_a_thousand_answers_of_few_pages_are_those_of_lone_runs_and_leak_none() -> None:
    """Arrivals, cancellations, and requests put back; prompts end around the end of a page."""
    rng = np.random.default_rng(5)
    with load(slots=SLOTS, output_rows=SLOTS, pages=12) as model:
        scheduler = model.scheduler()
        requests: list[Request] = []
        for n in range(1000):
            head, *tail = rng.integers(3, 300, 4).tolist()
            prompt = [head % 8, *[9] * int(rng.integers(1, 90)), *tail]
            generation = model.generate(prompt, max_tokens=int(rng.integers(1, 40)))
            requests.append(scheduler.submit(Request(generation)))
            for _ in range(int(rng.integers(0, 5))):
                scheduler.step()
            if rng.random() < 0.5:
                requests[int(rng.integers(max(0, n - 20), n + 1))].is_cancelled = True
        while scheduler.step():
            pass
        assert scheduler.put_back > 20
        assert scheduler.shared > 1000
        assert all(request.is_done and request.error is None for request in requests)
        assert any(counts.used for counts in model.session.page_counts())
        scheduler.clear()
        for counts in model.session.page_counts():
            assert (counts.used, counts.limit) == (0, 12)
        for group in getattr(model.session, "groups", ()):
            assert set(group.owners) == {0}
        whole = [request.generation for request in requests if not request.is_cancelled]
        assert len(whole) > 400
        for beside in whole[::5]:
            alone = model.generate(beside.prompt, max_tokens=beside.most_tokens)
            assert beside.tokens == list(alone.ids())


def test_a_beginning_that_sixteen_share_is_held_once(model: Model) -> None:
    if model.decoder.rewinds:
        scheduler = model.scheduler()
        requests = [scheduler.submit(Request(generation_of(model, n))) for n in range(SLOTS)]
        while not all(request.generation.tokens for request in requests[1:]):
            scheduler.step()
        (counts,) = model.session.page_counts()
        assert counts.shared == 400 // 64
        assert counts.used <= 400 // 64 + 2 * SLOTS
        scheduler.end_all()
        scheduler.clear()
        (counts,) = model.session.page_counts()
        assert counts.used == 0
