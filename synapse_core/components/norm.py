"""Normalisation: rmsnorm and layernorm."""

from __future__ import annotations

import attrs

from synapse_core.components.options import finite, whole
from synapse_core.graph import FunctionBuilder, Tensor, WeightScope


@attrs.frozen(kw_only=True)
class RmsNorm:
    """Divide by the root mean square, times a weight.

    `one_plus`: the file holds weight − 1 (Gemma). `width`: normalise each run of so many columns by
    itself (a head), default the whole row.

    Source: Zhang & Sennrich 2019, eq. 4.
    """

    eps: float
    one_plus: bool = False
    width: int | None = None

    def __attrs_post_init__(self) -> None:
        _check("rmsnorm", self.eps, self.width)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weight: `weight`.

        Shapes: x (T, C) → (T, C).
        """
        transform = "one_plus" if self.one_plus else ""
        weight = w.vector("weight", self.width or x.type.cols, transform)
        return g.op("rmsnorm", x, weight, eps=self.eps)


@attrs.frozen(kw_only=True)
class LayerNorm:
    """Centre, divide by the deviation; `affine` multiplies by a weight, `bias` adds one.

    Source: Ba, Kiros & Hinton 2016, eq. 4.
    """

    eps: float
    affine: bool = True
    bias: bool = True
    width: int | None = None

    def __attrs_post_init__(self) -> None:
        _check("layernorm", self.eps, self.width)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `weight` and `bias`, as the options say.

        Shapes: x (T, C) → (T, C).
        """
        width = self.width or x.type.cols
        weight = w.vector("weight", width) if self.affine else None
        bias = w.vector("bias", width) if self.bias else None
        return g.op("layernorm", x, weight, bias, eps=self.eps, width=width)


def _check(name: str, eps: float, width: int | None) -> None:
    finite("norm", name, "eps", eps, least=0.0)
    if width is not None:
        whole("norm", name, "width", width)
