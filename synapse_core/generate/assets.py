"""The small text files beside a checkpoint: tokenizer, special tokens, chat template."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synapse_core.errors import FileError

ASSETS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "config.json",
    "chat_template.jinja",
)
MOST_ASSET_BYTES = 64 << 20
HOST_KEY = "assets"


def read_assets(folder: Path) -> dict[str, str]:
    """Read those of the files that a folder has, as text.

    Raises: FileError for one that is no regular file, too big, or not UTF-8.
    """
    return {name: _read(folder / name) for name in ASSETS if (folder / name).exists()}


def assets_of_host(host: Mapping[str, Any], file: object) -> dict[str, str]:
    """Take the files out of a program's JSON.

    Raises: FileError when they are not texts.
    """
    assets = host.get(HOST_KEY, {})
    if not isinstance(assets, dict) or not all(isinstance(v, str) for v in assets.values()):
        raise FileError(file, "expected texts by file name", field=f"host.{HOST_KEY}")
    return dict(assets)


def _read(path: Path) -> str:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FileError(path, "not a regular file")
            if found.st_size > MOST_ASSET_BYTES:
                raise FileError(path, f"{found.st_size} bytes; at most {MOST_ASSET_BYTES}")
            return file.read(MOST_ASSET_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileError(path, f"not UTF-8: {error.reason}", offset=error.start) from None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open so that a pipe in a file's place cannot make us wait."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
