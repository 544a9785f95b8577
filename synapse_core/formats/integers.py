"""Integer weights: int8 with a scale a row, q8_0 with a scale for each 32 columns."""

from __future__ import annotations

import attrs
import numpy as np

from synapse_core.formats.contract import Runs


@attrs.frozen
class Int8:
    """A float32 scale (max |row| / 127), then the row's int8, then a zero byte if cols is odd."""

    name: str = "int8"
    code: int = 5
    block: int = 1

    def accepts(self, cols: int) -> bool:
        """Any width."""
        return cols > 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row: even."""
        return 4 + cols + cols % 2

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Quantise symmetrically, nearest even."""
        scale, codes = quantise(np.ascontiguousarray(rows, dtype=np.float32))
        raw = np.zeros((len(rows), self.row_bytes(rows.shape[1])), dtype=np.uint8)
        raw[:, :4] = scale.astype("<f4").view(np.uint8)
        # A row below 2e-43 has no scale left: it is zeros, and its codes say so.
        raw[:, 4 : 4 + rows.shape[1]] = np.where(scale > 0, codes, np.int8(0)).view(np.uint8)
        return raw

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return scale · code."""
        scale, codes = self.split(raw, cols)
        return scale * codes.astype(np.float32)

    def split(self, raw: np.ndarray, cols: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the scales, float32 (rows, 1), and the codes, int8 (rows, cols)."""
        scale = np.ascontiguousarray(raw[:, :4]).view("<f4").astype(np.float32, copy=False)
        return scale, np.ascontiguousarray(raw[:, 4 : 4 + cols]).view(np.int8)


@attrs.frozen
class Q80:
    """ggml's blocks of 34 bytes: a float16 scale, then 32 int8.

    Source: ggml's block_q8_0, as the `gguf` package reads and writes it.
    """

    name: str = "q8_0"
    code: int = 6
    block: int = 32
    run: int = 32

    def accepts(self, cols: int) -> bool:
        """Widths that are whole blocks."""
        return cols > 0 and cols % 32 == 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row."""
        return cols // 32 * 34

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Quantise each block by max |x| / 127, halves away from zero, as ggml does."""
        blocks = np.ascontiguousarray(rows, dtype=np.float32).reshape(-1, 32)
        scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
        raw = np.empty((len(blocks), 34), dtype=np.uint8)
        with np.errstate(all="ignore"):  # what is no number, or too large, gets some code
            inverse = np.where(scale == 0, np.float32(0), np.float32(1) / scale)
            scaled = blocks * inverse
            whole = np.trunc(scaled)
            # Adding 0.5 and cutting would round the float32 just below 0.5 up; this is exact.
            away = np.abs(scaled - whole) >= np.float32(0.5)
            codes = (whole + np.copysign(away.astype(np.float32), scaled)).astype(np.int8)
            raw[:, :2] = scale.astype("<f2").view(np.uint8)
        raw[:, 2:] = codes.view(np.uint8)
        return raw.reshape(len(rows), self.row_bytes(rows.shape[1]))

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return scale · code."""
        return self.split(raw, cols).numbers()

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        """Return a scale and 32 codes for each block."""
        blocks = np.ascontiguousarray(raw).reshape(len(raw), cols // 32, 34)
        scale = np.ascontiguousarray(blocks[..., :2]).view("<f2")[..., 0].astype(np.float32)
        return Runs(scale, np.ascontiguousarray(blocks[..., 2:]).view(np.int8))


def quantise(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantise runs of float32 numbers along the last axis to int8, symmetrically.

    inverse = 127 / max |x|, code = round half to even(x · inverse), scale = max |x| / 127, all in
    float32; a run of zeros has scale zero. This is also how activations are quantised.

    Shapes: x (…, n) → scale (…, 1), codes int8 (…, n).
    """
    most = np.abs(x).max(axis=-1, keepdims=True, initial=0.0).astype(np.float32)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inverse = np.where(most > 0, np.float32(127) / most, np.float32(0)).astype(np.float32)
        scaled = np.rint(x * inverse)
    # 127 / max overflows below 4e-37: what is then infinite is the largest code, 0 · inf is zero.
    codes = np.clip(np.nan_to_num(scaled, nan=0.0), -127, 127).astype(np.int8)
    return most / np.float32(127), codes


INT8 = Int8()
Q8_0 = Q80()
