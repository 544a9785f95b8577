"""Holding a backend against the reference."""

from __future__ import annotations

import attrs
import numpy as np

from synapse_core.api.model import Model
from synapse_core.program import Tables
from synapse_core.program.records import DTYPE_CODES, STATE_KV

F32 = DTYPE_CODES["f32"]

# What float32 implementations may differ by, in standard deviations of the logits (DESIGN.md).
FLOAT_TOLERANCE = 2e-4
# With rounded activations, keys or values: llama.cpp's own are 2 to 4 % rms away from exact ones.
ROUNDED_TOLERANCE = 0.05
PROBE_TOKENS = 48


@attrs.frozen
class Agreement:
    """How far logits are from the reference's.

    `max_error` and `rms_error` in standard deviations of the reference's logits; `top1` the share
    of positions whose likeliest token is the same; `kl` the mean Kullback-Leibler divergence from
    the reference, in nats. `worst` is the position of the largest error.
    """

    max_error: float
    rms_error: float
    top1: float
    kl: float
    worst: int
    spread: float
    tolerance: float
    measure: str

    @property
    def holds(self) -> bool:
        """Whether the measured error is within its tolerance."""
        error = self.max_error if self.measure == "max" else self.rms_error
        return bool(np.isfinite(error)) and error <= self.tolerance


def verify(
    model: Model, reference: Model, *, tolerance: float | None = None, seed: int = 0
) -> Agreement:
    """Compare a model with the reference on the same seeded tokens."""
    ports = reference.decoder.ports
    count = min(PROBE_TOKENS, ports.positions, model.decoder.ports.positions)
    bits = np.random.PCG64(seed)
    tokens = [int(bits.random_raw()) % ports.vocabulary for _ in range(count)]
    rounded = rounds(model)
    if tolerance is None:
        tolerance = ROUNDED_TOLERANCE if rounded else FLOAT_TOLERANCE
    return compare(
        model.logits(tokens),
        reference.logits(tokens),
        tolerance=tolerance,
        measure="rms" if rounded else "max",
    )


def compare(
    logits: np.ndarray, truth: np.ndarray, *, tolerance: float, measure: str = "max"
) -> Agreement:
    """Compare logits with the truth's, both (T, V)."""
    spread = float(truth.std()) or 1.0
    error = np.abs(logits.astype(np.float64) - truth) / spread
    expected, found = _log_softmax(truth), _log_softmax(logits)
    kl = float((np.exp(expected) * (expected - found)).sum(axis=1).mean())
    return Agreement(
        max_error=float(error.max()),
        rms_error=float(np.sqrt(np.square(error).mean())),
        top1=float((logits.argmax(axis=1) == truth.argmax(axis=1)).mean()),
        kl=max(kl, 0.0) if np.isfinite(kl) else kl,
        worst=int(error.max(axis=1).argmax()),
        spread=spread,
        tolerance=tolerance,
        measure=measure,
    )


def rounds(model: Model) -> bool:
    """Whether a program rounds activations, keys or values, so that it cannot be exact."""
    tables = Tables.of(model.program.image, model.built.path)
    if any(int(s["kind"]) == STATE_KV and int(s["dtype"]) != F32 for s in tables.states):
        return True
    kernels = tables.kernel_names()
    if "linear" not in kernels:
        return False
    names = [attribute.name for attribute in model.built.find_op("linear").attributes]
    linears = tables.ops[tables.ops["kernel"] == kernels.index("linear")]
    # The first choice of `arith` is f32.
    return bool((linears["attributes"][:, names.index("arith")] != 0).any())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
