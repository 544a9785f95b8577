"""The small text files beside a checkpoint: tokenizer, special tokens, chat template."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synapse_core.errors import FileError
from synapse_core.generate.gguf_vocabulary import assets_of_gguf
from synapse_core.generate.sentencepiece_model import (
    MOST_MODEL_BYTES,
    Pieces,
    assets_of_sentencepiece,
    read_pieces,
)
from synapse_core.loaders import Checkpoint

ASSETS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "config.json",
    "chat_template.jinja",
)
MOST_ASSET_BYTES = 64 << 20
HOST_KEY = "assets"
SENTENCEPIECE = "tokenizer.model"
# In the place of tokenizer.json: why there is none. A model whose tokenizer is not built still
# answers ids with logits, so the reason waits until a text is asked for.
REFUSED = "tokenizer.refused"


def read_assets(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the texts of a checkpoint's tokenizer files, by name.

    A GGUF file has its tokenizer inside; whatever lies beside it belongs to others.

    Raises: FileError for a file that is no regular one, too big, or not UTF-8.
    """
    if checkpoint.source == "gguf" and not checkpoint.has_files:
        return _or_reason(lambda: assets_of_gguf(checkpoint.metadata, checkpoint.path))
    return read_folder(checkpoint.folder)


def read_folder(folder: Path) -> dict[str, str]:
    """Read those of the files that a folder has, as text.

    A `tokenizer.model` is read where there is no `tokenizer.json`; what a folder's own
    `tokenizer_config.json` says goes before what the model says.

    Raises: FileError for one that is no regular file, too big, or not UTF-8.
    """
    files = {name: _read(folder / name) for name in ASSETS if (folder / name).exists()}
    model = folder / SENTENCEPIECE
    if "tokenizer.json" in files or not model.exists():
        return files
    data = _read_bytes(model, MOST_MODEL_BYTES)
    made = _or_reason(lambda: assets_of_sentencepiece(data, model))
    config, own = "tokenizer_config.json", files.get("tokenizer_config.json")
    if own is not None and config in made:
        made[config] = _merged(made[config], own)
    return files | made


def read_scores(folder: Path) -> Pieces | None:
    """Read the pieces of a folder's `tokenizer.model`; None where it has none that is built.

    Raises: FileError for one that is no regular file, or too big.
    """
    model = folder / SENTENCEPIECE
    if not model.exists():
        return None
    data = _read_bytes(model, MOST_MODEL_BYTES)
    try:
        return read_pieces(data, model)
    except FileError:
        return None  # the tokenizer.json beside it is what counts


def assets_of_host(host: Mapping[str, Any], file: object) -> dict[str, str]:
    """Take the files out of a program's JSON.

    Raises: FileError when they are not texts.
    """
    assets = host.get(HOST_KEY, {})
    if not isinstance(assets, dict) or not all(isinstance(v, str) for v in assets.values()):
        raise FileError(file, "expected texts by file name", field=f"host.{HOST_KEY}")
    return dict(assets)


def _or_reason(make: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        return make()
    except FileError as error:
        return {REFUSED: str(error).removeprefix(f"{error.file}: ")}


def _merged(made: str, own: str) -> str:
    """Return both configs as one; one that is no JSON object is left to its reader to refuse."""
    try:
        said = json.loads(own)
    except (ValueError, RecursionError):
        return own
    return json.dumps(json.loads(made) | said) if isinstance(said, dict) else own


def _read(path: Path) -> str:
    try:
        return _read_bytes(path, MOST_ASSET_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(path, f"not UTF-8: {error.reason}", offset=error.start) from None


def _read_bytes(path: Path, most: int) -> bytes:
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FileError(path, "not a regular file")
            if found.st_size > most:
                raise FileError(path, f"{found.st_size} bytes; at most {most}")
            return file.read(most + 1)
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from error


def _open_without_waiting(path: str, flags: int) -> int:
    """Open so that a pipe in a file's place cannot make us wait."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
