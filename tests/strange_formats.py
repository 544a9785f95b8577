"""A weight format as a stranger may bring it, with and without saying what it is made of."""

from __future__ import annotations

import attrs
import numpy as np

from synapse_core.formats import Runs


@attrs.frozen
class Bytes:
    """A float32 scale, then an int8 a number: what a stranger's format may be."""

    name: str = "bytes"
    code: int = 0
    block: int = 16

    def accepts(self, cols: int) -> bool:
        return cols > 0 and cols % self.block == 0

    def row_bytes(self, cols: int) -> int:
        return cols // self.block * (4 + self.block)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        blocks = np.ascontiguousarray(rows, np.float32).reshape(-1, self.block)
        scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(100)
        codes = np.rint(blocks / np.where(scale == 0, np.float32(1), scale)).astype(np.int8)
        raw = np.concatenate([scale.view(np.uint8), codes.view(np.uint8)], axis=1)
        return raw.reshape(len(rows), self.row_bytes(rows.shape[1]))

    def _parts(self, raw: np.ndarray, cols: int) -> Runs:
        blocks = np.ascontiguousarray(raw).reshape(len(raw), cols // self.block, -1)
        scale = np.ascontiguousarray(blocks[..., :4]).view("<f4")[..., 0]
        return Runs(scale, np.ascontiguousarray(blocks[..., 4:]).view(np.int8))

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        return self._parts(raw, cols).numbers()


@attrs.frozen
class Split(Bytes):
    """The same, saying that it is made of scales and codes."""

    @property
    def run(self) -> int:
        return self.block

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        return self._parts(raw, cols)
