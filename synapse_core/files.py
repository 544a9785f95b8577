"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from synapse_core.errors import FileError


@contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` for writing, and put it in its place when the block ends well.

    The new file has the mode that the umask gives; the old one stays untouched until then and on
    every error, and no other file is left behind.

    Raises: FileError when the place cannot be written.
    """
    if path.is_dir():
        raise FileError(path, "is a folder; name a file to write")
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        file = part.open("xb")
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from error
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
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
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


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last, where folders can be opened (not on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
