"""Float16 fields and 4-bit codes inside blocks of bytes."""

from __future__ import annotations

import numpy as np


def half_at(blocks: np.ndarray, offset: int) -> np.ndarray:
    """Return the float16 at a byte offset of every block: uint8 (n, bytes) → float32 (n, 1)."""
    field = np.ascontiguousarray(blocks[:, offset : offset + 2])
    return field.view("<f2").astype(np.float32)


def half_bytes(numbers: np.ndarray) -> np.ndarray:
    """Return numbers (n,) rounded to float16, as uint8 (n, 2)."""
    return numbers.astype("<f2").reshape(-1, 1).view(np.uint8)


def nibbles(codes: np.ndarray) -> np.ndarray:
    """Return the low and the high 4 bits: uint8 (…, k) → (…, 2, k)."""
    return np.stack([codes & np.uint8(15), codes >> np.uint8(4)], axis=-2)


def join_nibbles(codes: np.ndarray) -> np.ndarray:
    """Undo `nibbles`, by the low 4 bits of each: uint8 (…, 2, k) → (…, k)."""
    low = codes & np.uint8(15)
    joined: np.ndarray = low[..., 0, :] | (low[..., 1, :] << np.uint8(4))
    return joined
