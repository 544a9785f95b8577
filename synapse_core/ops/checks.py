"""What shape rules share: operands of the right kind, and errors that name both sides."""

from __future__ import annotations

from collections.abc import Sequence

from synapse_core.errors import ShapeError
from synapse_core.ops.contract import F32, I32, OperandType, StateType, TensorType, WeightType


def tensor(op: str, role: str, operand: OperandType) -> TensorType:
    """Return a float tensor operand.

    Raises: ShapeError when it is something else.
    """
    if not isinstance(operand, TensorType) or operand.dtype != F32:
        raise ShapeError(f"{op}: {role} must be a float tensor, it is {_shown(operand)}")
    return operand


def ids(op: str, role: str, operand: OperandType) -> TensorType:
    """Return an operand of ids: i32, one column."""
    if not isinstance(operand, TensorType) or operand.dtype != I32 or operand.cols != 1:
        raise ShapeError(f"{op}: {role} must be one column of i32, it is {_shown(operand)}")
    return operand


def weight(op: str, role: str, operand: OperandType) -> WeightType:
    """Return a weight operand."""
    if not isinstance(operand, WeightType):
        raise ShapeError(f"{op}: {role} must be a weight, it is {_shown(operand)}")
    return operand


def vector(op: str, role: str, operand: OperandType, cols: int) -> WeightType | None:
    """Return a vector of `cols` numbers, or None when there is none."""
    if operand is None:
        return None
    return matrix(op, role, operand, 1, cols)


def state(op: str, role: str, operand: OperandType) -> StateType:
    """Return a state operand."""
    if not isinstance(operand, StateType):
        raise ShapeError(f"{op}: {role} must be a state, it is {_shown(operand)}")
    return operand


def slotted(op: str, role: str, operand: OperandType, cols: int | None = None) -> TensorType:
    """Return a float tensor whose rows have slots, of `cols` columns where that is given.

    Raises: ShapeError when it is something else.
    """
    found = tensor(op, role, operand)
    if not (found.space.is_base and found.space.rows):
        raise ShapeError(f"{op}: rows of {found.space.name!r} have no slots of their own")
    if cols is not None and found.cols != cols:
        raise ShapeError(f"{op}: {role} has {found.cols} columns, it must have {cols}")
    return found


def beside(op: str, role: str, operand: OperandType, x: TensorType, cols: int) -> TensorType:
    """Return a tensor of the same rows as x and of `cols` columns."""
    found = tensor(op, role, operand)
    if (found.space, found.cols) != (x.space, cols):
        raise ShapeError(
            f"{op}: {role} must have rows of {x.space.name!r} and {cols} columns, it is"
            f" {_shown(operand)}"
        )
    return found


def matrix(op: str, role: str, operand: OperandType, rows: int, cols: int) -> WeightType:
    """Return a weight of rows × cols; a vector has one row."""
    found = weight(op, role, operand)
    if (found.rows, found.cols) != (rows, cols):
        raise ShapeError(
            f"{op}: {role} {found.name!r} is ({found.rows}, {found.cols}), it must be"
            f" ({rows}, {cols})"
        )
    return found


def recurrent(op: str, operand: OperandType, width: int) -> StateType:
    """Return a recurrent state of `width` numbers."""
    found = state(op, "state", operand)
    if found.kind != "recurrent":
        raise ShapeError(f"{op}: state {found.name!r} must be recurrent, it is {found.kind}")
    if found.width != width:
        raise ShapeError(
            f"{op}: state {found.name!r} has {found.width} numbers, it must have {width}"
        )
    return found


def same(op: str, a: TensorType, b: TensorType) -> None:
    """Check that two tensors have the same rows and columns."""
    if (a.space, a.cols) != (b.space, b.cols):
        raise ShapeError(f"{op}: {_shown(a)} and {_shown(b)} must be alike")


def count(op: str, inputs: Sequence[OperandType], *allowed: int) -> None:
    """Check the number of operands."""
    if len(inputs) not in allowed:
        raise ShapeError(f"{op}: {len(inputs)} operands, it takes {' or '.join(map(str, allowed))}")


def positions(op: str, x: TensorType) -> None:
    """Check that the rows of a tensor have positions."""
    if x.space.is_base and not x.space.rows:
        raise ShapeError(f"{op}: x must have positions, rows of {x.space.name!r} have none")


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
