"""Choosing the next token from logits: by the op `sample`, or by a plugin's own rule."""

from __future__ import annotations

import math
import secrets
from typing import Protocol, TypeGuard

import attrs
import numpy as np

from synapse_core.errors import SynapseError, UsageError
from synapse_core.ops.sample import MOST_IDS, choose, halves_of

MOST_SEED = (1 << 64) - 1
# What float32 would round to 0 means something else in the op's settings.
TINY = float(np.finfo(np.float32).tiny)


class Sampler(Protocol):
    """Chooses a token; a plugin's `sampler` provides it."""

    def choose(self, logits: np.ndarray) -> int:
        """Return an id from the logits of one position, float32 (V,), not to be changed."""
        ...


@attrs.frozen
class Greedy:
    """The most likely token; of equals the first."""

    def choose(self, logits: np.ndarray) -> int:
        """Return the id of the largest logit."""
        best = int(np.argmax(logits))
        return found(best if math.isfinite(float(logits[best])) else -1 - best, logits)

    def settings(self) -> np.ndarray:
        """Return a row of the op's settings, float32 (15,), without penalties."""
        return _settings(0.0, 0, 1.0, 0.0, 0, 0)


@attrs.define
class Random:
    """Draws from softmax(logits / temperature), of the `top_k` likeliest, within mass `top_p`.

    `min_p` leaves out what is less likely than that share of the likeliest. `top_k` 0, `top_p` 1
    and `min_p` 0 keep all. The order is temperature, then k, then p, then the least share. The
    same seed and logits give the same tokens everywhere; `draws` counts those that were drawn.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = attrs.field(factory=lambda: secrets.randbits(32))
    min_p: float = 0.0
    draws: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UsageError(f"temperature {self.temperature}: must be over 0 (0 means greedy)")
        if self.top_k < 0:
            raise UsageError(f"top-k {self.top_k}: must be 0 (all) or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p {self.top_p}: must be over 0 and at most 1")
        if not 0 <= self.min_p <= 1:
            raise UsageError(f"min-p {self.min_p}: must be 0 (all) to 1")
        if not 0 <= self.seed <= MOST_SEED:
            raise UsageError(f"seed {self.seed}: must be 0 or more and below 2^64")

    def choose(self, logits: np.ndarray) -> int:
        """Return an id drawn from the logits."""
        return found(choose(logits, self.settings()), logits)

    def settings(self) -> np.ndarray:
        """Return a row of the op's settings for the next draw, float32 (15,), without penalties."""
        draw, self.draws = self.draws, self.draws + 1
        return _settings(self.temperature, self.top_k, self.top_p, self.min_p, self.seed, draw)


def make_sampler(
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | None = None,
    min_p: float = 0.0,
) -> Sampler:
    """Return the sampler of the usual options; temperature 0 is greedy."""
    if temperature == 0:
        return Greedy()
    if seed is None:
        return Random(temperature, top_k, top_p, min_p=min_p)
    return Random(temperature, top_k, top_p, seed, min_p)


def is_described(sampler: Sampler) -> TypeGuard[Greedy | Random]:
    """Whether the op can choose in its place; others, also kinds of these, have their own rules."""
    return type(sampler) in (Greedy, Random)


def found(answer: int, logits: np.ndarray) -> int:
    """Return the op's answer where it is an id of these logits, as the model gave them.

    Raises: SynapseError saying why there is none.
    """
    if answer >= 0:
        return answer
    id = -1 - answer
    value = float(logits[id])
    if math.isfinite(value):
        raise SynapseError(
            "no token may come: the answer's form, its bias and its penalties leave none"
        )
    raise SynapseError(
        f"the model's logits are not finite (id {id} is {value});"
        " are its weights damaged? `synapse verify --integrity`"
    )


def _settings(
    temperature: float, k: int, p: float, least: float, seed: int, draw: int
) -> np.ndarray:
    drawn = [min(max(temperature, TINY), 3e38) if temperature else 0.0]
    drawn += [min(k, MOST_IDS), max(p, TINY), least]
    words = [*halves_of(seed), *halves_of(draw)]
    return np.array([*drawn, 1.0, 0.0, 0.0, *words], dtype=np.float32)
