"""What slots remember in the numpy reference."""

from __future__ import annotations

import attrs
import numpy as np

from synapse_core.formats import format_named
from synapse_core.ops import StateType


@attrs.define
class KvState:
    """Keys and values by slot, rounded to the KV type when kept."""

    type: StateType
    kv: str
    slots: dict[int, tuple[np.ndarray, np.ndarray]] = attrs.field(factory=dict)

    def extend(self, slot: int, position: int, k: np.ndarray, v: np.ndarray) -> None:
        """Keep k, v (T, width), (T, width_v) from `position` on; what was beyond is dropped."""
        old_k, old_v = self.keys_values(slot, position)
        self.slots[slot] = (
            np.concatenate([old_k, self._rounded(k)]),
            np.concatenate([old_v, self._rounded(v)]),
        )

    def keys_values(self, slot: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return k, v of positions 0 to end-1."""
        if slot not in self.slots:
            empty = np.zeros((0, self.type.width), dtype=np.float32)
            return empty, np.zeros((0, self.type.width_v), dtype=np.float32)
        k, v = self.slots[slot]
        return k[:end], v[:end]

    def copy(self, source: int, target: int, positions: int) -> None:
        """Make slot `target` remember what `source` does of its first positions."""
        self.slots[target] = self.keys_values(source, positions)

    def forget(self, slot: int) -> None:
        """Forget a slot."""
        self.slots.pop(slot, None)

    def save(self, slot: int, positions: int) -> np.ndarray:
        """Return the bytes of a slot's first positions, keys before values."""
        k, v = self.keys_values(slot, positions)
        return np.concatenate([k.ravel(), v.ravel()]).astype("<f4").view(np.uint8)

    def load(self, slot: int, positions: int, part: np.ndarray) -> None:
        """Take back what `save` gave."""
        k, v = np.split(part.view("<f4").astype(np.float32), [positions * self.type.width])
        self.slots[slot] = (k.reshape(positions, -1), v.reshape(positions, -1))

    def saved_bytes(self, positions: int) -> int:
        """Return how long `save`'s answer is."""
        return 4 * positions * (self.type.width + self.type.width_v)

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        format = format_named(self.kv)
        return format.decode(format.encode(values), values.shape[1])


@attrs.define
class RecurrentState:
    """A slot's numbers, zero until a kernel writes them."""

    type: StateType
    slots: dict[int, np.ndarray] = attrs.field(factory=dict)

    def memory(self, slot: int) -> np.ndarray:
        """Return the slot's numbers, float32 (width,), written in place."""
        if slot not in self.slots:
            self.slots[slot] = np.zeros(self.type.width, dtype=np.float32)
        return self.slots[slot]

    def copy(self, source: int, target: int, positions: int) -> None:
        """Make slot `target` remember what `source` does, all of it."""
        self.slots[target] = self.memory(source).copy()

    def forget(self, slot: int) -> None:
        """Forget a slot: zeros again."""
        self.slots.pop(slot, None)

    def save(self, slot: int, positions: int) -> np.ndarray:
        """Return the bytes of a slot's numbers."""
        return self.memory(slot).astype("<f4").view(np.uint8)

    def load(self, slot: int, positions: int, part: np.ndarray) -> None:
        """Take back what `save` gave."""
        self.slots[slot] = part.view("<f4").astype(np.float32)

    def saved_bytes(self, positions: int) -> int:
        """Return how long `save`'s answer is."""
        return 4 * self.type.width


State = KvState | RecurrentState


def make_state(type: StateType, kv: str) -> State:
    """Return an empty state of a type."""
    return RecurrentState(type) if type.kind == "recurrent" else KvState(type, kv)
