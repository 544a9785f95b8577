"""Writing a safetensors file, a bounded part at a time; block formats become raw rows.

Source: huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, Protocol

import attrs

from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.loaders.raw_rows import RawRows, row_formats, write_raw_rows
from synapse_core.loaders.safetensors_header import FORMAT_OF_DTYPE, LENGTH_BYTES, NUMBER_BYTES
from synapse_core.loaders.written import WrittenTensor, checked_chunks

DTYPE_OF_FORMAT = {format: dtype for dtype, format in FORMAT_OF_DTYPE.items()}
# The reference implementation pads the header so that the data begin at a multiple of it.
_ALIGNMENT = 8


class WritableTensor(Protocol):
    """A tensor that can give its bytes."""

    @property
    def name(self) -> str:
        """Its name in the file."""
        ...

    @property
    def dtype(self) -> str:
        """Its type, as safetensors calls it."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Its axes."""
        ...

    def chunks(self) -> Iterable[bytes | memoryview]:
        """Yield its bytes, little-endian, in the order of its last axis."""
        ...


def write_tensors(
    file: BinaryIO, tensors: Sequence[WritableTensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors, the widest numbers first so that all lie aligned, then by name."""
    ordered = sorted(tensors, key=lambda tensor: (-NUMBER_BYTES[tensor.dtype], tensor.name))
    file.write(_header(ordered, metadata))
    for tensor in ordered:
        for chunk in tensor.chunks():
            file.write(chunk)


def write_formats(
    file: BinaryIO, tensors: Sequence[WrittenTensor], formats: Formats = CORE_FORMATS
) -> None:
    """Write tensors of any weight format; other readers see one of raw rows as U8."""
    known = row_formats(formats)
    raw = {
        t.name: RawRows(formats.named(t.format), t.shape[-1]) for t in tensors if t.format in known
    }
    stored = [_Stored(tensor, raw.get(tensor.name)) for tensor in tensors]
    write_tensors(file, stored, {"format": "pt", **write_raw_rows(raw)})


@attrs.frozen
class _Stored:
    """A tensor of some weight format, as safetensors sees it."""

    tensor: WrittenTensor
    rows: RawRows | None

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def dtype(self) -> str:
        format = self.tensor.format
        return "U8" if self.rows else DTYPE_OF_FORMAT.get(format, format.upper())

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.tensor.shape
        return self.rows.shape_in_bytes(shape[0]) if self.rows else shape

    def chunks(self) -> Iterable[memoryview]:
        return checked_chunks(self.tensor)


def _header(tensors: Iterable[WritableTensor], metadata: Mapping[str, str]) -> bytes:
    said: dict[str, object] = {"__metadata__": dict(metadata)}
    at = 0
    for tensor in tensors:
        end = at + math.prod(tensor.shape) * NUMBER_BYTES[tensor.dtype]
        said[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text
