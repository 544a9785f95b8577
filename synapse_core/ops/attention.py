"""Attention: rows of a slot look at each other, in a call or over all that the slot has seen."""

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

MASKS = ("causal", "window", "full")


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """q (T, H·D), k, v (T, G·D), a kv state or none → (T, H·D)."""
    checks.count("attention", inputs, 4)
    q, k, v = (checks.tensor("attention", r, i) for r, i in zip("qkv", inputs[:3], strict=True))
    heads, kv_heads, head_dim = (int(options[o]) for o in ("heads", "kv_heads", "head_dim"))
    if kv_heads < 1 or heads < 1 or heads % kv_heads:
        raise ShapeError(
            f"attention: {heads} query heads, {kv_heads} kv heads;"
            " query heads must be a multiple of kv heads"
        )
    for role, found, count in (("q", q, heads), ("k", k, kv_heads), ("v", v, kv_heads)):
        if found.cols != count * head_dim:
            raise ShapeError(
                f"attention: {role} has {found.cols} columns, {count} heads of {head_dim} have"
                f" {count * head_dim}"
            )
        if found.space != q.space:
            raise ShapeError(f"attention: q is over {q.space.name}, {role} over {found.space.name}")
    if not q.space.rows:
        raise ShapeError(f"attention: rows of {q.space.name!r} have no slot and position")
    window = int(options["window"])
    if (options["mask"] == "window") != (window > 0):
        raise ShapeError(f"attention: mask {options['mask']!r} with a window of {window}")
    if inputs[3] is not None:
        state = checks.state("attention", "state", inputs[3])
        if state.kind != "kv" or (state.width, state.width_v) != (k.cols, v.cols):
            raise ShapeError(
                f"attention: state {state.name!r} keeps {state.width} and {state.width_v}"
                f" numbers a position, k and v have {k.cols} and {v.cols}"
            )
        if state.window and state.window != window:
            raise ShapeError(
                f"attention: state {state.name!r} keeps {state.window} positions, the mask sees"
                f" {window or 'all'}"
            )
        if not q.space.is_base:
            raise ShapeError("attention: a derived space has no positions to keep; use no state")
    return (q,)


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """softmax(q · kᵀ · scale + mask) · v, for each slot of the call.

    Source: Vaswani et al. 2017, eq. 1; soft-cap: Gemma 2, section 2.
    """
    q, k, v, state = inputs
    (type,) = call.output_types()
    y = np.empty_like(q)
    table = call.rows(type.space)
    for slot, rows in table.runs():
        first = int(table.position[rows.start])
        keys, values, begin = k[rows], v[rows], first
        if state is not None:
            state.extend(slot, first, keys, values)
            keys, values = state.keys_values(slot, first + len(keys))
            begin = 0
        y[rows] = _attend(q[rows], keys, values, first - begin, options)
    return (y,)


def _attend(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, first: int, options: Options
) -> np.ndarray:
    """Attend one slot's rows, which are keys `first` and on of k.

    Shapes: q (T, H·D), k, v (S, G·D) → (T, H·D).
    """
    heads, kv_heads, head_dim = (int(options[o]) for o in ("heads", "kv_heads", "head_dim"))
    shared = heads // kv_heads
    q = q.reshape(len(q), kv_heads, shared, head_dim).transpose(1, 2, 0, 3)
    k = k.reshape(len(k), kv_heads, 1, head_dim).transpose(1, 2, 3, 0)
    v = v.reshape(len(v), kv_heads, 1, head_dim).transpose(1, 2, 0, 3)
    scores = (q @ k) * np.float32(options["scale"])
    cap = np.float32(options["softcap"])
    if cap > 0:
        scores = cap * np.tanh(scores / cap)
    i = first + np.arange(q.shape[2])[:, None]
    j = np.arange(k.shape[3])[None, :]
    seen = np.ones((len(i), j.shape[1]), dtype=bool)
    if options["mask"] != "full":
        seen = j <= i
    if options["mask"] == "window":
        seen &= i - j < int(options["window"])
    scores = np.where(seen, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    y = (weights @ v) / weights.sum(axis=-1, keepdims=True, dtype=np.float32)
    return y.transpose(2, 0, 1, 3).reshape(q.shape[2], -1)  # type: ignore[no-any-return]


ATTENTION = Op(
    name="attention",
    summary="softmax(q · kᵀ) · v within a slot",
    infer=infer,
    reference=reference,
    attributes=(
        Attribute("heads", "u32"),
        Attribute("kv_heads", "u32"),
        Attribute("head_dim", "u32"),
        Attribute("mask", "enum", None, MASKS),
        Attribute("window", "u32", 0),
        Attribute("scale", "f32"),
        Attribute("softcap", "f32", 0.0),
    ),
    kernels={"c": "core"},
)
