"""Logits of token after token, several made at once where they are guessed.

A guess is run together with the token before it. Its logits are used if the sampler then
chooses just that token, and forgotten otherwise: what is chosen is what plain decoding chooses.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import attrs
import numpy as np

from synapse_core.generate.decoder import Decoder
from synapse_core.generate.guess import Guesser
from synapse_core.generate.pace import Pace

MOST_GUESSES = 15


@attrs.define
class Ahead:
    """Runs a decoder, with a guesser ahead of what is chosen.

    `guessed` and `right` count guesses; `calls` those of the model.
    """

    decoder: Decoder
    guesser: Guesser | None = None
    clock: Callable[[], float] = time.perf_counter
    guessed: int = attrs.field(default=0, init=False)
    right: int = attrs.field(default=0, init=False)
    calls: int = attrs.field(default=0, init=False)
    _pace: Pace = attrs.field(init=False)
    _guesses: list[int] = attrs.field(factory=list, init=False)
    _rows: deque[np.ndarray] = attrs.field(factory=deque, init=False)
    _right: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        ports = self.decoder.ports
        self._pace = Pace(min(MOST_GUESSES, ports.most_outputs - 1, ports.most_tokens - 1))

    def after(self, seen: Sequence[int]) -> np.ndarray:
        """Return the logits behind `seen`, float32 (V,), whose last id is new."""
        if self._rows and self._guesses[self._right] == seen[-1]:
            self._right += 1
            return self._next()
        self._forget(len(seen) - 1)
        begun = self.clock()
        most = min(self._pace.length(), self.decoder.room - 1) if self.guesser else 0
        self._guesses = self.guesser.guess(seen, most) if self.guesser and most > 0 else []
        guessed = self.clock()
        self._rows.extend(self.decoder.extend([seen[-1], *self._guesses]))
        done = self.clock()
        self._pace.called(1 + len(self._guesses), done - guessed, guessed - begun)
        self.calls += 1
        return self._next()

    def close(self, seen: Sequence[int]) -> None:
        """Make the decoder forget guesses behind `seen`, or in the place of its last id."""
        last = len(seen) - 1
        del self._guesses[self._right :]  # whether they were right nobody will say
        self._forget(last + (self.decoder.seen[last : last + 1] == list(seen[last:])))

    def _forget(self, count: int) -> None:
        if self._guesses:
            self._pace.judged(len(self._guesses), self._right)
            self.guessed += len(self._guesses)
            self.right += self._right
        self._rows.clear()
        self._guesses, self._right = [], 0
        self.decoder.keep(min(count, len(self.decoder.seen)))

    def _next(self) -> np.ndarray:
        return self._rows.popleft()
