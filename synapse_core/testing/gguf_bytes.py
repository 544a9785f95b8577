"""GGUF files byte by byte, true or with a chosen lie: what loaders and families are tested on.

The writer of the `gguf` package cannot lie; this one writes any number anywhere.
"""

from __future__ import annotations

import struct
from typing import Any

import attrs
import numpy as np

# Value types by name, with the letter of struct; text and array have none.
KINDS: dict[str, tuple[int, str]] = {
    "u8": (0, "B"),
    "i8": (1, "b"),
    "u16": (2, "H"),
    "i16": (3, "h"),
    "u32": (4, "I"),
    "i32": (5, "i"),
    "f32": (6, "f"),
    "bool": (7, "?"),
    "text": (8, ""),
    "array": (9, ""),
    "u64": (10, "Q"),
    "i64": (11, "q"),
    "f64": (12, "d"),
}
F32, F16, Q8_0 = 0, 1, 8
ALIGNMENT = 32


def number(kind: str, value: float) -> bytes:
    """Return a value with its type in front."""
    code, letter = KINDS[kind]
    return struct.pack("<I" + letter, code, value)


def text(value: str | bytes, length: int | None = None) -> bytes:
    """Return a length and a text; `length` lies about it."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data) if length is None else length) + data


def text_value(value: str | bytes, length: int | None = None) -> bytes:
    """Return a text with its type in front."""
    return struct.pack("<I", KINDS["text"][0]) + text(value, length)


def array(kind: int | str, items: bytes, count: int) -> bytes:
    """Return an array with its type in front: `items` are its encoded items."""
    code = kind if isinstance(kind, int) else KINDS[kind][0]
    return struct.pack("<IIQ", KINDS["array"][0], code, count) + items


def texts(values: list[str]) -> bytes:
    """Return an array of texts with its type in front."""
    return array("text", b"".join(map(text, values)), len(values))


@attrs.define
class TensorBytes:
    """A tensor: `axes` as the file has them, the row's length first; `offset` None: where it is."""

    name: str | bytes
    axes: tuple[int, ...]
    type: int
    data: bytes
    offset: int | None = None
    axis_count: int | None = None
    name_length: int | None = None

    @classmethod
    def of(cls, name: str, values: np.ndarray) -> TensorBytes:
        """Take float32 or float16 numbers."""
        type = F16 if values.dtype == np.float16 else F32
        axes = tuple(reversed(values.shape))
        return cls(name, axes, type, np.ascontiguousarray(values).tobytes())


@attrs.define
class GgufBytes:
    """A file: `keys` hold encoded values by name; a count of None is the true one."""

    keys: list[tuple[str | bytes, bytes]] = attrs.field(factory=list)
    tensors: list[TensorBytes] = attrs.field(factory=list)
    alignment: int = ALIGNMENT
    magic: bytes = b"GGUF"
    version: int = 3
    tensor_count: int | None = None
    key_count: int | None = None

    def set(self, **values: Any) -> GgufBytes:
        """Set the encoded values of keys; `__` in a name stands for a dot."""
        for name, value in values.items():
            key = name.replace("__", ".")
            self.keys = [(known, old) for known, old in self.keys if known != key]
            self.keys.append((key, value))
        return self

    def header(self) -> bytes:
        """Return everything in front of the padding before the data."""
        counts = (
            len(self.tensors) if self.tensor_count is None else self.tensor_count,
            len(self.keys) if self.key_count is None else self.key_count,
        )
        parts = [self.magic, struct.pack("<I", self.version), struct.pack("<QQ", *counts)]
        parts += [text(name) + value for name, value in self.keys]
        offset = 0
        for tensor in self.tensors:
            axes = tensor.axes
            count = len(axes) if tensor.axis_count is None else tensor.axis_count
            place = offset if tensor.offset is None else tensor.offset
            parts.append(text(tensor.name, tensor.name_length))
            parts.append(struct.pack(f"<I{len(axes)}Q", count, *axes))
            parts.append(struct.pack("<IQ", tensor.type & 0xFFFFFFFF, place))
            offset += len(tensor.data) + -len(tensor.data) % self.alignment
        return b"".join(parts)

    def encode(self) -> bytes:
        """Return the file; the last tensor is not padded."""
        head = self.header()
        file = head + bytes(-len(head) % self.alignment) if self.tensors else head
        for tensor in self.tensors:
            file += bytes(-len(file) % self.alignment) + tensor.data
        return file
