"""The weights of a program: references into mapped files, and one block of constants."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np

from synapse_core.errors import GraphError
from synapse_core.formats import format_named
from synapse_core.graph import Weight
from synapse_core.program import records as r

CONSTANT_ALIGN = 64


@attrs.define
class SegmentTable:
    """Weight records, and the byte ranges they refer to."""

    records: list[tuple[int, ...]] = attrs.field(factory=list)
    names: dict[str, int] = attrs.field(factory=dict)
    files: dict[str, int] = attrs.field(factory=dict)
    constants: list[tuple[int, np.ndarray]] = attrs.field(factory=list)
    constant_bytes: int = 0

    def index(self, name: str) -> int:
        """Return a weight's number."""
        return self.names[name]

    def add(self, weight: Weight) -> None:
        """Add a weight: where its bytes are and how they read.

        Raises: GraphError when it has no source yet, or is not in the format it should have.
        """
        source = weight.source
        if source is None:
            raise GraphError(f"weight {weight.name!r} has no source: bind a checkpoint first")
        if weight.transform or (weight.format or source.format) != source.format:
            raise GraphError(
                f"weight {weight.name!r} is {source.format} with transform"
                f" {weight.transform!r}, asked as {weight.format}: run the passes first"
            )
        format = format_named(source.format)
        row_bytes = format.row_bytes(weight.cols)
        if source.place is not None and source.place[1] % 2 == 0:
            file, offset = source.place
            segment = self.files.setdefault(file, len(self.files))
        else:
            segment, offset = -1, self._constant(source.raw())
        self.names[weight.name] = len(self.records)
        self.records.append(
            (offset, segment, format.code, r.LAYOUT_ROWS, weight.rows, weight.cols, row_bytes)
        )

    def buffers(self) -> list[np.ndarray]:
        """Return the segments, uint8 (bytes,): the files mapped, then the constants.

        Constants' records are completed here, when the number of files is known.
        """
        mapped = [np.memmap(Path(file), dtype=np.uint8, mode="r") for file in self.files]
        if len(mapped) + 1 > r.MAX_SEGMENTS:
            raise GraphError(
                f"the checkpoint has {len(mapped)} files; at most {r.MAX_SEGMENTS - 1}"
            )
        block = np.zeros(self.constant_bytes, dtype=np.uint8)
        for offset, data in self.constants:
            block[offset : offset + data.size] = data.reshape(-1)
        last = len(mapped)
        self.records = [(o, last if s < 0 else s, *rest) for o, s, *rest in self.records]
        return [*mapped, block]

    def segment_names(self) -> list[str]:
        """Return a name for each segment: the file's, or `constants`."""
        return [*(Path(file).name for file in self.files), "constants"]

    def _constant(self, data: np.ndarray) -> int:
        offset = self.constant_bytes
        self.constants.append((offset, data))
        self.constant_bytes = r.align(offset + data.size, CONSTANT_ALIGN)
        return offset
