"""Writing a safetensors file, a bounded part at a time.

Source: huggingface.co/docs/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, Protocol

from synapse_core.loaders.safetensors_header import LENGTH_BYTES, NUMBER_BYTES

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
