"""A vocabulary of a real size: the C kernel chooses what the samplers choose in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from synapse_backend_cpu.backend import CpuBackend

from synapse_core.generate import Charges, Chooser, Greedy, Penalties, make_sampler

VOCABULARY = 50_021


@pytest.fixture(scope="module")
def chooser():
    chooser = Chooser.open(CpuBackend(), VOCABULARY)
    assert chooser is not None
    yield chooser
    chooser.close()


@pytest.mark.parametrize("scale", [0.3, 2.5, 40.0])
@pytest.mark.parametrize(
    "wish",
    [(0.8, 40, 0.95), (0.8, 0, 0.95, 1, 0.05), (0.8,), (1.5, 0, 0.5), (1, 30_000, 0.9), (9, 800)],
)
def test_the_ids_are_those_of_numpy(chooser, scale, wish):
    logits = np.random.default_rng(3).normal(scale=scale, size=VOCABULARY).astype(np.float32)
    penalties = Penalties(1.2, 300, 0.1, 0.2, {11: 3.0, 12: float("-inf")})
    temperature, k, p, seed, least = (*wish, *(1.0, 0, 1.0, 1, 0.0)[len(wish) :])
    here, there = (make_sampler(temperature, k, p, seed, least) for _ in range(2))
    charges, seen = Charges(penalties), np.argsort(-logits)[:40].tolist()
    for _ in range(8):
        id = chooser.choose(here, logits, charges, seen)
        assert id == there.choose(penalties.apply(logits, seen))
        seen.append(id)
        assert chooser.choose(here, logits) == there.choose(logits)


def test_greedy_with_penalties_is_that_of_numpy(chooser):
    logits = np.random.default_rng(4).normal(size=VOCABULARY).astype(np.float32)
    penalties = Penalties(bias={7: 100.0, 9: 100.0 + float(logits[7] - logits[9])})
    best = Greedy().choose(penalties.apply(logits, []))
    assert chooser.choose(Greedy(), logits, Charges(penalties)) == best in (7, 9)
