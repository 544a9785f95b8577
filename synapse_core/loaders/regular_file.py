"""Opening files from outside: regular files only, and only where they may lie."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from synapse_core.errors import FileError


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading and give its size; a device or pipe is refused unread.

    Raises: FileError when there is none, it is something else, or it cannot be read.
    """
    # Without O_NONBLOCK opening a named pipe would wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise FileError(path, f"cannot be read: {reason}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)  # Python refuses to open a folder, in words of its own
        raise FileError(path, "is not a regular file")
    with open(descriptor, "rb") as file:
        yield file, found.st_size


def inside(folder: Path, name: str, asked_by: Path) -> Path:
    """Return the path of a file that another file names, which must lie in the folder itself.

    A symbolic link may lead within the folder, or, in a Hugging Face cache, from `snapshots/REV`
    to the `blobs` beside it.

    Raises: FileError naming the file that asked.
    """
    plain = name == PurePosixPath(name).name == PureWindowsPath(name).name
    if not plain or name in ("", ".", "..") or "\0" in name:
        raise FileError(asked_by, f"names file {name!r}; it must be a plain name in its folder")
    path = folder / name
    home = folder.resolve()
    allowed = [home]
    if home.parent.name == "snapshots":
        allowed.append(home.parent.parent / "blobs")
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise FileError(asked_by, f"names file {name!r}, which is not there") from None
    if real.parent not in allowed:
        raise FileError(asked_by, f"names file {name!r}, a link that leads out of its folder")
    return path
