"""What a weight loader is: it opens a checkpoint and says what lies where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from synapse_core.formats import CORE_FORMATS, Formats

if TYPE_CHECKING:
    import numpy as np


@attrs.frozen(eq=False)
class FileTensor:
    """A tensor of a checkpoint: a view into a mapped file.

    `shape` as the file says it. As a weight it is rows × cols: all leading axes are rows, a
    one-axis tensor has one row. `data` are its bytes, uint8 (bytes,), not copied.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    file: Path
    offset: int
    data: np.ndarray

    @property
    def rows(self) -> int:
        """How many rows it has as a weight."""
        rows = 1
        for size in self.shape[:-1]:
            rows *= size
        return rows

    @property
    def cols(self) -> int:
        """How many numbers a row has."""
        return self.shape[-1] if self.shape else 1

    @property
    def place(self) -> tuple[str, int]:
        """Where its bytes lie: file and offset."""
        return (str(self.file), self.offset)

    def part(self, first: int, count: int) -> FileTensor:
        """Return `count` entries of the first axis, from `first` on: a view, nothing is copied.

        Shapes: (n, …) → (count, …), first + count ≤ n. A one-axis tensor's format has no blocks.
        """
        each = len(self.data) // self.shape[0]
        begin, end = first * each, (first + count) * each
        return attrs.evolve(
            self,
            shape=(count, *self.shape[1:]),
            offset=self.offset + begin,
            data=self.data[begin:end],
        )

    def raw(self) -> np.ndarray:
        """Return the bytes as uint8 (rows, row_bytes)."""
        return self.data.reshape(self.rows, -1)


@attrs.frozen(eq=False)
class Checkpoint:
    """An opened checkpoint.

    `source` is the naming world its metadata and tensor names belong to: "hf" or "gguf".
    `metadata` is the parsed config.json, or the GGUF keys. `folder` holds tokenizer files; those of
    a "gguf" are the model's own only where `has_files`, else its tokenizer is in its keys.
    """

    path: Path
    source: str
    metadata: Mapping[str, Any]
    tensors: Mapping[str, FileTensor]
    folder: Path
    has_files: bool = False


class WeightLoader(Protocol):
    """Reads one kind of checkpoint. Everything in it is input from outside."""

    name: str

    def claims(self, path: Path) -> bool:
        """Whether this path looks like one of its checkpoints; reads a few bytes at most."""
        ...

    def open(self, path: Path, formats: Formats = CORE_FORMATS) -> Checkpoint:
        """Open and check it; maps the files, copies no tensor. `formats` are those installed.

        Raises: FileError naming file, field and offset.
        """
        ...
