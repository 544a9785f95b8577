"""The op `mamba.selective_scan`: Mamba's recurrence, a memory of N numbers for each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import Op, OperandType, Options, ReferenceCall, TensorType, checks
from synapse_model_mamba.conv1d_causal import silu

NAME = "mamba.selective_scan"
MOST_STATE = 1024


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x, dt (T, C), b, c (T, N), a (N, C), d (1, C), z (T, C) or none, N · C memory → y (T, C)."""
    checks.count(NAME, inputs, 8)
    x = checks.slotted(NAME, "x", inputs[0])
    checks.beside(NAME, "dt", inputs[1], x, x.cols)
    a = checks.weight(NAME, "a", inputs[4])
    if a.cols != x.cols or not 1 <= a.rows <= MOST_STATE:
        raise ShapeError(
            f"{NAME}: x has {x.cols} columns, a {a.name!r} is ({a.rows}, {a.cols}); it must be"
            f" (1 to {MOST_STATE}, {x.cols})"
        )
    checks.beside(NAME, "b", inputs[2], x, a.rows)
    checks.beside(NAME, "c", inputs[3], x, a.rows)
    checks.matrix(NAME, "d", inputs[5], 1, x.cols)
    if inputs[6] is not None:
        checks.beside(NAME, "z", inputs[6], x, x.cols)
    checks.recurrent(NAME, inputs[7], a.rows * x.cols)
    return (x,)


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """h = exp(Δ · a) · h + Δ · b · x; y = c · h + d · x, times SiLU(z); Δ = softplus(dt).

    Shapes: x, dt, z, y (T, C); b, c (T, N); a, memory (N, C).
    Source: Gu & Dao 2023, eq. 2a-2b and algorithm 2; `MambaMixer` of transformers.
    """
    x, dt, b, c, a, d, z, state = inputs
    rates, skip = a.rows_f32(), d.rows_f32()[0]
    step = softplus(dt)
    y = np.empty_like(x)
    for slot, rows in call.rows(call.input_types()[0].space).runs():
        memory = state.memory(slot).reshape(rates.shape)
        for t in range(rows.start, rows.stop):
            memory[:] = np.exp(step[t] * rates) * memory + np.outer(b[t], step[t] * x[t])
            y[t] = c[t] @ memory
    y += skip * x
    return (y if z is None else y * silu(z),)


def softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + e^x), exact to float32 where e^x is small."""
    found: np.ndarray = np.maximum(x, np.float32(0)) + np.log1p(np.exp(-np.abs(x)))
    return found


SELECTIVE_SCAN = Op(
    name=NAME,
    summary="Mamba's recurrence with its skip and gate",
    infer=infer,
    reference=reference,
    kernels={"c": "synapse_model_mamba:kernels/scan.c"},
)
