"""The component `mamba1`: Mamba's mixer, where attention stands in other models.

Letters: T rows, C model width, I inner width, N state size, R rank of the time step, K taps.
"""

from __future__ import annotations

import attrs

from synapse_core.graph import FunctionBuilder, Tensor, WeightScope
from synapse_core.ops import StateType
from synapse_model_mamba.conv1d_causal import MOST_TAPS
from synapse_model_mamba.options import whole
from synapse_model_mamba.selective_scan import MOST_STATE


@attrs.frozen(kw_only=True)
class Mamba1Mixer:
    """y = out(scan(SiLU(conv(x))) · SiLU(z)): a selective state space behind a short filter.

    `bias` is that of the projections in and out, `conv_bias` that of the filter.

    Source: Gu & Dao 2023, section 3.4 and figure 3.
    """

    inner: int
    state: int
    rank: int
    taps: int = 4
    bias: bool = False
    conv_bias: bool = True

    def __attrs_post_init__(self) -> None:
        """Check the options.

        Raises: UsageError naming the option.
        """
        whole("mamba1", "inner", self.inner)
        whole("mamba1", "state", self.state, most=MOST_STATE)
        whole("mamba1", "rank", self.rank)
        whole("mamba1", "taps", self.taps, least=2, most=MOST_TAPS)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `x`, `gate` (I × C), `conv` (K × I), `rank` (R × I), `b`, `c` (N × I).

        Then `dt` (I × R) and its bias, `a` (N × I), `d` (I) and `out` (C × I).

        Shapes: x (T, C) → (T, C).
        """
        inner, state, width = self.inner, self.state, x.type.cols
        z = self._project(g, x, w / "gate", inner)  # (T, I)
        h = self._project(g, x, w / "x", inner)
        h = g.op(
            "mamba.conv1d_causal",
            h,
            w.matrix("conv.weight", self.taps, inner),
            w.vector("conv.bias", inner) if self.conv_bias else None,
            g.graph.state(StateType(w.name("rows"), "recurrent", (self.taps - 1) * inner)),
            activation="silu",
        )
        low = g.linear(h, w.matrix("rank.weight", self.rank, inner))  # (T, R)
        b = g.linear(h, w.matrix("b.weight", state, inner))  # (T, N)
        c = g.linear(h, w.matrix("c.weight", state, inner))
        dt = g.linear(low, w.matrix("dt.weight", inner, self.rank), w.vector("dt.bias", inner))
        y = g.op(
            "mamba.selective_scan",
            h,
            dt,
            b,
            c,
            w.matrix("a", state, inner),
            w.vector("d", inner),
            z,
            g.graph.state(StateType(w.name("state"), "recurrent", state * inner)),
        )
        return self._project(g, y, w / "out", width)

    def _project(self, g: FunctionBuilder, x: Tensor, w: WeightScope, rows: int) -> Tensor:
        bias = w.vector("bias", rows) if self.bias else None
        return g.linear(x, w.matrix("weight", rows, x.type.cols), bias)
