"""Attention: grouped queries, and its special cases.

Letters: T rows, C model width, H query heads, G kv heads, D head width.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from synapse_core.components.contract import Norm, Position
from synapse_core.components.options import choice, finite, refuse, whole
from synapse_core.graph import FunctionBuilder, StateRef, Tensor, WeightScope
from synapse_core.ops import StateType

MASKS = ("causal", "window", "full")
SOURCES = ("cache", "call")
BIASES = "qkvo"


@attrs.frozen(kw_only=True)
class GroupedQueryAttention:
    """Attention whose query heads share kv heads, H / G each.

    `biases` are the letters of the projections that have one ("qkv", "qkvo"). `qk_norm` is applied
    to each q and k before `position` turns them. `scale` is 1/√D unless given. `mask` "window" sees
    the last `window` positions, itself included. `source` "cache" keeps k and v between calls;
    "call" sees this call's rows only and keeps nothing.

    Source: Ainslie et al. 2023, section 2.2.
    """

    component: ClassVar[str] = "gqa"

    heads: int
    kv_heads: int
    head_dim: int
    position: Position | None = None
    biases: str = ""
    qk_norm: Norm | None = None
    scale: float | None = None
    softcap: float = 0.0
    mask: str = "causal"
    window: int = 0
    source: str = "cache"

    def __attrs_post_init__(self) -> None:
        """Check the options.

        Raises: UsageError naming the component and both sides.
        """
        kind, name = "attention", self.component
        for option in ("heads", "kv_heads", "head_dim"):
            whole(kind, name, option, getattr(self, option))
        if self.heads % self.kv_heads:
            problem = f"{self.heads} query heads, {self.kv_heads} kv heads"
            raise refuse(kind, name, f"{problem}; query heads must be a multiple of kv heads")
        choice(kind, name, "mask", self.mask, MASKS)
        choice(kind, name, "source", self.source, SOURCES)
        whole(kind, name, "window", self.window, least=0)
        if (self.mask == "window") != (self.window > 0):
            problem = f"mask {self.mask!r} with a window of {self.window}"
            raise refuse(kind, name, f"{problem}; a window goes with mask 'window', and only there")
        if self.mask == "full" and self.source == "cache":
            raise refuse(kind, name, "mask 'full' sees rows to come; it needs source 'call'")
        if not set(self.biases) <= set(BIASES):
            problem = f"biases are {self.biases!r}"
            raise refuse(kind, name, f"{problem}; they are letters of {BIASES!r}")
        finite(kind, name, "softcap", self.softcap, least=0.0)
        if self.scale is not None:
            finite(kind, name, "scale", self.scale)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `q` (H·D × C), `k`, `v` (G·D × C), `o` (C × H·D), `q_norm`, `k_norm`.

        Shapes: x (T, C) → (T, C).
        """
        heads, kv_heads, head_dim = self.heads, self.kv_heads, self.head_dim
        q = self._project(g, x, w, "q", heads * head_dim)  # (T, H·D)
        k = self._project(g, x, w, "k", kv_heads * head_dim)  # (T, G·D)
        v = self._project(g, x, w, "v", kv_heads * head_dim)
        if self.qk_norm is not None:
            q = self.qk_norm.build(g, q, w / "q_norm")
            k = self.qk_norm.build(g, k, w / "k_norm")
        if self.position is not None:
            q, k = self.position.build(g, q, w), self.position.build(g, k, w)
        y = g.op(
            "attention",
            q,
            k,
            v,
            self._state(g, w),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            mask=self.mask,
            window=self.window,
            scale=head_dim**-0.5 if self.scale is None else self.scale,
            softcap=self.softcap,
        )
        return self._project(g, y, w, "o", x.type.cols)

    def _project(
        self, g: FunctionBuilder, x: Tensor, w: WeightScope, letter: str, rows: int
    ) -> Tensor:
        scope = w / letter
        bias = scope.vector("bias", rows) if letter in self.biases else None
        return g.linear(x, scope.matrix("weight", rows, x.type.cols), bias)

    def _state(self, g: FunctionBuilder, w: WeightScope) -> StateRef | None:
        if self.source == "call":
            return None
        width = self.kv_heads * self.head_dim
        return g.graph.state(
            StateType(w.name("kv"), "kv", width, width, self.window, self.head_dim)
        )


@attrs.frozen(kw_only=True)
class MultiHeadAttention(GroupedQueryAttention):
    """Attention with a kv head for every query head.

    Source: Vaswani et al. 2017, section 3.2.2.
    """

    component: ClassVar[str] = "mha"
    kv_heads: int = attrs.field(init=False, default=attrs.Factory(lambda self: self.heads, True))


@attrs.frozen(kw_only=True)
class MultiQueryAttention(GroupedQueryAttention):
    """Attention whose query heads all share one kv head.

    Source: Shazeer 2019, section 3.
    """

    component: ClassVar[str] = "mqa"
    kv_heads: int = attrs.field(init=False, default=1)


@attrs.frozen(kw_only=True)
class SlidingWindow(GroupedQueryAttention):
    """Causal attention over the last `window` positions; pages behind it can be given back.

    Source: Beltagy et al. 2020, section 3.1; Jiang et al. 2023 (Mistral), section 2.
    """

    component: ClassVar[str] = "sliding_window"
    window: int
    mask: str = attrs.field(init=False, default="window")
