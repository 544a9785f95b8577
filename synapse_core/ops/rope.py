"""Rotary positions: pairs of columns turn with the row's position."""

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


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, H·D), inv_freq (1, R/2) → (T, H·D)."""
    checks.count("rope", inputs, 2)
    x = checks.tensor("rope", "x", inputs[0])
    checks.positions("rope", x)
    head_dim, rotary = int(options["head_dim"]), int(options["rotary_dim"])
    if head_dim < 1 or x.cols % head_dim:
        raise ShapeError(f"rope: x has {x.cols} columns, no multiple of head_dim {head_dim}")
    if rotary % 2 or not 2 <= rotary <= head_dim:
        raise ShapeError(f"rope: rotary_dim {rotary} must be even and at most head_dim {head_dim}")
    checks.vector("rope", "inv_freq", checks.weight("rope", "inv_freq", inputs[1]), rotary // 2)
    return (x,)


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """Turn pair i of each head by the angle position · inv_freq[i].

    style "half" pairs columns (i, i + R/2), "interleaved" (2i, 2i + 1); columns past R stay.
    Source: Su et al. 2021, eq. 34; the angle is one float32 product, as in transformers.
    """
    x, inv_freq = inputs
    (type,) = call.output_types()
    rotary = int(options["rotary_dim"])
    position = call.rows(type.space).position.astype(np.float32)
    angle = (position[:, None] * inv_freq.rows_f32()).astype(np.float32)
    magnitude = np.float32(options["magnitude"])
    cos, sin = np.cos(angle)[:, None] * magnitude, np.sin(angle)[:, None] * magnitude
    y = x.reshape(len(x), -1, int(options["head_dim"])).copy()
    if options["style"] == "half":
        first, second = slice(0, rotary // 2), slice(rotary // 2, rotary)
    else:
        first, second = slice(0, rotary, 2), slice(1, rotary, 2)
    a, b = y[..., first].copy(), y[..., second].copy()
    y[..., first], y[..., second] = a * cos - b * sin, b * cos + a * sin
    return (y.reshape(x.shape),)


ROPE = Op(
    name="rope",
    summary="turn pairs of columns by their position",
    infer=infer,
    reference=reference,
    attributes=(
        Attribute("head_dim", "u32"),
        Attribute("rotary_dim", "u32"),
        Attribute("style", "enum", None, ("half", "interleaved")),
        Attribute("magnitude", "f32", 1.0),
    ),
    kernels={"c": "core"},
)
