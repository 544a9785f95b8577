"""Block formats in a safetensors file: raw rows in U8, their format and width in the metadata.

`__metadata__` has `synapse.rows`, the version of this scheme, and for every such tensor
`synapse.rows:NAME` with the format and the numbers of a row: "q4_k 1024". The tensor is U8 of
shape (rows, bytes of a row). Floats have types of their own and are never stored so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import attrs

from synapse_core.errors import FileError
from synapse_core.formats import CARRIED, CORE_FORMATS, Formats, WeightFormat

VERSION_KEY, VERSION = "synapse.rows", "1"
TENSOR_KEY = "synapse.rows:"
# These have types of their own, and what is only read from GGUF is never written.
_NEVER = ("f32", "f16", "bf16", *CARRIED)
_SAID = re.compile(r"([a-z0-9_.]{1,32}) ([1-9][0-9]{0,9})", re.ASCII)


def row_formats(formats: Formats = CORE_FORMATS) -> tuple[str, ...]:
    """Return the names of what U8 tensors can hold: safetensors has no type for them."""
    return tuple(name for name in formats.names() if name not in _NEVER)


@attrs.frozen
class RawRows:
    """The format of a tensor's rows, and how many numbers a row has."""

    format: WeightFormat
    cols: int

    def shape_in_bytes(self, rows: int) -> tuple[int, int]:
        """Return the shape that the U8 tensor has in the file."""
        return rows, self.format.row_bytes(self.cols)

    def __str__(self) -> str:
        """Return what the metadata say of a tensor."""
        return f"{self.format.name} {self.cols}"


def write_raw_rows(tensors: Mapping[str, RawRows]) -> dict[str, str]:
    """Return the metadata that say which tensors are raw rows; none where there are none."""
    if not tensors:
        return {}
    said = {f"{TENSOR_KEY}{name}": str(raw) for name, raw in tensors.items()}
    return {VERSION_KEY: VERSION, **said}


def read_raw_rows(
    path: Path, metadata: Mapping[str, str], formats: Formats = CORE_FORMATS
) -> dict[str, RawRows]:
    """Return the tensors that the metadata call raw rows; `check_raw_rows` holds them to it.

    Raises: FileError naming the key: an unknown version, no format of blocks, an impossible width;
    PluginConflict or PluginError for a plugin's format that cannot be used.
    """
    keys = [key for key in metadata if key.startswith(VERSION_KEY)]
    if not keys:
        return {}

    def bad(key: str, problem: str) -> FileError:
        return FileError(path, problem, field=f"__metadata__ {key[:80]!r}")

    if metadata.get(VERSION_KEY) != VERSION:
        found = metadata.get(VERSION_KEY)
        raise bad(VERSION_KEY, f"found {found!r:.40}, expected {VERSION!r}")
    tensors: dict[str, RawRows] = {}
    for key in keys:
        if key == VERSION_KEY:
            continue
        said = _SAID.fullmatch(metadata[key])
        if not key.startswith(TENSOR_KEY) or said is None:
            raise bad(key, f"found {metadata[key]!r:.40}, expected a format and a row's length")
        name, known = said[1], row_formats(formats)
        if name not in known:
            problem = f"found {name!r}, expected one of {', '.join(known)}"
            raise bad(key, f"{problem}; a plugin's format needs its plugin installed")
        raw = RawRows(formats.named(name), int(said[2]))
        if not raw.format.accepts(raw.cols):
            block = raw.format.block
            raise bad(key, f"rows of {raw.cols} are no multiple of the {block} of a block")
        tensors[key.removeprefix(TENSOR_KEY)] = raw
    return tensors


def check_raw_rows(path: Path, name: str, raw: RawRows, dtype: str, shape: tuple[int, ...]) -> None:
    """Check that a tensor of the file is what the metadata say of it.

    Raises: FileError naming the tensor.
    """
    expected = raw.shape_in_bytes(shape[0] if shape else 0)
    if dtype != "U8" or shape != expected or not shape[0]:
        problem = f"is {dtype} {shape}; __metadata__ says {raw}: U8 of rows of {expected[1]} bytes"
        raise FileError(path, problem, field=f"tensor {name!r}")
