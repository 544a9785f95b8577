"""Positions: rotary (inside an attention), learned and sinusoidal (behind the embedding)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.components.options import choice, finite, refuse, whole
from synapse_core.components.rope_scaling import SCALINGS, RopeBasis
from synapse_core.graph import Constant, FunctionBuilder, Tensor, WeightRef, WeightScope

STYLES = ("half", "interleaved")
# Every parameter of a scaling is a divisor or a length.
LEAST_PARAMETER = 1e-6
# A sinusoidal table is computed in memory: 64 Mi numbers are 256 MiB.
MOST_TABLE_NUMBERS = 1 << 26


@attrs.frozen(kw_only=True)
class Rope:
    """Turn pairs of columns of each head by an angle that grows with the position.

    `style` pairs columns (i, i + R/2) ("half") or (2i, 2i + 1) ("interleaved"). `rotary_dim` R
    columns of each head turn, default all. `scaling` is {"type": name in SCALINGS, parameters…}.
    `factors`, one for each pair, divide the frequencies after that: GGUF files carry a scaling so.

    Source: Su et al. 2021, section 3.2.
    """

    head_dim: int
    theta: float
    rotary_dim: int | None = None
    style: str = "half"
    scaling: Mapping[str, Any] = attrs.field(factory=dict)
    factors: Sequence[float] | None = None

    def __attrs_post_init__(self) -> None:
        """Check the options.

        Raises: UsageError naming the option.
        """
        kind, name = "position", "rope"
        whole(kind, name, "head_dim", self.head_dim)
        finite(kind, name, "theta", self.theta, least=1.0)
        choice(kind, name, "style", self.style, STYLES)
        if self.turned % 2 or not 2 <= self.turned <= self.head_dim:
            problem = f"rotary_dim {self.turned}, head_dim {self.head_dim}"
            raise refuse(kind, name, f"{problem}; rotary_dim must be even and at most head_dim")
        choice(kind, name, "scaling type", self.scaling_type, SCALINGS)
        self._check_scaling()
        self._check_factors()

    @property
    def turned(self) -> int:
        """How many columns of each head turn."""
        return self.head_dim if self.rotary_dim is None else self.rotary_dim

    @property
    def scaling_type(self) -> str:
        """Which rule makes the frequencies."""
        return str(self.scaling.get("type", "default"))

    def _check_scaling(self) -> None:
        kind, name, scaling = "position", "rope", SCALINGS[self.scaling_type]
        given = [parameter for parameter in scaling.optional if parameter in self.scaling]
        for parameter in (*scaling.parameters, *given):
            value = self.scaling.get(parameter)
            finite(kind, name, f"scaling {parameter}", value, least=LEAST_PARAMETER)
        for parameter in scaling.lists:
            values = self.scaling.get(parameter)
            if not isinstance(values, list | tuple) or len(values) != self.turned // 2:
                problem = f"scaling {parameter} must have {self.turned // 2} numbers"
                raise refuse(kind, name, f"{problem}, one for each pair of columns that turns")
            for number, value in enumerate(values):
                finite(kind, name, f"scaling {parameter}[{number}]", value, least=LEAST_PARAMETER)
        for parameter in scaling.flags:
            value = self.scaling.get(parameter, True)
            if type(value) is not bool:
                raise refuse(kind, name, f"scaling {parameter} is {value!r}; must be true or false")
        unknown = sorted(set(self.scaling) - {"type", *scaling.names})
        if unknown:
            problem = f"scaling {self.scaling_type!r} takes no {unknown[0]!r}"
            raise refuse(kind, name, problem)

    def _check_factors(self) -> None:
        kind, name = "position", "rope"
        if self.factors is None:
            return
        if len(self.factors) != self.turned // 2:
            problem = f"{len(self.factors)} factors, {self.turned // 2} pairs of columns"
            raise refuse(kind, name, f"{problem}; there must be one for each")
        for factor in self.factors:
            finite(kind, name, "factors", factor, least=LEAST_PARAMETER)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Turn q or k; the frequencies are a constant shared by all layers that have the same.

        Shapes: x (T, H·D) → (T, H·D).
        Raises: UsageError when the scaling needs the graph's context and it has none.
        """
        basis = RopeBasis(float(self.theta), self.turned, g.graph.context)
        inv_freq, magnitude = SCALINGS[self.scaling_type].rule(basis, self.scaling)
        if self.factors is not None:
            inv_freq = inv_freq / np.asarray(self.factors, dtype=np.float32)
        return g.op(
            "rope",
            x,
            _shared_constant(g, "rope.inv_freq", inv_freq),
            head_dim=self.head_dim,
            rotary_dim=self.turned,
            style=self.style,
            magnitude=magnitude,
        )


@attrs.frozen(kw_only=True)
class Learned:
    """Add a trained row for each position; `offset` rows of the table are skipped.

    Source: Gehring et al. 2017, section 3.1.
    """

    context: int
    offset: int = 0

    def __attrs_post_init__(self) -> None:
        whole("position", "learned", "context", self.context)
        whole("position", "learned", "offset", self.offset, least=0)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weight: `weight` (context + offset × C).

        Shapes: x (T, C) → (T, C).
        """
        table = w.matrix("weight", self.context + self.offset, x.type.cols)
        return g.op("add_positions", x, table, offset=self.offset)


@attrs.frozen(kw_only=True)
class Sinusoidal:
    """Add sines and cosines of the position, interleaved, computed when the graph is built.

    Source: Vaswani et al. 2017, section 3.5.
    """

    context: int
    theta: float = 10000.0

    def __attrs_post_init__(self) -> None:
        whole("position", "sinusoidal", "context", self.context)
        finite("position", "sinusoidal", "theta", self.theta, least=1.0)

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; the table (context × C) is a constant.

        Shapes: x (T, C) → (T, C), C even.
        """
        width = x.type.cols
        if width % 2 or self.context * width > MOST_TABLE_NUMBERS:
            problem = f"a table of {self.context} × {width}"
            bound = f"the width must be even and the table at most {MOST_TABLE_NUMBERS} numbers"
            raise refuse("position", "sinusoidal", f"{problem}; {bound}")
        frequencies = np.power(self.theta, -np.arange(0, width, 2) / width)
        angle = np.arange(self.context)[:, None] * frequencies
        table = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(self.context, width)
        return g.op("add_positions", x, _shared_constant(g, w.name("sinusoidal"), table))


def _shared_constant(g: FunctionBuilder, stem: str, values: np.ndarray) -> WeightRef:
    """Add a constant under the first name of `stem`, `stem.1`, … that is free or holds the same."""
    asked = Constant.of(values)
    name, number = stem, 0
    while (known := g.graph.weights.get(name)) is not None:
        if isinstance(known.source, Constant) and known.source.equals(asked):
            break
        number += 1
        name = f"{stem}.{number}"
    return g.graph.constant(name, values)
