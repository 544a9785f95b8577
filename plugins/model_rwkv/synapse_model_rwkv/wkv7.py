"""The op `rwkv.wkv7`: what RWKV-7 does between the projections of its time mix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import (
    Attribute,
    Op,
    OperandType,
    Options,
    ReferenceCall,
    TensorType,
    checks,
)

NAME = "rwkv.wkv7"
TENSORS = ("r", "w", "k", "v", "a", "g", "first", "mix")
VECTORS = ("k_k", "k_a", "norm", "norm_bias")
# The slowest and the fastest that a number of the state can fade: e^(−e^−0.5 · sigmoid).
FADE = np.float32(np.exp(-0.5))
LEAST_NORM = np.float32(1e-12)


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """r, w, k, v, a, g (T, C), first and mix (T, C) or neither; a state; weights → (T, C).

    The state is recurrent, of C · N numbers, N = head_dim. The weights are k_k, k_a, r_k (H, N),
    norm and norm_bias; those without a shape here are vectors of C.
    """
    checks.count(NAME, inputs, len(TENSORS) + 1 + len(VECTORS) + 1)
    x = checks.slotted(NAME, "r", inputs[0])
    for name, found in zip(TENSORS, inputs[: len(TENSORS)], strict=True):
        if found is not None or name not in ("first", "mix"):
            checks.beside(NAME, name, found, x, x.cols)
    if (inputs[6] is None) != (inputs[7] is None):
        raise ShapeError(f"{NAME}: first and mix go together; the first layer has neither")
    size = int(options["head_dim"])
    if size < 1 or x.cols % size:
        raise ShapeError(f"{NAME}: {x.cols} columns are no multiple of the head's {size}")
    state, k_k, k_a, bonus, *norms = inputs[len(TENSORS) :]
    checks.recurrent(NAME, state, x.cols * size)
    for name, weight in zip(VECTORS, (k_k, k_a, *norms), strict=True):
        checks.matrix(NAME, name, weight, 1, x.cols)
    checks.matrix(NAME, "r_k", bonus, x.cols // size, size)
    return (x,)


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """One head, its state S (N values × N keys), row by row:

        decay = e^(−e^−0.5 · sigmoid(w));  rate = sigmoid(a)
        kk = k · k_k, of length 1;         k' = k · (1 + (rate − 1) · k_a)
        v' = v + (first − v) · sigmoid(mix)
        S = S · diag(decay) − (S · kk) ⊗ (kk · rate) + v' ⊗ k'
        y = (groupnorm(S · r) + (r · k' · r_k) v') · g

    Shapes: every row (C,) is H heads of N. The state holds S of each head key by key: (H, N, N),
    the last axis that of values.
    Source: Peng et al. 2025 (RWKV-7), section 4, eq. 4-20.
    """
    r_type = call.input_types()[0]
    assert isinstance(r_type, TensorType)
    size = int(options["head_dim"])
    eps = np.float32(options["eps"])
    tensors, (state, k_k, k_a, bonus, norm, norm_bias) = inputs[:8], inputs[8:]
    rows, cols = tensors[0].shape
    shape = (rows, cols // size, size)
    r, w, k, v, a, g = (tensor.reshape(shape) for tensor in tensors[:6])
    scale, mixed, weight, shift = (
        vector.rows_f32()[0].reshape(shape[1:]) for vector in (k_k, k_a, norm, norm_bias)
    )
    decay = np.exp(-FADE * _sigmoid(w))
    rate = _sigmoid(a)
    kk = k * scale
    kk = kk / np.maximum(np.sqrt(np.sum(kk * kk, axis=-1, keepdims=True)), LEAST_NORM)
    k = k * (1 + (rate - 1) * mixed)
    if tensors[6] is not None:
        first, mix = (tensor.reshape(shape) for tensor in tensors[6:])
        v = v + (first - v) * _sigmoid(mix)
    read = np.empty(shape, np.float32)
    for slot, run in call.rows(r_type.space).runs():
        memory = state.memory(slot).reshape(cols // size, size, size)  # (H, keys, values)
        for t in range(run.start, run.stop):
            seen = np.einsum("hj,hji->hi", -kk[t], memory)
            memory *= decay[t][:, :, None]
            memory += (kk[t] * rate[t])[:, :, None] * seen[:, None, :]
            memory += k[t][:, :, None] * v[t][:, None, :]
            read[t] = np.einsum("hj,hji->hi", r[t], memory)
    centred = read - read.mean(axis=-1, keepdims=True, dtype=np.float32)
    variance = np.mean(centred * centred, axis=-1, keepdims=True, dtype=np.float32)
    y = centred / np.sqrt(variance + eps) * weight + shift
    y = y + np.sum(r * k * bonus.rows_f32(), axis=-1, keepdims=True) * v
    return ((y * g).reshape(rows, cols).astype(np.float32, copy=False),)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.float32(1) / (np.float32(1) + np.exp(-x))  # type: ignore[no-any-return]


WKV7 = Op(
    name=NAME,
    summary="a state that fades, unlearns and learns, read by each row and normed by head",
    infer=infer,
    reference=reference,
    attributes=(Attribute("head_dim", "u32"), Attribute("eps", "f32")),
    kernels={"c": "synapse_model_rwkv:kernels/wkv7.c"},
)
