"""Making tokens less likely, or more: those that came before, and those that a caller names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from synapse_core.errors import UsageError


@attrs.frozen
class Penalties:
    """Changes logits before a sampler sees them: first `bias`, then what seen tokens are charged.

    Seen are the last `window` ids of prompt and answer, 0 meaning all. `repetition` divides their
    positive logits and multiplies negative ones; `frequency` is taken off for each time a token
    came, `presence` once. 1, 0 and 0 change nothing; what lies on the other side asks for more.
    `bias` is added to the logits of its ids; minus infinity forbids one.

    Source: Keskar et al. 2019, section 4.1, as Hugging Face's RepetitionPenaltyLogitsProcessor;
    OpenAI's API reference, `frequency_penalty`, `presence_penalty` and `logit_bias`.
    """

    repetition: float = 1.0
    window: int = 0
    frequency: float = 0.0
    presence: float = 0.0
    bias: Mapping[int, float] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not (math.isfinite(self.repetition) and self.repetition > 0):
            raise UsageError(f"repetition penalty {self.repetition}: must be over 0 (1 is none)")
        for name in ("frequency", "presence"):
            if not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name} penalty {getattr(self, name)}: must be a number")
        if self.window < 0:
            raise UsageError(f"repetition window {self.window}: must be 0 (all) or more tokens")
        for id, added in self.bias.items():
            if math.isnan(added) or added == math.inf:
                raise UsageError(f"bias {added} of token {id}: must be a number, or -inf")

    @property
    def amounts(self) -> tuple[float, float, float]:
        """Repetition, frequency and presence."""
        return self.repetition, self.frequency, self.presence

    @property
    def counts(self) -> bool:
        """Whether it matters how often a token came."""
        return self.amounts != (1.0, 0.0, 0.0)

    def check(self, vocabulary: int) -> None:
        """Raise UsageError for a bias of a token that the model does not have."""
        for id in self.bias:
            if not 0 <= id < vocabulary:
                raise UsageError(f"bias of token {id}; this model's ids are 0 to {vocabulary - 1}")

    def apply(self, logits: np.ndarray, seen: Sequence[int]) -> np.ndarray:
        """Return the changed logits of one position, float32 (V,); those given stay."""
        if not self.bias and not (self.counts and seen):
            return logits
        changed: np.ndarray = logits.copy()
        for id, added in self.bias.items():
            changed[id] += np.float32(added)
        if self.counts and seen:
            window = np.asarray(seen[-self.window :], dtype=np.int64)
            ids, counts = np.unique(window, return_counts=True)
            known, penalty = changed[ids], np.float32(self.repetition)
            known = np.where(known < 0, known * penalty, known / penalty)
            taken = counts.astype(np.float32) * np.float32(self.frequency)
            changed[ids] = known - (taken + np.float32(self.presence))
        return changed
