"""What a component is: config in, graph out. It never computes.

Every component is built by calling its factory with its options as keywords, and adds itself to a
function with `build(g, x, w)`: `g` adds ops, `x` are the rows that come in, `w` names its weights.
Components build plain ops (three linears for q, k, v); passes fuse them.

A numeric option of the wrong size is a `UsageError` of the form
`attention 'gqa': 32 query heads, 5 kv heads; query heads must be a multiple of kv heads`.
"""

from __future__ import annotations

from typing import Protocol

from synapse_core.graph import FunctionBuilder, Tensor, WeightScope


class Mixer(Protocol):
    """An attention or a feed-forward: kinds `attention` and `ffn`.

    Weights by convention: `q.weight k.weight v.weight o.weight` with `.bias` beside them,
    `gate.weight up.weight down.weight`. States are named below the scope too (`kv`).
    """

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it and return rows as wide as x, without the residual.

        Shapes: x (T, C) → (T, C).
        Raises: ShapeError when x does not fit its options.
        """
        ...


class Norm(Protocol):
    """A normalisation of rows, or of each run of its own width: kind `norm`."""

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; its weights are `weight` and, where it has one, `bias`.

        Shapes: x (T, C) → (T, C).
        """
        ...


class Position(Protocol):
    """Tells rows where they stand: kind `position`.

    A rotary one is given to an attention, which applies it to q and to k; an additive one stands
    behind the embedding. Both keep the shape.
    """

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it to the rows of x.

        Shapes: q or k (T, H·D), or x (T, C) → the same.
        """
        ...
