"""Files as torch.save writes them, byte by byte and without torch: good ones and hostile ones."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import attrs
import numpy as np

STORAGE_OF = {"<f4": "FloatStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}
PROTO, STOP, MARK, TUPLE, REDUCE, EMPTY = b"\x80\x02", b".", b"(", b"t", b"R", b"}"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ORDERED = b"ccollections\nOrderedDict\n)R"


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def row(*parts: bytes) -> bytes:
    return MARK + b"".join(parts) + TUPLE


def numbers(values: Sequence[int]) -> bytes:
    return row(*map(number, values))


def storage(key: str, kind: str, count: int, *more: bytes) -> bytes:
    where = text("cpu")
    return row(text("storage"), b"ctorch\n" + kind.encode() + b"\n", text(key), where,
               number(count), *more) + b"Q"  # fmt: skip


def tensor(
    key: str = "0",
    shape: Sequence[int] = (2, 3),
    strides: Sequence[int] = (3, 1),
    *,
    offset: int = 0,
    count: int = 6,
    kind: str = "FloatStorage",
    more: Sequence[bytes] = (),
) -> bytes:
    """Return the opcodes of a tensor; the defaults look at storage "0", six float32."""
    parts = (storage(key, kind, count, *more), number(offset), numbers(shape), numbers(strides))
    return REBUILD + row(*parts, b"\x89", ORDERED) + REDUCE


def dictionary(entries: Mapping[str, bytes]) -> bytes:
    pairs = b"".join(text(name) + value for name, value in entries.items())
    return EMPTY + MARK + pairs + b"u"


def pickled(body: bytes) -> bytes:
    return PROTO + body + STOP


@attrs.define
class Entry:
    """One entry of a zip file; every field may be made to lie."""

    name: str
    data: bytes
    method: int = 0
    flags: int = 0x0800
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    local_name: str | None = None
    header: int | None = None
    central: bytes = b""


def zipped(entries: Sequence[Entry], *, count: int | None = None, tail: bytes = b"",
           directory_offset: int | None = None) -> bytes:  # fmt: skip
    """Return a zip file of stored entries, each aligned to 64 bytes as torch does."""
    body, table = bytearray(), bytearray()
    for entry in entries:
        header = len(body)
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        packed = size if entry.packed is None else entry.packed
        name = (entry.name if entry.local_name is None else entry.local_name).encode()
        pad = -(header + 30 + len(name)) % 64
        pad += 64 * (0 < pad < 4)
        extra = struct.pack("<2H", 0x4246, pad - 4) + b"Z" * (pad - 4) if pad else b""
        body += struct.pack(
            "<4s5H3I2H", b"PK\x03\x04", 20, entry.flags, entry.method, 0, 0,
            crc, min(packed, 0xFFFFFFFF), min(size, 0xFFFFFFFF), len(name), len(extra),
        ) + name + extra + entry.data  # fmt: skip
        named = entry.name.encode()
        where = header if entry.header is None else entry.header
        table += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, entry.flags, entry.method, 0, 0,
            crc, packed, size, len(named), len(entry.central), 0, 0, 0, 0, where,
        ) + named + entry.central  # fmt: skip
    begin = len(body) if directory_offset is None else directory_offset
    many = len(entries) if count is None else count
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, many, many, len(table), begin, 0)
    return bytes(body + table) + end + tail


def archive(
    pickle: bytes, storages: Mapping[str, bytes] | None = None, folder: str = "archive"
) -> list[Entry]:
    """Return the entries of a torch file; by default with storage "0", six float32."""
    data = {"0": np.arange(6, dtype="<f4").tobytes()} if storages is None else storages
    return [
        Entry(f"{folder}/data.pkl", pickle),
        Entry(f"{folder}/byteorder", b"little"),
        *(Entry(f"{folder}/data/{key}", raw) for key, raw in data.items()),
        Entry(f"{folder}/version", b"3\n"),
    ]


def torch_zip(body: bytes, storages: Mapping[str, bytes] | None = None) -> bytes:
    """Return a torch file whose pickle is `body` between PROTO and STOP."""
    return zipped(archive(pickled(body), storages))


def torch_legacy(body: bytes, keys: Sequence[str] = ("0",), data: bytes | None = None) -> bytes:
    """Return a file of the older kind: five pickles, then each storage's count and bytes."""
    if data is None:
        data = struct.pack("<q", 6) + np.arange(6, dtype="<f4").tobytes()
    magic = number(0x1950A86A20F9469CFC6C)
    system = dictionary({"little_endian": b"\x88", "protocol_version": number(1001)})
    listed = b"](" + b"".join(map(text, keys)) + b"e"
    parts = (magic, number(1001), system, body, listed)
    return b"".join(pickled(part) for part in parts) + data


def legacy_tensor(**options: object) -> bytes:
    """Return a tensor as older files have it: its storage names a view, which is none."""
    return tensor(more=(b"N",), **options)  # type: ignore[arg-type]
