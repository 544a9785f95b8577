"""Formats that are read and not run: GGUF's 2- and 3-bit, table, ternary and microscaling types.

The `gguf` package decodes them. In each a number is scale · code (+ minimum) in float32, where the
scale and the minimum belong to a run of 16 or more columns and the code is a small integer, from a
table or a grid or of a few bits. So the codes are what gguf decodes once the scales are made one,
and the scales are a few bits read here: scale · code + minimum is then what gguf computes, in its
order, and `i8g16` carries it bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.formats.carrier import I8_G16
from synapse_core.formats.contract import Runs
from synapse_core.formats.fields import half_at, nibbles

Blocks = np.ndarray  # uint8 (n, bytes of a block)
Scales = tuple[np.ndarray, np.ndarray | None]  # scale and minimum of each run, float32 (n, runs)
# Bytes of a block, which of their bits stay, and what the others become.
Put = tuple[slice, int, Sequence[int]]

ONE, FOUR, EIGHT = (0x00, 0x3C), (0x00, 0x44), (0x00, 0x48)  # in float16


@attrs.frozen
class CarriedFormat:
    """A type of GGUF that programs hold as `carrier`.

    `ones` are the changes after which gguf decodes a block to its codes; `scales` reads scale and
    minimum of each run.
    """

    name: str
    block: int
    block_bytes: int
    ones: tuple[Put, ...]
    scales: Callable[[Blocks], Scales]
    carrier: str = I8_G16.name
    code: int = 0

    def accepts(self, cols: int) -> bool:
        """Widths that are whole blocks."""
        return cols > 0 and cols % self.block == 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row; odd for some types."""
        return cols // self.block * self.block_bytes

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Refuse: what is written is a format that runs.

        Raises: UsageError.
        """
        raise UsageError(f"{self.name} can be read, not written; it is held as {self.carrier}")

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return what gguf decodes."""
        return self._decoded(np.ascontiguousarray(raw).reshape(-1, self.block_bytes)).reshape(
            len(raw), cols
        )

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        """Return scale, codes and minimum, if any, of each run; runs are whole 16 columns."""
        blocks = np.ascontiguousarray(raw).reshape(-1, self.block_bytes)
        with np.errstate(invalid="ignore"):
            scale, minimum = self.scales(blocks)
        blocks = blocks.copy()
        for where, kept, value in self.ones:
            part = blocks[:, where]
            blocks[:, where] = (part & np.uint8(kept)) | np.resize(
                np.array(value, np.uint8), part.shape[1]
            )
        runs = (len(raw), cols // self.block * scale.shape[1])
        codes = self._decoded(blocks).astype(np.int8).reshape(*runs, -1)
        return Runs(scale.reshape(runs), codes, None if minimum is None else minimum.reshape(runs))

    def _decoded(self, blocks: Blocks) -> np.ndarray:
        if not len(blocks):
            return np.zeros((0, self.block), np.float32)
        quants, type = _gguf(self.name)
        with np.errstate(invalid="ignore", over="ignore"):
            numbers: np.ndarray = quants.dequantize(blocks, type)
        return numbers


def _gguf(name: str) -> tuple[Any, Any]:
    """Return gguf's module of decoders and its name for a type; it is large, so on first use."""
    import gguf.quants

    return gguf.quants, gguf.GGMLQuantizationType[name.upper()]


def _one_scale(at: int) -> Callable[[Blocks], Scales]:
    return lambda blocks: (half_at(blocks, at), None)


def _interleaved(packed: np.ndarray) -> np.ndarray:
    """Return low, high, low, high … nibbles: uint8 (n, k) → float32 (n, 2 k)."""
    return np.swapaxes(nibbles(packed), 1, 2).reshape(len(packed), -1).astype(np.float32)


def _q2_k(blocks: Blocks) -> Scales:
    packed = nibbles(blocks[:, :16])
    return half_at(blocks, 80) * packed[:, 0], -(half_at(blocks, 82) * packed[:, 1])


def _q3_k(blocks: Blocks) -> Scales:
    # 6 bits each: 16 low nibbles, low halves first, then 4 bytes with 4 pairs of high bits
    low = nibbles(blocks[:, 96:104]).reshape(-1, 16)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = (blocks[:, None, 104:108] >> shifts) & np.uint8(3)
    scales = (low | (high.reshape(-1, 16) << np.uint8(4))).view(np.int8) - np.int8(32)
    return half_at(blocks, 108) * scales, None


def _iq4_xs(blocks: Blocks) -> Scales:
    low = np.swapaxes(nibbles(blocks[:, 4:8]), 1, 2).reshape(-1, 8)
    shifts = np.array([0, 2, 4, 6], np.uint8)
    high = ((blocks[:, 2:4, None] >> shifts) & np.uint8(3)).reshape(-1, 8)
    scales = (low | (high << np.uint8(4))).view(np.int8) - np.int8(32)
    return half_at(blocks, 0) * scales, None


def _steps(
    first: float, factor: float, packed: Callable[[Blocks], np.ndarray]
) -> Callable[[Blocks], Scales]:
    """d · (first + s) · factor, s of 4 bits: exact in float32."""
    return lambda blocks: (
        half_at(blocks, 0) * (np.float32(first) + packed(blocks)) * np.float32(factor),
        None,
    )


def _top_nibbles(first: int) -> Callable[[Blocks], np.ndarray]:
    """The upper 4 bits of every word of 32 that ends at a byte, 8 words."""
    step = 8 if first == 9 else 4
    return lambda blocks: (blocks[:, first::step] >> np.uint8(4)).astype(np.float32)


def _iq1_s(blocks: Blocks) -> Scales:
    scales = 2 * (blocks[:, 35::2] >> np.uint8(4) & np.uint8(7)) + np.uint8(1)
    # An eighth, as codes are 8 · grid ± 1
    return half_at(blocks, 0) * scales * np.float32(0.125), None


def _iq1_m(blocks: Blocks) -> Scales:
    words = np.ascontiguousarray(blocks[:, 48:56]).view("<u2")
    top = words >> 12
    d = top[:, 0] | top[:, 1] << 4 | top[:, 2] << 8 | top[:, 3] << 12
    scales = (words[..., None] >> np.array([0, 3, 6, 9], np.uint16) & 7).reshape(-1, 16)
    step = d.astype("<u2").view("<f2").astype(np.float32)[:, None]
    return step * (2 * scales + 1).astype(np.float32) * np.float32(0.125), None


def _mxfp4(blocks: Blocks) -> Scales:
    return np.ldexp(np.float32(1), blocks[:, :1].astype(np.int32) - 128).astype(np.float32), None


def _d(at: int, one: Sequence[int]) -> Put:
    return slice(at, at + 2), 0, one


_FORMATS = (
    CarriedFormat(
        "q2_k", 256, 84, ((slice(0, 16), 0, [1]), _d(80, ONE), _d(82, [0, 0])), _q2_k
    ),
    CarriedFormat(
        "q3_k", 256, 110,
        ((slice(96, 104), 0, [0x11]), (slice(104, 108), 0, [0xAA]), _d(108, ONE)), _q3_k,
    ),
    CarriedFormat("iq4_nl", 32, 18, (_d(0, ONE),), _one_scale(0)),
    CarriedFormat(
        "iq4_xs", 256, 136, (_d(0, ONE), _d(2, [0xAA]), (slice(4, 8), 0, [0x11])), _iq4_xs
    ),
    CarriedFormat(
        "iq3_s", 256, 110, (_d(0, ONE), (slice(106, 110), 0, [0])),
        _steps(0.5, 2.0, lambda blocks: _interleaved(blocks[:, 106:110])),
    ),
    CarriedFormat(
        "iq3_xxs", 256, 98, (_d(0, FOUR), (slice(69, 98, 4), 0x0F, [0])),
        _steps(0.5, 0.5, _top_nibbles(69)),
    ),
    CarriedFormat(
        "iq2_s", 256, 82, (_d(0, EIGHT), (slice(74, 82), 0, [0])),
        _steps(0.5, 0.25, lambda blocks: _interleaved(blocks[:, 74:82])),
    ),
    CarriedFormat(
        "iq2_xs", 256, 74, (_d(0, EIGHT), (slice(66, 74), 0, [0])),
        _steps(0.5, 0.25, lambda blocks: _interleaved(blocks[:, 66:74])),
    ),
    CarriedFormat(
        "iq2_xxs", 256, 66, (_d(0, EIGHT), (slice(9, 66, 8), 0x0F, [0])),
        _steps(0.5, 0.25, _top_nibbles(9)),
    ),
    CarriedFormat("iq1_s", 256, 50, (_d(0, EIGHT), (slice(35, 50, 2), 0x8F, [0])), _iq1_s),
    CarriedFormat(
        # 8.0 is 0x4800; its nibbles are the upper ones of four words, lowest first.
        "iq1_m", 256, 56, ((slice(48, 56), 0, [0, 0, 0, 0, 0, 0x80, 0, 0x40]),), _iq1_m
    ),
    CarriedFormat("tq1_0", 256, 54, (_d(52, ONE),), _one_scale(52)),
    CarriedFormat("tq2_0", 256, 66, (_d(64, ONE),), _one_scale(64)),
    CarriedFormat("mxfp4", 32, 17, ((slice(0, 1), 0, [128]),), _mxfp4),
)  # fmt: skip
CARRIED: dict[str, CarriedFormat] = {format.name: format for format in _FORMATS}
