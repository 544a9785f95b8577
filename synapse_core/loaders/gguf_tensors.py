"""The tensor table of a GGUF file.

Layout, behind the metadata: for each tensor its name, axis count (u32), axes (u64, the one whose
numbers lie side by side first), type (u32) and offset (u64) from the start of the data. The data
begin at the next multiple of `general.alignment`, and so does every tensor.

Source: github.com/ggml-org/ggml, docs/gguf.md; types and block sizes: ggml.h, ggml-common.h.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from synapse_core.loaders.gguf_cursor import U32, U64, Cursor
from synapse_core.loaders.gguf_metadata import GgufMetadata

ALIGNMENT_KEY = "general.alignment"
DEFAULT_ALIGNMENT = 32
LEAST_ALIGNMENT, MOST_ALIGNMENT = 8, 1 << 16
U32_KIND = 4
MOST_AXES = 4
MOST_NAME_BYTES = 1024
# A model of 671 G parameters has 1,100.
MOST_TENSORS = 1 << 15
# A name's length, one byte of it, axis count, one axis, type and offset.
LEAST_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8


@attrs.frozen
class GgmlType:
    """How numbers are stored: `block` of them in `bytes`; `name` is the weight format's."""

    name: str
    block: int
    bytes: int


TYPES: Mapping[int, GgmlType] = MappingProxyType(
    {
        0: GgmlType("f32", 1, 4),
        1: GgmlType("f16", 1, 2),
        2: GgmlType("q4_0", 32, 18),
        3: GgmlType("q4_1", 32, 20),
        6: GgmlType("q5_0", 32, 22),
        7: GgmlType("q5_1", 32, 24),
        8: GgmlType("q8_0", 32, 34),
        9: GgmlType("q8_1", 32, 40),
        10: GgmlType("q2_k", 256, 84),
        11: GgmlType("q3_k", 256, 110),
        12: GgmlType("q4_k", 256, 144),
        13: GgmlType("q5_k", 256, 176),
        14: GgmlType("q6_k", 256, 210),
        15: GgmlType("q8_k", 256, 292),
        16: GgmlType("iq2_xxs", 256, 66),
        17: GgmlType("iq2_xs", 256, 74),
        18: GgmlType("iq3_xxs", 256, 98),
        19: GgmlType("iq1_s", 256, 50),
        20: GgmlType("iq4_nl", 32, 18),
        21: GgmlType("iq3_s", 256, 110),
        22: GgmlType("iq2_s", 256, 82),
        23: GgmlType("iq4_xs", 256, 136),
        24: GgmlType("i8", 1, 1),
        25: GgmlType("i16", 1, 2),
        26: GgmlType("i32", 1, 4),
        27: GgmlType("i64", 1, 8),
        28: GgmlType("f64", 1, 8),
        29: GgmlType("iq1_m", 256, 56),
        30: GgmlType("bf16", 1, 2),
        34: GgmlType("tq1_0", 256, 54),
        35: GgmlType("tq2_0", 256, 66),
        39: GgmlType("mxfp4", 32, 17),
        40: GgmlType("nvfp4", 64, 36),
        41: GgmlType("q1_0", 128, 18),
    }
)
# Numbers that once had a type; files with them are from before its layout changed.
REMOVED = frozenset({4, 5, 31, 32, 33, 36, 37, 38})


@attrs.frozen
class Entry:
    """A tensor of the table, `shape` in numpy order; `begin` and `end` are bytes of the file."""

    name: str
    shape: tuple[int, ...]
    format: str
    begin: int
    end: int


@attrs.frozen
class _Described:
    """A tensor as its description says it: `offset` counts from the data, `at` is its own byte."""

    name: str
    shape: tuple[int, ...]
    format: str
    offset: int
    bytes: int
    at: int


def read_tensor_table(cursor: Cursor, count: int, metadata: GgufMetadata) -> tuple[Entry, ...]:
    """Read `count` descriptions behind the metadata; return the tensors in the order they lie.

    Raises: FileError naming tensor, field and byte.
    """
    alignment = _alignment(metadata)
    described: dict[str, _Described] = {}
    for number in range(count):
        found = _describe(cursor, number, alignment)
        if found.name in described:
            raise cursor.error(f"tensor {found.name!r}", "is described twice", found.at)
        described[found.name] = found
    start = -(-cursor.position // alignment) * alignment
    for found in described.values():
        # Without tensors a file may end before its data would begin.
        if found.offset + found.bytes > cursor.size - start:
            problem = (
                f"begins at {start} + {found.offset} and has {found.bytes} bytes; the file has"
                f" {cursor.size}"
            )
            raise cursor.error(f"tensor {found.name!r}", problem, found.at)
    ordered = sorted(described.values(), key=lambda found: found.offset)
    for before, found in itertools.pairwise(ordered):
        if found.offset < before.offset + before.bytes:
            ends = (
                f"tensor {before.name!r} before it ends at {start + before.offset + before.bytes}"
            )
            problem = f"begins at {start + found.offset}, {ends}: an overlap"
            raise cursor.error(f"tensor {found.name!r}", problem, found.at)
    return tuple(
        Entry(t.name, t.shape, t.format, start + t.offset, start + t.offset + t.bytes)
        for t in ordered
    )


def _alignment(metadata: GgufMetadata) -> int:
    if ALIGNMENT_KEY not in metadata:
        return DEFAULT_ALIGNMENT
    if metadata.kinds[ALIGNMENT_KEY] != U32_KIND:
        raise metadata.error(ALIGNMENT_KEY, "is not stored as u32")
    value = int(metadata[ALIGNMENT_KEY])
    if value.bit_count() != 1 or not LEAST_ALIGNMENT <= value <= MOST_ALIGNMENT:
        bounds = f"a power of two from {LEAST_ALIGNMENT} to {MOST_ALIGNMENT}"
        raise metadata.error(ALIGNMENT_KEY, f"found {value}, expected {bounds}")
    return value


def _describe(cursor: Cursor, number: int, alignment: int) -> _Described:
    start = cursor.position
    name = cursor.text(f"tensor {number}: name", most=MOST_NAME_BYTES)
    if not name or not name.isprintable():
        raise cursor.error(f"tensor {number}: name", f"found {name[:40]!r}", start)
    field = f"tensor {name[:80]!r}"
    axes = cursor.whole(U32, f"{field}: axis count", least=1, most=MOST_AXES)
    # ggml computes with signed 64-bit sizes.
    sizes = [
        cursor.whole(U64, f"{field}: axis {axis}", least=1, most=(1 << 63) - 1)
        for axis in range(axes)
    ]
    at = cursor.position
    code = int(cursor.number(U32, f"{field}: type"))
    if code not in TYPES:
        why = "was removed from ggml; convert the model anew" if code in REMOVED else "is unknown"
        raise cursor.error(f"{field}: type", f"found {code}, which {why}", at)
    type = TYPES[code]
    if sizes[0] % type.block:
        problem = f"rows of {sizes[0]} are no multiple of the {type.block} of a {type.name} block"
        raise cursor.error(field, problem, at)
    at = cursor.position
    offset = int(cursor.number(U64, f"{field}: offset"))
    if offset % alignment:
        raise cursor.error(f"{field}: offset", f"{offset} is no multiple of {alignment}", at)
    bytes = math.prod(sizes) // type.block * type.bytes
    return _Described(name, tuple(reversed(sizes)), type.name, offset, bytes, start)
