"""What an op is: a shape rule, a numpy reference, and kernels by language.

Ops see their operands as types when a graph is built (`infer`) and as arrays when it runs
(`reference`). A tensor is always rows × cols: its rows live in a named row space, its columns are
fixed. Words and letters: docs/shapes.md; the operands of each core op: docs/ops.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    import numpy as np

Scalar = int | float | str | bool
Options = Mapping[str, Scalar]

F32 = "f32"
I32 = "i32"


@attrs.frozen
class Space:
    """A row space: `multiple` rows for every row of its base.

    A base space names itself as `base` and has multiple 1. `rows=True` says that a call gives each
    of its rows a slot and a position; a space without (`outputs`) is only counted. A row of a
    derived space has the slot of its base row, and its index within it as its position.
    """

    name: str
    base: str
    multiple: int = 1
    rows: bool = True

    @property
    def is_base(self) -> bool:
        """Whether a call counts this space directly."""
        return self.name == self.base


@attrs.frozen
class TensorType:
    """Rows of `space`, each `cols` numbers wide.

    An i32 tensor is always an input of the function. Its values are below `limit`, or, where
    `limit_space` names a space, below the number of rows that space has in the call.
    """

    space: Space
    cols: int
    dtype: str = F32
    limit: int = 0
    limit_space: str = ""


@attrs.frozen
class WeightType:
    """A matrix of `rows` × `cols` numbers in a named format; a vector has one row."""

    name: str
    rows: int
    cols: int
    format: str = F32


@attrs.frozen
class StateType:
    """What a slot remembers between calls.

    kind "kv":        `width` numbers of K and `width_v` of V for each position, in pages;
                      `window` 0 keeps all positions, else the last `window` are enough. Of each
                      head are `head_dim` numbers (0: all), which share no block of a KV type.
    kind "recurrent": `width` float32 numbers a slot, zero before position 0.
    """

    name: str
    kind: str
    width: int
    width_v: int = 0
    window: int = 0
    head_dim: int = 0


OperandType = TensorType | WeightType | StateType | None


@attrs.frozen
class RowTable:
    """Which slot and position each row of a base space has.

    Shapes: slot, position (n,) int64. Rows of a slot are contiguous, their positions consecutive.
    """

    slot: np.ndarray
    position: np.ndarray

    def __len__(self) -> int:
        return len(self.slot)

    def runs(self) -> Iterator[tuple[int, slice]]:
        """Yield each slot of the call and where its rows lie."""
        first = 0
        for slot, rows in groupby(self.slot.tolist()):
            end = first + sum(1 for _ in rows)
            yield slot, slice(first, end)
            first = end


class WeightValue(Protocol):
    """A weight at run time: its bytes, and its numbers."""

    type: WeightType

    def rows_f32(self, index: np.ndarray | None = None) -> np.ndarray:
        """Return the dequantised rows as float32: all (rows, cols), or those of `index`."""
        ...

    def raw(self) -> np.ndarray:
        """Return the stored bytes: uint8 (rows, row_bytes)."""
        ...


class StateValue(Protocol):
    """A state at run time, in the numpy reference."""

    type: StateType

    def extend(self, slot: int, position: int, k: np.ndarray, v: np.ndarray) -> None:
        """Keep k, v (T, width), (T, width_v) of a slot, from `position` on (kv)."""
        ...

    def keys_values(self, slot: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Return k, v of positions 0 to end-1 (kv)."""
        ...

    def memory(self, slot: int) -> np.ndarray:
        """Return the slot's numbers, float32 (width,), to be read and written in place."""
        ...


OperandValue = "np.ndarray | WeightValue | StateValue | None"


class ReferenceCall(Protocol):
    """What a numpy reference may ask of the call it is part of."""

    def rows(self, space: Space) -> RowTable:
        """Return slot and position of every row of a space, derived spaces included."""
        ...

    def count(self, space: Space) -> int:
        """Return how many rows a space has in this call."""
        ...

    def output_types(self) -> tuple[TensorType, ...]:
        """Return the types that `infer` gave this node's outputs."""
        ...

    def input_types(self) -> tuple[OperandType, ...]:
        """Return the types of this node's inputs."""
        ...


@attrs.frozen
class Attribute:
    """One option of an op, and how it is packed into a 32-bit word of a record.

    kind: "u32", "f32" (its bits), or "enum" (index into `choices`). `default` None: required.
    """

    name: str
    kind: str
    default: Scalar | None = None
    choices: tuple[str, ...] = ()


Infer = Callable[[Sequence[OperandType], Options], tuple[TensorType, ...]]
Reference = Callable[..., "tuple[np.ndarray, ...]"]


@attrs.frozen
class Op:
    """One operation, owned by the distribution that provides it.

    `infer(inputs, options)` returns the outputs' types or raises ShapeError naming both sides.
    `reference(call, inputs, options)` returns the outputs, float32 (rows, cols).
    `kernels` maps a language to where its source is: {"c": "my_pkg:kernels/my_op.c"}; an op of the
    core has {"c": "core"}. On numpy every op runs; elsewhere one without a kernel is refused by
    name.
    """

    name: str
    summary: str
    infer: Infer
    reference: Reference
    attributes: tuple[Attribute, ...] = ()
    kernels: Mapping[str, str] = attrs.field(factory=dict)
