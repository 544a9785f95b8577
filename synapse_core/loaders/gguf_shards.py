"""A model in several GGUF files: `NAME-00001-of-00003.gguf`, each with `split.*` keys.

Source: github.com/ggml-org/llama.cpp, tools/gguf-split and `llama_split_path` in src/llama.cpp.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from synapse_core.loaders.gguf_metadata import GgufMetadata

NUMBER_KEY, COUNT_KEY, TENSORS_KEY = "split.no", "split.count", "split.tensors.count"
SPLIT_KEYS = frozenset({NUMBER_KEY, COUNT_KEY, TENSORS_KEY})
# Names have five digits for it.
MOST_SHARDS = 99_999
_NAME = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<count>[0-9]{5})\.gguf", re.DOTALL)


@attrs.frozen
class Split:
    """What all shards of one model agree on; `tensors` is how many they have together."""

    stem: str
    count: int
    tensors: int | None


def shard_name(split: Split, number: int) -> str:
    """Return the file name of a shard, numbered from 0 as in its keys."""
    return f"{split.stem}-{number + 1:05d}-of-{split.count:05d}.gguf"


def read_split(path: Path, metadata: GgufMetadata, number: int = 0) -> Split | None:
    """Return what a file says of the shards it belongs to, None when it is whole.

    `number` is the shard that it must be.

    Raises: FileError where its keys are no numbers, or they and its name say different things.
    """
    count = _whole(metadata, COUNT_KEY)
    if count is None or count == 1:
        return None
    if not 1 < count <= MOST_SHARDS:
        raise metadata.error(COUNT_KEY, f"found {count}, expected 1 to {MOST_SHARDS}")
    named = _NAME.fullmatch(path.name)
    if named is None or int(named["count"]) != count:
        problem = f"found {count}; its file is then named …-00001-of-{count:05d}.gguf"
        raise metadata.error(COUNT_KEY, problem)
    split = Split(named["stem"], count, _whole(metadata, TENSORS_KEY))
    found = _whole(metadata, NUMBER_KEY)
    if found != number and number == 0 and found is not None and 0 < found < count:
        raise metadata.error(NUMBER_KEY, f"found {found}; name the first: {shard_name(split, 0)}")
    if found != number or int(named["number"]) != number + 1:
        problem = f"found {found}, expected {number} in file {shard_name(split, number)}"
        raise metadata.error(NUMBER_KEY, problem)
    return split


def _whole(metadata: GgufMetadata, key: str) -> int | None:
    value = metadata.get(key)
    if value is not None and type(value) is not int:
        raise metadata.error(key, f"found {str(value)[:40]!r}, expected a whole number")
    return value
