"""The `.syn` file: written whole or not at all, opened as input from outside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from synapse_core.errors import ProgramError
from synapse_core.files import write_whole
from synapse_core.program import records as r
from synapse_core.program.contract import Program
from synapse_core.program.image import checksum, header_of, section_of, with_inline_segments
from synapse_core.program.tables import Tables


def write_program(program: Program, path: Path) -> None:
    """Write a program with all its segments into one file; the old file stays until then."""
    segments = all_segments(program)
    meta, offsets = with_inline_segments(
        program.image[: int(header_of(program.image)["meta_bytes"])], segments
    )
    with write_whole(path) as file:
        file.write(meta.data)
        for offset, data in zip(offsets, segments, strict=True):
            file.write(bytes(offset - file.tell()))
            file.write(data.data)


def open_program(path: Path) -> Program:
    """Map a `.syn` file and check its tables; weights stay unread.

    Raises: ProgramError naming field and offset.
    """
    try:
        size = path.stat().st_size
        if size < r.HEADER.itemsize:
            raise ProgramError(path, f"{size} bytes are too few for a program's header")
        image = np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as error:
        raise ProgramError(path, error.strerror or str(error)) from error
    return read_program(image, path)


def read_program(image: np.ndarray, path: Path) -> Program:
    """Check the tables of a program whose segments are all inline."""
    header = header_of(image)
    if bytes(header["magic"]) != r.MAGIC:
        found = bytes(image[:4])
        raise ProgramError(path, f"found {found!r}, expected {r.MAGIC!r}", field="magic", offset=0)
    version = (int(header["major"]), int(header["minor"]))
    if version[0] != r.FORMAT_MAJOR or int(header["header_bytes"]) != r.HEADER.itemsize:
        raise ProgramError(
            path,
            f"format {version[0]}.{version[1]}, this Synapse reads {r.FORMAT_MAJOR}.x;"
            " compile the model again",
            field="version",
            offset=4,
        )
    if int(header["file_bytes"]) != image.size:
        raise ProgramError(
            path, f"{image.size} bytes, the header says {int(header['file_bytes'])}: cut short?"
        )
    if not r.HEADER.itemsize <= int(header["meta_bytes"]) <= image.size:
        raise ProgramError(path, f"{int(header['meta_bytes'])}", field="meta_bytes", offset=24)
    if checksum(image) != int(header["checksum"]):
        raise ProgramError(path, "the tables are damaged", field="checksum", offset=12)
    tables = Tables.of(image, path)
    if any(int(segment["kind"]) != r.SEGMENT_INLINE for segment in tables.segments):
        raise ProgramError(path, "refers to bytes outside the file", field="segments")
    try:
        host = json.loads(bytes(tables.host))
    except (ValueError, RecursionError) as error:
        raise ProgramError(path, f"not JSON: {error}", field="host") from None
    if not isinstance(host, dict):
        raise ProgramError(path, "not a JSON object", field="host")
    return Program(image, (), host, path)


def all_segments(program: Program) -> list[np.ndarray]:
    """Return every segment's bytes, inline and external, uint8 (bytes,)."""
    external = iter(program.external)
    return [
        next(external)
        if record["kind"] == r.SEGMENT_EXTERNAL
        else program.image[int(record["offset"]) : int(record["offset"]) + int(record["bytes"])]
        for record in section_of(program.image, "segments")
    ]


def damaged_segments(program: Program) -> list[str]:
    """Return the names of inline segments whose SHA-256 is not the one recorded."""
    from hashlib import sha256

    names = program.host.get("segments", [])
    damaged: list[str] = []
    records = section_of(program.image, "segments")
    for number, (record, data) in enumerate(zip(records, all_segments(program), strict=True)):
        inline = record["kind"] == r.SEGMENT_INLINE
        if inline and sha256(data.data).digest() != bytes(record["sha256"]):
            damaged.append(str(names[number]) if number < len(names) else str(number))
    return damaged
