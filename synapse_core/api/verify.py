"""Holding a model's logits against a reference's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import attrs
import numpy as np

from synapse_core.api.model import Model
from synapse_core.api.source import is_program, open_checkpoint
from synapse_core.errors import ShapeError
from synapse_core.formats import F32 as F32_FORMAT
from synapse_core.formats import format_of_code
from synapse_core.generate import log_softmax
from synapse_core.hookspecs import Registry
from synapse_core.program import Program, Tables, open_program
from synapse_core.program.records import KV_CODES, STATE_KV

F32 = KV_CODES["f32"]

# What float32 implementations may differ by, in standard deviations of the logits (DESIGN.md).
FLOAT_TOLERANCE = 2e-4
# With rounded activations, keys or values: llama.cpp's own are 2 to 4 % rms away from exact ones.
ROUNDED_TOLERANCE = 0.05
PROBE_TOKENS = 48


class Reference(Protocol):
    """What a model is held against: another model, or an implementation from outside."""

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the logits at every position, float32 (T, V)."""
        ...


@attrs.frozen
class Agreement:
    """How far logits are from the reference's.

    `max_error` and `rms_error` in standard deviations of the reference's logits; `top1` the share
    of positions whose likeliest token is the same; `kl` the mean Kullback-Leibler divergence from
    the reference, in nats. `worst` is the position of the largest error, of `tokens`.
    """

    max_error: float
    rms_error: float
    top1: float
    kl: float
    worst: int
    tokens: int
    spread: float
    tolerance: float
    measure: str

    @property
    def error(self) -> float:
        """The error that is measured."""
        return self.max_error if self.measure == "max" else self.rms_error

    @property
    def holds(self) -> bool:
        """Whether the measured error is within its tolerance."""
        return bool(np.isfinite(self.error)) and self.error <= self.tolerance


def verify(
    model: Model,
    reference: Reference,
    *,
    tokens: Sequence[int] | None = None,
    tolerance: float | None = None,
    rounded: bool | None = None,
    seed: int = 0,
) -> Agreement:
    """Compare a model with a reference on the same tokens, seeded ones unless given.

    `rounded` says whether the two compute on differently rounded numbers, so that the error is
    taken as rms and allowed to be larger; unless said, whether the model's program rounds.

    Raises: UsageError for tokens that the model cannot take; ShapeError where the reference has
    another vocabulary.
    """
    if tokens is None:
        tokens = probe_tokens(model, seed)
    if rounded is None:
        rounded = rounds(model)
    if tolerance is None:
        tolerance = ROUNDED_TOLERANCE if rounded else FLOAT_TOLERANCE
    return compare(
        model.logits(tokens),
        reference.logits(tokens),
        tolerance=tolerance,
        measure="rms" if rounded else "max",
    )


def probe_tokens(model: Model, seed: int = 0) -> list[int]:
    """Return the seeded tokens that a model is verified on unless others are given."""
    ports = model.decoder.ports
    bits = np.random.PCG64(seed)
    count = min(PROBE_TOKENS, ports.positions)
    return [int(bits.random_raw()) % ports.vocabulary for _ in range(count)]


def compare(
    logits: np.ndarray, truth: np.ndarray, *, tolerance: float, measure: str = "max"
) -> Agreement:
    """Compare logits with the truth's, both (T, V).

    Raises: ShapeError when they are not of one shape.
    """
    if logits.shape != truth.shape:
        raise ShapeError(f"the logits are {logits.shape}, the reference's {truth.shape}")
    spread = float(truth.std()) or 1.0
    # By rows: a float64 copy of all would be the largest thing here.
    rows = [_compare_row(found, true, spread) for found, true in zip(logits, truth, strict=True)]
    largest, squares, same, kl = np.array(rows).T
    divergence = float(kl.mean())
    return Agreement(
        max_error=float(largest.max()),
        rms_error=float(np.sqrt(squares.mean())),
        top1=float(same.mean()),
        kl=max(divergence, 0.0) if np.isfinite(divergence) else divergence,
        worst=int(largest.argmax()),
        tokens=len(truth),
        spread=spread,
        tolerance=tolerance,
        measure=measure,
    )


def _compare_row(found: np.ndarray, true: np.ndarray, spread: float) -> tuple[float, ...]:
    """Return largest error, mean squared error, whether the likeliest is the same, divergence."""
    error = np.abs(found.astype(np.float64) - true) / spread
    expected = log_softmax(true)
    divergence = float((np.exp(expected) * (expected - log_softmax(found))).sum())
    same = bool(found.argmax() == true.argmax())
    return float(error.max()), float(np.square(error).mean()), same, divergence


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


def reencodes(model: Model, original: Path, registry: Registry) -> bool:
    """Whether a model holds weights in a format that the original's file does not.

    Float32 does not count: every format goes into it exactly, or is decoded into it by all.
    """
    held = _formats(model.program)
    if is_program(original):
        stored = _formats(open_program(original))
    else:
        tensors = open_checkpoint(original, registry).tensors
        stored = {tensor.format for tensor in tensors.values()}
    return bool(held - stored - {F32_FORMAT.name})


def _formats(program: Program) -> set[str]:
    tables = Tables.of(program.image, program.path or "program")
    return {format_of_code(int(code)).name for code in set(tables.weights["format"].tolist())}
