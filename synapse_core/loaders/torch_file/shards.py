"""A model whose tensors torch saved in several files, with an index that says which lies where."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from synapse_core.errors import FileError
from synapse_core.loaders.json_file import read_json
from synapse_core.loaders.regular_file import inside
from synapse_core.loaders.torch_file.container import open_torch_file
from synapse_core.loaders.torch_file.state_dict import StateDict, TensorView, read_state_dict

INDEX = "pytorch_model.bin.index.json"
INDEX_SUFFIX = ".index.json"
SHARD_SUFFIXES = (".bin", ".pt", ".pth")
# The largest models that were saved so have some hundred.
MOST_SHARDS = 4096


def index_of(path: Path) -> Path | None:
    """Return the index that a path names: it is one, or a folder that has one; else None."""
    if path.is_dir():
        return path / INDEX if (path / INDEX).exists() else None
    return path if path.name.endswith(INDEX_SUFFIX) else None


def read_shards(
    index: Path, *, key: str | None = None, without: tuple[str, ...] = ()
) -> tuple[StateDict, tuple[Path, ...]]:
    """Return the tensors of all shards, and the shards' paths; options as of `read_state_dict`.

    Each tensor must lie where the index says it does, and no other may be there.

    Raises: FileError naming the index or the shard, and the tensor.
    """
    shard_of = _weight_map(index, read_json(index).get("weight_map"))
    paths = {name: inside(index.parent, name, index) for name in sorted(set(shard_of.values()))}
    tensors: list[TensorView] = []
    left_out: list[str] = []
    keys: dict[str | None, str] = {}
    for shard, path in paths.items():
        found = read_state_dict(open_torch_file(path), key=key, without=without, empty=True)
        keys.setdefault(found.key, shard)
        for name in (*(tensor.name for tensor in found.tensors), *found.left_out):
            if shard_of.get(name) != shard:
                said = shard_of.get(name, "no shard")
                problem = f"lies here, {index.name} says {said}"
                raise FileError(path, problem, field=f"tensor {name!r}")
        tensors += (tensor.of_shard(shard) for tensor in found.tensors)
        left_out += found.left_out
    known = {tensor.name for tensor in tensors}.union(left_out)
    for name, shard in shard_of.items():
        if name not in known and not any(fnmatchcase(name, pattern) for pattern in without):
            problem = f"is not in {shard}, where the index says it is"
            raise FileError(index, problem, field=f"tensor {name!r}")
    if len(keys) > 1:
        places = " and ".join(f"{key or 'its top'} of {shard}" for key, shard in keys.items())
        raise FileError(index, f"shards have their tensors in different places: {places}")
    if not tensors:
        raise FileError(index, "its shards hold no tensor")
    return StateDict(tuple(tensors), next(iter(keys)), tuple(left_out)), tuple(paths.values())


def _weight_map(index: Path, found: Any) -> Mapping[str, str]:
    plain = isinstance(found, dict) and all(isinstance(shard, str) for shard in found.values())
    if not plain or not found:
        raise FileError(index, "must map tensor names to file names", field="weight_map")
    shards = sorted(set(found.values()))
    wrong = [shard for shard in shards if not shard.endswith(SHARD_SUFFIXES)]
    if wrong:
        problem = f"names file {wrong[0][:80]!r}; shards end with {', '.join(SHARD_SUFFIXES)}"
        raise FileError(index, problem, field="weight_map")
    if len(shards) > MOST_SHARDS:
        problem = f"names {len(shards)} files; at most {MOST_SHARDS}"
        raise FileError(index, problem, field="weight_map")
    return dict(found)
