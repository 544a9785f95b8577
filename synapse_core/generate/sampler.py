"""Choosing the next token from logits."""

from __future__ import annotations

import math
import secrets
from typing import Protocol

import attrs
import numpy as np

from synapse_core.errors import SynapseError, UsageError

# A draw has 53 bits: what is e^45 times less likely than the top is never drawn.
NEGLIGIBLE = 45.0
# One number of so many tells where the largest begin.
SAMPLED = 64
# So many of the likeliest are put in order before all are: mostly the draw falls among them.
HEADS = (1024, 16384)


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
        return _largest(logits)


@attrs.define
class Random:
    """Draws from softmax(logits / temperature), of the `top_k` likeliest, within mass `top_p`.

    `min_p` leaves out what is less likely than that share of the likeliest. `top_k` 0, `top_p` 1
    and `min_p` 0 keep all. The order is temperature, then k, then p, then the least share. The
    same seed and logits give the same tokens everywhere: the draw is PCG64's raw 64 bits, whose
    sequence numpy promises to keep, and the sums are float64, one after the other.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = attrs.field(factory=lambda: secrets.randbits(32))
    min_p: float = 0.0
    _bits: np.random.PCG64 = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UsageError(f"temperature {self.temperature}: must be over 0 (0 means greedy)")
        if self.top_k < 0:
            raise UsageError(f"top-k {self.top_k}: must be 0 (all) or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p {self.top_p}: must be over 0 and at most 1")
        if not 0 <= self.min_p <= 1:
            raise UsageError(f"min-p {self.min_p}: must be 0 (all) to 1")
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}: must be 0 or more")
        self._bits = np.random.PCG64(self.seed)

    def choose(self, logits: np.ndarray) -> int:
        """Return an id drawn from the logits."""
        top = float(logits[_largest(logits)])
        draw = (int(self._bits.random_raw()) >> 11) * 2.0**-53
        ids = self._candidates(logits, top)
        weights = np.exp((logits[ids].astype(np.float64) - top) / self.temperature)
        total = float(np.cumsum(weights)[-1])
        sizes = [size for size in HEADS if size < len(ids)]
        for size in (*sizes, len(ids)):
            head = _likeliest(logits[ids], size)
            place = self._place(weights[head], total, draw, is_whole=size == len(ids))
            if place is not None:
                break
        return int(ids[head[place]])

    def _candidates(self, logits: np.ndarray, top: float) -> np.ndarray:
        """Return the ids to draw from, in rising order; of equals `top_k` keeps the first."""
        least = top - NEGLIGIBLE * self.temperature
        if not 0 < self.top_k < len(logits):
            return np.flatnonzero(logits >= least)
        ids = np.flatnonzero(logits >= max(least, _kth_largest(logits, self.top_k)))
        return np.sort(ids[_likeliest(logits[ids], min(self.top_k, len(ids)))])

    def _place(
        self, weights: np.ndarray, total: float, draw: float, *, is_whole: bool
    ) -> int | None:
        """Return where in a head of the candidates, likeliest first, the draw falls.

        None where the head is too short to tell.
        """
        sums = np.cumsum(weights)
        kept, mass = len(sums), total
        if self.top_p < 1:
            kept = min(int(np.searchsorted(sums, self.top_p * total)) + 1, kept)
        if self.min_p > 0:
            # The likeliest weighs 1, and they fall.
            kept = min(kept, int(np.count_nonzero(weights >= self.min_p)))
        if self.top_p < 1 or self.min_p > 0:
            if kept == len(sums) and not is_whole:
                return None
            mass = float(sums[kept - 1])
        place = int(np.searchsorted(sums[:kept], draw * mass, side="right"))
        if place == kept:
            return kept - 1 if is_whole or kept < len(sums) else None
        return place


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


def _largest(logits: np.ndarray) -> int:
    best = int(np.argmax(logits))
    if not math.isfinite(float(logits[best])):
        raise SynapseError(
            f"the model's logits are not finite (id {best} is {float(logits[best])});"
            " are its weights damaged? `synapse verify --integrity`"
        )
    return best


def _kth_largest(logits: np.ndarray, k: int) -> float:
    """Return the k-th largest number; k at most how many there are.

    Of many only those are partitioned that lie above what a sample of them suggests.
    """
    sample = logits[::SAMPLED]
    rank = 4 + 4 * k // SAMPLED
    if rank < len(sample):
        place = len(sample) - rank
        above = logits[logits >= np.partition(sample, place)[place]]
        if len(above) >= k:
            logits = above
    place = len(logits) - k
    return float(np.partition(logits, place)[place])


def _likeliest(logits: np.ndarray, count: int) -> np.ndarray:
    """Return the places of the `count` largest, largest first; equals in their order."""
    if count == len(logits):
        return np.argsort(-logits, kind="stable")
    places = np.flatnonzero(logits >= _kth_largest(logits, count))
    order: np.ndarray = places[np.argsort(-logits[places], kind="stable")]
    return order[:count]
