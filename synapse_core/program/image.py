"""The bytes of a program: sections behind a header, and inline segments behind them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from synapse_core.program import records as r

SECTION_ALIGN = 8
SEGMENT_ALIGN = 64


def assemble(
    sections: Mapping[str, Sequence[Any] | np.ndarray], *, max_slots: int, slot_bytes: int
) -> np.ndarray:
    """Return the image of a program whose segments are all external: uint8 (meta_bytes,)."""
    header = np.zeros((), dtype=r.HEADER)
    parts: list[tuple[int, np.ndarray]] = []
    end = r.HEADER.itemsize
    for number, (name, dtype) in enumerate(r.SECTIONS.items()):
        records = np.array(sections[name], dtype=dtype)
        header["section"][number] = (end, len(records))
        parts.append((end, records.view(np.uint8).reshape(-1)))
        end = r.align(end + records.nbytes, SECTION_ALIGN)
    header["magic"] = r.MAGIC
    header["major"], header["minor"] = r.FORMAT_MAJOR, r.FORMAT_MINOR
    header["header_bytes"] = r.HEADER.itemsize
    header["file_bytes"] = header["meta_bytes"] = end
    header["max_slots"], header["slot_bytes"] = max_slots, slot_bytes
    image = aligned_zeros(end)
    image[: r.HEADER.itemsize] = header.reshape(1).view(np.uint8)
    for offset, data in parts:
        image[offset : offset + data.size] = data
    return seal(image)


def with_inline_segments(
    image: np.ndarray, segments: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[int]]:
    """Return the meta part for a file that holds `segments` itself, and their offsets in it."""
    meta = aligned_zeros(image.size)
    meta[:] = image
    header = header_of(meta)
    table = section_of(meta, "segments")
    end = int(header["meta_bytes"])
    offsets: list[int] = []
    for record, data in zip(table, segments, strict=True):
        offset = r.align(end, SEGMENT_ALIGN)
        digest = np.frombuffer(hashlib.sha256(data.data).digest(), dtype=np.uint8)
        record["offset"], record["bytes"] = offset, data.size
        record["kind"], record["sha256"] = r.SEGMENT_INLINE, digest
        offsets.append(offset)
        end = offset + data.size
    header["file_bytes"] = end
    return seal(meta), offsets


def header_of(image: np.ndarray) -> np.ndarray:
    """Return a view of the header."""
    return image[: r.HEADER.itemsize].view(r.HEADER)[0]  # type: ignore[no-any-return]


def section_of(image: np.ndarray, name: str) -> np.ndarray:
    """Return a view of a section's records; the header must have been checked."""
    dtype = r.SECTIONS[name]
    offset, count = header_of(image)["section"][list(r.SECTIONS).index(name)].item()
    return image[offset : offset + count * dtype.itemsize].view(dtype)


def seal(image: np.ndarray) -> np.ndarray:
    """Write the checksum into the header and return the image."""
    header = header_of(image)
    header["checksum"] = checksum(image)
    return image


def checksum(image: np.ndarray) -> int:
    """Return the CRC-32 of the meta part with the checksum field as zero."""
    meta = image[: int(header_of(image)["meta_bytes"])]
    field = r.HEADER.fields["checksum"]  # type: ignore[index]
    start = field[1]
    crc = zlib.crc32(meta[:start].data)
    crc = zlib.crc32(b"\0\0\0\0", crc)
    return zlib.crc32(meta[start + 4 :].data, crc)


def aligned_zeros(size: int) -> np.ndarray:
    """Return uint8 zeros whose address is a multiple of 64."""
    block = np.zeros(size + 64, dtype=np.uint8)
    start = -block.ctypes.data % 64
    return block[start : start + size]
