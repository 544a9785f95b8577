"""The model as data, and how it is built."""

from synapse_core.graph.builder import FunctionBuilder, GraphBuilder, WeightScope
from synapse_core.graph.types import (
    Function,
    Graph,
    Node,
    Operand,
    StateRef,
    Tensor,
    Weight,
    WeightRef,
    WeightSource,
)
from synapse_core.graph.weights import TRANSFORMS, Constant, Encoded

__all__ = [
    "TRANSFORMS",
    "Constant",
    "Encoded",
    "Function",
    "FunctionBuilder",
    "Graph",
    "GraphBuilder",
    "Node",
    "Operand",
    "StateRef",
    "Tensor",
    "Weight",
    "WeightRef",
    "WeightScope",
    "WeightSource",
]
