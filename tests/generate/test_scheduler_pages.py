"""With few pages answers are those of lone runs, nobody starves, and what cannot run says so."""

from __future__ import annotations

import numpy as np
import pytest

from synapse_core.errors import OutOfPages, UsageError
from synapse_core.generate import Generation, Greedy, Request, Scheduler, Serving, make_sampler
from synapse_core.generate.places import share_out

from .test_scheduler import run, scheduler_of


def prompt_of(rng: np.random.Generator) -> list[int]:
    """Return one of three beginnings, or a part of it, and a few ids."""
    beginning = [2 + n % 29 for n in range(int(rng.integers(3)), 150)]
    tail = rng.integers(2, 32, int(rng.integers(1, 20))).tolist()
    return [*beginning[: int(rng.integers(1, len(beginning)))], *tail]


def generation_of(decoder, prompt: list[int], n: int) -> Generation:
    sampler = make_sampler(0.9, seed=n) if n % 2 else Greedy()
    return Generation(decoder, sampler, prompt, 1 + 7 * n % 80)


@pytest.mark.parametrize("kind", [{}, {"rewinds": False}, {"recurrent": True}])
def test_a_thousand_answers_of_few_pages_are_those_of_lone_runs(toy, kind) -> None:
    rng = np.random.default_rng(17)
    count = 300 if kind else 1000
    scheduler = scheduler_of(toy, 6, positions=320, pages=9, **kind)
    decoder = scheduler.decoders[0]
    requests: list[Request] = []
    for n in range(count):
        request = Request(generation_of(decoder, prompt_of(rng), n))
        requests.append(scheduler.submit(request))
        for _ in range(int(rng.integers(0, 12))):
            scheduler.step()
        if rng.random() < 0.3:
            requests[int(rng.integers(max(0, n - 9), n + 1))].is_cancelled = True
    run(scheduler)
    assert scheduler.put_back > 20
    assert kind or scheduler.shared > 1000
    lone = toy.decoder(positions=320)
    for n, request in enumerate(requests):
        beside = request.generation
        assert request.is_done
        assert request.error is None
        if request.is_cancelled:
            continue
        alone = generation_of(lone, list(beside.prompt), n)
        assert beside.tokens == list(alone.ids())
        assert beside.reason == alone.reason
    assert sum(not request.is_cancelled for request in requests) > count // 2
    scheduler.clear()
    table = decoder.session.pages
    assert (table.counts().used, set(table.owners)) == (0, {0})


def test_the_youngest_is_put_back_and_the_oldest_never(toy) -> None:
    scheduler = scheduler_of(toy, 3, positions=320, pages=5)
    decoder = scheduler.decoders[0]
    requests = [
        scheduler.submit(Request(Generation(decoder, Greedy(), [2 + n] * 60, 150)))
        for n in range(3)
    ]
    made = [0, 0, 0]
    while scheduler.step():
        now = [len(request.generation.tokens) for request in requests]
        assert now[0] > made[0] or requests[0].is_done or not now[0]
        made = now
    assert scheduler.put_back > 0
    assert [request.error for request in requests] == [None] * 3
    for n, request in enumerate(requests):
        alone = Generation(toy.decoder(positions=320), Greedy(), [2 + n] * 60, 150)
        assert request.generation.tokens == list(alone.ids())
        assert request.generation.prefilled >= 60


def test_a_prompt_that_never_fits_is_refused(toy) -> None:
    scheduler = scheduler_of(toy, 2, positions=320, pages=2)
    decoder = scheduler.decoders[0]
    with pytest.raises(OutOfPages, match=r"128 tokens and a step take 3 pages .* there are 2"):
        scheduler.submit(Request(Generation(decoder, Greedy(), [2] * 128, 5)))
    fits = scheduler.submit(Request(Generation(decoder, Greedy(), [2] * 127, 1)))
    run(scheduler)
    assert fits.error is None


def test_threads_are_told_that_no_page_is_left(toy) -> None:
    scheduler = scheduler_of(toy, 2, positions=320, pages=2)
    decoder = scheduler.decoders[0]
    with Serving(scheduler) as serving:
        wide = serving.submit(Generation(decoder, Greedy(), [2] * 128, 5))
        grows = serving.submit(Generation(decoder, Greedy(), [2] * 100, 200))
        fits = serving.submit(Generation(decoder, Greedy(), [3] * 100, 20))
        with pytest.raises(OutOfPages, match="a step take 3 pages"):
            wide.wait()
        with pytest.raises(OutOfPages, match="all 2 pages"):
            grows.wait()
        assert len(fits.wait().tokens) == 20


