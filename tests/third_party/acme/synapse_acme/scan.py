"""The op `acme.scan`: a running sum that forgets, one number of memory a column."""

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import Op, StateType, TensorType, WeightType


def infer(inputs, options):
    """x (T, C), decay (1 × C), a recurrent state of C numbers → y (T, C)."""
    x, decay, state = inputs
    if not (isinstance(x, TensorType) and isinstance(decay, WeightType)):
        raise ShapeError("acme.scan takes a tensor, a weight and a recurrent state")
    if not (isinstance(state, StateType) and state.kind == "recurrent"):
        raise ShapeError("acme.scan needs a recurrent state")
    if (decay.rows, decay.cols, state.width) != (1, x.cols, x.cols):
        raise ShapeError(
            f"acme.scan: x has {x.cols} columns, decay {decay.cols}, the state {state.width}"
        )
    return (x,)


def reference(call, inputs, options):
    """Walk each slot's rows in order, from where the slot stopped."""
    x, decay, state = inputs
    table = call.rows(call.input_types()[0].space)
    factor = decay.rows_f32()[0]
    y = np.empty_like(x)
    for row, slot in enumerate(table.slot):
        memory = state.memory(int(slot))
        memory[:] = factor * memory + x[row]
        y[row] = memory
    return (y,)


SCAN = Op(
    name="acme.scan",
    summary="s = decay · s + x, column by column",
    infer=infer,
    reference=reference,
    kernels={"c": "synapse_acme:kernels/scan.c"},
)
