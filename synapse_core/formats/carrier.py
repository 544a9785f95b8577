"""i8g16: what formats without kernels are re-encoded to, without losing a bit."""

from __future__ import annotations

import attrs
import numpy as np

from synapse_core.formats.contract import Runs
from synapse_core.formats.integers import quantise

# x + −0 is x, −0 included; x + 0 is not.
NO_MINIMUM = np.float32(-0.0)


@attrs.frozen
class I8G16:
    """Runs of 16 int8 with a float32 scale and a float32 minimum: scale · code + minimum.

    A block has two runs: their scales, their minima, then 32 codes; 48 bytes.
    """

    name: str = "i8g16"
    code: int = 14
    block: int = 32
    run: int = 16

    def accepts(self, cols: int) -> bool:
        """Widths that are whole blocks."""
        return cols > 0 and cols % 32 == 0

    def row_bytes(self, cols: int) -> int:
        """Return the bytes of a row."""
        return cols // 32 * 48

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Quantise each run symmetrically, nearest even; the minimum is −0."""
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        scale, codes = quantise(rows.reshape(len(rows), rows.shape[1] // 16, 16))
        return self.join(Runs(scale[..., 0], codes))

    def join(self, runs: Runs) -> np.ndarray:
        """Return runs of 16 or 32 columns, as another format gave them, as uint8 (rows, row_bytes).

        Shapes: as of `Runs`; the numbers of the result are those of `runs`, bit for bit.
        """
        rows, count, columns = runs.codes.shape
        shares = columns // 16
        shape = (rows, count * shares // 2)
        minimum = np.full_like(runs.scale, NO_MINIMUM) if runs.minimum is None else runs.minimum
        raw = np.empty((*shape, 48), dtype=np.uint8)
        for start, numbers in ((0, runs.scale), (8, minimum)):
            wide = np.repeat(numbers, shares, axis=1).astype("<f4").reshape(*shape, 2)
            raw[..., start : start + 8] = wide.view(np.uint8)
        raw[..., 16:] = runs.codes.reshape(*shape, 32).view(np.uint8)
        return raw.reshape(rows, shape[1] * 48)

    def decode(self, raw: np.ndarray, cols: int) -> np.ndarray:
        """Return scale · code + minimum."""
        return self.split(raw, cols).numbers()

    def split(self, raw: np.ndarray, cols: int) -> Runs:
        """Return scale, 16 codes and minimum of each run."""
        blocks = np.ascontiguousarray(raw).reshape(len(raw), cols // 32, 48)
        scale, minimum = (
            np.ascontiguousarray(blocks[..., start : start + 8])
            .view("<f4")
            .astype(np.float32, copy=False)
            .reshape(len(raw), cols // 16)
            for start in (0, 8)
        )
        codes = np.ascontiguousarray(blocks[..., 16:]).view(np.int8)
        return Runs(scale, codes.reshape(len(raw), cols // 16, 16), minimum)


I8_G16 = I8G16()
