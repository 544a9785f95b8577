"""What the shape rules of this plugin share: operands of a kind and a size, or an error."""

from __future__ import annotations

from collections.abc import Sequence

from synapse_core.errors import ShapeError
from synapse_core.ops import F32, OperandType, StateType, TensorType, WeightType


def count(op: str, inputs: Sequence[OperandType], wanted: int) -> None:
    """Check the number of operands."""
    if len(inputs) != wanted:
        raise ShapeError(f"{op}: {len(inputs)} operands, it takes {wanted}")


def tensor(op: str, role: str, operand: OperandType, cols: int | None = None) -> TensorType:
    """Return a float tensor whose rows have slots, of `cols` columns where that is given."""
    if not isinstance(operand, TensorType) or operand.dtype != F32:
        raise ShapeError(f"{op}: {role} must be a float tensor, it is {_shown(operand)}")
    if not (operand.space.is_base and operand.space.rows):
        raise ShapeError(f"{op}: rows of {operand.space.name!r} have no slots of their own")
    if cols is not None and operand.cols != cols:
        raise ShapeError(f"{op}: {role} has {operand.cols} columns, it must have {cols}")
    return operand


def beside(op: str, role: str, operand: OperandType, x: TensorType, cols: int) -> TensorType:
    """Return a tensor of the same rows as x and of `cols` columns."""
    found = tensor(op, role, operand, cols)
    if found.space != x.space:
        raise ShapeError(
            f"{op}: {role} has rows of {found.space.name!r}, x of {x.space.name!r}; both must be"
            " the same"
        )
    return found


def matrix(op: str, role: str, operand: OperandType) -> WeightType:
    """Return a weight."""
    if not isinstance(operand, WeightType):
        raise ShapeError(f"{op}: {role} must be a weight, it is {_shown(operand)}")
    return operand


def vector(op: str, role: str, operand: OperandType, cols: int) -> WeightType:
    """Return a weight of one row and `cols` columns."""
    found = matrix(op, role, operand)
    if (found.rows, found.cols) != (1, cols):
        raise ShapeError(
            f"{op}: {role} {found.name!r} is ({found.rows}, {found.cols}), it must be (1, {cols})"
        )
    return found


def memory(op: str, operand: OperandType, width: int) -> StateType:
    """Return a recurrent state of `width` numbers."""
    if not isinstance(operand, StateType) or operand.kind != "recurrent":
        raise ShapeError(f"{op}: state must be a recurrent state, it is {_shown(operand)}")
    if operand.width != width:
        raise ShapeError(
            f"{op}: state {operand.name!r} has {operand.width} numbers, it must have {width}"
        )
    return operand


def _shown(operand: OperandType) -> str:
    match operand:
        case TensorType():
            return f"a tensor of {operand.space.name} × {operand.cols} {operand.dtype}"
        case WeightType():
            return f"weight {operand.name!r} ({operand.rows}, {operand.cols})"
        case StateType():
            return f"state {operand.name!r}"
        case None:
            return "missing"
