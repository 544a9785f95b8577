"""Ops that look at one number, or at the same number of two tensors, at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import checks
from synapse_core.ops.contract import (
    Attribute,
    Infer,
    Op,
    OperandType,
    Options,
    ReferenceCall,
    TensorType,
    WeightType,
)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))  # type: ignore[no-any-return]


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x)  # type: ignore[no-any-return]


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
}


def activate(kind: str, x: np.ndarray) -> np.ndarray:
    """Apply an activation, in float64, and round once to float32."""
    return FUNCTIONS[kind](x.astype(np.float64)).astype(np.float32)


def infer_pair(op: str) -> Infer:
    """x (T, C) and y: a tensor of the same rows and columns, or a vector (1, C) → (T, C)."""

    def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
        checks.count(op, inputs, 2)
        x = checks.tensor(op, "x", inputs[0])
        if isinstance(inputs[1], WeightType):
            checks.vector(op, "y", inputs[1], x.cols)
        else:
            checks.same(op, x, checks.tensor(op, "y", inputs[1]))
        return (x,)

    return infer


def infer_unary(op: str) -> Infer:
    """x (T, C) → (T, C)."""

    def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
        checks.count(op, inputs, 1)
        return (checks.tensor(op, "x", inputs[0]),)

    return infer


def infer_softcap(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C) → (T, C); the cap divides, so it is above zero."""
    if float(options["cap"]) <= 0:
        raise ShapeError(f"softcap: cap is {options['cap']}, it must be above 0")
    return infer_unary("softcap")(inputs, options)


def infer_gated(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """g, u (T, F) → (T, F)."""
    checks.count("gated_activation", inputs, 2)
    gate = checks.tensor("gated_activation", "gate", inputs[0])
    checks.same("gated_activation", gate, checks.tensor("gated_activation", "up", inputs[1]))
    return (gate,)


def infer_slice(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C) → (T, width)."""
    checks.count("slice_columns", inputs, 1)
    x = checks.tensor("slice_columns", "x", inputs[0])
    start, width = int(options["start"]), int(options["width"])
    if width < 1 or start + width > x.cols:
        raise ShapeError(f"slice_columns: {width} from {start}, x has {x.cols} columns")
    return (attrs.evolve(x, cols=width),)


def add(call: ReferenceCall, inputs: Sequence[Any], options: Options) -> tuple[np.ndarray, ...]:
    """x + y."""
    return (inputs[0] + _numbers(inputs[1]),)


def mul(call: ReferenceCall, inputs: Sequence[Any], options: Options) -> tuple[np.ndarray, ...]:
    """x · y."""
    return (inputs[0] * _numbers(inputs[1]),)


def scale(call: ReferenceCall, inputs: Sequence[Any], options: Options) -> tuple[np.ndarray, ...]:
    """x · factor."""
    return (inputs[0] * np.float32(options["factor"]),)


def softcap(call: ReferenceCall, inputs: Sequence[Any], options: Options) -> tuple[np.ndarray, ...]:
    """cap · tanh(x / cap)."""
    cap = np.float32(options["cap"])
    return (cap * np.tanh(inputs[0] / cap),)


def activation(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """f(x)."""
    return (activate(str(options["kind"]), inputs[0]),)


def gated_activation(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """f(g) · u."""
    return (activate(str(options["kind"]), inputs[0]) * inputs[1],)


def slice_columns(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """x[:, start : start + width]."""
    start = int(options["start"])
    return (inputs[0][:, start : start + int(options["width"])].copy(),)


def _numbers(operand: Any) -> np.ndarray:
    return operand if isinstance(operand, np.ndarray) else operand.rows_f32()


_KIND = Attribute("kind", "enum", None, tuple(FUNCTIONS))
ADD = Op("add", "x + y", infer_pair("add"), add, (), {"c": "core"})
MUL = Op("mul", "x · y", infer_pair("mul"), mul, (), {"c": "core"})
SCALE = Op(
    "scale", "x · factor", infer_unary("scale"), scale, (Attribute("factor", "f32"),), {"c": "core"}
)
SOFTCAP = Op(
    "softcap",
    "cap · tanh(x / cap)",
    infer_softcap,
    softcap,
    (Attribute("cap", "f32"),),
    {"c": "core"},
)
ACTIVATION = Op(
    "activation", "f(x)", infer_unary("activation"), activation, (_KIND,), {"c": "core"}
)
GATED_ACTIVATION = Op(
    "gated_activation", "f(g) · u", infer_gated, gated_activation, (_KIND,), {"c": "core"}
)
SLICE_COLUMNS = Op(
    "slice_columns",
    "some columns of x",
    infer_slice,
    slice_columns,
    (Attribute("start", "u32"), Attribute("width", "u32")),
    {"c": "core"},
)
