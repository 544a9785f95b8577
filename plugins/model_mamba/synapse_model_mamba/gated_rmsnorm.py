"""The op `mamba.gated_rmsnorm`: a gate, then each group of columns divided by its root mean square.

The core's `rmsnorm` has one weight for all runs of columns; here each group has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import Attribute, Op, OperandType, Options, ReferenceCall, TensorType, checks
from synapse_model_mamba.conv1d_causal import silu

NAME = "mamba.gated_rmsnorm"


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x, z (T, C), w (G, C / G) → y (T, C)."""
    checks.count(NAME, inputs, 3)
    x = checks.slotted(NAME, "x", inputs[0])
    checks.beside(NAME, "z", inputs[1], x, x.cols)
    w = checks.weight(NAME, "w", inputs[2])
    if w.rows * w.cols != x.cols:
        raise ShapeError(
            f"{NAME}: x has {x.cols} columns, w {w.name!r} is ({w.rows}, {w.cols}); its numbers"
            " must be as many"
        )
    return (x,)


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """s = x · SiLU(z); s / √(mean(s²) + eps) · w, for each group.

    Shapes: x, z, y (T, C); w (G, C / G).
    Source: `MambaRMSNormGated` of transformers.
    """
    x, z, w = inputs
    weight = w.rows_f32()
    gated = (x * silu(z)).reshape(len(x), *weight.shape)
    mean = np.mean(np.square(gated), axis=-1, keepdims=True, dtype=np.float32)
    normed = gated / np.sqrt(mean + np.float32(options["eps"])) * weight
    return (normed.reshape(x.shape),)


GATED_RMSNORM = Op(
    name=NAME,
    summary="gate rows and divide each group by its root mean square",
    infer=infer,
    reference=reference,
    attributes=(Attribute("eps", "f32"),),
    kernels={"c": "synapse_model_mamba:kernels/gated_rmsnorm.c"},
)
