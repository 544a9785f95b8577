"""ggml's super-blocks of 256, whose scales are quantised too: q4_k, q5_k, q6_k."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from synapse_core.formats.contract import Runs
from synapse_core.formats.fields import half_at, half_bytes, join_nibbles, nibbles
from synapse_core.formats.search import fit_lines, fit_scales

SUPER = 256
# Super-blocks encoded at a time: what the search holds of them stays in a core's own cache.
CHUNK = 256


@attrs.frozen
class LineBlocks:
    """Codes of 4 or 5 bits in 8 runs of 32: a number is d · scale · code − dmin · minimum.

    A super-block is d and dmin in float16, 8 scales and 8 minima of 6 bits in 12 bytes, for q5_k
    the fifth bits (bit s of byte j: run s, column j), then a nibble each (byte 32 c + j: column j
    of run 2 c, and of run 2 c + 1 in the high bits).
    Source: ggml's block_q4_K, block_q5_K.
    """

    name: str
    code: int
    bits: int
    block: int = SUPER
    run: int = 32

    def accepts(self, cols: int) -> bool:
        """Widths that are whole super-blocks."""
        return cols > 0 and cols % SUPER == 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row."""
        return cols // SUPER * (self._codes_at + 128)

    @property
    def _codes_at(self) -> int:
        return 48 if self.bits == 5 else 16

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Fit a line to each run, quantise the lines, then the numbers by what became of them."""
        raw = _in_chunks(rows, self._codes_at + 128, self._encode)
        return raw.reshape(len(rows), self.row_bytes(rows.shape[1]))

    def _encode(self, x: np.ndarray) -> np.ndarray:
        most = (1 << self.bits) - 1
        lines = fit_lines(np.ascontiguousarray(x.reshape(-1, 32).T), most)
        d, scales = _six_bits(lines[0].reshape(-1, 8))
        dmin, minima = _six_bits(-lines[1].reshape(-1, 8))
        runs = x.reshape(-1, 8, 32)
        codes = (runs + (_stored(dmin) * minima)[..., None]) / (_stored(d) * scales)[..., None]
        codes = np.fmin(np.fmax(np.rint(codes), 0), most).astype(np.uint8)
        fields = [half_bytes(d), half_bytes(dmin), _pack_six(scales, minima)]
        if self.bits == 5:
            fields.append(np.packbits(codes >> 4, axis=1, bitorder="little")[:, 0])
        fields.append(join_nibbles(codes.reshape(-1, 4, 2, 32)).reshape(-1, 128))
        return np.concatenate(fields, axis=1)

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return (d · scale) · code − dmin · minimum."""
        return self.split(raw, cols).numbers()

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        """Return scale, 32 codes and minimum of each run."""
        blocks = np.ascontiguousarray(raw).reshape(-1, self._codes_at + 128)
        codes = nibbles(blocks[:, self._codes_at :].reshape(-1, 4, 32)).reshape(-1, 8, 32)
        if self.bits == 5:
            high = np.ascontiguousarray(blocks[:, None, 16:48])
            codes |= np.unpackbits(high, axis=1, bitorder="little") << np.uint8(4)
        scales, minima = _unpack_six(blocks[:, 4:16])
        shape = (len(raw), cols // 32)
        with np.errstate(invalid="ignore"):
            scale = (half_at(blocks, 0) * scales).reshape(shape)
            minimum = -(half_at(blocks, 2) * minima).reshape(shape)
        return Runs(scale, codes.view(np.int8).reshape(*shape, 32), minimum)


@attrs.frozen
class SixBitBlocks:
    """Codes of 6 bits in 16 runs of 16: a number is d · scale · (code − 32).

    A super-block is two halves of 64 low nibbles (byte j: column j, and j + 64 in the high bits),
    two halves of 32 bytes with the high bits (bits 2 p of byte j: column 32 p + j), 16 int8 scales,
    d in float16.
    Source: ggml's block_q6_K.
    """

    name: str = "q6_k"
    code: int = 13
    block: int = SUPER
    run: int = 16

    def accepts(self, cols: int) -> bool:
        """Widths that are whole super-blocks."""
        return cols > 0 and cols % SUPER == 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row."""
        return cols // SUPER * 210

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Fit a scale to each run, quantise the scales, then the numbers by what became of them."""
        raw = _in_chunks(rows, 210, self._encode)
        return raw.reshape(len(rows), self.row_bytes(rows.shape[1]))

    def _encode(self, x: np.ndarray) -> np.ndarray:
        runs = x.reshape(-1, 16, 16)
        fitted = fit_scales(np.ascontiguousarray(x.reshape(-1, 16).T), 32)
        fitted = fitted.reshape(-1, 16)
        # The scale farthest from zero gets −128: int8 has one more below zero than above.
        farthest = np.abs(fitted).argmax(axis=1)[:, None]
        d = np.take_along_axis(fitted, farthest, 1)[:, 0] / np.float32(-128)
        d += np.float32(0)  # −0 becomes 0
        scales = np.rint(np.nan_to_num(fitted / d[:, None], nan=0.0))
        scales = np.clip(scales, -128, 127).astype(np.int8)
        codes = np.nan_to_num(np.rint(runs / (_stored(d) * scales)[..., None]), nan=0.0)
        codes = np.clip(codes, -32, 31).astype(np.int8)
        codes = (codes + np.int8(32)).view(np.uint8).reshape(-1, 2, 4, 32)
        shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
        high = np.bitwise_or.reduce((codes >> np.uint8(4)) << shifts, axis=2)
        low = join_nibbles(codes.reshape(-1, 2, 2, 64))
        fields = [low.reshape(-1, 128), high.reshape(-1, 64), scales.view(np.uint8), half_bytes(d)]
        return np.concatenate(fields, axis=1)

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return (d · scale) · (code − 32)."""
        return self.split(raw, cols).numbers()

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        """Return scale and 16 codes, −32 to 31, of each run."""
        blocks = np.ascontiguousarray(raw).reshape(-1, 210)
        low = nibbles(blocks[:, :128].reshape(-1, 2, 64)).reshape(-1, 2, 4, 32)
        shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
        high = (blocks[:, 128:192].reshape(-1, 2, 1, 32) >> shifts) & np.uint8(3)
        codes = (low | (high << np.uint8(4))).view(np.int8) - np.int8(32)
        scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
        shape = (len(raw), cols // 16)
        with np.errstate(invalid="ignore"):
            scale = (half_at(blocks, 208) * scales).reshape(shape)
        return Runs(scale, codes.reshape(*shape, 16))


def _in_chunks(
    rows: np.ndarray, block_bytes: int, encode: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Encode super-blocks, a chunk at a time: float32 of any shape → uint8 (n, block_bytes)."""
    blocks = np.ascontiguousarray(rows, dtype=np.float32).reshape(-1, SUPER)
    raw = np.empty((len(blocks), block_bytes), dtype=np.uint8)
    with np.errstate(all="ignore"):  # runs of zeros divide by zero, and their codes are zero
        for start in range(0, len(blocks), CHUNK):
            raw[start : start + CHUNK] = encode(blocks[start : start + CHUNK])
    return raw


def _six_bits(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantise numbers ≥ 0 (n, 8) by their greatest / 63: the step (n,), codes uint8 (n, 8)."""
    step = numbers.max(axis=1) / np.float32(63)
    codes = np.rint(np.nan_to_num(numbers / step[:, None], nan=0.0))
    return step, np.clip(codes, 0, 63).astype(np.uint8)


def _stored(d: np.ndarray) -> np.ndarray:
    """Return d (n,) as a reader will see it: rounded to float16, float32 (n, 1)."""
    return d.astype("<f2").astype(np.float32)[:, None]


def _pack_six(scales: np.ndarray, minima: np.ndarray) -> np.ndarray:
    """Pack 8 scales and 8 minima of 6 bits: uint8 (n, 8) each → (n, 12).

    The first four of each have a byte, whose upper 2 bits are those of the four behind them; these
    have their low 4 bits in the last four bytes.
    """
    heads = [part[:, :4] | (part[:, 4:] >> 4 << 6) for part in (scales, minima)]
    tails = (scales[:, 4:] & 15) | ((minima[:, 4:] & 15) << 4)
    return np.concatenate([*heads, tails], axis=1)


def _unpack_six(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo `_pack_six`."""
    tails = nibbles(packed[:, 8:])
    scales, minima = (
        np.concatenate([head & 63, (head >> 6 << 4) | tails[:, number]], axis=1)
        for number, head in enumerate((packed[:, :4], packed[:, 4:8]))
    )
    return scales, minima


Q4_K = LineBlocks("q4_k", 11, 4)
Q5_K = LineBlocks("q5_k", 12, 5)
Q6_K = SixBitBlocks()
