"""Feed-forward networks: gated (swiglu, geglu) and plain (gelu)."""

from __future__ import annotations

import attrs

from synapse_core.components.options import choice, whole
from synapse_core.graph import FunctionBuilder, Tensor, WeightRef, WeightScope

ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "sigmoid", "tanh")


@attrs.frozen(kw_only=True)
class SwiGlu:
    """down(activation(gate(x)) · up(x)), the gate through SiLU.

    Source: Shazeer 2020, eq. 6.
    """

    hidden: int
    bias: bool = False
    activation: str = "silu"

    def __attrs_post_init__(self) -> None:
        _check("swiglu", self.hidden, self.activation)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `gate`, `up` (F × C), `down` (C × F).

        Shapes: x (T, C) → (T, C).
        """
        return _gated(self, g, x, w)


@attrs.frozen(kw_only=True)
class GeGlu:
    """down(activation(gate(x)) · up(x)), the gate through GELU: exact, or `gelu_tanh`.

    Source: Shazeer 2020, eq. 6; Hendrycks & Gimpel 2016, section 2.
    """

    hidden: int
    bias: bool = False
    activation: str = "gelu"

    def __attrs_post_init__(self) -> None:
        _check("geglu", self.hidden, self.activation)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `gate`, `up` (F × C), `down` (C × F).

        Shapes: x (T, C) → (T, C).
        """
        return _gated(self, g, x, w)


@attrs.frozen(kw_only=True)
class Gelu:
    """down(activation(up(x))): the plain two-layer network, through GELU.

    Source: Vaswani et al. 2017, eq. 2, with GELU for ReLU.
    """

    hidden: int
    bias: bool = True
    activation: str = "gelu"

    def __attrs_post_init__(self) -> None:
        _check("gelu", self.hidden, self.activation)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `up` (F × C), `down` (C × F).

        Shapes: x (T, C) → (T, C).
        """
        up = _linear(g, x, w / "up", self.hidden, self.bias)
        up = g.op("activation", up, kind=self.activation)  # (T, F)
        return _linear(g, up, w / "down", x.type.cols, self.bias)


def _gated(ffn: SwiGlu | GeGlu, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
    gate = _linear(g, x, w / "gate", ffn.hidden, ffn.bias)  # (T, F)
    up = _linear(g, x, w / "up", ffn.hidden, ffn.bias)
    gated = g.op("mul", g.op("activation", gate, kind=ffn.activation), up)
    return _linear(g, gated, w / "down", x.type.cols, ffn.bias)


def _linear(g: FunctionBuilder, x: Tensor, w: WeightScope, rows: int, bias: bool) -> Tensor:
    added: WeightRef | None = w.vector("bias", rows) if bias else None
    return g.linear(x, w.matrix("weight", rows, x.type.cols), added)


def _check(name: str, hidden: int, activation: str) -> None:
    whole("ffn", name, "hidden", hidden)
    choice("ffn", name, "activation", activation, ACTIVATIONS)
