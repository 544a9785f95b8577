"""Ops that move between row spaces."""

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
    Space,
    TensorType,
)


def infer_select(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (T, C), index (N, 1) into its rows → (N, C); without index one row of each group."""
    checks.count("select_rows", inputs, 2)
    x = checks.tensor("select_rows", "x", inputs[0])
    row = int(options["row"])
    if inputs[1] is None:
        if row >= x.space.multiple:
            raise ShapeError(
                f"select_rows: row {row} of groups of {x.space.multiple} in {x.space.name!r}"
            )
        return (TensorType(_base("select_rows", x.space), x.cols),)
    index = checks.ids("select_rows", "index", inputs[1])
    if index.limit_space != x.space.name:
        raise ShapeError(
            f"select_rows: the index counts rows of {index.limit_space or 'nothing'!r}, x is over"
            f" {x.space.name!r}"
        )
    return (TensorType(index.space, x.cols),)


def infer_pool(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (k·n, C) → (n, C)."""
    checks.count("pool_rows", inputs, 1)
    x = checks.tensor("pool_rows", "x", inputs[0])
    first = int(options["first"])
    if not x.space.is_base and first >= x.space.multiple:
        raise ShapeError(
            f"pool_rows: row {first} on of groups of {x.space.multiple} in {x.space.name!r}"
        )
    return (TensorType(_base("pool_rows", x.space), x.cols),)


def infer_append(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """x (k·n, C), row (1, C) → ((k+1)·n, C)."""
    checks.count("append_row", inputs, 2)
    x = checks.tensor("append_row", "x", inputs[0])
    if checks.vector("append_row", "row", inputs[1], x.cols) is None:
        raise ShapeError("append_row: needs a row")
    grown = Space(f"{x.space.name}+1", x.space.base, x.space.multiple + 1, x.space.rows)
    return (TensorType(grown, x.cols),)


def infer_patches(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """image (n, channels·height·width) → (P·n, channels·patch·patch)."""
    checks.count("patches", inputs, 1)
    x = checks.tensor("patches", "image", inputs[0])
    channels, height, width, patch = _image(options)
    if x.cols != channels * height * width:
        raise ShapeError(
            f"patches: image rows have {x.cols} numbers, {channels} × {height} × {width} have"
            f" {channels * height * width}"
        )
    if patch < 1 or height % patch or width % patch:
        raise ShapeError(f"patches: {height} × {width} pixels in patches of {patch}")
    if not x.space.is_base:
        raise ShapeError(f"patches: images must be rows of a base space, not {x.space.name!r}")
    number = (height // patch) * (width // patch)
    space = Space(f"{x.space.base}.patches", x.space.base, number, x.space.rows)
    return (TensorType(space, channels * patch * patch),)


def select_rows(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """x[index], or row `row` of each group."""
    x, index = inputs
    if index is not None:
        return (x[index[:, 0]],)
    return (_groups(call, x)[:, int(options["row"])].copy(),)


def pool_rows(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """Return the mean of each group, from its row `first` on."""
    rows = _groups(call, inputs[0])[:, int(options["first"]) :]
    return (rows.mean(axis=1, dtype=np.float32),)


def append_row(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """Put the row before or behind each group."""
    x, row = inputs
    groups = _groups(call, x)
    extra = np.broadcast_to(row.rows_f32(), (len(groups), 1, x.shape[1]))
    parts = (extra, groups) if options["where"] == "front" else (groups, extra)
    return (np.concatenate(parts, axis=1).reshape(-1, x.shape[1]),)


def patches(call: ReferenceCall, inputs: Sequence[Any], options: Options) -> tuple[np.ndarray, ...]:
    """Cut images into patches, row by row of patches; a patch in the order (channel, y, x)."""
    (image,) = inputs
    channels, height, width, patch = _image(options)
    cut = image.reshape(-1, channels, height // patch, patch, width // patch, patch)
    order = cut.transpose(0, 2, 4, 1, 3, 5)
    return (order.reshape(-1, channels * patch * patch),)


def _groups(call: ReferenceCall, x: np.ndarray) -> np.ndarray:
    """Return (n, k, C): the groups of the first input's space."""
    type = call.input_types()[0]
    assert isinstance(type, TensorType)
    return x.reshape(-1, type.space.multiple, x.shape[1])


def _base(op: str, space: Space) -> Space:
    if space.is_base:
        raise ShapeError(f"{op}: takes groups of a derived space, {space.name!r} is a base")
    return Space(space.base, space.base, 1, space.rows)


def _image(options: Options) -> tuple[int, int, int, int]:
    channels, height, width, patch = (
        int(options[name]) for name in ("channels", "height", "width", "patch")
    )
    return channels, height, width, patch


SELECT_ROWS = Op(
    "select_rows",
    "some rows, by index or one of each group",
    infer_select,
    select_rows,
    (Attribute("row", "u32", 0),),
    {"c": "core"},
)
POOL_ROWS = Op(
    "pool_rows",
    "the mean of each group, or of its rows from one on",
    infer_pool,
    pool_rows,
    (Attribute("first", "u32", 0),),
    {"c": "core"},
)
APPEND_ROW = Op(
    "append_row",
    "a row before or behind each group",
    infer_append,
    append_row,
    (Attribute("where", "enum", None, ("front", "back")),),
    {"c": "core"},
)
PATCHES = Op(
    "patches",
    "images cut into patches",
    infer_patches,
    patches,
    tuple(Attribute(name, "u32") for name in ("channels", "height", "width", "patch")),
    {"c": "core"},
)
