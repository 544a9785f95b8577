"""The keys and values of a GGUF file.

Layout: magic, version (u32), tensor count (u64), key count (u64); then for each key its text, the
value's type (u32) and the value; texts are a length (u64) and UTF-8. An array is the type of its
items (u32), their count (u64) and the items.

Source: github.com/ggml-org/ggml, docs/gguf.md, "File Structure".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import FileError
from synapse_core.loaders.gguf_cursor import U32, Cursor

MAGIC = b"GGUF"
VERSIONS = (2, 3)
# magic, version, two counts
HEADER_BYTES = 24
OLDER_MAGICS = (b"lmgg", b"fmgg", b"tjgg", b"algg")
LFS_POINTER = b"vers"
# The format document's own limit on keys.
MOST_KEY_BYTES = 65535
# Real files have some dozens of keys.
MOST_KEYS = 1 << 14
# All texts of all arrays: 262,144 tokens and 514,906 merges are the most that is known.
MOST_TEXTS = 1 << 20
# A key's length, its value's type, and one byte each of key and value.
LEAST_KEY_BYTES = 8 + 1 + 4 + 1
BOOL, TEXT, ARRAY = 7, 8, 9
# Numbers by type, in the letters that struct and numpy share.
NUMBERS: Mapping[int, str] = MappingProxyType(
    {
        0: "<B",
        1: "<b",
        2: "<H",
        3: "<h",
        4: "<I",
        5: "<i",
        6: "<f",
        BOOL: "<B",
        10: "<Q",
        11: "<q",
        12: "<d",
    }
)
_STRUCTS = {code: struct.Struct(letter) for code, letter in NUMBERS.items()}


@attrs.frozen
class ArrayPlace:
    """Where the items of a checked array lie: `begin` is the byte of the first."""

    kind: int
    count: int
    begin: int


@attrs.define(eq=False)
class GgufMetadata(Mapping[str, Any]):
    """The values by key: int, float, bool, str, or a list of one of these.

    Arrays are checked when the file is opened and become lists when they are first asked for, so
    that a model is opened without its vocabulary. `kinds` are the stored types, an array's as -1
    minus that of its items; `offsets` are the bytes where the values begin.
    """

    cursor: Cursor
    kinds: dict[str, int] = attrs.field(factory=dict)
    offsets: dict[str, int] = attrs.field(factory=dict)
    _values: dict[str, Any] = attrs.field(factory=dict)

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        if isinstance(value, ArrayPlace):
            value = self._values[key] = _items(self.cursor, key, value)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def texts_at(self, key: str) -> int | None:
        """Return how many texts an array has, without making them; None for another value."""
        value = self._values.get(key)
        if isinstance(value, ArrayPlace):
            return value.count if value.kind == TEXT else None
        return _count_texts(value)

    def add(self, key: str, kind: int, offset: int, value: Any) -> None:
        """Take a value, or the place of an array.

        Raises: FileError for a key that is there already.
        """
        if key in self._values:
            raise self.cursor.error(f"key {key!r}", "is given twice", offset)
        self._values[key], self.offsets[key] = value, offset
        self.kinds[key] = -1 - value.kind if isinstance(value, ArrayPlace) else kind

    def error(self, key: str, problem: str) -> FileError:
        """Return the error of a key, with the byte where its value begins."""
        return self.cursor.error(f"key {key!r}", problem, self.offsets.get(key))


def count_texts(metadata: Mapping[str, Any], key: str) -> int | None:
    """Return how many texts the array under `key` has; None where it holds anything else."""
    if isinstance(metadata, GgufMetadata):
        return metadata.texts_at(key)
    return _count_texts(metadata.get(key))


def _count_texts(value: Any) -> int | None:
    is_one = isinstance(value, list) and all(isinstance(text, str) for text in value[:1])
    return len(value) if is_one else None


def check_version(cursor: Cursor) -> None:
    """Read magic and version.

    Raises: FileError naming what the file is instead, as far as that is known.
    """
    start = bytes(cursor.view[:4])
    if start in OLDER_MAGICS:
        raise cursor.error("magic", "this is GGML, older than GGUF; convert the model anew")
    if start == LFS_POINTER:
        raise cursor.error("magic", "this is a Git LFS pointer; fetch the file it stands for")
    if start != MAGIC:
        raise cursor.error("magic", f"found {start!r}, expected {MAGIC!r}")
    cursor.position = len(MAGIC)
    version = int(cursor.number(U32, "version"))
    if version in VERSIONS:
        return
    if version == 1:
        problem = "found 1, expected 2 or 3; convert the model anew"
    elif version & 0xFFFF == 0 and version:
        problem = "the file is big-endian; only little-endian files are read"
    else:
        problem = f"found {version}, expected 2 or 3"
    raise cursor.error("version", problem, len(MAGIC))


def read_metadata(cursor: Cursor, count: int) -> GgufMetadata:
    """Read `count` keys with their values; the cursor stands behind them afterwards.

    Raises: FileError naming key and byte.
    """
    found = GgufMetadata(cursor)
    texts = 0
    for number in range(count):
        start = cursor.position
        key = cursor.text(f"key {number}", most=MOST_KEY_BYTES)
        if not key or not key.isprintable():
            raise cursor.error(f"key {number}", f"found {key[:40]!r}, expected a name", start)
        field = f"key {key[:80]!r}"
        kind = cursor.whole(U32, f"{field}: type", most=max(NUMBERS))
        start = cursor.position
        if kind == ARRAY:
            value: Any = _array(cursor, field, MOST_TEXTS - texts)
            texts += value.count if value.kind == TEXT else 0
        else:
            value = cursor.text(field) if kind == TEXT else _number(cursor, field, kind)
        found.add(key, kind, start, value)
    return found


def _number(cursor: Cursor, field: str, kind: int) -> int | float | bool:
    if kind == BOOL:
        return bool(cursor.whole(_STRUCTS[BOOL], field, most=1))
    return cursor.number(_STRUCTS[kind], field)


def _array(cursor: Cursor, field: str, texts: int) -> ArrayPlace:
    """Read past an array and check it; `texts` is how many texts it may have."""
    start = cursor.position
    kind = cursor.whole(U32, f"{field}: item type", most=max(NUMBERS))
    if kind == ARRAY:
        raise cursor.error(f"{field}: item type", "arrays of arrays are not read", start)
    if kind == TEXT:
        count = cursor.count(f"{field}: count", 8, texts)
        place = ArrayPlace(kind, count, cursor.position)
        cursor.texts(field, count, None)
        return place
    item_bytes = _STRUCTS[kind].size
    count = cursor.count(f"{field}: count", item_bytes, cursor.left)
    place = ArrayPlace(kind, count, cursor.position)
    cursor.position += count * item_bytes
    if kind == BOOL:
        wrong = np.flatnonzero(_numbers(cursor, place) > 1)
        if len(wrong):
            at = place.begin + int(wrong[0])
            raise cursor.error(f"{field}[{wrong[0]}]", "expected 0 or 1", at)
    return place


def _items(cursor: Cursor, key: str, place: ArrayPlace) -> list[Any]:
    if place.kind == TEXT:
        texts: list[str] = []
        at = Cursor(cursor.path, cursor.view, cursor.size, place.begin)
        at.texts(f"key {key!r}", place.count, texts)
        return texts
    numbers = _numbers(cursor, place)
    items: list[Any] = (numbers.astype(bool) if place.kind == BOOL else numbers).tolist()
    return items


def _numbers(cursor: Cursor, place: ArrayPlace) -> np.ndarray:
    dtype = np.dtype(NUMBERS[place.kind])
    numbers: np.ndarray = np.frombuffer(cursor.view, dtype, place.count, place.begin)
    return numbers
