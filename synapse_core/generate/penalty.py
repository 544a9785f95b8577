"""Making tokens that came before less likely."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import numpy as np

from synapse_core.errors import UsageError


@attrs.frozen
class RepetitionPenalty:
    """Divides positive logits of seen tokens by `penalty` and multiplies negative ones by it.

    Seen are the last `window` ids of prompt and answer, 0 meaning all; how often a token came does
    not count. A penalty of 1 changes nothing, one below 1 asks for repetition.

    Source: Keskar et al. 2019, section 4.1, as Hugging Face's RepetitionPenaltyLogitsProcessor.
    """

    penalty: float = 1.0
    window: int = 0

    def __attrs_post_init__(self) -> None:
        if not (math.isfinite(self.penalty) and self.penalty > 0):
            raise UsageError(f"repetition penalty {self.penalty}: must be over 0 (1 is none)")
        if self.window < 0:
            raise UsageError(f"repetition window {self.window}: must be 0 (all) or more tokens")

    def apply(self, logits: np.ndarray, seen: Sequence[int]) -> np.ndarray:
        """Return the logits of one position, float32 (V,), with those of `seen` penalised."""
        if self.penalty == 1.0 or not seen:
            return logits
        ids = np.unique(np.asarray(seen[-self.window :], dtype=np.int64))
        known = logits[ids]
        penalty = np.float32(self.penalty)
        changed: np.ndarray = logits.copy()
        changed[ids] = np.where(known < 0, known * penalty, known / penalty)
        return changed
