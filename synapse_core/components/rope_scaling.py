"""Rotary frequencies: one rule for each kind of scaling.

A rule gets the basis and the scaling's own parameters, and returns inverse frequencies and the
factor on cos and sin. A new kind is a function and a line in `SCALINGS`.

The frequencies are chosen once, when the graph is built. Those of `dynamic` and `longrope` depend
on the length: they are the ones for the context that the graph is built for, and are not chosen
again when a text crosses the length that the model was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np

from synapse_core.components.options import refuse
from synapse_core.errors import UsageError


@attrs.frozen
class RopeBasis:
    """What every rule starts from: pair i of `rotary_dim` / 2 turns theta^(−2i / rotary_dim).

    `context` is how many positions the graph is built for, None where nobody says.
    """

    theta: float
    rotary_dim: int
    context: int | None = None

    def powers(self) -> np.ndarray:
        """Return theta^(2i / rotary_dim), float32 (R/2,): positions for a turn of one radian."""
        exponent = np.arange(0, self.rotary_dim, 2, dtype=np.float32) / np.float32(self.rotary_dim)
        return np.power(np.float64(self.theta), exponent.astype(np.float64)).astype(np.float32)

    def inv_freq(self) -> np.ndarray:
        """Return the unscaled inverse frequencies, float32 (R/2,).

        Source: Su et al. 2021, section 3.2.2.
        """
        return np.float32(1.0) / self.powers()


# Powers of the base are float32, which ends at e^88.7.
MOST_LOG_THETA = 88.0
Parameters = Mapping[str, Any]
Rule = Callable[[RopeBasis, Parameters], tuple[np.ndarray, float]]


@attrs.frozen
class Scaling:
    """A rule and the names of its parameters.

    `parameters` are numbers it needs, `optional` numbers it may have, with what stands for them
    otherwise (None: it is computed). `lists` have a number for each pair of columns, `flags` are
    true or false and may be absent.
    """

    rule: Rule
    parameters: tuple[str, ...] = ()
    optional: Mapping[str, float | None] = attrs.field(factory=dict)
    lists: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All of its parameters."""
        return (*self.parameters, *self.optional, *self.lists, *self.flags)


