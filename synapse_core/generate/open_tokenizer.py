"""From a model's files to its tokenizer: the core's own, or one that a plugin's reader makes."""

from __future__ import annotations

from synapse_core.errors import FileError, Unavailable, UnknownComponent
from synapse_core.generate.assets import READER
from synapse_core.generate.model_files import TOKENIZER_JSON, Files, text_of
from synapse_core.generate.readers import reader_named
from synapse_core.generate.tokenizer import Tokenizer
from synapse_core.generate.tokenizer_json import load_tokenizer
from synapse_core.hookspecs import Registry


def has_tokenizer(assets: Files) -> bool:
    """Whether a model's files have a tokenizer in them, good or bad."""
    return READER in assets or TOKENIZER_JSON in assets


def open_tokenizer(assets: Files, where: str, registry: Registry) -> Tokenizer:
    """Return the tokenizer of a model's files; `where` is the model, for messages.

    Raises: FileError for a file that is missing or wrong; Unavailable where the reader that it was
    compiled with is not installed.
    """
    if READER not in assets:
        return load_tokenizer(assets, where)
    name = text_of(assets, READER)
    try:
        reader = reader_named(name, registry)
    except UnknownComponent as error:
        raise Unavailable(f"{where}: its tokenizer is read by a plugin: {error}") from None
    missing = [file for file in reader.files if file not in assets]
    if missing:
        raise FileError(where, f"missing; tokenizer {name!r} reads it", field=missing[0])
    texts = {file: text_of(assets, file) for file in assets if file != READER}
    return reader.read(texts, where)
