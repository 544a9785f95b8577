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
    TensorType,
    checks,
)

NAME = "rwkv.token_shift"
MOST_SHIFTS = 6


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), a recurrent state of C numbers, 1 to 6 vectors mu (1, C) → as many (T, C)."""
    if not 3 <= len(inputs) <= 2 + MOST_SHIFTS:
        problem = f"{len(inputs)} operands; it takes x, a state and 1 to {MOST_SHIFTS} vectors"
        raise ShapeError(f"{NAME}: {problem}")
    x = checks.slotted(NAME, "x", inputs[0])
    checks.recurrent(NAME, inputs[1], x.cols)
    for mu in inputs[2:]:
        checks.matrix(NAME, "mu", mu, 1, x.cols)
    return (x,) * (len(inputs) - 2)


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
    for slot, rows in call.rows(x_type.space).runs():
        memory, first, end = state.memory(slot), rows.start, rows.stop
        previous[first] = memory
        previous[first + 1 : end] = x[first : end - 1]
        memory[:] = x[end - 1]
    delta = previous - x
    return tuple(x + delta * mu.rows_f32()[0] for mu in mus)


TOKEN_SHIFT = Op(
    name=NAME,
    summary="each row moved towards the one before it, by up to six vectors",
    infer=infer,
    reference=reference,
    kernels={"c": "synapse_model_rwkv:kernels/token_shift.c"},
)
