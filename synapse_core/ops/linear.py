"""Matrix products: one input, a list of weights, in a named arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError, UsageError
from synapse_core.formats import BF16, BLOCK_FORMATS, INT8, quantise
from synapse_core.ops import checks
from synapse_core.ops.contract import (
    Attribute,
    Op,
    OperandType,
    Options,
    ReferenceCall,
    TensorType,
    WeightType,
)

MOST_PAIRS = 4
# Output rows that are computed at a time, so that a wide head needs no float32 copy of itself.
BLOCK_ROWS = 8192
# Block k of a sum of blocks is added in lane k % 8 (docs/decisions/0003).
LANES = 8


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), then pairs w (N, C), b (1, N) or none → y (T, N) for each pair."""
    pairs, odd = divmod(len(inputs) - 1, 2)
    if odd or not 1 <= pairs <= MOST_PAIRS:
        raise ShapeError(
            f"linear: {len(inputs)} operands; it takes x and 1 to {MOST_PAIRS} pairs of w and b"
        )
    x = checks.tensor("linear", "x", inputs[0])
    outputs = []
    for number in range(pairs):
        w = checks.weight("linear", "w", inputs[1 + 2 * number])
        if w.cols != x.cols:
            raise ShapeError(
                f"linear: x has {x.cols} columns, weight {w.name!r} is ({w.rows}, {w.cols})"
            )
        checks.vector("linear", f"bias of {w.name!r}", inputs[2 + 2 * number], w.rows)
        outputs.append(TensorType(x.space, w.rows))
    return tuple(outputs)


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """Return x · wᵀ + b for each pair, in options["arith"].

    Raises: UsageError for an integer arithmetic on weights of another format.
    """
    x, *pairs = inputs
    product = PRODUCTS[str(options["arith"])](x)
    outputs = []
    for w, b in zip(pairs[::2], pairs[1::2], strict=True):
        _check_format(w.type, str(options["arith"]))
        parts = [
            product(w, slice(start, start + BLOCK_ROWS))
            for start in range(0, w.type.rows, BLOCK_ROWS)
        ]
        y = np.concatenate(parts, axis=1)
        outputs.append(y if b is None else y + b.rows_f32())
    return tuple(outputs)


def _check_format(w: WeightType, arith: str) -> None:
    takes = {"a8/32": tuple(BLOCK_FORMATS), "a8/row": (INT8.name,)}.get(arith, (w.format,))
    if w.format not in takes:
        needed = ", ".join(takes)
        raise UsageError(f"linear: {arith} takes {needed}; weight {w.name!r} is {w.format}")


Product = Callable[[Any, slice], np.ndarray]


def _f32(x: np.ndarray) -> Product:
    def product(w: Any, rows: slice) -> np.ndarray:
        return x @ w.rows_f32()[rows].T  # type: ignore[no-any-return]

    return product


def _bf16(x: np.ndarray) -> Product:
    rounded = BF16.decode(BF16.encode(x), x.shape[1])

    def product(w: Any, rows: slice) -> np.ndarray:
        weights = w.rows_f32()[rows]
        return rounded @ BF16.decode(BF16.encode(weights), x.shape[1]).T  # type: ignore[no-any-return]

    return product


def _a8_32(x: np.ndarray) -> Product:
    rows, cols = x.shape
    scale, codes = quantise(x.reshape(rows, -1, 32))

    def product(w: Any, which: slice) -> np.ndarray:
        parts = BLOCK_FORMATS[w.type.format].split(w.raw()[which], cols)
        outputs, runs, columns = parts.codes.shape
        x_codes = codes.reshape(rows, runs, columns)
        lanes = np.zeros((LANES, rows, outputs), dtype=np.float32)
        for run in range(runs):
            block = run * columns // 32
            x_scale, total = scale[:, block], lanes[block % LANES]
            sums = _integer_product(x_codes[:, run], parts.codes[:, run])
            total += sums * (x_scale * parts.scale[:, run])
            if parts.minimum is not None:
                x_sum = x_codes[:, run].sum(axis=1, keepdims=True, dtype=np.int32)
                total += (x_sum.astype(np.float32) * x_scale) * parts.minimum[:, run]
        return _sum_lanes(lanes)

    return product


def _a8_row(x: np.ndarray) -> Product:
    scale, codes = quantise(x)

    def product(w: Any, rows: slice) -> np.ndarray:
        w_scale, w_codes = INT8.split(w.raw()[rows], x.shape[1])
        return _integer_product(codes, w_codes) * (scale * w_scale[:, 0])  # type: ignore[no-any-return]

    return product


def _sum_lanes(lanes: np.ndarray) -> np.ndarray:
    """Add 8 lanes as a tree, as every runtime does: (8, …) → (…)."""
    pairs = lanes[:4] + lanes[4:]
    sums: np.ndarray = (pairs[0] + pairs[2]) + (pairs[1] + pairs[3])
    return sums


def _integer_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the exact integer a · bᵀ as float32, rounded once; float64 holds every sum."""
    return (a.astype(np.float64) @ b.astype(np.float64).T).astype(np.float32)


PRODUCTS: dict[str, Callable[[np.ndarray], Product]] = {
    "f32": _f32,
    "bf16": _bf16,
    "a8/32": _a8_32,
    "a8/row": _a8_row,
}
# In the order of their numbers in a program.
ARITHMETICS = tuple(PRODUCTS)
LINEAR = Op(
    name="linear",
    summary="x · wᵀ + b for a list of weights",
    infer=infer,
    reference=reference,
    attributes=(Attribute("arith", "enum", "f32", ARITHMETICS),),
    kernels={"c": "core"},
)
