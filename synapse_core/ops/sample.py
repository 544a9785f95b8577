"""Choosing the next token: the likeliest, or one drawn from what temperature, k and p leave.

Every number on the way has the same bits in every place: the differences and chances are float32,
each operation rounded once, the sums are integers. See docs/decisions/0012-sampling-op.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from synapse_core.errors import ShapeError
from synapse_core.ops import checks
from synapse_core.ops.contract import (
    Op,
    OperandType,
    Options,
    ReferenceCall,
    TensorType,
)

# The columns of `settings`; then seed and number of the draw as halves of 16 bits, lowest first.
SETTINGS = ("temperature", "top_k", "top_p", "min_p", "repetition", "frequency", "presence")
SEED, DRAW, COLUMNS = 7, 11, 15
# Ids and k must be exact in float32, and so many chances of at most 2^40 fit an integer.
MOST_IDS = 0xFFFFFF
# Chances are counted in units of 2^-40; e^-28 is less.
UNITS, NEGLIGIBLE = 2.0**40, np.float32(28)
_WORD = 0xFFFFFFFFFFFFFFFF
# Sizes that make the reference bearable; no number depends on them.
BLOCK, HEADS = 64, (1024, 16384)
# Of e^r, highest power first; as in syn_math.h.
_POLYNOMIAL = [
    np.float32(c)
    for c in (
        1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
        5.0000001201e-1,
    )
]  # fmt: skip


def infer(inputs: Sequence[OperandType], options: Options) -> tuple[TensorType, ...]:
    """logits (T, V), settings (T, 15), ids?, owners? (N, 1), charges? (N, 2), mask? → (T, 1)."""
    checks.count("sample", inputs, 6)
    logits = checks.tensor("sample", "logits", inputs[0])
    settings = checks.tensor("sample", "settings", inputs[1])
    if not 0 < logits.cols <= MOST_IDS:
        raise ShapeError(f"sample: {logits.cols} logits a row; at most {MOST_IDS}")
    _fits("settings", settings, logits, COLUMNS)
    if any(operand is not None for operand in inputs[2:5]):
        _check_charges(inputs, logits)
    if inputs[5] is not None:
        _fits("mask", checks.tensor("sample", "mask", inputs[5]), logits, -(-logits.cols // 16))
    return (TensorType(logits.space, 1),)


def _check_charges(inputs: Sequence[OperandType], logits: TensorType) -> None:
    ids = checks.ids("sample", "ids", inputs[2])
    owners = checks.ids("sample", "owners", inputs[3])
    if not 0 < ids.limit <= logits.cols:
        raise ShapeError(f"sample: ids are below {ids.limit}, there are {logits.cols} logits")
    if owners.limit_space != logits.space.name:
        raise ShapeError(
            f"sample: owners count rows of {owners.limit_space or 'nothing'!r}, logits are over"
            f" {logits.space.name!r}"
        )
    _fits("owners", owners, ids, 1)
    _fits("charges", checks.tensor("sample", "charges", inputs[4]), ids, 2)


def _fits(role: str, found: TensorType, rows: TensorType, cols: int) -> None:
    if (found.space, found.cols) != (rows.space, cols):
        raise ShapeError(
            f"sample: {role} is {found.space.name} × {found.cols}, it must be"
            f" {rows.space.name} × {cols}"
        )


def reference(
    call: ReferenceCall, inputs: Sequence[Any], options: Options
) -> tuple[np.ndarray, ...]:
    """Choose an id for each row; -1 - i where logit i, or all, leave nothing to choose."""
    logits, settings, ids, owners, charges, mask = inputs
    chosen = np.empty((len(logits), 1), dtype=np.float32)
    for row, (level, wanted) in enumerate(zip(logits, settings, strict=True)):
        if ids is not None:
            mine = owners[:, 0] == row
            level = charged(level, wanted, ids[mine, 0], charges[mine])
        chosen[row] = choose(level if mask is None else masked(level, mask[row]), wanted)
    return (chosen,)


def charged(
    level: np.ndarray, settings: np.ndarray, ids: np.ndarray, charges: np.ndarray
) -> np.ndarray:
    """Return logits with what ids are charged: `charges` are times seen and bias, (N, 2).

    Source: Keskar et al. 2019, section 4.1 (repetition).
    """
    repetition, frequency, presence = settings[4:7]
    level = level.copy()
    with np.errstate(all="ignore"):
        for id, (times, bias) in zip(ids, charges, strict=True):
            x = level[id] + bias
            if times > 0:
                x = x * repetition if x < 0 else x / repetition
                x = x - (times * frequency + presence)
            level[id] = x
    return level


def masked(level: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return logits, those whose bit is not set at minus infinity; `mask` are halves of 16 bits."""
    halves = np.array([half_of(half) for half in mask], dtype="<u2")
    bits = np.unpackbits(halves.view(np.uint8), count=len(level), bitorder="little")
    allowed: np.ndarray = np.where(bits, level, np.float32(-np.inf))
    return allowed


