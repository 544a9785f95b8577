"""What a request gets beside others is what it gets alone."""

from __future__ import annotations

import asyncio

import attrs
import numpy as np
import pytest

from synapse_core.errors import UsageError
from synapse_core.generate import (
    STOP_STRING,
    STOPPED,
    Decoder,
    Generation,
    Greedy,
    Penalties,
    Request,
    Scheduler,
    Serving,
    make_sampler,
)

PREFIX = [0, *(2 + n % 29 for n in range(24))]


def scheduler_of(toy, slots: int, **options) -> Scheduler:
    first = toy.decoder(most_tokens=slots + 5, most_outputs=slots, **options)
    fields = (first.session, first.ports, first.rewinds)
    others = [Decoder(*fields, slot, first.recurrent) for slot in range(1, slots)]
    return Scheduler([first, *others])


def run(scheduler: Scheduler) -> None:
    while scheduler.step():
        pass


def options_of(n: int) -> dict[str, object]:
    """Return options of every sort, by number."""
    sorts = (
        {},
        {"penalty": Penalties(1.4)},
        {"top_logprobs": 3},
        {"stop": (chr(100 + n % 20),)},
        {"most_tokens": 1 + n % 3},
        {"overflow": "slide", "most_tokens": 90},
    )
    return dict(sorts[n % len(sorts)])


