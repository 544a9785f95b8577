"""From a path to an opened checkpoint, by whichever installed loader claims it."""

from __future__ import annotations

from pathlib import Path

from synapse_core.errors import FileError, UsageError
from synapse_core.hookspecs import Registry
from synapse_core.loaders import Checkpoint

PROGRAM_SUFFIX = ".syn"


def is_program(path: Path) -> bool:
    """Whether a path names a compiled model; its content is checked when it is opened."""
    return path.suffix == PROGRAM_SUFFIX


def open_checkpoint(path: Path, registry: Registry) -> Checkpoint:
    """Open a checkpoint.

    Raises: FileError when there is nothing, or nothing that an installed loader reads.
    """
    if not path.exists():
        raise FileError(path, "does not exist; name a model folder, a .safetensors or a .syn file")
    names = registry.names("weight_loader")
    for name in names:
        found = registry.get("weight_loader", name)
        loader = found() if isinstance(found, type) else found
        if loader.claims(path):
            checkpoint: Checkpoint = loader.open(path)
            return checkpoint
    kind = "folder" if path.is_dir() else "file"
    raise FileError(path, f"no installed loader reads this {kind}; there are: {', '.join(names)}")


def default_model(registry: Registry) -> Path:
    """Return the model that an installed family brings along.

    Raises: UsageError when none does.
    """
    for name in registry.names("model"):
        found = getattr(registry.get("model", name), "default_checkpoint", None)
        if found is not None:
            return Path(found() if callable(found) else found)
    raise UsageError(
        "no model is named and no installed plugin brings one; `pip install 'synapse[decoder]'`"
    )
