"""Models by their names on the hub: which files are pulled, and where they lie in its cache."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import attrs

from synapse_core.api.hub_access import access
from synapse_core.api.hub_files import choose_files
from synapse_core.errors import FileError, Unavailable, UsageError
from synapse_core.generate import reader_files
from synapse_core.hookspecs import Registry
from synapse_core.loaders.json_file import read_json
from synapse_core.loaders.regular_file import inside
from synapse_core.loaders.safetensors import CONFIG, INDEX, SINGLE, SUFFIX
from synapse_core.plugins import default_host

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_REVISION = r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}"
_NAME = re.compile(rf"({_PART})/({_PART})(?:@({_REVISION}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
DEFAULT_REVISION = "main"


@attrs.frozen
class HubName:
    """`ORG/NAME` or `ORG/NAME@REVISION`: a branch, a tag or a commit."""

    organisation: str
    name: str
    revision: str = DEFAULT_REVISION

    @classmethod
    def parse(cls, text: str) -> HubName | None:
        """Read a name; None where it is none."""
        found = _NAME.fullmatch(text)
        if found is None or ".." in text or "--" in text:
            return None
        return cls(found[1], found[2], found[3] or DEFAULT_REVISION)

    @property
    def repository(self) -> str:
        """Its name without the revision."""
        return f"{self.organisation}/{self.name}"

    def __str__(self) -> str:
        if self.revision == DEFAULT_REVISION:
            return self.repository
        return f"{self.repository}@{self.revision}"


@attrs.frozen
class Pulled:
    """A model in the cache. `path` is what to run: its folder, or a file in it."""

    name: HubName
    commit: str
    path: Path
    files: tuple[Path, ...]


def name_of(text: str) -> HubName | None:
    """Return the name on the hub that a MODEL is; None where it is a path.

    It is a path when it exists, or when its first part is a folder here.
    """
    name = HubName.parse(text)
    if name is None or Path(text).exists() or Path(name.organisation).is_dir():
        return None
    return name


def find_model(text: str) -> Path | HubName:
    """Return where a MODEL lies: its path, or that in the hub's cache; a name is not there yet.

    Raises: FileError for what is no path here where hub names cannot be looked up; UsageError
    when several files in the cache could be meant.
    """
    name = name_of(text)
    if name is None:
        return Path(text)
    try:
        return find_cached(name) or name
    except Unavailable as error:
        raise FileError(text, f"does not exist here; {error}") from None


def pull(
    name: HubName,
    *,
    pattern: str | None = None,
    progress: bool = False,
    registry: Registry | None = None,
) -> Pulled:
    """Download a model into the hub's cache, or find it there; files that are whole are kept.

    The branch's name is written last, so that an interrupted pull never passes for a model.

    Raises: Unavailable (no package, no network, gated), UsageError (no such model, a choice to
    make), FileError (no weights that a loader reads, a cache that cannot be written).
    """
    more = reader_files(registry or default_host())
    with access(str(name), progress=progress) as hub:
        if hub.offline:
            folder = _snapshot(Path(hub.cache), name)
            if folder is None:
                raise Unavailable(f"{name} is not in the cache and HF_HUB_OFFLINE is set")
            names: Iterable[str] = sorted(path.name for path in folder.iterdir())
            companions, weights = choose_files(str(name), names, pattern, more)
        else:
            commit, names = hub.list_files(name.repository, name.revision)
            companions, weights = choose_files(str(name), names, pattern, more)
            hub.download(name.repository, commit, companions)
            hub.download(name.repository, commit, weights)
            folder = hub.download(name.repository, name.revision, (*companions, *weights))
    files = tuple(inside(folder, file, folder) for file in (*companions, *weights))
    path = folder
    if len(weights) == 1 and weights[0] != SINGLE:
        path = folder / weights[0]
    return Pulled(name, folder.name, path, files)


def find_cached(name: HubName) -> Path | None:
    """Return what to run of a model that was pulled; None when it was not, or not as a whole.

    Raises: Unavailable without huggingface_hub; UsageError when several files could be meant.
    """
    with access(str(name)) as hub:
        folder = _snapshot(Path(hub.cache), name)
    return None if folder is None else _model_in(folder, name)


def _snapshot(cache: Path, name: HubName) -> Path | None:
    """Find a snapshot: CACHE/models--ORG--NAME/snapshots/COMMIT, by a commit or refs/REVISION."""
    home = cache / f"models--{name.organisation}--{name.name}"
    commit = name.revision
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (home / "refs" / name.revision).read_bytes()[:64].decode("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
    folder = home / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and folder.is_dir() else None


def _model_in(folder: Path, name: HubName) -> Path | None:
    if (folder / CONFIG).exists():
        if (folder / SINGLE).exists():
            return folder
        if (folder / INDEX).exists() and _has_shards(folder):
            return folder
    found = sorted(p for p in folder.iterdir() if p.suffix in (SUFFIX, ".gguf") and p.exists())
    if (folder / INDEX).exists():
        found = [path for path in found if path.suffix == ".gguf"]
    if len(found) > 1:
        files = ", ".join(path.name for path in found[:8])
        raise UsageError(
            f"{name} has several files here: {files}; name one by its path: {folder}/…"
        )
    return found[0] if found else None


def _has_shards(folder: Path) -> bool:
    try:
        shards = read_json(folder / INDEX).get("weight_map")
        for shard in set(shards.values()) if isinstance(shards, dict) else ():
            inside(folder, str(shard), folder / INDEX)
    except (FileError, TypeError):
        return False
    return True
