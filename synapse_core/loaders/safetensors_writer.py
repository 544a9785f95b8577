"""Writing a safetensors file a piece at a time; block formats become raw rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, BinaryIO

from synapse_core.loaders.raw_rows import ROW_FORMATS, RawRows, write_raw_rows
from synapse_core.loaders.safetensors_header import FORMAT_OF_DTYPE, LENGTH_BYTES, NUMBER_BYTES
from synapse_core.loaders.written import WrittenTensor, write_chunks

DTYPE_OF_FORMAT = {format: dtype for dtype, format in FORMAT_OF_DTYPE.items()}


def write_safetensors(file: BinaryIO, tensors: Sequence[WrittenTensor]) -> None:
    """Write a whole file; wide numbers lie first, so that each lies at a multiple of its size.

    Other readers see a tensor of raw rows as U8.
    """
    raw = {t.name: RawRows(t.format, t.shape[-1]) for t in tensors if t.format in ROW_FORMATS}
    ordered = sorted(tensors, key=lambda tensor: -NUMBER_BYTES[_dtype(tensor)])
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **write_raw_rows(raw)}}
    begin = 0
    for tensor in ordered:
        shape = tensor.shape
        if tensor.name in raw:
            shape = raw[tensor.name].shape_in_bytes(shape[0])
        header[tensor.name] = {
            "dtype": _dtype(tensor),
            "shape": list(shape),
            "data_offsets": [begin, begin + tensor.bytes],
        }
        begin += tensor.bytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(LENGTH_BYTES, "little"))
    file.write(text)
    for tensor in ordered:
        write_chunks(file, tensor)


def _dtype(tensor: WrittenTensor) -> str:
    if tensor.format in ROW_FORMATS:
        return "U8"
    return DTYPE_OF_FORMAT.get(tensor.format, tensor.format.upper())
