"""Which of a repository's files are pulled: weights that a loader reads, and what they need."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from synapse_core.errors import FileError, UsageError
from synapse_core.generate.assets import ASSETS
from synapse_core.loaders.safetensors import INDEX, SINGLE, SUFFIX

GGUF = ".gguf"
_SHARDS = f"model-?????-of-?????{SUFFIX}"
_SHOWN = 8

Files = tuple[str, ...]


def choose_files(
    model: str, names: Iterable[str], pattern: str | None, more: Collection[str] = ()
) -> tuple[Files, Files]:
    """Return the companions (configs, tokenizer, template) and the weights to pull.

    Weights are those that `pattern` matches; without one, the first of these that there is:
    model.safetensors, its shards, the only .safetensors, the only .gguf. `more` are names of other
    companions, those that plugins' tokenizers read. Nothing else is ever pulled, no pickle and no
    code, and nothing out of a folder within the repository.

    Raises: UsageError when a choice is left or the pattern matches none; FileError when there are
    no weights.
    """
    here = sorted(name for name in set(names) if "/" not in name and "\\" not in name)
    readable = [name for name in here if name.endswith((SUFFIX, GGUF))]
    if not readable:
        raise FileError(model, f"has no weights to pull (safetensors or GGUF){_pickles(here)}")
    weights = _matching(model, here, pattern) if pattern else _default(model, readable)
    companions = [name for name in here if name in ASSETS or name in more]
    sharded = any(name.endswith(SUFFIX) and name != SINGLE for name in weights)
    if sharded and INDEX in here:
        companions.append(INDEX)
    return tuple(companions), tuple(weights)


def _matching(model: str, here: list[str], pattern: str) -> list[str]:
    found = [name for name in here if fnmatchcase(name, pattern)]
    weights = [name for name in found if name.endswith((SUFFIX, GGUF))]
    if not weights:
        what = f"only {_listed(found)}: no weights" if found else "nothing"
        raise UsageError(f"--file {pattern!r} matches {what} in {model}")
    return weights


def _default(model: str, readable: list[str]) -> list[str]:
    if SINGLE in readable:
        return [SINGLE]
    shards = [name for name in readable if fnmatchcase(name, _SHARDS)]
    if shards:
        return shards
    for suffix in (SUFFIX, GGUF):
        found = [name for name in readable if name.endswith(suffix)]
        if len(found) == 1:
            return found
        if found:
            raise UsageError(f"{model} has {_listed(found)}; choose with --file NAME or PATTERN")
    raise AssertionError("readable names end with one of the two")


def _pickles(here: list[str]) -> str:
    found = [name for name in here if name.endswith((".bin", ".pt", ".pth"))]
    if not found:
        return ""
    return f"; it has {_listed(found)}: pickles, which `synapse import-pt` reads once you have them"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(ascii(name[:80])[1:-1] for name in names[:_SHOWN]) + more
