"""From a path to an opened checkpoint, by whichever installed loader claims it."""

from __future__ import annotations

from pathlib import Path

from synapse_core.errors import FileError, PluginConflict, PluginError, UsageError
from synapse_core.families import Family
from synapse_core.formats import Formats
from synapse_core.hookspecs import Registry
from synapse_core.loaders import Checkpoint

PROGRAM_SUFFIX = ".syn"
PICKLE = "pytorch_model.bin"
PICKLE_INDEX = f"{PICKLE}.index.json"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth")


def is_program(path: Path) -> bool:
    """Whether a path names a compiled model; its content is checked when it is opened."""
    return path.suffix == PROGRAM_SUFFIX


def open_checkpoint(path: Path, registry: Registry) -> Checkpoint:
    """Open a checkpoint.

    Raises: FileError when there is nothing, or nothing that an installed loader reads.
    """
    if not path.exists():
        raise FileError(
            path, "does not exist; name a model folder or a .safetensors, .gguf or .syn file"
        )
    names = registry.names("weight_loader")
    for name in names:
        found = registry.get("weight_loader", name)
        loader = found() if isinstance(found, type) else found
        if loader.claims(path):
            checkpoint: Checkpoint = loader.open(path, Formats(registry))
            return checkpoint
    _refuse_pickles(path)
    kind = "folder" if path.is_dir() else "file"
    raise FileError(path, f"no installed loader reads this {kind}; there are: {', '.join(names)}")


def _refuse_pickles(path: Path) -> None:
    """Say what to do with weights that are a pickle."""
    found = [path] if path.suffix in PICKLE_SUFFIXES and path.is_file() else []
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in PICKLE_SUFFIXES)
        found = [file for file in found if file.name == PICKLE] or found
    if not found:
        return
    index = found[0].with_name(PICKLE_INDEX)
    whole = found[0].name == PICKLE
    named = index if index.exists() and not whole else found[0]
    target = found[0].with_name("model.safetensors")
    problem = f"is a pickle; `synapse import-pt {named} -o {target}` reads it without running it"
    if len(found) > 1 and named != index:
        problem = "is one of several pickles; `synapse import-pt` reads files one by one"
    raise FileError(found[0], problem)


def default_model(registry: Registry) -> Path:
    """Return the model that an installed family brings along; one that fails to import has none.

    Of several it is that of the highest `default_rank`, then of the first name.

    Raises: UsageError when none does.
    """
    found = [
        (-family.default_rank, name, family.default_checkpoint)
        for name in registry.names("model")
        if (family := _family(name, registry)) and family.default_checkpoint is not None
    ]
    if not found:
        advice = registry.advice("model", "")
        raise UsageError(f"no model is named and no installed plugin brings one{advice}")
    return Path(min(found, key=lambda entry: entry[:2])[2]())


def shipped_model(name: str, registry: Registry) -> Path | None:
    """Return the model that the family of this name brings along, None where there is none."""
    if name not in registry.names("model"):
        return None
    family = _family(name, registry)
    if family is None or family.default_checkpoint is None:
        return None
    return Path(family.default_checkpoint())


def _family(name: str, registry: Registry) -> Family | None:
    """Return a family by name, None where it fails to import."""
    try:
        family: Family = registry.get("model", name)
    except (PluginError, PluginConflict):
        return None
    return family
