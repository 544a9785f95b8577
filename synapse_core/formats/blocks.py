"""ggml's blocks of 32 with one scale: q4_0, q4_1, q5_0, q5_1."""

from __future__ import annotations

import attrs
import numpy as np

from synapse_core.formats.contract import Runs
from synapse_core.formats.fields import half_at, half_bytes, join_nibbles, nibbles


@attrs.frozen
class SmallBlocks:
    """Codes of 4 or 5 bits, a float16 scale, and a float16 minimum or a zero in the middle.

    A block is scale, minimum if any, the 32 fifth bits if any, then 16 bytes: columns 0 to 15 in
    the low nibbles, 16 to 31 in the high ones.
    Source: ggml's block_q4_0, block_q4_1, block_q5_0, block_q5_1.
    """

    name: str
    code: int
    bits: int
    has_minimum: bool
    block: int = 32
    run: int = 32

    def accepts(self, cols: int) -> bool:
        """Widths that are whole blocks."""
        return cols > 0 and cols % 32 == 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row."""
        return cols // 32 * (self._codes_at + 16)

    @property
    def _high_at(self) -> int:
        return 4 if self.has_minimum else 2

    @property
    def _codes_at(self) -> int:
        return self._high_at + (4 if self.bits == 5 else 0)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Spread the codes from the least number to the greatest, or from the farthest from zero.

        The bytes are those of the `gguf` package, where the inverse of the scale is finite.
        """
        x = np.ascontiguousarray(rows, dtype=np.float32).reshape(-1, 32)
        most, middle = (1 << self.bits) - 1, 1 << (self.bits - 1)
        fields = []
        with np.errstate(all="ignore"):
            if self.has_minimum:
                low = x.min(axis=1, keepdims=True)
                scale, x, offset = (x.max(axis=1, keepdims=True) - low) / most, x - low, 0.5
                fields.append(half_bytes(low))
            else:
                # The farthest number gets the code 0: below the middle there is one more.
                farthest = np.abs(x).argmax(axis=1)[:, None]
                scale, offset = np.take_along_axis(x, farthest, 1) / -middle, middle + 0.5
            inverse = np.where(scale == 0, np.float32(0), np.float32(1) / scale)
            codes = np.trunc(x * inverse + np.float32(offset))
            codes = np.fmin(np.fmax(codes, 0), most).astype(np.uint8)
            fields.insert(0, half_bytes(scale))
        if self.bits == 5:
            fields.append(np.packbits(codes >> 4, axis=1, bitorder="little"))
        fields.append(join_nibbles(codes.reshape(-1, 2, 16)))
        return np.concatenate(fields, axis=1).reshape(len(rows), self.row_bytes(rows.shape[1]))

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return scale · code, + minimum."""
        return self.split(raw, cols).numbers()

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        """Return a scale, 32 codes and the minimum, if any, for each block."""
        shape = (len(raw), cols // 32)
        blocks = np.ascontiguousarray(raw).reshape(shape[0] * shape[1], self._codes_at + 16)
        codes = nibbles(blocks[:, self._codes_at :]).reshape(-1, 32)
        if self.bits == 5:
            high = np.ascontiguousarray(blocks[:, self._high_at : self._codes_at])
            codes |= np.unpackbits(high, axis=1, bitorder="little") << np.uint8(4)
        signed = codes.view(np.int8).reshape(*shape, 32)
        scale = half_at(blocks, 0).reshape(shape)
        if self.has_minimum:
            return Runs(scale, signed, half_at(blocks, 2).reshape(shape))
        return Runs(scale, signed - np.int8(1 << (self.bits - 1)))


Q4_0 = SmallBlocks("q4_0", 7, 4, False)
Q4_1 = SmallBlocks("q4_1", 8, 4, True)
Q5_0 = SmallBlocks("q5_0", 9, 5, False)
Q5_1 = SmallBlocks("q5_1", 10, 5, True)
