"""Rotary frequencies: one rule for each kind of scaling.

A rule gets the basis and the scaling's own parameters, and returns inverse frequencies and the
factor on cos and sin. A new kind is a function and a line in `SCALINGS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs
import numpy as np

from synapse_core.components.options import refuse


@attrs.frozen
class RopeBasis:
    """What every rule starts from: pair i of `rotary_dim` / 2 turns theta^(−2i / rotary_dim)."""

    theta: float
    rotary_dim: int

    def inv_freq(self) -> np.ndarray:
        """Return the unscaled inverse frequencies, float32 (R/2,).

        Source: Su et al. 2021, section 3.2.2.
        """
        exponent = np.arange(0, self.rotary_dim, 2, dtype=np.float32) / np.float32(self.rotary_dim)
        power = np.power(np.float64(self.theta), exponent.astype(np.float64)).astype(np.float32)
        return np.float32(1.0) / power


Parameters = Mapping[str, float]
Rule = Callable[[RopeBasis, Parameters], tuple[np.ndarray, float]]


@attrs.frozen
class Scaling:
    """A rule and the names of the parameters it needs."""

    rule: Rule
    parameters: tuple[str, ...] = ()


def default(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """No scaling."""
    return basis.inv_freq(), 1.0


def linear(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """Positions are divided by `factor`.

    Source: Chen et al. 2023, eq. 4.
    """
    return basis.inv_freq() / np.float32(parameters["factor"]), 1.0


def llama3(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """Long waves are divided by `factor`, short ones kept, those between interpolated.

    Raises: UsageError when the two bounds are in the wrong order.
    Source: Llama 3.1, `apply_scaling` in models/llama3/reference_impl/model.py.
    """
    factor, low, high, trained = (np.float32(parameters[name]) for name in _LLAMA3)
    if not low < high:
        raise refuse(
            "position", "rope", f"low_freq_factor {low:g} must be below high_freq_factor {high:g}"
        )
    inv_freq = basis.inv_freq()
    wave = np.float32(2 * np.pi) / inv_freq
    smooth = np.clip((trained / wave - low) / (high - low), 0, 1)
    between = ((1 - smooth) / factor + smooth) * inv_freq
    scaled = np.where(wave > trained / low, inv_freq / factor, between)
    return np.where(wave < trained / high, inv_freq, scaled).astype(np.float32), 1.0


_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
SCALINGS: Mapping[str, Scaling] = MappingProxyType(
    {
        "default": Scaling(default),
        "linear": Scaling(linear, ("factor",)),
        "llama3": Scaling(llama3, _LLAMA3),
    }
)
