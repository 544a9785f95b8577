"""The op `mamba.conv1d_causal`: each column's own short filter over the rows of its slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import Attribute, Op, OperandType, Options, ReferenceCall, TensorType, checks

NAME = "mamba.conv1d_causal"
MOST_TAPS = 16


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), w (K, C), bias (1, C) or none, the last K − 1 rows of x → y (T, C)."""
    checks.count(NAME, inputs, 4)
    x = checks.slotted(NAME, "x", inputs[0])
    w = checks.weight(NAME, "w", inputs[1])
    if w.cols != x.cols or not 2 <= w.rows <= MOST_TAPS:
        raise ShapeError(
            f"{NAME}: x has {x.cols} columns, w {w.name!r} is ({w.rows}, {w.cols}); it must be"
            f" (2 to {MOST_TAPS}, {x.cols})"
        )
    if inputs[2] is not None:
        checks.matrix(NAME, "bias", inputs[2], 1, x.cols)
    checks.recurrent(NAME, inputs[3], (w.rows - 1) * x.cols)
    return (x,)


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """y[t] = f(bias + Σ_k w[k] · x[t − K + 1 + k]), rows before the first being zero.

    Shapes: x (T, C); w (K, C); memory (K − 1, C), the oldest row first; y (T, C).
    Source: Gu & Dao 2023, section 3.4; `MambaMixer` of transformers.
    """
    x, w, bias, state = inputs
    taps = w.rows_f32()
    kept = len(taps) - 1
    y = np.zeros_like(x) if bias is None else np.repeat(bias.rows_f32(), len(x), axis=0)
    for slot, rows in call.rows(call.input_types()[0].space).runs():
        memory = state.memory(slot).reshape(kept, x.shape[1])
        seen = np.concatenate([memory, x[rows]])
        for k, tap in enumerate(taps):
            y[rows] += tap * seen[k : len(seen) - kept + k]
        memory[:] = seen[len(seen) - kept :]
    if options["activation"] == "silu":
        y = silu(y)
    return (y,)


def silu(x: np.ndarray) -> np.ndarray:
    """x · sigmoid(x), without an overflow."""
    small = np.exp(-np.abs(x))
    gate: np.ndarray = np.where(x >= 0, np.float32(1), small) / (np.float32(1) + small)
    return x * gate


CONV1D_CAUSAL = Op(
    name=NAME,
    summary="filter each column over the rows of its slot",
    infer=infer,
    reference=reference,
    attributes=(Attribute("activation", "enum", "none", ("none", "silu")),),
    kernels={"c": "synapse_model_mamba:kernels/conv1d_causal.c"},
)