def generation_of(toy, n: int, decoder: Decoder) -> Generation:
    prompt = [*PREFIX[: 25 - n % 3], 2 + n % 7, 3 + n // 7 % 20]
    sampler = make_sampler(0.9, seed=n) if n % 2 else Greedy()
    options = {"most_tokens": 12, **options_of(n)}
    return Generation(decoder, sampler, prompt, tokenizer=toy.letters(1), **options)


def facts(generation: Generation) -> tuple[object, ...]:
    wanted = generation
    ends = (wanted.reason, wanted.stop_string, wanted.slides)
    return (wanted.tokens, wanted.text, wanted.logprobs, *ends)


@pytest.mark.parametrize("kind", [{}, {"rewinds": False}, {"recurrent": True}])
@pytest.mark.parametrize("slots", [1, 3, 16])
def test_each_answer_is_that_of_its_lone_run(toy, kind, slots: int) -> None:
    scheduler = scheduler_of(toy, slots, **kind)
    requests = [
        scheduler.submit(Request(generation_of(toy, n, scheduler.decoders[0]))) for n in range(40)
    ]
    run(scheduler)
    reasons, slides = set(), 0
    for n, request in enumerate(requests):
        alone = generation_of(toy, n, toy.decoder())
        assert "".join(alone) == alone.text
        assert request.error is None
        assert facts(request.generation) == facts(alone)
        reasons.add(alone.reason)
        slides += alone.slides
    assert STOP_STRING in reasons
    assert slides > 0
    assert scheduler.running == scheduler.waiting == 0


def test_a_beginning_in_common_is_computed_once(toy) -> None:
    scheduler = scheduler_of(toy, 8)
    for n in range(8):
        scheduler.submit(Request(Generation(scheduler.decoders[0], Greedy(), [*PREFIX, 2 + n], 1)))
    run(scheduler)
    assert sum(scheduler.decoders[0].session.calls) == len(PREFIX) + 8
    # The first one's slot is free when the second begins, which goes on in it.
    assert scheduler.shared == 6 * len(PREFIX)


def test_others_decode_while_a_long_prompt_is_read(toy) -> None:
    scheduler = scheduler_of(toy, 2)
    decoder = scheduler.decoders[0]
    short = scheduler.submit(Request(Generation(decoder, Greedy(), [0, 4], 30)))
    scheduler.step()
    long = scheduler.submit(Request(Generation(decoder, Greedy(), list(range(2, 30)), 1)))
    steps = 0
    while not long.is_done:
        before = len(short.generation.tokens)
        scheduler.step()
        steps += 1
        assert len(short.generation.tokens) == before + 1
    assert steps > 4


def test_a_failed_copy_ends_its_own_request_only(toy, monkeypatch) -> None:
    scheduler = scheduler_of(toy, 3)
    decoder = scheduler.decoders[0]
    first = scheduler.submit(Request(Generation(decoder, Greedy(), PREFIX, 20)))
    while not first.generation.tokens:
        scheduler.step()

    def fails(session: object, source: int, target: int, positions: int) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(type(decoder.session), "copy_state", fails)
    sharing = scheduler.submit(Request(Generation(decoder, Greedy(), [*PREFIX, 3], 20)))
    other = scheduler.submit(Request(Generation(decoder, Greedy(), [0, 4], 5)))
    run(scheduler)
    assert isinstance(sharing.error, MemoryError)
    assert first.error is other.error is None
    assert (len(first.generation.tokens), len(other.generation.tokens)) == (20, 5)
    assert scheduler.running == 0


def test_a_failed_rule_ends_its_own_request_only(toy) -> None:
    class Broken:
        def choose(self, logits: np.ndarray) -> int:
            raise UsageError("no choice")

    scheduler = scheduler_of(toy, 2)
    decoder = scheduler.decoders[0]
    broken = scheduler.submit(Request(Generation(decoder, Broken(), [0, 4], 5)))
    good = scheduler.submit(Request(Generation(decoder, Greedy(), [0, 4, 5], 5)))
    run(scheduler)
    assert str(broken.error) == "no choice"
    assert good.error is None
    alone = Generation(toy.decoder(), Greedy(), [0, 4, 5], 5)
    assert good.generation.tokens == list(alone.ids())


def test_a_failed_call_ends_what_ran_in_it_and_frees_the_slots(toy) -> None:
    scheduler = scheduler_of(toy, 2)
    decoder = scheduler.decoders[0]
    failed = [
        scheduler.submit(Request(Generation(decoder, Greedy(), [0, 4, n], 5))) for n in (3, 4)
    ]
    scheduler.step()
    decoder.session.fails = True
    scheduler.step()
    assert [str(request.error) for request in failed] == ["the toy fails"] * 2
    assert scheduler.running == 0
    assert decoder.session.memory == {}


def test_what_can_never_run_is_refused(toy) -> None:
    scheduler = scheduler_of(toy, 2)
    decoder = scheduler.decoders[0]
    for ids, says in (([], "no tokens"), ([99], "token 0 is 99"), ([2] * 65, "--ctx")):
        with pytest.raises(UsageError, match=says):
            scheduler.submit(Request(Generation(decoder, Greedy(), ids, 5)))
    narrow = toy.decoder(most_outputs=1)
    with pytest.raises(UsageError, match="output_rows=2"):
        Scheduler([narrow, attrs.evolve(narrow, slot=1)])


def test_arrivals_and_cancellations_leave_nothing(toy) -> None:
    rng = np.random.default_rng(11)
    scheduler = scheduler_of(toy, 4)
    requests: list[Request] = []
    for n in range(300):
        requests.append(scheduler.submit(Request(generation_of(toy, n, scheduler.decoders[0]))))
        for _ in range(int(rng.integers(0, 6))):
            scheduler.step()
        requests[int(rng.integers(0, len(requests)))].is_cancelled = True
    run(scheduler)
    assert all(request.is_done for request in requests)
    assert any(request.generation.reason == STOPPED for request in requests)
    scheduler.clear()
    assert scheduler.decoders[0].session.memory == {}


def test_threads_get_their_pieces(toy) -> None:
    scheduler = scheduler_of(toy, 3)
    with Serving(scheduler) as serving:
        answers = [serving.submit(generation_of(toy, n, scheduler.decoders[0])) for n in range(9)]
        texts = ["".join(answer) for answer in answers]
        bad = serving.submit(Generation(scheduler.decoders[0], Greedy(), [99], 5))
        with pytest.raises(UsageError, match="token 0 is 99"):
            bad.wait()
    assert texts == ["".join(generation_of(toy, n, toy.decoder())) for n in range(9)]
    with pytest.raises(UsageError, match="closed"):
        serving.submit(generation_of(toy, 0, scheduler.decoders[0]))


def test_coroutines_get_their_pieces(toy) -> None:
    scheduler = scheduler_of(toy, 3)

    async def all_texts() -> list[str]:
        async def text(n: int) -> str:
            answer = serving.submit(generation_of(toy, n, scheduler.decoders[0]))
            return "".join([piece async for piece in answer])

        return await asyncio.gather(*(text(n) for n in range(9)))

    with Serving(scheduler) as serving:
        texts = asyncio.run(all_texts())
    assert texts == ["".join(generation_of(toy, n, toy.decoder())) for n in range(9)]


def test_a_cancelled_coroutine_cancels_its_answer(toy) -> None:
    scheduler = scheduler_of(toy, 1, positions=10**6)
    endless = Generation(scheduler.decoders[0], Greedy(), [0, 4], 10**6, tokenizer=toy.letters())

    async def cancelled() -> Generation:
        answer = serving.submit(endless)
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in answer:
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.to_thread(answer.wait)

    with Serving(scheduler) as serving:
        assert asyncio.run(cancelled()).reason == STOPPED


def test_a_question_that_fails_ends_its_own_answer_only(toy) -> None:
    scheduler = scheduler_of(toy, 2)

    def stopped() -> bool:
        raise RuntimeError("broken question")

    with Serving(scheduler) as serving:
        decoder = scheduler.decoders[0]
        broken = serving.submit(Generation(decoder, Greedy(), [0, 4], 5, stopped=stopped))
        good = serving.submit(generation_of(toy, 0, decoder))
        with pytest.raises(RuntimeError, match="broken question"):
            broken.wait()
        assert good.wait().text == "".join(generation_of(toy, 0, toy.decoder()))


def test_closing_stops_what_runs(toy) -> None:
    scheduler = scheduler_of(toy, 1, positions=10**6)
    serving = Serving(scheduler)
    endless = Generation(scheduler.decoders[0], Greedy(), [0, 4], 10**6, tokenizer=toy.letters())
    answer = serving.submit(endless)
    next(iter(answer))
    serving.close()
    assert answer.wait().reason == STOPPED
