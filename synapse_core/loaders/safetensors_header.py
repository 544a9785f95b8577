"""The header of a safetensors file, checked before anything in it is believed.

Layout: header length (8 bytes, little-endian), header (JSON), data. Offsets in the header count
from the start of the data; tensors cover it without hole or overlap. `__metadata__` is
text by name; there stands which tensors are rows of a block format (`raw_rows`).

Source: huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs

from synapse_core.errors import FileError
from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.loaders.json_bounds import PLAIN
from synapse_core.loaders.json_file import parse_object
from synapse_core.loaders.raw_rows import RawRows, check_raw_rows, read_raw_rows

LENGTH_BYTES = 8
# The reference implementation reads 100 MB, of which Python would make a GB of values.
MOST_HEADER_BYTES = PLAIN.file
MOST_AXES = 8
FORMAT_OF_DTYPE = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
# Types that a file may hold and no model reads: known only to check their size.
_OTHER_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16"), 2),
    **dict.fromkeys(("U32", "I32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
NUMBER_BYTES = {"F32": 4, "F16": 2, "BF16": 2, **_OTHER_BYTES}


@attrs.frozen
class Entry:
    """One tensor: `begin` and `end` are byte offsets in the file.

    `raw` says that its bytes are rows in a format that safetensors has no type for.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int
    raw: RawRows | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """Its shape in numbers."""
        return self.shape if self.raw is None else (self.shape[0], self.raw.cols)

    @property
    def format(self) -> str:
        """The weight format it is stored in, or the dtype's own name where no op reads it."""
        if self.raw is not None:
            return self.raw.format.name
        return FORMAT_OF_DTYPE.get(self.dtype, self.dtype.lower())


def header_bytes(path: Path, head: bytes, size: int) -> int:
    """Return the header's length from the file's first bytes and its size.

    Raises: FileError when the length cannot be true.
    """
    if size < LENGTH_BYTES:
        raise FileError(path, f"has {size} bytes; a safetensors file begins with 8 of length")
    length = int.from_bytes(head[:LENGTH_BYTES], "little")
    most = min(MOST_HEADER_BYTES, size - LENGTH_BYTES)
    if not 2 <= length <= most:
        problem = f"found {length}, expected 2 to {most}"
        raise FileError(path, problem, field="header length", offset=0)
    return length


def parse_header(
    path: Path, text: bytes, size: int, formats: Formats = CORE_FORMATS
) -> tuple[Entry, ...]:
    """Return the tensors that a header names, in the order they lie in the file.

    Raises: FileError naming tensor, field and byte.
    """
    if text[:1] != b"{":
        raise FileError(path, f"begins with {text[:1]!r}, expected '{{'", field="header", offset=8)
    fields = parse_object(path, text)
    raw = read_raw_rows(path, _metadata(path, fields.pop("__metadata__", {})), formats)
    start = LENGTH_BYTES + len(text)
    entries = [_entry(path, name, value, start, size) for name, value in fields.items()]
    entries = _with_raw_rows(path, entries, raw)
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    expected = start
    for entry in entries:
        if entry.begin != expected:
            problem = "a hole" if entry.begin > expected else "an overlap"
            raise FileError(
                path,
                f"begins at {entry.begin}, the tensor before ends at {expected}: {problem}",
                field=f"tensor {entry.name!r}",
                offset=entry.begin,
            )
        expected = entry.end
    if expected != size:
        raise FileError(path, f"has {size} bytes, its tensors end at {expected}", offset=expected)
    return tuple(entries)


def _metadata(path: Path, metadata: Any) -> dict[str, str]:
    plain = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    if not plain:
        raise FileError(path, "must map text to text", field="__metadata__")
    return dict(metadata)


def _with_raw_rows(path: Path, entries: list[Entry], raw: dict[str, RawRows]) -> list[Entry]:
    missing = sorted(set(raw) - {entry.name for entry in entries})
    if missing:
        problem = f"__metadata__ says {raw[missing[0]]}, and the file has no such tensor"
        raise FileError(path, problem, field=f"tensor {missing[0]!r}")
    for entry in entries:
        if entry.name in raw:
            check_raw_rows(path, entry.name, raw[entry.name], entry.dtype, entry.shape)
    return [attrs.evolve(entry, raw=raw.get(entry.name)) for entry in entries]


def _entry(path: Path, name: str, value: Any, start: int, size: int) -> Entry:
    field = f"tensor {name!r}"

    def bad(problem: str) -> FileError:
        return FileError(path, problem, field=field)

    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise bad("must have dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in NUMBER_BYTES:
        raise bad(f"dtype is {str(dtype)[:40]!r}; expected one of {', '.join(NUMBER_BYTES)}")
    if not _whole_numbers(shape) or len(shape) > MOST_AXES:
        raise bad(f"shape is {str(shape)[:80]}; expected at most {MOST_AXES} whole numbers")
    if not _whole_numbers(offsets) or len(offsets) != 2:
        raise bad(f"data_offsets are {str(offsets)[:80]}; expected two whole numbers")
    begin, end = offsets
    if not begin <= end <= size - start:
        found = str(offsets)[:80]
        raise bad(f"data_offsets are {found}, the file has {size - start} bytes of data")
    needed = math.prod(shape) * NUMBER_BYTES[dtype]
    if needed != end - begin:
        raise bad(f"{dtype} {tuple(shape)} needs {needed} bytes, data_offsets give {end - begin}")
    return Entry(name, dtype, tuple(shape), start + begin, start + end)


def _whole_numbers(value: Any) -> bool:
    """Whether it is a list of integers from 0 to 2^63; a bool is none."""
    return isinstance(value, list) and all(
        type(number) is int and 0 <= number < 1 << 63 for number in value
    )
