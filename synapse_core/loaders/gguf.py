"""Checkpoints as llama.cpp saves them: one GGUF file, or several shards of one model.

A file from anyone may be refused, never obeyed: every count, length and offset is checked against
the file's size before it is used. The `gguf` package's own reader does not do that.
"""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np

from synapse_core.errors import FileError
from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.loaders.contract import Checkpoint, FileTensor
from synapse_core.loaders.gguf_cursor import MOST_HEADER_BYTES, Cursor
from synapse_core.loaders.gguf_metadata import (
    HEADER_BYTES,
    LEAST_KEY_BYTES,
    MAGIC,
    MOST_KEYS,
    GgufMetadata,
    check_version,
    read_metadata,
)
from synapse_core.loaders.gguf_shards import Split, read_split, shard_name
from synapse_core.loaders.gguf_tensors import LEAST_TENSOR_BYTES, MOST_TENSORS, read_tensor_table
from synapse_core.loaders.regular_file import inside, open_regular

SUFFIX = ".gguf"


@attrs.frozen
class GgufLoader:
    """Reads a GGUF file of version 2 or 3, little-endian; of shards, the first is named."""

    name: str = "gguf"

    def claims(self, path: Path) -> bool:
        """Whether this is such a file, by its name or its first bytes."""
        if path.is_dir():
            return False
        if path.suffix.lower() == SUFFIX:
            return True
        try:
            with open_regular(path) as (file, _):
                return file.read(len(MAGIC)) == MAGIC
        except FileError:
            return False

    def open(self, path: Path, formats: Formats = CORE_FORMATS) -> Checkpoint:
        """Open a model; its tensors are views into the mapped files, their types GGUF's own.

        Raises: FileError naming file, key or tensor, and byte.
        """
        metadata, tensors = read_file(path)
        split = read_split(path, metadata)
        if split is not None:
            _add_shards(path, split, tensors)
        return Checkpoint(path, "gguf", metadata, tensors, path.parent)


GGUF = GgufLoader()


def read_file(path: Path) -> tuple[GgufMetadata, dict[str, FileTensor]]:
    """Map one file and return its metadata and its tensors by name.

    Raises: FileError naming file, key or tensor, and byte.
    """
    with open_regular(path) as (file, size):
        if size < HEADER_BYTES:
            problem = f"has {size} bytes; a GGUF file begins with {HEADER_BYTES}"
            raise FileError(path, problem, field="header", offset=0)
        data = np.memmap(file, dtype=np.uint8, mode="r")
    if len(data) != size:
        raise FileError(path, f"had {size} bytes when opened and has {len(data)} now")
    cursor = Cursor(path, data.data[:MOST_HEADER_BYTES], size)
    check_version(cursor)
    tensor_count = cursor.count("tensor count", LEAST_TENSOR_BYTES, MOST_TENSORS)
    key_count = cursor.count("key count", LEAST_KEY_BYTES, MOST_KEYS)
    metadata = read_metadata(cursor, key_count)
    tensors = {
        entry.name: FileTensor(
            entry.name, entry.shape, entry.format, path, entry.begin, data[entry.begin : entry.end]
        )
        for entry in read_tensor_table(cursor, tensor_count, metadata)
    }
    return metadata, tensors


def _add_shards(first: Path, split: Split, tensors: dict[str, FileTensor]) -> None:
    """Add the tensors of the other shards, each of which must say that it is the one it is."""
    for number in range(1, split.count):
        path = inside(first.parent, shard_name(split, number), first)
        metadata, more = read_file(path)
        found = read_split(path, metadata, number)
        if found != split:
            said = "no shard" if found is None else f"a shard of {found.count} of {found.stem!r}"
            raise FileError(path, f"is {said}; {first.name} is the first of {split.count}")
        for name, tensor in more.items():
            if name in tensors:
                problem = f"is in {tensors[name].file.name} too"
                raise FileError(path, problem, field=f"tensor {name!r}", offset=tensor.offset)
            tensors[name] = tensor
    if split.tensors is not None and split.tensors != len(tensors):
        problem = f"found {split.tensors}, the shards have {len(tensors)}"
        raise FileError(first, problem, field="key 'split.tensors.count'")
