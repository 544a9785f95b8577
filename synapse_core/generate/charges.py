"""What tokens are charged: how often each came, and its bias, kept while a text grows."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from synapse_core.generate.penalty import Penalties

TIMES, BIAS = 0, 1


@attrs.define
class Charges:
    """Counts the ids of a text for the op `sample`. A text that does not go on is counted anew."""

    penalties: Penalties
    _places: dict[int, int] = attrs.field(factory=dict, init=False)
    _ids: np.ndarray = attrs.field(init=False)
    _numbers: np.ndarray = attrs.field(init=False)
    _counted: int = attrs.field(default=0, init=False)
    _last: int | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._begin()

    def of(self, seen: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return ids, int32 (N,), and for each how often it came and its bias, float32 (N, 2)."""
        if self.penalties.counts:
            known = self._counted
            if known and (len(seen) < known or seen[known - 1] != self._last):
                self._begin()
            self._count(seen)
        return self._ids[: len(self._places)], self._numbers[: len(self._places)]

    def _begin(self) -> None:
        bias = self.penalties.bias
        self._places, self._counted, self._last = {}, 0, None
        self._ids = np.zeros(max(64, len(bias)), dtype=np.int32)
        self._numbers = np.zeros((len(self._ids), 2), dtype=np.float32)
        for id, added in bias.items():
            place = self._place(id)
            self._numbers[place, BIAS] = added

    def _count(self, seen: Sequence[int]) -> None:
        window = self.penalties.window or len(seen)
        for end in range(self._counted, len(seen)):
            place = self._place(seen[end])
            self._numbers[place, TIMES] += 1
            if end >= window:
                self._numbers[self._places[seen[end - window]], TIMES] -= 1
        self._counted = len(seen)
        self._last = seen[-1] if seen else None

    def _place(self, id: int) -> int:
        place = self._places.setdefault(id, len(self._places))
        if place == len(self._ids):
            self._ids = np.concatenate([self._ids, np.zeros_like(self._ids)])
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
        self._ids[place] = id
        return place
