"""Tokenizers that plugins bring: readers of files of their own in a model's folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from synapse_core.errors import PluginConflict, PluginError
from synapse_core.generate.tokenizer import Tokenizer
from synapse_core.generate.vocabulary import Vocabulary
from synapse_core.hookspecs import Registry

KIND = "tokenizer"
# What `--tokenizer` calls the core's own, of tokenizer.json, tokenizer.model or a GGUF file.
CORE = "core"


class TokenizerReader(Protocol):
    """Makes a tokenizer of text files in a model's folder; a plugin's `tokenizer` provides it.

    `files` are the names of those that it needs, of no other reader's and none of the core's. A
    folder that has them all is claimed.
    """

    @property
    def name(self) -> str:
        """What `--tokenizer` calls it."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """The names of its files."""
        ...

    def read(self, files: Mapping[str, str], where: str) -> Tokenizer:
        """Return the tokenizer of a model's texts by file name: its own, config.json and others.

        `where` is the model, for messages. The files are input from outside.
        Raises: FileError naming the file and what is wrong with it.
        """
        ...


class GgufReader(TokenizerReader, Protocol):
    """A reader that knows what the core does not: a kind of tokenizer inside GGUF files."""

    @property
    def gguf_model(self) -> str:
        """What such files call it: their `tokenizer.ggml.model`."""
        ...

    def files_of_gguf(self, vocabulary: Vocabulary) -> Mapping[str, str]:
        """Return its own files by name, made of a file's tokens; `read` gets them.

        The vocabulary is checked, its tokens are input from outside.
        Raises: FileError naming `vocabulary.field` and the token.
        """
        ...


def reader_named(name: str, registry: Registry) -> TokenizerReader:
    """Return an installed reader; `name@distribution` picks among two providers.

    Raises: UnknownComponent, PluginConflict; PluginError where it names no files it could read.
    """
    found = registry.get(KIND, name)
    reader: TokenizerReader = found() if isinstance(found, type) else found
    files = getattr(reader, "files", None)
    plain = isinstance(files, tuple) and all(
        isinstance(file, str) and file and not set(file) & set("/\\\0") for file in files
    )
    if not files or not plain:
        raise PluginError(f"tokenizer {name!r} must say the names of its files, found {files!r}")
    return reader


def claiming_readers(
    has: Callable[[str], bool], registry: Registry | None
) -> tuple[dict[str, TokenizerReader], list[str]]:
    """Return the readers all of whose files are there, by name, and why others could not be asked.

    A reader that cannot be used is no obstacle to a model that has nothing for it.
    """
    found: dict[str, TokenizerReader] = {}
    problems: list[str] = []
    for name in registry.names(KIND) if registry is not None else ():
        assert registry is not None
        try:
            reader = reader_named(name, registry)
        except (PluginError, PluginConflict) as error:
            problems.append(str(error))
            continue
        if all(has(file) for file in reader.files):
            found[name] = reader
    return found, problems


def gguf_reader(model: object, registry: Registry | None) -> GgufReader | None:
    """Return the reader that knows a `tokenizer.ggml.model`, None where none is installed.

    Raises: PluginConflict naming both where there are two.
    """
    readers, _ = claiming_readers(lambda file: True, registry)
    found: list[Any] = [r for r in readers.values() if getattr(r, "gguf_model", None) == model]
    if len(found) > 1:
        names = " and ".join(repr(reader.name) for reader in found)
        raise PluginConflict(
            f"tokenizer {model!r:.40} of a GGUF file is read by {names};"
            " disable one of their plugins (SYNAPSE_DISABLE_PLUGINS)"
        )
    return found[0] if found and isinstance(model, str) else None


def reader_files(registry: Registry | None) -> tuple[str, ...]:
    """Return the names of the files that installed readers read."""
    readers, _ = claiming_readers(lambda file: True, registry)
    return tuple(dict.fromkeys(file for reader in readers.values() for file in reader.files))
