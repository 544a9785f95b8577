"""Answers that run with few pages are those of lone runs, of models with and without windows."""

from __future__ import annotations

import numpy as np
import pytest
from synapse_backend_cpu.backend import CpuBackend

from synapse_core.generate import Decoder, Generation, Greedy, Request, Scheduler
from synapse_core.testing import causal_decoder

SLOTS = 3


def generation_of(decoder: Decoder, n: int) -> Generation:
    rng = np.random.default_rng(n)
    prompt = [*[7] * int(rng.integers(20, 60)), *rng.integers(0, 67, 3).tolist()]
    return Generation(decoder, Greedy(), prompt, int(rng.integers(1, 33)))


@pytest.mark.parametrize("window", [0, 5])
@pytest.mark.parametrize("kv", ["f16", "q8_0"])
def test_answers_of_few_pages_are_those_of_lone_runs(window: int, kv: str) -> None:
    executable = causal_decoder("f32", kv, window).executable()
    few, plenty = (CpuBackend().open(executable, threads=1, pages=pages) for pages in (3, None))
    decoders = [Decoder.open(few, executable.program, slot) for slot in range(SLOTS)]
    scheduler = Scheduler(decoders, prefill_tokens=9)
    requests = [scheduler.submit(Request(generation_of(decoders[0], n))) for n in range(60)]
    while scheduler.step():
        pass
    assert scheduler.put_back > 0
    assert window or scheduler.shared > 0
    lone = Decoder.open(plenty, executable.program)
    for n, request in enumerate(requests):
        assert request.error is None
        assert request.generation.tokens == list(generation_of(lone, n).ids())
    scheduler.clear()
    assert [counts.used for counts in few.page_counts()] == [0] * (2 if window else 1)
    few.close()
    plenty.close()