def choose(level: np.ndarray, settings: np.ndarray) -> int:
    """Return the chosen id of one row's logits, float32 (V,); see `reference`."""
    top = level.max()
    if not np.isfinite(top):
        wrong = np.flatnonzero(~(level < np.inf))
        return -1 - int(wrong[0] if wrong.size else 0)
    if not settings[0] > 0:
        return int(np.argmax(level))
    with np.errstate(all="ignore"):
        return _drawn(np.abs(top - level), settings)


def _drawn(behind: np.ndarray, settings: np.ndarray) -> int:
    """Draw an id; `behind` says how far each logit lies behind the top."""
    temperature, wanted, p, least = settings[:4]
    k = int(wanted) if 1 <= wanted < len(behind) else len(behind)
    ids = np.flatnonzero(behind <= min(NEGLIGIBLE * temperature, _bound(behind, k)))
    behind = behind[ids]
    if k < len(ids):
        kept = _nearest(behind, k)
        ids, behind = ids[kept], behind[kept]
    chances = np.fmin(np.fmax(exponential(-behind / temperature), 0), 1)
    weights = (chances * UNITS).astype(np.uint64)
    if p < 1:
        limit = int(weights.sum()) * int(max(p, 0) * np.float32(2**32)) >> 32
        weights[~_fewest(behind, weights, limit)] = 0
    if least > 0:
        weights[chances < min(least, np.float32(1))] = 0
    sums = np.cumsum(weights)
    words = settings[SEED:].tolist()
    bits = draw_bits(word_of(words[:4]), word_of(words[4:]))
    target = int(sums[-1]) * bits >> 32
    return int(ids[np.searchsorted(sums, np.uint64(target), side="right")])


def _bound(behind: np.ndarray, k: int) -> np.float32:
    """Return a distance within which k ids lie: that of the k-th block of ids, by its nearest."""
    blocks = len(behind) // BLOCK
    if k >= blocks:
        return np.float32(np.inf)
    nearest = behind[: blocks * BLOCK].reshape(blocks, BLOCK).min(axis=1)
    return np.partition(nearest, k - 1)[k - 1]  # type: ignore[no-any-return]


def _nearest(behind: np.ndarray, k: int) -> np.ndarray:
    """Return the places of the k nearest in rising order, of equals the first."""
    last = np.partition(behind, k - 1)[k - 1]
    kept = behind < last
    kept[np.flatnonzero(behind == last)[: k - int(kept.sum())]] = True
    return np.flatnonzero(kept)


def _fewest(behind: np.ndarray, weights: np.ndarray, limit: int) -> np.ndarray:
    """Return which are the fewest nearest whose weights exceed a limit."""
    kept = np.zeros(len(behind), dtype=bool)
    for size in (*(size for size in HEADS if size < len(behind)), len(behind)):
        head = _nearest(behind, size)
        head = head[np.argsort(behind[head], kind="stable")]
        sums = np.cumsum(weights[head])
        if int(sums[-1]) > limit:
            break
    kept[head[: int(np.searchsorted(sums, np.uint64(limit), side="right")) + 1]] = True
    return kept


def exponential(x: np.ndarray) -> np.ndarray:
    """Return e^x as every kernel computes it in float32 (`syn_exp`), bit for bit."""
    f32 = np.float32
    rounder = f32(12582912.0)
    y = np.fmax(np.fmin(x, f32(89)), f32(-104))
    shifted = y * f32(1.44269504) + rounder
    n = shifted.view(np.int32) - rounder.view(np.int32)
    whole = shifted - rounder
    r = (y - whole * f32(0.693359375)) + whole * f32(2.12194440e-4)
    p = np.full_like(r, _POLYNOMIAL[0])
    for c in _POLYNOMIAL[1:]:
        p = p * r + c
    p = (p * (r * r) + r) + f32(1)
    half = (n + 256) // 2 - 128
    for part in (half, n - half):
        p = p * ((part + 127).astype(np.uint32) << np.uint32(23)).view(np.float32)
    return np.where(np.isnan(x), x, p)


def draw_bits(seed: int, draw: int) -> int:
    """Return 32 random bits: the upper half of a seed's draw number `draw`.

    Source: Steele, Lea & Flood 2014, SplitMix64, whose state after any number of draws is known.
    """
    z = (seed + (draw + 1) * 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _WORD
    return (z ^ z >> 31) >> 32


def halves_of(word: int) -> list[int]:
    """Return a word of 64 bits as four halves of 16 bits each, lowest first."""
    return [word >> shift & 0xFFFF for shift in (0, 16, 32, 48)]


def word_of(halves: Sequence[float]) -> int:
    """Return the word of 64 bits that four halves are."""
    return sum(half_of(half) << 16 * place for place, half in enumerate(halves))


def half_of(number: float) -> int:
    """Return 16 bits that are held as a number; 0 for one that holds none."""
    return int(number) if 0 <= number <= 65535 else 0


SAMPLE = Op(
    name="sample",
    summary="the next token of each row of logits: the likeliest, or one drawn",
    infer=infer,
    reference=reference,
    attributes=(),
    kernels={"c": "core"},
)
