"""Contracts of samplers: an id from the logits of one position."""

from __future__ import annotations

import inspect

import numpy as np

from synapse_core.generate import Sampler
from synapse_core.testing.contracts.contract import Contract, Skipped, Subject, contract, require

VOCABULARY = 97
DRAWS = 200


def logits(seed: int, size: int = VOCABULARY) -> np.ndarray:
    """Return random logits, float32 (size,)."""
    return (3 * np.random.default_rng(seed).standard_normal(size)).astype(np.float32)


def takes_a_seed(subject: Subject) -> bool:
    """Whether its factory has an option `seed`."""
    factory = subject.thing
    return isinstance(factory, type) and "seed" in inspect.signature(factory).parameters


def seeded(subject: Subject) -> Sampler:
    """Return a sampler that draws the same every time, where its factory takes a seed."""
    sampler: Sampler = subject.thing(seed=11) if takes_a_seed(subject) else subject.made()
    return sampler


@contract
def ids_are_in_range(subject: Subject) -> None:
    """An id is a whole number below the vocabulary's size, also where that is one."""
    sampler = seeded(subject)
    for size in (1, 2, VOCABULARY):
        for seed in range(DRAWS // 4):
            id = sampler.choose(logits(seed, size))
            fits = isinstance(id, int) and 0 <= id < size
            require(fits, f"it chose {id!r} ({type(id).__name__}) of {size}")


@contract
def leaves_the_logits_alone(subject: Subject) -> None:
    """The array belongs to the model; it may be read-only."""
    sampler = seeded(subject)
    given = logits(1)
    before = given.tobytes()
    sampler.choose(given)
    require(given.tobytes() == before, "it changed the logits")
    given.flags.writeable = False
    sampler.choose(given)


@contract
def never_chooses_the_impossible(subject: Subject) -> None:
    """A logit of minus infinity is never drawn, a single possible one always."""
    sampler = seeded(subject)
    some = logits(2)
    some[::2] = -np.inf
    for _ in range(DRAWS):
        id = sampler.choose(some)
        require(bool(np.isfinite(some[id])), f"it chose id {id}, whose logit is {some[id]}")
    only = np.full(VOCABULARY, -np.inf, np.float32)
    only[41] = 0
    id = sampler.choose(only)
    require(id == 41, f"it chose {id} where only 41 is possible")


@contract
def prefers_the_likely(subject: Subject) -> None:
    """A logit 20 above the rest is nearly always the choice."""
    sampler = seeded(subject)
    clear = np.zeros(VOCABULARY, np.float32)
    clear[7] = 20
    hits = sum(sampler.choose(clear) == 7 for _ in range(DRAWS))
    least = DRAWS * 9 // 10
    require(hits >= least, f"the likeliest id was chosen {hits} of {DRAWS} times; {least} at least")


@contract
def repeats_with_its_seed(subject: Subject) -> None:
    """One seed gives one sequence of ids."""
    factory = subject.thing
    if not takes_a_seed(subject):
        raise Skipped("its factory takes no seed")
    first, again, other = factory(seed=3), factory(seed=3), factory(seed=4)
    drawn = [[s.choose(logits(n)) for n in range(DRAWS)] for s in (first, again, other)]
    require(drawn[0] == drawn[1], "two samplers with seed 3 choose differently")
    require(drawn[0] != drawn[2], "seed 3 and seed 4 choose alike: the seed is not used")


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "sampler": (
        ids_are_in_range,
        leaves_the_logits_alone,
        never_chooses_the_impossible,
        prefers_the_likely,
        repeats_with_its_seed,
    )
}
