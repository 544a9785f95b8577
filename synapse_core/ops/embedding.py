"""Rows of a table: by token id, or by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import ShapeError, UsageError
from synapse_core.ops import checks
from synapse_core.ops.contract import (
    F32,
    Attribute,
    Op,
    OperandType,
    Options,
    ReferenceCall,
    TensorType,
)


def infer_embedding(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """ids (T, 1) below V, table (V, C) → (T, C)."""
    checks.count("embedding", inputs, 2)
    ids = checks.ids("embedding", "ids", inputs[0])
    table = checks.weight("embedding", "table", inputs[1])
    if not 0 < ids.limit <= table.rows:
        raise ShapeError(
            f"embedding: ids are below {ids.limit}, table {table.name!r} has {table.rows} rows"
        )
    return (TensorType(ids.space, table.cols),)


def embedding(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """Look each id up, times `scale`."""
    ids, table = inputs
    return (table.rows_f32(ids[:, 0]) * np.float32(options["scale"]),)


def infer_add_positions(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), table (P, C) → (T, C)."""
    checks.count("add_positions", inputs, 2)
    x = checks.tensor("add_positions", "x", inputs[0])
    table = checks.weight("add_positions", "table", inputs[1])
    if table.cols != x.cols:
        raise ShapeError(
            f"add_positions: x has {x.cols} columns, table {table.name!r} has {table.cols}"
        )
    checks.positions("add_positions", x)
    if not x.space.is_base and x.space.multiple + int(options["offset"]) > table.rows:
        raise ShapeError(
            f"add_positions: {x.space.multiple} rows a group from row {options['offset']} of"
            f" table {table.name!r}, which has {table.rows}"
        )
    return (attrs.evolve(x, dtype=F32),)


def add_positions(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """Add the table's row of each row's position.

    Raises: UsageError when a position is beyond the table.
    """
    x, table = inputs
    (type,) = call.output_types()
    position = call.rows(type.space).position + int(options["offset"])
    most = int(position.max(initial=0))
    if most >= table.type.rows:
        raise UsageError(
            f"add_positions: row {most} of table {table.type.name!r}, which has {table.type.rows}"
        )
    return (x + table.rows_f32(position),)


EMBEDDING = Op(
    name="embedding",
    summary="rows of a table by id",
    infer=infer_embedding,
    reference=embedding,
    attributes=(Attribute("scale", "f32", 1.0),),
    kernels={"c": "core"},
)
ADD_POSITIONS = Op(
    name="add_positions",
    summary="x plus the table's row of its position",
    infer=infer_add_positions,
    reference=add_positions,
    attributes=(Attribute("offset", "u32", 0),),
    kernels={"c": "core"},
)
