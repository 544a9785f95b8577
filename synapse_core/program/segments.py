"""The weights of a program: references into mapped files, and one block of constants."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np

from synapse_core.errors import GraphError
from synapse_core.formats import format_named
from synapse_core.graph import Encoded, Weight, WeightSource
from synapse_core.program import records as r

CONSTANT_ALIGN = 64
# Of files beyond those that a program can refer to.
MOST_COPIED_BYTES = 1 << 30


@attrs.define
class SegmentTable:
    """Weight records, and the byte ranges they refer to."""

    records: list[tuple[int, ...]] = attrs.field(factory=list)
    names: dict[str, int] = attrs.field(factory=dict)
    files: dict[str, int] = attrs.field(factory=dict)
    mapped: dict[int, WeightSource] = attrs.field(factory=dict)
    constants: list[tuple[int, int, WeightSource]] = attrs.field(factory=list)
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
            self.mapped[len(self.records)] = source
        else:
            segment, offset = -1, self._constant(source, weight.rows * row_bytes)
        self.names[weight.name] = len(self.records)
        self.records.append(
            (offset, segment, format.code, r.LAYOUT_ROWS, weight.rows, weight.cols, row_bytes)
        )

    def buffers(self) -> list[np.ndarray]:
        """Return the segments, uint8 (bytes,): the files mapped, then the constants.

        Constants' records are completed here, when the number of files is known. What was
        re-encoded moves into their block: it is held once.

        Raises: GraphError for more files than can be mapped, the rest too large to copy.
        """
        self._copy_small_files()
        mapped = [np.memmap(Path(file), dtype=np.uint8, mode="r") for file in self.files]
        block = np.zeros(self.constant_bytes, dtype=np.uint8)
        for offset, size, source in self.constants:
            room = block[offset : offset + size]
            if isinstance(source, Encoded):
                source.settle(room)
            else:
                room[:] = source.raw().reshape(-1)
        last = len(mapped)
        self.records = [(o, last if s < 0 else s, *rest) for o, s, *rest in self.records]
        return [*mapped, block]

    def segment_names(self) -> list[str]:
        """Return a name for each segment: the file's, or `constants`."""
        return [*(Path(file).name for file in self.files), "constants"]

    def _copy_small_files(self) -> None:
        """Copy what lies in the smallest files, where they are more than a program has segments.

        Raises: GraphError where that would be too much to hold in memory.
        """
        needed = dict.fromkeys(self.files.values(), 0)
        for number in self.mapped:
            _, segment, _, _, rows, _, row_bytes = self.records[number]
            needed[segment] += rows * row_bytes
        kept = sorted(needed, key=lambda segment: -needed[segment])[: r.MAX_SEGMENTS - 1]
        copied = sum(needed.values()) - sum(needed[segment] for segment in kept)
        if copied > MOST_COPIED_BYTES:
            raise GraphError(
                f"the checkpoint has {len(needed)} files; {len(kept)} can be mapped, and the others"
                f" have {copied:,} bytes of weights, more than the {MOST_COPIED_BYTES:,} that are"
                " copied; write it again in fewer files"
            )
        places = {segment: place for place, segment in enumerate(sorted(kept))}
        for number, source in self.mapped.items():
            offset, segment, *rest = self.records[number]
            place = places.get(segment, -1)
            if segment not in places:
                offset = self._constant(source, source.raw().size)
            self.records[number] = (offset, place, *rest)
        self.files = {f: places[s] for f, s in self.files.items() if s in places}

    def _constant(self, source: WeightSource, size: int) -> int:
        offset = self.constant_bytes
        self.constants.append((offset, size, source))
        self.constant_bytes = r.align(offset + size, CONSTANT_ALIGN)
        return offset
