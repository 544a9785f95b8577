"""The small text files beside a checkpoint: tokenizer, special tokens, chat template."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synapse_core.errors import FileError, UsageError
from synapse_core.generate.gguf_vocabulary import (
    CORE_MODELS,
    MODEL,
    assets_of_gguf,
    vocabulary_of_gguf,
)
from synapse_core.generate.model_files import TOKENIZER_JSON, Files, MadeWhenAsked, text_of
from synapse_core.generate.readers import CORE, claiming_readers, gguf_reader, reader_named
from synapse_core.generate.sentencepiece_model import (
    MOST_MODEL_BYTES,
    Pieces,
    assets_of_sentencepiece,
    read_pieces,
)
from synapse_core.hookspecs import Registry
from synapse_core.loaders import Checkpoint
from synapse_core.loaders.json_bounds import PLAIN, TOKENIZER, JsonBounds, check_bounds

ASSETS = (
    TOKENIZER_JSON,
    "tokenizer_config.json",
    "generation_config.json",
    "config.json",
    "preprocessor_config.json",
    "chat_template.jinja",
)
# Characters are counted when it is used; each has four bytes at most.
MOST_TEMPLATE_BYTES = 1 << 20
HOST_KEY = "assets"
SENTENCEPIECE = "tokenizer.model"
# In the place of tokenizer.json: why there is none. A model whose tokenizer is not built still
# answers ids with logits, so the reason waits until a text is asked for.
REFUSED = "tokenizer.refused"
# Beside the files that a plugin's reader makes the tokenizer of: the reader's name.
READER = "tokenizer.reader"


def read_assets(
    checkpoint: Checkpoint, registry: Registry | None = None, tokenizer: str | None = None
) -> Files:
    """Return the texts of a checkpoint's tokenizer files, by name.

    A GGUF file has its tokenizer inside; whatever lies beside it belongs to others. Its vocabulary
    is checked when one of the files is first asked for: a model that only runs ids never does. A
    kind that the core does not read is read by the plugin's reader that names it, if there is one.
    `registry` and `tokenizer` are as of `read_folder`.

    Raises: FileError for a file that is no regular one, too big, or not UTF-8; UsageError for a
    tokenizer that is asked and cannot be this one's.
    """
    if checkpoint.source == "gguf" and not checkpoint.has_files:
        if tokenizer not in (None, CORE):
            raise UsageError(
                f"tokenizer {tokenizer!r} cannot be chosen: {checkpoint.path} has its own inside"
            )
        metadata, path = checkpoint.metadata, checkpoint.path
        return MadeWhenAsked(lambda: _or_reason(lambda: _inside(metadata, path, registry)))
    return read_folder(checkpoint.folder, registry, tokenizer)


def _inside(metadata: Mapping[str, Any], path: Path, registry: Registry | None) -> dict[str, str]:
    """Return the files of the tokenizer in a GGUF file: the core's, or of a plugin's reader."""
    model = metadata.get(MODEL)
    reader = None if model in CORE_MODELS else gguf_reader(model, registry)
    if reader is None:
        return assets_of_gguf(metadata, path)
    return {READER: reader.name, **reader.files_of_gguf(vocabulary_of_gguf(metadata, path))}


def read_folder(
    folder: Path, registry: Registry | None = None, tokenizer: str | None = None
) -> dict[str, str | bytes]:
    """Read those of the files that a folder has, as text.

    A `tokenizer.model` is read where there is no `tokenizer.json`; what a folder's own
    `tokenizer_config.json` says goes before what the model says. Files of a plugin's reader are
    read where it alone claims the folder, or `tokenizer` names it; "core" names the core's.

    Raises: FileError for one that is no regular file, too big, or not UTF-8; UsageError for a
    reader that is asked and whose files are not there.
    """
    files = {name: _read(folder / name) for name in ASSETS if (folder / name).exists()}
    if tokenizer is not None and tokenizer != CORE:
        return files | _asked(folder, tokenizer, registry)
    core = [name for name in (TOKENIZER_JSON, SENTENCEPIECE) if (folder / name).exists()]
    readers, problems = ({}, []) if tokenizer else claiming_readers(_has(folder), registry)
    if len(readers) + bool(core) > 1:
        claims = {CORE: core[0]} if core else {}
        claims |= {name: ", ".join(reader.files) for name, reader in readers.items()}
        told = " and ".join(f"{name!r} ({file})" for name, file in claims.items())
        options = " or ".join(f"--tokenizer {name}" for name in claims)
        files.pop(TOKENIZER_JSON, None)
        return {**files, REFUSED: f"several tokenizers claim this folder: {told}; say {options}"}
    if readers:
        return files | _asked(folder, next(iter(readers)), registry)
    if problems and not core:
        return {**files, REFUSED: f"no tokenizer.json, and {problems[0]}"}
    return _with_sentencepiece(folder, files)


def read_named(checkpoint: Checkpoint, name: str) -> dict[str, str | bytes]:
    """Read one of the files by its name, nothing where the checkpoint has none.

    Raises: FileError as `read_folder`.
    """
    inside = checkpoint.source == "gguf" and not checkpoint.has_files
    path = checkpoint.folder / name
    return {} if inside or not path.exists() else {name: _read(path)}


def _has(folder: Path) -> Callable[[str], bool]:
    return lambda name: (folder / name).exists()


def _asked(folder: Path, name: str, registry: Registry | None) -> dict[str, str | bytes]:
    """Return the reader's name and the texts of its files."""
    if registry is None:
        raise UsageError(f"tokenizer {name!r} is asked, and no registry was given to find it in")
    reader = reader_named(name, registry)
    missing = [file for file in reader.files if not (folder / file).exists()]
    if missing:
        raise UsageError(f"tokenizer {name!r} reads {missing[0]!r}, which {folder} does not have")
    return {READER: name, **{file: _read(folder / file) for file in reader.files}}


