"""Weights that live in memory, and the rewrites that small vectors get at load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs
import numpy as np

from synapse_core.formats import WeightFormat


def _one_plus(values: np.ndarray) -> np.ndarray:
    return (np.float32(1.0) + values).astype(np.float32)


TRANSFORMS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {"one_plus": _one_plus}
)


@attrs.frozen(eq=False)
class Constant:
    """A weight whose float32 numbers are at hand: values (rows, cols)."""

    values: np.ndarray
    format: str = "f32"
    place: tuple[str, int] | None = None

    @classmethod
    def of(cls, values: np.ndarray) -> Constant:
        """Take (n,) or (rows, cols) numbers."""
        return cls(np.ascontiguousarray(np.atleast_2d(values), dtype=np.float32))

    @property
    def rows(self) -> int:
        """How many rows it has; one for a vector."""
        return int(self.values.shape[0])

    @property
    def cols(self) -> int:
        """How many numbers a row has."""
        return int(self.values.shape[1])

    def raw(self) -> np.ndarray:
        """Return the bytes, uint8 (rows, 4 · cols)."""
        return self.values.view(np.uint8)

    def equals(self, other: Constant) -> bool:
        """Whether both hold the same numbers, bit for bit."""
        return np.array_equal(self.raw(), other.raw())


@attrs.define(eq=False)
class Encoded:
    """A weight re-encoded in memory: `bytes` are uint8 (rows, row_bytes) of `format`.

    Where they lie may change (`settle`), what they are never does.
    """

    format: str = attrs.field(on_setattr=attrs.setters.frozen)
    rows: int = attrs.field(on_setattr=attrs.setters.frozen)
    cols: int = attrs.field(on_setattr=attrs.setters.frozen)
    bytes: np.ndarray
    place: tuple[str, int] | None = attrs.field(default=None, on_setattr=attrs.setters.frozen)

    @classmethod
    def encode(cls, values: np.ndarray, format: WeightFormat) -> Encoded:
        """Encode float32 values (rows, cols)."""
        return cls(format.name, values.shape[0], values.shape[1], format.encode(values))

    def raw(self) -> np.ndarray:
        """Return the bytes, uint8 (rows, row_bytes)."""
        return self.bytes

    def settle(self, room: np.ndarray) -> None:
        """Move the bytes into `room`, uint8 of as many, so that they are held once only."""
        place = room.reshape(self.bytes.shape)
        place[:] = self.bytes
        self.bytes = place
