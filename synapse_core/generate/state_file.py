"""A file of what a slot remembers: the ids that it has seen and its saved states.

Little-endian: HEADER, ids (tokens,) u32, sizes of the states (parts,) u64, CRC-32 of each MiB of
the states, the states. `check` is BLAKE2b of all before the states, itself as zeros.
Source: docs/decisions/0014-prompt-cache.md.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import attrs
import numpy as np

from synapse_core.errors import FileError
from synapse_core.files import write_whole
from synapse_core.loaders.regular_file import open_regular

MAGIC = b"SYNSTATE"
VERSION = 1
CHECK_BYTES = 32
BLOCK_BYTES = 1 << 20
MOST_TOKENS, MOST_PARTS = 1 << 22, 1 << 16
HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("tokens", "<u4"),
        ("parts", "<u4"),
        ("reserved", "<u4"),
        ("state_bytes", "<u8"),
        ("program", "u1", CHECK_BYTES),
        ("form", "S64"),
        ("check", "u1", CHECK_BYTES),
    ]
)


@attrs.frozen
class Maker:
    """What a file's states are bound to: a program's digest and a session's `state_form`."""

    program: bytes
    form: str


@attrs.frozen(eq=False)
class SavedState:
    """Ids, and the saved states of a slot that has seen them."""

    ids: list[int]
    parts: list[np.ndarray]


def write_state(path: Path, maker: Maker, state: SavedState) -> None:
    """Write the file, whole or not at all.

    Raises: FileError when the place cannot be written.
    """
    header = np.zeros((), dtype=HEADER)
    header["magic"], header["version"] = MAGIC, VERSION
    header["tokens"], header["parts"] = len(state.ids), len(state.parts)
    header["state_bytes"] = sum(part.nbytes for part in state.parts)
    header["program"] = np.frombuffer(maker.program, dtype=np.uint8)
    header["form"] = maker.form.encode("ascii")
    sizes = np.array([part.nbytes for part in state.parts], dtype="<u8")
    sums = np.array(_sums(state.parts), dtype="<u4")
    meta = np.asarray(state.ids, dtype="<u4").tobytes() + sizes.tobytes() + sums.tobytes()
    header["check"] = _check(header, meta)
    with write_whole(path) as file:
        file.write(header.tobytes() + meta)
        for part in state.parts:
            file.write(part.data)


def read_state(path: Path, maker: Maker) -> SavedState:
    """Read the file of a maker; nothing of it is believed before its checksums are right.

    Raises: FileError for one that is cut, changed, of another version or of another maker.
    """
    with open_regular(path) as (file, size):
        header = np.frombuffer(_read(path, file, HEADER.itemsize), dtype=HEADER)[0]
        if header["magic"] != MAGIC:
            raise FileError(path, "is not a prompt cache", field="magic", offset=0)
        if header["version"] != VERSION:
            found = f"version {header['version']}, expected {VERSION}; remove the file"
            raise FileError(path, found, field="version")
        tokens, parts, states = (int(header[n]) for n in ("tokens", "parts", "state_bytes"))
        if not 1 <= tokens <= MOST_TOKENS or not 1 <= parts <= MOST_PARTS:
            raise FileError(path, f"{tokens} tokens, {parts} states: not what is written here")
        meta_bytes = 4 * tokens + 8 * parts + 4 * -(-states // BLOCK_BYTES)
        wanted = HEADER.itemsize + meta_bytes + states
        if size != wanted:
            raise FileError(path, f"found {size} bytes, expected {wanted}: cut or damaged")
        meta = _read(path, file, meta_bytes)
        if _check(header, meta).tobytes() != header["check"].tobytes():
            raise FileError(path, "its checksum is wrong: damaged; remove the file", field="check")
        _match(path, header, maker)
        sizes = np.frombuffer(meta, "<u8", parts, 4 * tokens)
        if sum(int(n) for n in sizes) != states:
            raise FileError(path, "the states are not as long together as each", field="sizes")
        body = _states(path, file, states, np.frombuffer(meta, "<u4", -1, 4 * tokens + 8 * parts))
    ids = np.frombuffer(meta, "<u4", tokens).tolist()
    ends = np.cumsum(sizes.astype(np.int64))
    return SavedState(ids, np.split(body, ends[:-1]))


def _match(path: Path, header: np.void, maker: Maker) -> None:
    form = header["form"].decode("ascii", "replace")
    if header["program"].tobytes() != maker.program:
        raise FileError(path, "is of another model, KV type or arithmetic; name another file")
    if form != maker.form:
        raise FileError(path, f"was made by {form!r}, this is {maker.form!r}; name another file")


def _states(path: Path, file: BinaryIO, size: int, sums: np.ndarray) -> np.ndarray:
    """Map the states and check them: pages of the file cost less than new ones of memory."""
    if not size:  # nothing can be mapped
        return np.empty(0, dtype=np.uint8)
    body = np.memmap(file, np.uint8, "r", offset=file.tell(), shape=(size,))
    blocks = [body[at : at + BLOCK_BYTES].data for at in range(0, size, BLOCK_BYTES)]
    with ThreadPoolExecutor() as pool:
        for number, found in enumerate(pool.map(zlib.crc32, blocks)):
            if found != sums[number]:
                why = f"block {number} of the states is damaged; remove the file"
                raise FileError(path, why, field="states")
    return body


def _read(path: Path, file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise FileError(path, f"found {len(data)} bytes, expected {size}: cut")
    return data


def _check(header: np.ndarray | np.void, meta: bytes) -> np.ndarray:
    digest = hashlib.blake2b(header.tobytes()[:-CHECK_BYTES], digest_size=CHECK_BYTES)
    digest.update(meta)
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def _sums(parts: Sequence[np.ndarray]) -> list[int]:
    """Return the CRC-32 of each MiB of the parts, one behind the other."""
    sums, held, room = [], 0, BLOCK_BYTES
    for part in parts:
        data = part.reshape(-1).data
        while len(data):
            held, room, data = zlib.crc32(data[:room], held), room - len(data[:room]), data[room:]
            if not room:
                sums.append(held)
                held, room = 0, BLOCK_BYTES
    return sums if room == BLOCK_BYTES else [*sums, held]