def test_an_answer_that_outgrows_all_pages_ends_by_name_and_alone(toy) -> None:
    scheduler = scheduler_of(toy, 3, positions=320, pages=2)
    decoder = scheduler.decoders[0]
    grows = scheduler.submit(Request(Generation(decoder, Greedy(), [2] * 100, 200)))
    small = [
        scheduler.submit(Request(Generation(decoder, Greedy(), [3, n], 9))) for n in range(2, 6)
    ]
    run(scheduler)
    assert isinstance(grows.error, OutOfPages)
    assert "all 2 pages of keys and values are in use" in str(grows.error)
    alone = Generation(toy.decoder(positions=320), Greedy(), [2] * 100, 200)
    assert grows.generation.tokens == list(alone.ids())[:29]
    assert [request.error for request in small] == [None] * 4
    assert {len(request.generation.tokens) for request in small} == {9}


def test_small_ones_do_not_go_before_a_large_one_for_ever(toy) -> None:
    scheduler = scheduler_of(toy, 3, positions=320, pages=4)
    decoder = scheduler.decoders[0]

    def small(n: int) -> Request:
        prompt = [2 + n % 30, 3 + n // 30, 4]
        return scheduler.submit(Request(Generation(decoder, Greedy(), prompt, 30)))

    for n in range(3):
        small(n)
    scheduler.step()
    large = scheduler.submit(Request(Generation(decoder, Greedy(), [9] * 200, 5)))
    later = [small(n) for n in range(3, 40)]
    while not large.is_done:
        scheduler.step()
    assert large.error is None
    assert not any(request.generation.tokens for request in later)
    run(scheduler)
    assert all(len(request.generation.tokens) == 30 for request in later)


def test_only_those_wait_whose_beginning_is_being_read(toy) -> None:
    scheduler = scheduler_of(toy, 4, positions=320)
    decoder = scheduler.decoders[0]
    beginning = [2 + n % 29 for n in range(150)]
    first, *sharing = [
        scheduler.submit(Request(Generation(decoder, Greedy(), [*beginning, n], 3)))
        for n in range(2, 5)
    ]
    other = scheduler.submit(Request(Generation(decoder, Greedy(), [31, 30], 3)))
    while not other.is_done:
        scheduler.step()
    assert not first.generation.tokens
    assert scheduler.waiting == 2
    run(scheduler)
    assert all(len(request.generation.tokens) == 3 for request in sharing)
    assert sum(decoder.session.calls) == len(beginning) + 3 * 3 + 2 + 2


def test_prompts_take_what_they_may_and_never_the_place_of_a_token(toy) -> None:
    first = scheduler_of(toy, 3, positions=320).decoders
    scheduler = Scheduler(first, prefill_tokens=2)
    decoder = scheduler.decoders[0]
    calls = decoder.session.calls
    answer = scheduler.submit(Request(Generation(decoder, Greedy(), [2, 3, 4], 200)))
    scheduler.step()
    assert calls == [3]  # nothing decodes: all that the call has room for
    prompts = [
        scheduler.submit(Request(Generation(decoder, Greedy(), [5 + n] * 40, 1))) for n in range(2)
    ]
    while not prompts[1].is_done:
        made = len(answer.generation.tokens)
        scheduler.step()
        assert len(answer.generation.tokens) == made + 1
    assert calls[1:] == [3] * 40
    assert [len(prompt.generation.tokens) for prompt in prompts] == [1, 1]
    with pytest.raises(UsageError, match="0 tokens of prompts"):
        Scheduler(first, prefill_tokens=0)


def test_rooms_are_shared_out_equally_and_the_first_is_never_left_out() -> None:
    assert share_out(12, [50, 50, 50]) == [4, 4, 4]
    assert share_out(12, [50, 2, 50]) == [6, 2, 4]
    assert share_out(12, [50, 50, 1]) == [7, 4, 1]
    assert share_out(12, [2, 3]) == [2, 3]
    assert share_out(1, [50, 2, 50]) == [1, 0, 0]
    assert share_out(5, []) == []
