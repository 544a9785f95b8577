"""A model's tokenizer without the model: no weight is read."""

from __future__ import annotations

from pathlib import Path

from synapse_core.api.source import is_program, open_checkpoint
from synapse_core.errors import UsageError
from synapse_core.generate import Tokenizer, assets_of_host, open_tokenizer, read_assets
from synapse_core.hookspecs import Registry
from synapse_core.program import open_program


def tokenizer_of(path: Path, registry: Registry, tokenizer: str | None = None) -> Tokenizer:
    """Return the tokenizer of a model; `tokenizer` names its reader where several claim the files.

    Raises: FileError for the model's files; UsageError for a `.syn`, which has its own.
    """
    if is_program(path):
        if tokenizer is not None:
            raise UsageError(f"{path} is compiled: tokenizer is fixed in it; compile it again")
        return open_tokenizer(assets_of_host(open_program(path).host, path), str(path), registry)
    assets = read_assets(open_checkpoint(path, registry), registry, tokenizer)
    return open_tokenizer(assets, str(path), registry)