def default(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """No scaling."""
    return basis.inv_freq(), 1.0


def linear(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """Positions are divided by `factor`.

    Source: Chen et al. 2023, eq. 4.
    """
    return basis.inv_freq() / np.float32(parameters["factor"]), 1.0


def dynamic(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """The base grows with the context past the trained length; up to it nothing changes.

    Raises: UsageError where the context is not known, or there is one pair only.
    Source: `_compute_dynamic_ntk_parameters` in modeling_rope_utils.py of transformers, after
    Peng et al. 2023, section 3.3.
    """
    if basis.rotary_dim < 4:
        raise _refuse(f"scaling 'dynamic' with rotary_dim {basis.rotary_dim}; it takes 4 or more")
    factor, trained = parameters["factor"], parameters["original_max_position_embeddings"]
    length = max(_context(basis, "dynamic"), trained)
    stretch = factor * length / trained - (factor - 1)
    power = basis.rotary_dim / (basis.rotary_dim - 2)
    if math.log(basis.theta) + power * math.log(stretch) > MOST_LOG_THETA:
        raise _refuse(f"scaling 'dynamic' with factor {factor:g} at {length} positions: too far")
    return attrs.evolve(basis, theta=basis.theta * stretch**power).inv_freq(), 1.0


def yarn(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """Pairs that turn often keep their frequency, slow ones are divided by `factor`.

    Between `beta_fast` and `beta_slow` turns within the trained length the two are mixed linearly.

    Raises: UsageError when theta or the betas leave no range to mix over.
    Source: Peng et al. 2023, section 3.2 and eq. 22; `truncate` and the two mscales as in
    `_compute_yarn_parameters` of transformers.
    """
    fast, slow = (parameters.get(name, _YARN[name]) for name in ("beta_fast", "beta_slow"))
    if fast < slow or basis.theta <= 1:
        problem = f"theta {basis.theta:g}, beta_fast {fast:g}, beta_slow {slow:g}"
        raise _refuse(f"scaling 'yarn' with {problem}; it takes theta > 1, beta_fast ≥ beta_slow")
    trained = parameters["original_max_position_embeddings"]
    low, high = (
        basis.rotary_dim * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(basis.theta))
        for turns in (fast, slow)
    )
    if parameters.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, basis.rotary_dim - 1)
    # A range of one pair is widened by so much, as in transformers.
    width = np.float32(high - low or 0.001)
    pair = np.arange(basis.rotary_dim // 2, dtype=np.float32)
    slowness = np.clip((pair - np.float32(low)) / width, 0, 1)
    factor, powers = np.float32(parameters["factor"]), basis.powers()
    mixed = slowness / (factor * powers) + (1 - slowness) / powers
    return mixed.astype(np.float32), _yarn_magnitude(parameters)


def longrope(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """Each pair has a divisor of its own: `long_factor` in a context past the trained length.

    Up to the trained length it is `short_factor`.

    Raises: UsageError where the context is not known.
    Source: Ding et al. 2024, section 3.2; Phi-3's report, arXiv 2404.14219; the factor on cos and
    sin as in `_compute_longrope_parameters` of transformers.
    """
    trained = parameters["original_max_position_embeddings"]
    is_long = _context(basis, "longrope") > trained
    divisors = np.asarray(parameters["long_factor" if is_long else "short_factor"], np.float32)
    magnitude = parameters.get("attention_factor")
    if magnitude is None:
        factor = parameters["factor"]
        if factor > 1 and trained <= 1:
            raise _refuse(f"scaling 'longrope' with a trained length of {trained:g}")
        grown = math.log(factor) / math.log(trained) if factor > 1 else 0.0
        magnitude = math.sqrt(1 + grown)
    return np.float32(1.0) / (divisors * basis.powers()), float(magnitude)


def llama3(basis: RopeBasis, parameters: Parameters) -> tuple[np.ndarray, float]:
    """Long waves are divided by `factor`, short ones kept, those between interpolated.

    Raises: UsageError when the two bounds are in the wrong order.
    Source: Llama 3.1, `apply_scaling` in models/llama3/reference_impl/model.py.
    """
    factor, low, high, trained = (np.float32(parameters[name]) for name in _LLAMA3)
    if not low < high:
        raise _refuse(f"low_freq_factor {low:g} must be below high_freq_factor {high:g}")
    inv_freq = basis.inv_freq()
    wave = np.float32(2 * np.pi) / inv_freq
    smooth = np.clip((trained / wave - low) / (high - low), 0, 1)
    between = ((1 - smooth) / factor + smooth) * inv_freq
    scaled = np.where(wave > trained / low, inv_freq / factor, between)
    return np.where(wave < trained / high, inv_freq, scaled).astype(np.float32), 1.0


def _yarn_magnitude(parameters: Parameters) -> float:
    if "attention_factor" in parameters:
        return float(parameters["attention_factor"])
    factor, over = parameters["factor"], parameters.get("mscale_all_dim")
    scale = parameters.get("mscale")
    if factor <= 1:
        return 1.0
    if scale and over:
        return float((0.1 * scale * math.log(factor) + 1) / (0.1 * over * math.log(factor) + 1))
    return 0.1 * math.log(factor) + 1


def _context(basis: RopeBasis, name: str) -> int:
    if basis.context is None:
        raise _refuse(f"scaling {name!r} needs the context that the graph is built for")
    return basis.context


def _refuse(problem: str) -> UsageError:
    return refuse("position", "rope", problem)


_LLAMA3 = ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
# Peng et al. 2023, section 3.2, found 32 and 1 for LLaMA.
_YARN: Mapping[str, Any] = MappingProxyType(
    {
        "attention_factor": None,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": None,
        "mscale_all_dim": None,
    }
)
_STRETCH = ("factor", "original_max_position_embeddings")
SCALINGS: Mapping[str, Scaling] = MappingProxyType(
    {
        "default": Scaling(default),
        "linear": Scaling(linear, ("factor",)),
        "dynamic": Scaling(dynamic, _STRETCH),
        "yarn": Scaling(
            yarn,
            _STRETCH,
            optional=_YARN,
            flags=("truncate",),
        ),
        "llama3": Scaling(llama3, _LLAMA3),
        "longrope": Scaling(
            longrope,
            _STRETCH,
            optional={"attention_factor": None},
            lists=("short_factor", "long_factor"),
        ),
    }
)
