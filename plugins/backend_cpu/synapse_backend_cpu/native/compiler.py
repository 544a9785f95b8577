"""Finding a compiled library: in the package, in the user's cache, or by compiling it now."""

from __future__ import annotations

from pathlib import Path

from synapse_backend_cpu.native import recipe
from synapse_core.errors import Unavailable

PACKAGED = recipe.PACKAGE / recipe.CARRIED


def target() -> str:
    """Return the compiler's name for this machine.

    Raises: Unavailable on a system that the runtime has no host for.
    """
    found = recipe.host_target()
    if found is None:
        raise Unavailable("backend 'cpu' has no host for this system yet; use --backend numpy")
    return found


def compiled(library: recipe.Library, packaged: Path = PACKAGED) -> Path:
    """Return the library's file; compiled now if neither `packaged` nor the cache has it.

    Raises: Unavailable when there is no compiler, or it refuses the source.
    """
    if (packaged / library.file).is_file():
        return packaged / library.file
    cached = cache_folder() / library.file
    if cached.is_file():
        return cached
    try:
        return recipe.build(library.sources, library.options, cached)
    except recipe.CompileError as error:
        raise Unavailable(str(error)) from error


def cache_folder() -> Path:
    """Return the folder for compiled kernels, private to the user."""
    from platformdirs import user_cache_path

    folder = user_cache_path("synapse") / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
