"""RWKV-7's channel mix: the component `rwkv7_channel_mix`.

It looks one row back, so that its kind is attention though it stands in a feed-forward's place.
"""

from __future__ import annotations

import attrs

from synapse_core.errors import UsageError
from synapse_core.graph import FunctionBuilder, Tensor, WeightScope
from synapse_core.ops import StateType


@attrs.frozen(kw_only=True)
class ChannelMix:
    """down(relu(up(x'))²), x' the row moved towards the one before it.

    Source: Peng et al. 2025 (RWKV-7), section 4, eq. 21-22.
    """

    hidden: int

    def __attrs_post_init__(self) -> None:
        if type(self.hidden) is not int or self.hidden < 1:
            problem = f"hidden is {self.hidden!r}; must be a whole number from 1 on"
            raise UsageError(f"attention 'rwkv7_channel_mix': {problem}")

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `shift` (C), `up.weight` (F × C), `down.weight` (C × F).

        Shapes: x (T, C) → (T, C).
        """
        cols = x.type.cols
        before = g.graph.state(StateType(w.name("before"), "recurrent", cols))
        moved = g.op("rwkv.token_shift", x, before, w.vector("shift", cols))
        h = g.linear(moved, w.matrix("up.weight", self.hidden, cols))  # (T, F)
        # relu(h) · h is relu(h)², and one op where both are fused.
        h = g.op("mul", g.op("activation", h, kind="relu"), h)
        return g.linear(h, w.matrix("down.weight", cols, self.hidden))
