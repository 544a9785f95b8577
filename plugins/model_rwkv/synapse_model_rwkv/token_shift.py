"""The op `rwkv.token_shift`: each row between itself and the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import (
    Op,
    OperandType,
    Options,
    ReferenceCall,
    RowTable,
    StateType,
    TensorType,
    WeightType,
)

MOST_SHIFTS = 6


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), a recurrent state of C numbers, 1 to 6 vectors mu (1, C) → as many (T, C)."""
    if not 3 <= len(inputs) <= 2 + MOST_SHIFTS:
        problem = f"{len(inputs)} operands; it takes x, a state and 1 to {MOST_SHIFTS} vectors"
        raise ShapeError(f"rwkv.token_shift: {problem}")
    x, state, *mus = inputs
    if not isinstance(x, TensorType) or x.dtype != "f32":
        raise ShapeError("rwkv.token_shift: x must be a float tensor")
    if not isinstance(state, StateType) or (state.kind, state.width) != ("recurrent", x.cols):
        raise ShapeError(f"rwkv.token_shift: needs a recurrent state of {x.cols} numbers")
    for mu in mus:
        if not isinstance(mu, WeightType) or (mu.rows, mu.cols) != (1, x.cols):
            raise ShapeError(f"rwkv.token_shift: every mu must be a vector of {x.cols} numbers")
    return (x,) * len(mus)


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """x + (previous − x) · mu, for each mu; a slot's first row has zeros before it.

    The state is the slot's last row.

    Source: Peng et al. 2025 (RWKV-7), section 4, eq. 1.
    """
    x, state, *mus = inputs
    x_type = call.input_types()[0]
    assert isinstance(x_type, TensorType)
    previous = np.empty_like(x)
    for slot, first, end in runs(call.rows(x_type.space)):
        memory = state.memory(slot)
        previous[first] = memory
        previous[first + 1 : end] = x[first : end - 1]
        memory[:] = x[end - 1]
    delta = previous - x
    return tuple(x + delta * mu.rows_f32()[0] for mu in mus)


def runs(table: RowTable) -> list[tuple[int, int, int]]:
    """Return slot, first row and end of each slot's rows: they lie together."""
    slots = np.asarray(table.slot)
    if not len(slots):
        return []
    starts = np.flatnonzero(np.diff(slots, prepend=slots[0] - 1))
    ends = [*starts[1:], len(slots)]
    return [(int(slots[a]), int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


TOKEN_SHIFT = Op(
    name="rwkv.token_shift",
    summary="each row moved towards the one before it, by up to six vectors",
    infer=infer,
    reference=reference,
    kernels={"c": "synapse_model_rwkv:kernels/token_shift.c"},
)
