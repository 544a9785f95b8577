"""Running one op without a graph: types, values and the call it is part of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.formats import format_named
from synapse_core.ops import (
    Op,
    RowTable,
    Scalar,
    Space,
    StateType,
    TensorType,
    WeightType,
    complete_options,
)

TOKENS = Space("tokens", "tokens")
COUNTED = Space("outputs", "outputs", 1, False)


def table(*runs: tuple[int, int, int]) -> RowTable:
    """Return the row table of runs (slot, first position, count)."""
    slot = [slot for slot, _, count in runs for _ in range(count)]
    position = [first + n for _, first, count in runs for n in range(count)]
    return RowTable(np.array(slot), np.array(position))


def numbers(*shape: int, seed: int = 5) -> np.ndarray:
    """Return normal float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@attrs.frozen(eq=False)
class Weight:
    """A weight held in a format."""

    type: WeightType
    bytes: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, format: str = "f32", name: str = "w") -> Weight:
        """Encode numbers (cols,) or (rows, cols)."""
        values = np.atleast_2d(values).astype(np.float32)
        raw = format_named(format).encode(values)
        return cls(WeightType(name, *values.shape, format), raw)

    def rows_f32(self, index: np.ndarray | None = None) -> np.ndarray:
        """Return the dequantised rows."""
        raw = self.bytes if index is None else self.bytes[index]
        return format_named(self.type.format).decode(raw, self.type.cols)

    def raw(self) -> np.ndarray:
        """Return the stored bytes."""
        return self.bytes


@attrs.define(eq=False)
class Cache:
    """A kv state in float32."""

    type: StateType
    slots: dict[int, tuple[np.ndarray, np.ndarray]] = attrs.field(factory=dict)

    def extend(self, slot: int, position: int, k: np.ndarray, v: np.ndarray) -> None:
        """Keep k and v from a position on."""
        if slot in self.slots:
            old_k, old_v = self.keys_values(slot, position)
            assert len(old_k) == position
            k, v = np.concatenate([old_k, k]), np.concatenate([old_v, v])
        self.slots[slot] = k, v

    def keys_values(self, slot: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return k and v of the positions below `end`."""
        k, v = self.slots[slot]
        return k[:end], v[:end]


@attrs.frozen(eq=False)
class Call:
    """What a reference may ask; derived spaces have groups as slots."""

    given: RowTable
    inputs: tuple[Any, ...]
    outputs: tuple[TensorType, ...]

    def count(self, space: Space) -> int:
        """Return the rows of a space."""
        return len(self.given) * space.multiple

    def rows(self, space: Space) -> RowTable:
        """Return slots and positions of a space."""
        if space.is_base:
            return self.given
        number = np.arange(self.count(space))
        return RowTable(number // space.multiple, number % space.multiple)

    def output_types(self) -> tuple[TensorType, ...]:
        """Return what `infer` gave."""
        return self.outputs

    def input_types(self) -> tuple[Any, ...]:
        """Return what `infer` was given."""
        return self.inputs


def run(
    op: Op,
    inputs: Sequence[Any],
    *,
    rows: RowTable | None = None,
    space: Space = TOKENS,
    types: Sequence[Any] | None = None,
    **options: Scalar,
) -> tuple[np.ndarray, ...]:
    """Infer and compute an op; arrays are tensors of `space` unless `types` are given."""
    if types is None:
        types = [
            TensorType(space, value.shape[1])
            if isinstance(value, np.ndarray)
            else getattr(value, "type", None)
            for value in inputs
        ]
    complete = complete_options(op, options)
    outputs = op.infer(types, complete)
    arrays = [value for value in inputs if isinstance(value, np.ndarray)]
    given = rows if rows is not None else table((0, 0, len(arrays[0]) // space.multiple))
    results = op.reference(Call(given, tuple(types), outputs), list(inputs), complete)
    assert len(results) == len(outputs)
    for result, type in zip(results, outputs, strict=True):
        assert result.dtype == np.float32
        assert result.shape[1] == type.cols
    return results
