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


def test_a_thousand_arrivals_and_cancellations_leak_no_page(model: Model) -> None:
    groups = getattr(model.session, "groups", None)
    if groups is None:
        pytest.skip(f"backend {model.backend!r} has no pages")
    rng = np.random.default_rng(5)
    scheduler = model.scheduler()
    requests: list[Request] = []
    for n in range(1000):
        prompt = rng.integers(3, 300, int(rng.integers(1, 90))).tolist()
        generation = model.generate(prompt, max_tokens=int(rng.integers(1, 6)))
        requests.append(scheduler.submit(Request(generation)))
        for _ in range(int(rng.integers(0, 2))):
            scheduler.step()
        requests[int(rng.integers(max(0, n - 8), n + 1))].is_cancelled = True
    while scheduler.step():
        pass
    assert all(request.is_done and request.error is None for request in requests)
    assert any(len(group.free) < group.pages for group in groups)
    scheduler.clear()
    assert all(sorted(group.free) == list(range(group.pages)) for group in groups)
