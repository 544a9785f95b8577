"""Which family reads a checkpoint."""

from __future__ import annotations

from typing import Any

from synapse_core.errors import (
    MOST_FIELD,
    FileError,
    PluginConflict,
    PluginError,
    Unavailable,
    shortened,
)
from synapse_core.families.contract import Claim, Family
from synapse_core.hookspecs import Registry
from synapse_core.loaders import Checkpoint


def choose_family(checkpoint: Checkpoint, registry: Registry) -> Family:
    """Return the one installed family that claims the checkpoint.

    A family that cannot be imported is passed over, and named where no other claims.

    Raises: PluginConflict naming both when two claim it; Unavailable naming the architecture when
    none does; FileError when the checkpoint does not say what it is, or brings code that the
    family does not stand in for.
    """
    architecture = architecture_of(checkpoint)
    claimed: list[tuple[Family, Claim]] = []
    refused: list[str] = []
    failures: list[PluginError | PluginConflict] = []
    for name in registry.names("model"):
        try:
            family: Family = registry.get("model", name)
        except (PluginError, PluginConflict) as error:
            failures.append(error)
            continue
        claim = family.claim_of(checkpoint.source, architecture, checkpoint.metadata)
        if claim is not None:
            claimed.append((family, claim))
        elif architecture in family.refuses:
            refused.append(f"{family.refuses[architecture]}; family {name!r} does not read it")
    if len(claimed) > 1:
        names = " and ".join(repr(family.name) for family, _ in claimed)
        raise PluginConflict(
            f"{checkpoint.path}: architecture {architecture!r} is claimed by the families {names};"
            " disable one of their plugins (SYNAPSE_DISABLE_PLUGINS)"
        )
    if not claimed or not claimed[0][1].replaces_code:
        _check_code(checkpoint)
    if claimed:
        return claimed[0][0]
    if refused:
        raise Unavailable(f"{checkpoint.path}: architecture {architecture!r} is {refused[0]}")
    if failures:
        raise failures[0]
    if not architecture:
        raise FileError(config_file(checkpoint), "is missing", field="architectures")
    raise Unavailable(
        f"{checkpoint.path}: no installed family reads architecture"
        f" {shortened(repr(architecture), MOST_FIELD)}" + registry.advice("model", architecture)
    )


def architecture_of(checkpoint: Checkpoint) -> str:
    """Return the architecture that a checkpoint names, "" for a config.json without such a key.

    Raises: FileError for a name that is none.
    """
    if checkpoint.source == "gguf":
        return _text(checkpoint, "general.architecture", checkpoint.metadata)
    if "architectures" not in checkpoint.metadata:
        return ""
    found = checkpoint.metadata["architectures"]
    if not isinstance(found, list) or len(found) != 1:
        problem = f"found {found!r:.60}, expected a list of one name"
        raise FileError(config_file(checkpoint), problem, field="architectures")
    return _text(checkpoint, "architectures", {"architectures": found[0]})


def config_file(checkpoint: Checkpoint) -> str:
    """Return the file that a checkpoint's metadata is from, for errors."""
    if checkpoint.source == "gguf" and not checkpoint.has_files:
        return str(checkpoint.path)
    return str(checkpoint.folder / "config.json")


def _check_code(checkpoint: Checkpoint) -> None:
    if checkpoint.metadata.get("auto_map"):
        problem = "the model brings its own code, which is never run"
        raise FileError(config_file(checkpoint), problem, field="auto_map")


def _text(checkpoint: Checkpoint, key: str, values: Any) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value:
        raise FileError(config_file(checkpoint), f"found {value!r:.60}, expected a name", field=key)
    return value
