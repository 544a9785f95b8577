"""The component `mamba2`: Mamba-2's mixer, whose memory decays head by head.

Letters: T rows, C model width, H heads, P head width, G groups, N state size, K taps.
"""

from __future__ import annotations

import attrs

from synapse_core.errors import UsageError
from synapse_core.graph import FunctionBuilder, Tensor, WeightScope
from synapse_core.ops import StateType
from synapse_model_mamba.conv1d_causal import MOST_TAPS
from synapse_model_mamba.options import whole
from synapse_model_mamba.ssd_scan import LARGEST, MOST


@attrs.frozen(kw_only=True)
class Mamba2Mixer:
    """y = out(norm(scan(SiLU(conv(x, b, c))) · SiLU(z))), b and c shared by groups of heads.

    A step of the memory is cut to `dt_least` … `dt_most`. `eps` is that of the norm inside, over
    each group's columns. `bias` is that of the projections, `conv_bias` that of the filter.

    Source: Dao & Gu 2024, section 7.1 and figure 6.
    """

    heads: int
    head_dim: int
    state: int
    eps: float
    groups: int = 1
    taps: int = 4
    bias: bool = False
    conv_bias: bool = True
    dt_least: float = 0.0
    dt_most: float = LARGEST

    def __attrs_post_init__(self) -> None:
        """Check the options.

        Raises: UsageError naming the option.
        """
        for option in ("heads", "head_dim", "state", "groups"):
            whole("mamba2", option, getattr(self, option), most=MOST)
        whole("mamba2", "taps", self.taps, least=2, most=MOST_TAPS)
        if self.heads % self.groups:
            problem = f"{self.heads} heads, {self.groups} groups; heads must be a multiple"
            raise UsageError(f"attention 'mamba2': {problem}")
        if not 0 <= self.dt_least <= self.dt_most:
            problem = f"dt_least is {self.dt_least!r}, dt_most {self.dt_most!r}"
            raise UsageError(f"attention 'mamba2': {problem}; must be rising and not negative")

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `gate` (H·P × C), `xbc` (H·P + 2·G·N × C), `dt` (H × C), `dt_bias`.

        Then `conv` (K × H·P + 2·G·N), `a`, `d` (H), `norm` (G × H·P/G) and `out` (C × H·P).

        Shapes: x (T, C) → (T, C).
        """
        inner = self.heads * self.head_dim
        mixed = inner + 2 * self.groups * self.state
        z = self._project(g, x, w / "gate", inner)  # (T, H·P)
        xbc = self._project(g, x, w / "xbc", mixed)
        dt = self._project(g, x, w / "dt", self.heads)  # (T, H)
        xbc = g.op(
            "mamba.conv1d_causal",
            xbc,
            w.matrix("conv.weight", self.taps, mixed),
            w.vector("conv.bias", mixed) if self.conv_bias else None,
            g.graph.state(StateType(w.name("rows"), "recurrent", (self.taps - 1) * mixed)),
            activation="silu",
        )
        y = g.op(
            "mamba.ssd_scan",
            xbc,
            dt,
            w.vector("a", self.heads),
            w.vector("d", self.heads),
            w.vector("dt_bias", self.heads),
            g.graph.state(StateType(w.name("state"), "recurrent", inner * self.state)),
            heads=self.heads,
            head_dim=self.head_dim,
            groups=self.groups,
            state=self.state,
            dt_least=self.dt_least,
            dt_most=self.dt_most,
        )
        norm = w.matrix("norm.weight", self.groups, inner // self.groups)
        y = g.op("mamba.gated_rmsnorm", y, z, norm, eps=self.eps)
        return self._project(g, y, w / "out", x.type.cols)

    def _project(self, g: FunctionBuilder, x: Tensor, w: WeightScope, rows: int) -> Tensor:
        bias = w.vector("bias", rows) if self.bias else None
        return g.linear(x, w.matrix("weight", rows, x.type.cols), bias)
