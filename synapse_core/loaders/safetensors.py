"""Checkpoints as Hugging Face saves them: config.json and safetensors, whole or in shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import FileError
from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.loaders.contract import Checkpoint, FileTensor
from synapse_core.loaders.gguf_config import keys_of_config
from synapse_core.loaders.json_file import read_json
from synapse_core.loaders.regular_file import inside, open_regular
from synapse_core.loaders.safetensors_header import LENGTH_BYTES, header_bytes, parse_header

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SUFFIX = ".safetensors"


@attrs.frozen
class SafetensorsLoader:
    """Reads a folder with config.json and weights, or one .safetensors beside a config.json."""

    name: str = "safetensors"

    def claims(self, path: Path) -> bool:
        """Whether this is such a folder or file, by its names alone."""
        if path.is_dir():
            return (path / SINGLE).exists() or (path / INDEX).exists()
        return path.suffix == SUFFIX

    def open(self, path: Path, formats: Formats = CORE_FORMATS) -> Checkpoint:
        """Open a checkpoint; its tensors are views into the mapped files.

        Raises: FileError naming file, tensor and byte.
        """
        folder = path if path.is_dir() else path.parent
        if not (folder / CONFIG).exists():
            raise FileError(folder / CONFIG, "is not there; it says what model the weights are of")
        metadata = read_json(folder / CONFIG, infinite=True)
        tensors = _read_folder(folder, formats) if path.is_dir() else read_tensors(path, formats)
        keys = keys_of_config(folder / CONFIG, metadata)
        if keys is not None:
            return Checkpoint(path, "gguf", keys, tensors, folder, has_files=True)
        return Checkpoint(path, "hf", metadata, tensors, folder)


SAFETENSORS = SafetensorsLoader()


def read_tensors(path: Path, formats: Formats = CORE_FORMATS) -> dict[str, FileTensor]:
    """Map one file and return its tensors by name.

    Raises: FileError naming the file, and the tensor and byte where one is wrong.
    """
    with open_regular(path) as (file, size):
        length = header_bytes(path, file.read(LENGTH_BYTES), size)
        entries = parse_header(path, file.read(length), size, formats)
        data = np.memmap(file, dtype=np.uint8, mode="r")
    if len(data) != size:
        raise FileError(path, f"had {size} bytes when opened and has {len(data)} now")
    return {
        entry.name: FileTensor(
            entry.name,
            entry.numbers,
            entry.format,
            path,
            entry.begin,
            data[entry.begin : entry.end],
        )
        for entry in entries
    }


def _read_folder(folder: Path, formats: Formats) -> Mapping[str, FileTensor]:
    # transformers takes the single file where both are there; so do we.
    if (folder / SINGLE).exists():
        return read_tensors(folder / SINGLE, formats)
    if not (folder / INDEX).exists():
        raise FileError(folder, f"has neither {SINGLE} nor {INDEX}")
    return _read_shards(folder, folder / INDEX, formats)


def _read_shards(folder: Path, index: Path, formats: Formats) -> dict[str, FileTensor]:
    shard_of = _weight_map(index, read_json(index).get("weight_map"))
    paths = {name: inside(folder, name, index) for name in sorted(set(shard_of.values()))}
    tensors: dict[str, FileTensor] = {}
    for shard, path in paths.items():
        for name, tensor in read_tensors(path, formats).items():
            if shard_of.get(name) != shard:
                said = shard_of.get(name, "no shard")
                problem = f"lies here, {index.name} says {said}"
                raise FileError(path, problem, field=f"tensor {name!r}", offset=tensor.offset)
            tensors[name] = tensor
    missing = sorted(set(shard_of) - set(tensors))
    if missing:
        problem = f"is not in {shard_of[missing[0]]}, where the index says it is"
        raise FileError(index, problem, field=f"tensor {missing[0]!r}")
    return tensors


def _weight_map(index: Path, found: Any) -> dict[str, str]:
    plain = isinstance(found, dict) and all(isinstance(shard, str) for shard in found.values())
    if not plain or not found:
        raise FileError(index, "must map tensor names to file names", field="weight_map")
    wrong = sorted(shard for shard in set(found.values()) if not shard.endswith(SUFFIX))
    if wrong:
        problem = f"names file {wrong[0]!r}; shards end with {SUFFIX}"
        raise FileError(index, problem, field="weight_map")
    return dict(found)