def _with_sentencepiece(folder: Path, files: dict[str, str | bytes]) -> dict[str, str | bytes]:
    model = folder / SENTENCEPIECE
    if TOKENIZER_JSON in files or not model.exists():
        return files
    data = _read_bytes(model, MOST_MODEL_BYTES)
    made = _or_reason(lambda: assets_of_sentencepiece(data, model), f"{SENTENCEPIECE}: ")
    config = "tokenizer_config.json"
    if config in files and config in made:
        made[config] = _merged(text_of(made, config), text_of(files, config))
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


def most_bytes(name: str) -> int:
    """Return how large one of the files may be."""
    return MOST_TEMPLATE_BYTES if name.endswith(".jinja") else bounds_of(name).file


def bounds_of(name: str) -> JsonBounds:
    """Return what parsing one of the files may take."""
    return TOKENIZER if name == TOKENIZER_JSON else PLAIN


def assets_of_host(host: Mapping[str, Any], file: object) -> dict[str, str | bytes]:
    """Take the files out of a program's JSON.

    Raises: FileError when they are not texts.
    """
    assets = host.get(HOST_KEY, {})
    if not isinstance(assets, dict) or not all(isinstance(v, str) for v in assets.values()):
        raise FileError(file, "expected texts by file name", field=f"host.{HOST_KEY}")
    return dict(assets)


def _or_reason(make: Callable[[], dict[str, str]], beside: str = "") -> dict[str, str | bytes]:
    """Make the files, or say why not; `beside` names a file that is not the model's own."""
    try:
        return dict(make())
    except FileError as error:
        return {REFUSED: beside + str(error).removeprefix(f"{error.file}: ")}


def _merged(made: str, own: str) -> str:
    """Return both configs as one; one that is no JSON object is left to its reader to refuse."""
    try:
        said = json.loads(own)
    except (ValueError, RecursionError):
        return own
    return json.dumps(json.loads(made) | said) if isinstance(said, dict) else own


def _read(path: Path) -> str | bytes:
    data = _read_bytes(path, most_bytes(path.name))
    if path.suffix == ".json":
        check_bounds(path, data, bounds_of(path.name))
    if path.name == TOKENIZER_JSON:
        return data
    try:
        return data.decode("utf-8")
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
