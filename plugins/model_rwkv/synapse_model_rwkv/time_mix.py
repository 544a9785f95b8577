"""RWKV-7's time mix: the component `rwkv7_time_mix`, of kind attention."""

from __future__ import annotations

import attrs

from synapse_core.components import Norm
from synapse_core.errors import UsageError
from synapse_core.graph import FunctionBuilder, Tensor, WeightScope
from synapse_core.ops import StateType

# Whose input each of these is the row's, moved towards the one before it.
SHIFTED = ("r", "w", "k", "v", "a", "g")
# Rows of up to two blocks of 32: rounded to 8 bits there are few numbers to even it out, and what
# the state takes in is felt ever after. So small a product costs nothing in float32.
MOST_EXACT = 64


@attrs.frozen(kw_only=True)
class TimeMix:
    """A state of N × N numbers a head that each row changes and reads.

    The four ranks are those of the low-rank pairs that say how fast the state fades (`decay`), how
    fast it learns (`rate`), what is read of it (`gate`), and how much of the first layer's values
    a later layer takes (`value`; 0 in the first layer, which has no such pair). `eps` is that of
    the norm of each head. `bias`: of the projection out. `embedding_norm` is for the first layer
    of a model only: what stands between its embedding and the residual stream; a family's graph
    builds it, not the time mix.

    Source: Peng et al. 2025 (RWKV-7), section 4; `RWKV_x070_TMix_seq` of the package `rwkv`.
    """

    head_dim: int
    decay_rank: int
    rate_rank: int
    gate_rank: int
    eps: float
    value_rank: int = 0
    bias: bool = False
    embedding_norm: Norm | None = None

    def __attrs_post_init__(self) -> None:
        sizes = {
            "head_dim": self.head_dim,
            "decay_rank": self.decay_rank,
            "rate_rank": self.rate_rank,
            "gate_rank": self.gate_rank,
        }
        for name, size in sizes.items():
            if type(size) is not int or size < 1:
                raise _refuse(f"{name} is {size!r}; must be a whole number from 1 on")
        if type(self.value_rank) is not int or self.value_rank < 0:
            raise _refuse(f"value_rank is {self.value_rank!r}; must be a whole number from 0 on")
        if not isinstance(self.eps, int | float) or not 0 <= self.eps < float("inf"):
            raise _refuse(f"eps is {self.eps!r}; must be a finite number, at least 0")

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it as a first layer's, which takes no values of another.

        Shapes: x (T, C) → (T, C).
        """
        return self.build_with(g, x, w, None)[0]

    def build_with(
        self, g: FunctionBuilder, x: Tensor, w: WeightScope, first: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Add it and return what it gives, and its values before any are mixed in.

        `first` are the first layer's values, None in that layer itself.

        Shapes: x, first (T, C) → (T, C) both.
        Raises: UsageError when the heads do not divide the columns, or `first` is missing.
        """
        cols = x.type.cols
        if cols % self.head_dim:
            raise _refuse(f"{cols} columns are no multiple of the head's {self.head_dim}")
        if (first is None) != (self.value_rank == 0):
            raise _refuse("value_rank is 0 in the first layer of a model, and there only")
        before = g.graph.state(StateType(w.name("before"), "recurrent", cols))
        mus = [w.vector(f"shift.{name}", cols) for name in SHIFTED]
        rows = dict(
            zip(SHIFTED, g.op_n("rwkv.token_shift", x, before, *mus), strict=True)
        )  # each (T, C)
        exact = cols <= MOST_EXACT
        r, k, v = (
            g.linear(rows[n], w.matrix(f"{n}.weight", cols, cols, exact=exact)) for n in "rkv"
        )
        fade = self._pair(g, rows["w"], w / "decay", self.decay_rank, inner="tanh")
        rate = self._pair(g, rows["a"], w / "rate", self.rate_rank)
        gate = self._pair(g, rows["g"], w / "gate", self.gate_rank, inner="sigmoid", bias=False)
        mix = None
        if first is not None:
            mix = self._pair(g, rows["v"], w / "value", self.value_rank)
        state = g.graph.state(StateType(w.name("state"), "recurrent", cols * self.head_dim))
        y = g.op(
            "rwkv.wkv7",
            *(r, fade, k, v, rate, gate, first, mix, state),
            w.vector("key_scale", cols),
            w.vector("key_rate", cols),
            w.matrix("bonus", cols // self.head_dim, self.head_dim),
            w.vector("norm.weight", cols),
            w.vector("norm.bias", cols),
            head_dim=self.head_dim,
            eps=self.eps,
        )
        out = w.vector("o.bias", cols) if self.bias else None
        return g.linear(y, w.matrix("o.weight", cols, cols), out), v

    def _pair(
        self,
        g: FunctionBuilder,
        x: Tensor,
        w: WeightScope,
        rank: int,
        *,
        inner: str = "",
        bias: bool = True,
    ) -> Tensor:
        """Add up(inner(down(x))): (T, C) → (T, C) by way of (T, rank)."""
        cols = x.type.cols
        h = g.linear(x, w.matrix("down.weight", rank, cols))
        if inner:
            h = g.op("activation", h, kind=inner)
        shift = w.vector("up.bias", cols) if bias else None
        return g.linear(h, w.matrix("up.weight", cols, rank), shift)


def _refuse(problem: str) -> UsageError:
    return UsageError(f"attention 'rwkv7_time_mix': {problem}")
