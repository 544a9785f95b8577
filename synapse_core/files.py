"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from synapse_core.errors import FileError

try:
    import fcntl
except ImportError:  # Windows: an open file cannot be removed there, which serves as the lock
    fcntl = None  # type: ignore[assignment]

_HEX_BYTES = 6


def check_place(path: Path) -> None:
    """Check where a file is to be written, before its content is computed.

    Raises: FileError where `path` is a folder, or lies in none.
    """
    if path.is_dir():
        raise FileError(path, "is a folder; name a file to write")
    if not path.absolute().parent.is_dir():
        raise FileError(path, "cannot be written: its folder does not exist")


@contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing, and put it in its place when the block ends well.

    The new file has the mode that the umask gives; the old one stays untouched until then and on
    every error, and no other file is left behind. A process that is killed leaves its part
    (`.NAME.….part`); the next one that writes `path` removes it. A symbolic link is followed; a
    device or a pipe is written as the bytes come.

    Raises: FileError when the place cannot be written.
    """
    if path.is_dir():
        raise FileError(path, "is a folder; name a file to write")
    # Asked of the name as it is given: what /dev/stdout leads to may have none of its own.
    is_stream = path.exists() and not path.is_file()
    with (
        _saying_why(path),
        path.open("wb") if is_stream else _replacing(Path(os.path.realpath(path))) as file,
    ):
        yield file


@contextmanager
def _saying_why(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    _sweep(path)
    part, file = _open_part(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:  # while the lock holds, so that nobody sweeps it
                os.replace(part, path)
        if fcntl is None:
            os.replace(part, path)
        _sync_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()


@contextmanager
def write_folder(path: Path) -> Iterator[Path]:
    """Make a folder beside `path` to be filled, and put it in its place when the block ends well.

    On every error nothing is left behind. Files in it are to be written by `write_whole`.

    Raises: FileError where something lies there already, or the place cannot be written.
    """
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        raise FileError(path, "is there already; name a folder that is not")
    part = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
    try:
        part.mkdir()
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from error
    try:
        yield part
        if path.exists():
            path.rmdir()  # an empty one; not every system renames over it
        os.rename(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from error
    finally:
        if part.exists():
            shutil.rmtree(part)


def _open_part(path: Path) -> tuple[Path, BinaryIO]:
    """Open a new part and lock it."""
    while True:
        part = path.with_name(f".{path.name}.{os.urandom(_HEX_BYTES).hex()}.part")
        file = part.open("xb")
        # Another process may have swept it in the moment before it was locked.
        if not _lock(file) or _is_still(part, file):
            return part, file
        file.close()


def _sweep(path: Path) -> None:
    """Remove parts of `path` whose writers are gone: nobody holds their locks."""
    head, tail = f".{path.name}.", ".part"
    length = len(head) + 2 * _HEX_BYTES + len(tail)
    try:
        names = os.listdir(path.parent)
    except OSError:
        return  # writing there will say why
    for name in names:
        if len(name) == length and name.startswith(head) and name.endswith(tail):
            part = path.with_name(name)
            with suppress(OSError), part.open("r+b") as file:
                if _lock(file):
                    part.unlink()


def _lock(file: BinaryIO) -> bool:
    """Lock a file for as long as it is open; no if another process has it or none can."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_still(part: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.stat(part), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last, where folders can be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
