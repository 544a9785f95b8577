"""The two containers of torch's pickles: the zip file, and the older row of pickles."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np

from synapse_core.errors import FileError
from synapse_core.loaders.regular_file import open_regular
from synapse_core.loaders.torch_file.inert import DTYPE_BYTES, UNTYPED, Storage, item_bytes
from synapse_core.loaders.torch_file.pickle_machine import MOST_PICKLE_BYTES, PickleMachine
from synapse_core.loaders.torch_file.zip_entries import LOCAL_MAGIC, ZipEntries

PICKLE = "data.pkl"
# torch/serialization.py: MAGIC_NUMBER and PROTOCOL_VERSION of `_legacy_save`.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
_KEY_LIST = "list of storages"


@attrs.frozen(eq=False)
class TorchFile:
    """A torch pickle, read but not run.

    `value` is what was pickled, made of dicts, lists, tuples, texts, numbers and inert tensors.
    `data` are the file's bytes, uint8, mapped; `places` say where in them a storage's lie: first
    byte and number of bytes.
    """

    path: Path
    value: Any
    data: np.ndarray
    places: dict[str, tuple[int, int]]


def open_torch_file(path: Path) -> TorchFile:
    """Read the pickle in a file and find its storages; no number is read.

    Raises: FileError naming the file, what in it is refused, and the byte.
    """
    with open_regular(path) as (file, size):
        if size < len(LOCAL_MAGIC):
            raise FileError(path, f"has {size} bytes; that is no torch file")
        data = np.memmap(file, dtype=np.uint8, mode="r")
    if data[:4].tobytes() == LOCAL_MAGIC:
        return _open_zip(path, data)
    if data[0] == 0x80:
        return _open_legacy(path, data)
    raise FileError(path, "is neither a zip file nor a pickle as torch.save writes them", offset=0)


def _open_zip(path: Path, data: np.ndarray) -> TorchFile:
    entries = ZipEntries(path, data)
    pickles = [name for name in entries.entries if name.partition("/")[2] == PICKLE]
    if len(pickles) != 1:
        problem = f"has {len(pickles)} entries FOLDER/{PICKLE}, expected one"
        raise FileError(path, problem, field="zip directory")
    folder = pickles[0].removesuffix(PICKLE)
    _check_byte_order(path, data, entries, f"{folder}byteorder")
    entries.check_sum(pickles[0])
    begin, length = entries.place(pickles[0])
    field = f"entry {pickles[0][:80]!r}"
    if length > MOST_PICKLE_BYTES:
        problem = f"has {length} bytes; at most {MOST_PICKLE_BYTES} are read"
        raise FileError(path, problem, field=field, offset=begin)
    text = data[begin : begin + length].tobytes()
    machine = PickleMachine(path, text, field=field, base=begin)
    value, used = machine.run()
    if used != length:
        raise FileError(path, "goes on after its end", field=field, offset=begin + used)
    places = {}
    for key, storage in machine.storages.items():
        name = f"{folder}data/{key}"
        places[key] = entries.place(name)
        needed = storage.count * item_bytes(storage)
        if places[key][1] != needed:
            problem = f"has {places[key][1]} bytes, its pickle says {needed}"
            raise FileError(path, problem, field=f"entry {name!r}", offset=places[key][0])
    _check_overlap(path, {field: (begin, length), **places})
    for key in places:
        entries.check_sum(f"{folder}data/{key}")
    return TorchFile(path, value, data, places)


def _check_byte_order(path: Path, data: np.ndarray, entries: ZipEntries, name: str) -> None:
    if name not in entries.entries:
        return  # torch before 2.1 wrote none
    begin, length = entries.place(name)
    found = data[begin : begin + min(length, 16)].tobytes()
    if found != b"little":
        problem = f"found {found!r}, expected b'little'"
        raise FileError(path, problem, field=f"entry {name[:80]!r}", offset=begin)


def _check_overlap(path: Path, places: dict[str, tuple[int, int]]) -> None:
    end = 0
    for name, (begin, length) in sorted(places.items(), key=lambda item: item[1]):
        if begin < end and length:
            raise FileError(path, "overlaps the entry before", field=f"data {name}", offset=begin)
        end = max(end, begin + length)


def _open_legacy(path: Path, data: np.ndarray) -> TorchFile:
    at = 0

    def read(field: str) -> tuple[Any, PickleMachine]:
        nonlocal at
        text = data[at : at + MOST_PICKLE_BYTES].tobytes()
        machine = PickleMachine(path, text, field=field, base=at)
        value, used = machine.run()
        at += used
        return value, machine

    def bad(problem: str, field: str) -> NoReturn:
        raise FileError(path, problem, field=field, offset=at)

    magic, _ = read("magic number")
    if type(magic) is not int or magic != LEGACY_MAGIC:
        bad("is not torch's; the file is another kind of pickle", "magic number")
    version, _ = read("version")
    if type(version) is not int or version != LEGACY_VERSION:
        bad(f"is not {LEGACY_VERSION}", "version")
    system, _ = read("system")
    if type(system) is not dict or system.get("little_endian") is not True:
        bad("is not little-endian", "system")
    value, machine = read("pickle")
    keys, _ = read(_KEY_LIST)
    known = machine.storages
    plain = type(keys) is list and all(type(key) is str for key in keys)
    if not plain or len(set(keys)) != len(keys) or set(keys) != set(known):
        bad("does not name the storages of the pickle", _KEY_LIST)
    places = {}
    for key in keys:
        places[key] = _legacy_place(path, data, at, known[key])
        at = sum(places[key])
    if at != len(data):
        bad(f"has {len(data)} bytes, its storages end here", "file")
    return TorchFile(path, value, data, places)


def _legacy_place(path: Path, data: np.ndarray, at: int, storage: Storage) -> tuple[int, int]:
    """Return where a storage lies: a count of elements (8 bytes), then its bytes."""
    field = f"storage {storage.key!r}"
    count = int.from_bytes(data[at : at + 8].tobytes(), "little")
    if count != storage.count:
        raise FileError(
            path, f"has {count} numbers, its pickle says {storage.count}", field=field, offset=at
        )
    size = 1 if storage.dtype == UNTYPED else DTYPE_BYTES[storage.dtype]
    if count * size > len(data) - at - 8:
        problem = f"needs {count * size} bytes, {max(0, len(data) - at - 8)} are left in the file"
        raise FileError(path, problem, field=field, offset=at)
    return at + 8, count * size
