"""Floating-point weights: f32, f16, bf16."""

from __future__ import annotations

import attrs
import numpy as np


@attrs.frozen
class FloatFormat:
    """IEEE numbers of `dtype`, little-endian."""

    name: str
    code: int
    dtype: str
    block: int = 1

    def accepts(self, cols: int) -> bool:
        """Any width."""
        return cols > 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row."""
        return cols * np.dtype(self.dtype).itemsize

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Round to the nearest, ties to even; what is too large becomes infinite."""
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(rows).astype(self.dtype).view(np.uint8)

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return the numbers, exactly."""
        return np.ascontiguousarray(raw).view(self.dtype).astype(np.float32, copy=False)


@attrs.frozen
class Bfloat16:
    """The upper half of a float32."""

    name: str = "bf16"
    code: int = 3
    block: int = 1

    def accepts(self, cols: int) -> bool:
        """Any width."""
        return cols > 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row."""
        return 2 * cols

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Round to the nearest, ties to even; a NaN stays one."""
        bits = np.ascontiguousarray(rows, dtype=np.float32).view(np.uint32)
        rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) >> 16
        quiet = (bits >> 16) | 0x40
        nan = (bits & 0x7FFFFFFF) > 0x7F800000
        return np.where(nan, quiet, rounded).astype("<u2").view(np.uint8)

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return the numbers, exactly."""
        halves = np.ascontiguousarray(raw).view("<u2").astype(np.uint32)
        return (halves << 16).view(np.float32)


F32 = FloatFormat("f32", 1, "<f4")
F16 = FloatFormat("f16", 2, "<f2")
BF16 = Bfloat16()
