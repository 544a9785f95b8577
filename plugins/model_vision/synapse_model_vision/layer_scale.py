"""Layer scale: what a sublayer adds is weighed, column by column."""

from __future__ import annotations

import attrs

from synapse_core.graph import FunctionBuilder, Tensor, WeightScope


@attrs.frozen(kw_only=True)
class LayerScale:
    """Multiply by a learned vector; it stands where a norm behind a sublayer would.

    Source: Touvron et al. 2021 (CaiT), section 2.
    """

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weight: `weight`.

        Shapes: x (T, C) → (T, C).
        """
        return g.op("mul", x, w.vector("weight", x.type.cols))
