"""The entries of a zip file as torch writes it: stored, one disk, no comment, zip64 or not.

Source: PKWARE's APPNOTE.TXT 6.3, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14-16.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import attrs
import numpy as np

from synapse_core.errors import FileError

LOCAL_MAGIC = b"PK\x03\x04"
# About 110 bytes an entry.
MOST_DIRECTORY_BYTES = 8 << 20
_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_MAX2, _MAX4 = 0xFFFF, 0xFFFFFFFF
_ZIP64_FIELD = 1
_ENCRYPTED = 1
_CRC_STEP = 1 << 20


@attrs.frozen
class Entry:
    """One entry: `header` is where its local header lies, in bytes of the file."""

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    header: int


class ZipEntries:
    """The directory of a mapped zip file; data is looked at entry by entry."""

    def __init__(self, path: Path, data: np.ndarray) -> None:
        self._path, self._data = path, data
        self._end = 0
        self.entries = {entry.name: entry for entry in self._read_directory()}

    def place(self, name: str) -> tuple[int, int]:
        """Return where an entry's bytes begin in the file and how many there are.

        Raises: FileError when it is not there, packed, or not where the directory says.
        """
        entry = self.entries.get(name)
        if entry is None:
            self._bad("is not in the file", name, None)
        if entry.method != 0 or entry.packed != entry.size:
            self._bad("is compressed; torch stores its entries as they are", name, entry.header)
        if entry.flags & _ENCRYPTED:
            self._bad("is encrypted", name, entry.header)
        head = self._bytes(entry.header, _LOCAL.size, name)
        magic, _, _, method, _, _, _, _, _, name_bytes, extra_bytes = _LOCAL.unpack(head)
        if magic != LOCAL_MAGIC or method != 0:
            self._bad("has no header where the directory says", name, entry.header)
        own = self._bytes(entry.header + _LOCAL.size, name_bytes, name)
        if own != name.encode("utf-8"):
            self._bad("is named otherwise in its own header", name, entry.header)
        begin = entry.header + _LOCAL.size + name_bytes + extra_bytes
        if begin + entry.size > self._end:
            problem = f"has {entry.size} bytes, {max(0, self._end - begin)} are left in the file"
            self._bad(problem, name, begin)
        return begin, entry.size

    def check_sum(self, name: str) -> None:
        """Hold an entry's bytes against its CRC-32, where one was written.

        Raises: FileError when they differ.
        """
        begin, size = self.place(name)
        # torch writes 0 with `set_crc32_options(False)`.
        expected, found = self.entries[name].crc, 0
        for at in range(begin, begin + size if expected else begin, _CRC_STEP):
            part = self._data[at : min(at + _CRC_STEP, begin + size)]
            found = zlib.crc32(part.data, found)
        if found != expected:
            self._bad(f"is damaged: CRC-32 {found:08x}, expected {expected:08x}", name, begin)

    def _bad(self, problem: str, name: str | None, offset: int | None) -> NoReturn:
        field = "zip directory" if name is None else f"entry {name[:80]!r}"
        raise FileError(self._path, problem, field=field, offset=offset)

    def _bytes(self, begin: int, count: int, name: str | None = None) -> bytes:
        if begin < 0 or begin + count > len(self._data):
            self._bad("lies outside the file", name, None)
        return self._data[begin : begin + count].tobytes()

    def _read_directory(self) -> list[Entry]:
        begin, size, count = self._find_directory()
        if size > MOST_DIRECTORY_BYTES:
            self._bad(f"has {size} bytes; at most {MOST_DIRECTORY_BYTES} are read", None, begin)
        if begin + size != self._end:
            self._bad(f"ends at {begin + size}, expected {self._end}", None, begin)
        self._end = begin
        table, at = self._bytes(begin, size), 0
        found: dict[str, Entry] = {}
        while at < size:
            entry, length = self._entry(table, at, begin)
            if entry.name in found:
                self._bad("is there twice", entry.name, begin + at)
            found[entry.name] = entry
            at += length
        if len(found) != count:
            self._bad(f"has {len(found)} entries, its end says {count}", None, begin)
        return list(found.values())

    def _find_directory(self) -> tuple[int, int, int]:
        """Return the directory's begin, bytes and number of entries; set where it must end."""
        at = len(self._data) - _END.size
        magic, disk, first, here, count, size, begin, comment = _END.unpack(
            self._bytes(at, _END.size)
        )
        if magic != b"PK\x05\x06" or comment:
            self._bad("is not at the end of the file; it is cut off or something follows", None, at)
        if (disk, first, here) != (0, 0, count):
            self._bad("is spread over several disks", None, at)
        self._end = at
        at -= _LOCATOR.size
        if at >= 0 and self._bytes(at, 4) == b"PK\x06\x07":
            where = _LOCATOR.unpack(self._bytes(at, _LOCATOR.size))[2]
            if where + _END64.size != at:
                self._bad(f"has its zip64 end at {where}, expected {at - _END64.size}", None, at)
            fields = _END64.unpack(self._bytes(where, _END64.size))
            if fields[0] != b"PK\x06\x06" or fields[6] != fields[7]:
                self._bad("has a bad zip64 end", None, where)
            count = fields[7] if count == _MAX2 else count
            size = fields[8] if size == _MAX4 else size
            begin = fields[9] if begin == _MAX4 else begin
            self._end = where
        return begin, size, count

    def _entry(self, table: bytes, at: int, base: int) -> tuple[Entry, int]:
        if at + _CENTRAL.size > len(table):
            self._bad("is cut off within an entry", None, base + at)
        fields = _CENTRAL.unpack_from(table, at)
        magic, _, _, flags, method, _, _, crc, packed, size, names, extras, comments = fields[:13]
        disk, header = fields[13], fields[16]
        length = _CENTRAL.size + names + extras + comments
        if magic != b"PK\x01\x02" or at + length > len(table) or disk not in (0, _MAX2):
            self._bad("has a bad entry", None, base + at)
        begin = at + _CENTRAL.size
        try:
            name = table[begin : begin + names].decode("utf-8")
        except UnicodeDecodeError:
            self._bad("has a name that is not UTF-8", None, base + begin)
        wide = _wide_fields(table[begin + names : begin + names + extras])
        try:
            size = next(wide) if size == _MAX4 else size
            packed = next(wide) if packed == _MAX4 else packed
            header = next(wide) if header == _MAX4 else header
        except StopIteration:
            self._bad("lacks its zip64 sizes", name, base + at)
        return Entry(name, method, flags, crc, packed, size, header), length


def _wide_fields(extra: bytes) -> Iterator[int]:
    """Yield the 64-bit numbers of an entry's zip64 field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64_FIELD:
            body = extra[at + 4 : at + 4 + length]
            for (number,) in struct.iter_unpack("<Q", body[: len(body) // 8 * 8]):
                yield number
            return
        at += 4 + length
