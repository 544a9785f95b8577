"""Ops: shape rules and numpy references of everything that a graph can hold."""

from synapse_core.ops import checks
from synapse_core.ops.attention import ATTENTION
from synapse_core.ops.contract import (
    F32,
    I32,
    Attribute,
    Infer,
    Op,
    OperandType,
    OperandValue,
    Options,
    Reference,
    ReferenceCall,
    RowTable,
    Scalar,
    Space,
    StateType,
    StateValue,
    TensorType,
    WeightType,
    WeightValue,
)
from synapse_core.ops.elementwise import (
    ACTIVATION,
    ADD,
    GATED_ACTIVATION,
    MUL,
    SCALE,
    SLICE_COLUMNS,
    SOFTCAP,
)
from synapse_core.ops.embedding import ADD_POSITIONS, EMBEDDING
from synapse_core.ops.linear import ARITHMETICS, LINEAR
from synapse_core.ops.norm import ADD_LAYERNORM, ADD_RMSNORM, BATCHNORM, LAYERNORM, RMSNORM
from synapse_core.ops.options import complete_options, pack_attributes, unpack_attributes
from synapse_core.ops.rope import ROPE
from synapse_core.ops.rows import APPEND_ROW, PATCHES, POOL_ROWS, SELECT_ROWS
from synapse_core.ops.sample import SAMPLE

CORE_OPS: tuple[Op, ...] = (
    ACTIVATION,
    ADD,
    ADD_LAYERNORM,
    ADD_POSITIONS,
    ADD_RMSNORM,
    APPEND_ROW,
    ATTENTION,
    BATCHNORM,
    EMBEDDING,
    GATED_ACTIVATION,
    LAYERNORM,
    LINEAR,
    MUL,
    PATCHES,
    POOL_ROWS,
    RMSNORM,
    ROPE,
    SAMPLE,
    SCALE,
    SELECT_ROWS,
    SLICE_COLUMNS,
    SOFTCAP,
)

__all__ = [
    "ARITHMETICS",
    "CORE_OPS",
    "F32",
    "I32",
    "SAMPLE",
    "Attribute",
    "Infer",
    "Op",
    "OperandType",
    "OperandValue",
    "Options",
    "Reference",
    "ReferenceCall",
    "RowTable",
    "Scalar",
    "Space",
    "StateType",
    "StateValue",
    "TensorType",
    "WeightType",
    "WeightValue",
    "checks",
    "complete_options",
    "pack_attributes",
    "unpack_attributes",
]
