"""How likely a model held each token that was generated."""

from __future__ import annotations

import attrs
import numpy as np


@attrs.frozen
class TokenLogprob:
    """A generated token with its log-probability, and the likeliest ones of its position.

    They are the model's own, before penalty, temperature and truncation. `top` holds (id,
    log-probability), likeliest first, of equals the smaller id; a token that cannot come is left
    out.

    Units: nats.
    """

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, logits: np.ndarray, id: int, count: int) -> TokenLogprob:
        """Take a token and the `count` likeliest out of the logits of one position, (V,)."""
        chances = log_softmax(logits)
        best = np.argsort(-chances, kind="stable")[:count]
        top = tuple((int(n), float(chances[n])) for n in best if np.isfinite(chances[n]))
        return cls(id, float(chances[id]), top)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the log-probabilities over the last axis, float64 of the logits' shape.

    Units: nats.
    """
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
