"""A tensor on its way into a file: what it will be is known before its bytes are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import attrs
import numpy as np

from synapse_core.errors import InternalError


@attrs.frozen(eq=False)
class WrittenTensor:
    """`shape` in numbers, `format` a weight format's name or another type's of the file.

    `chunks` gives its `bytes` bytes, piece after piece, when they are to be written.
    """

    name: str
    shape: tuple[int, ...]
    format: str
    bytes: int
    chunks: Callable[[], Iterable[np.ndarray]]


def checked_chunks(tensor: WrittenTensor) -> Iterator[memoryview]:
    """Yield a tensor's bytes, piece after piece.

    Raises: InternalError behind the last where they are not as many as it said.
    """
    count = 0
    for chunk in tensor.chunks():
        raw = np.ascontiguousarray(chunk)
        yield raw.data
        count += raw.nbytes
    if count != tensor.bytes:
        raise InternalError(f"tensor {tensor.name!r}: {count} bytes written, {tensor.bytes} said")


def write_chunks(file: BinaryIO, tensor: WrittenTensor) -> None:
    """Write a tensor's bytes where the file stands; raises as `checked_chunks`."""
    for chunk in checked_chunks(tensor):
        file.write(chunk)
