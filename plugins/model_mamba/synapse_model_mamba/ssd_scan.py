"""The op `mamba.ssd_scan`: Mamba-2's recurrence, a memory of N × P numbers for each head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import Attribute, Op, OperandType, Options, ReferenceCall, TensorType, checks
from synapse_model_mamba.selective_scan import softplus

NAME = "mamba.ssd_scan"
# Any one of the numbers; larger ones are refused before they are multiplied.
MOST = 1 << 16
LARGEST = 3.4028234663852886e38


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """xbc (T, H·P + 2·G·N), dt (T, H), a, d, dt_bias (1, H), H·N·P memory → y (T, H·P)."""
    checks.count(NAME, inputs, 6)
    heads, head_dim, groups, width = sizes(options)
    inner = heads * head_dim
    xbc = checks.slotted(NAME, "xbc", inputs[0], inner + 2 * groups * width)
    checks.beside(NAME, "dt", inputs[1], xbc, heads)
    for role, operand in zip(("a", "d", "dt_bias"), inputs[2:5], strict=True):
        checks.matrix(NAME, role, operand, 1, heads)
    checks.recurrent(NAME, inputs[5], inner * width)
    return (TensorType(xbc.space, inner),)


def sizes(options: Options) -> tuple[int, int, int, int]:
    """Return heads, head_dim, groups and state.

    Raises: ShapeError for none or too many of one, or heads that groups do not divide.
    """
    names = ("heads", "head_dim", "groups", "state")
    found = [int(options[name]) for name in names]
    for name, number in zip(names, found, strict=True):
        if not 1 <= number <= MOST:
            raise ShapeError(f"{NAME}: {name} is {number}, it must be 1 to {MOST}")
    heads, head_dim, groups, state = found
    if heads % groups:
        raise ShapeError(f"{NAME}: {heads} heads, {groups} groups; heads must be a multiple")
    if not options["dt_least"] <= options["dt_most"]:
        raise ShapeError(f"{NAME}: steps from {options['dt_least']} to {options['dt_most']}")
    return heads, head_dim, groups, state


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """h = exp(Δ · a) · h + b ⊗ Δx; y = c · h + d · x, head by head; groups of heads share b and c.

    Δ = softplus(dt + dt_bias), from dt_least to dt_most.

    Shapes: x, y (T, H, P); b, c (T, G, N); dt (T, H); memory (H, N, P).
    Source: Dao & Gu 2024, section 2.1 and eq. 2; `Mamba2Mixer` of transformers.
    """
    xbc, dt, a, d, bias, state = inputs
    heads, head_dim, groups, width = sizes(options)
    inner, shared = heads * head_dim, groups * width
    x = xbc[:, :inner].reshape(-1, heads, head_dim)
    b, c = (xbc[:, n : n + shared].reshape(-1, groups, width) for n in (inner, inner + shared))
    b, c = (np.repeat(part, heads // groups, axis=1) for part in (b, c))  # (T, H, N)
    least, most = (np.float32(options[name]) for name in ("dt_least", "dt_most"))
    step = np.clip(softplus(dt + bias.rows_f32()), least, most)
    decay = np.exp(step * a.rows_f32())
    drive = step[:, :, None] * x  # (T, H, P)
    y = np.empty_like(x)
    for slot, rows in call.rows(call.input_types()[0].space).runs():
        memory = state.memory(slot).reshape(heads, width, head_dim)
        for t in range(rows.start, rows.stop):
            memory *= decay[t][:, None, None]
            memory += b[t][:, :, None] * drive[t][:, None, :]
            y[t] = (c[t][:, None, :] @ memory)[:, 0]
    y += d.rows_f32()[0][:, None] * x
    return (y.reshape(-1, inner),)


SSD_SCAN = Op(
    name=NAME,
    summary="Mamba-2's recurrence with its skip",
    infer=infer,
    reference=reference,
    attributes=(
        Attribute("heads", "u32"),
        Attribute("head_dim", "u32"),
        Attribute("groups", "u32", 1),
        Attribute("state", "u32"),
        Attribute("dt_least", "f32", 0.0),
        Attribute("dt_most", "f32", LARGEST),
    ),
    kernels={"c": "synapse_model_mamba:kernels/scan.c"},
)
