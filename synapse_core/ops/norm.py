"""Normalisation of rows, alone or of a sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import checks
from synapse_core.ops.contract import (
    Attribute,
    Op,
    OperandType,
    Options,
    ReferenceCall,
    TensorType,
)


def infer_rmsnorm(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), w (1, W) with C a multiple of W → (T, C)."""
    checks.count("rmsnorm", inputs, 2)
    x = checks.tensor("rmsnorm", "x", inputs[0])
    w = checks.weight("rmsnorm", "w", inputs[1])
    if w.rows != 1 or x.cols % w.cols:
        raise ShapeError(
            f"rmsnorm: x has {x.cols} columns, weight {w.name!r} is ({w.rows}, {w.cols});"
            " columns must be a multiple of its width"
        )
    return (x,)


def infer_layernorm(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), w (1, W) or none, b (1, W) or none, C a multiple of W = width → (T, C)."""
    checks.count("layernorm", inputs, 3)
    x = checks.tensor("layernorm", "x", inputs[0])
    width = int(options["width"])
    if width < 1 or x.cols % width:
        raise ShapeError(f"layernorm: x has {x.cols} columns, no multiple of the width {width}")
    checks.vector("layernorm", "weight", inputs[1], width)
    checks.vector("layernorm", "bias", inputs[2], width)
    return (x,)


def infer_batchnorm(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), mean, variance (1, C), w, b (1, C) or none → (T, C)."""
    checks.count("batchnorm", inputs, 5)
    x = checks.tensor("batchnorm", "x", inputs[0])
    for role, operand in zip(("mean", "variance", "weight", "bias"), inputs[1:], strict=True):
        found = checks.vector("batchnorm", role, operand, x.cols)
        if found is None and role in ("mean", "variance"):
            raise ShapeError(f"batchnorm: needs a {role}")
    return (x,)


def infer_add_rmsnorm(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x, r (T, C), w (1, C) → the sum and its norm, (T, C) both."""
    checks.count("add_rmsnorm", inputs, 3)
    x = _addends("add_rmsnorm", inputs)
    if checks.vector("add_rmsnorm", "weight", inputs[2], x.cols) is None:
        raise ShapeError("add_rmsnorm: needs a weight")
    return (x, x)


def infer_add_layernorm(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x, r (T, C), w, b (1, C) or none → the sum and its norm, (T, C) both."""
    checks.count("add_layernorm", inputs, 4)
    x = _addends("add_layernorm", inputs)
    checks.vector("add_layernorm", "weight", inputs[2], x.cols)
    checks.vector("add_layernorm", "bias", inputs[3], x.cols)
    return (x, x)


def rmsnorm(call: ReferenceCall, inputs: Sequence[Any], options: Options) -> tuple[np.ndarray, ...]:
    """x / √(mean(x²) + eps) · w, for each run of W columns.

    Source: Zhang & Sennrich 2019, eq. 4.
    """
    x, w = inputs
    return (_rms(x, w.rows_f32()[0], float(options["eps"])),)


def layernorm(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """(x − mean) / √(variance + eps) · w + b, for each run of W columns.

    Source: Ba, Kiros & Hinton 2016, eq. 4.
    """
    x, w, b = inputs
    return (_layer(x, w, b, int(options["width"]), float(options["eps"])),)


def batchnorm(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """(x − mean) / √(variance + eps) · w + b, by statistics that training kept.

    Source: Ioffe & Szegedy 2015, algorithm 2.
    """
    x, mean, variance, w, b = inputs
    y = (x - mean.rows_f32()) / np.sqrt(variance.rows_f32() + np.float32(options["eps"]))
    y = y if w is None else y * w.rows_f32()
    return (y if b is None else y + b.rows_f32(),)


def add_rmsnorm(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """s = x + r, and rmsnorm(s)."""
    x, r, w = inputs
    total = x + r
    return total, _rms(total, w.rows_f32()[0], float(options["eps"]))


def add_layernorm(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """s = x + r, and layernorm(s)."""
    x, r, w, b = inputs
    total = x + r
    return total, _layer(total, w, b, total.shape[1], float(options["eps"]))


def _addends(op: str, inputs: Sequence[OperandType]) -> TensorType:
    x = checks.tensor(op, "x", inputs[0])
    checks.same(op, x, checks.tensor(op, "r", inputs[1]))
    return x


def _rms(x: np.ndarray, w: np.ndarray, eps: float) -> np.ndarray:
    runs = x.reshape(len(x), -1, w.size)
    mean = np.mean(np.square(runs), axis=-1, keepdims=True, dtype=np.float32)
    normed = runs / np.sqrt(mean + np.float32(eps)) * w
    return normed.reshape(x.shape)  # type: ignore[no-any-return]


def _layer(x: np.ndarray, w: Any, b: Any, width: int, eps: float) -> np.ndarray:
    runs = x.reshape(len(x), -1, width)
    centred = runs - runs.mean(axis=-1, keepdims=True, dtype=np.float32)
    variance = np.mean(np.square(centred), axis=-1, keepdims=True, dtype=np.float32)
    normed = centred / np.sqrt(variance + np.float32(eps))
    if w is not None:
        normed = normed * w.rows_f32()[0]
    if b is not None:
        normed = normed + b.rows_f32()[0]
    return normed.reshape(x.shape)  # type: ignore[no-any-return]


_EPS = Attribute("eps", "f32")
RMSNORM = Op(
    name="rmsnorm",
    summary="divide rows by their root mean square",
    infer=infer_rmsnorm,
    reference=rmsnorm,
    attributes=(_EPS,),
    kernels={"c": "core"},
)
LAYERNORM = Op(
    name="layernorm",
    summary="centre rows and divide them by their deviation",
    infer=infer_layernorm,
    reference=layernorm,
    attributes=(_EPS, Attribute("width", "u32")),
    kernels={"c": "core"},
)
# No kernel: the pass `fold_batchnorm` leaves none for a backend.
BATCHNORM = Op(
    name="batchnorm",
    summary="normalise columns by kept statistics",
    infer=infer_batchnorm,
    reference=batchnorm,
    attributes=(_EPS,),
)
ADD_RMSNORM = Op(
    name="add_rmsnorm",
    summary="a residual sum and its rmsnorm",
    infer=infer_add_rmsnorm,
    reference=add_rmsnorm,
    attributes=(_EPS,),
    kernels={"c": "core"},
)
ADD_LAYERNORM = Op(
    name="add_layernorm",
    summary="a residual sum and its layernorm",
    infer=infer_add_layernorm,
    reference=add_layernorm,
    attributes=(_EPS,),
    kernels={"c": "core"},
)
