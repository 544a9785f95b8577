"""Compiling the kernels of a plugin into its wheel; the build hook of one runs this file by path.

Uses the standard library only, as recipe.py does: nothing is installed yet. A kernel that is
carried is used where the runtime's headers are those it was compiled with; elsewhere it is compiled
on first use, as that of a plugin without this.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path


def carry_kernels(package: Path, kernels: Mapping[str, str]) -> str:
    """Compile kernels beside their sources, for every table; return the tag of the platform.

    `kernels` are C files below the package by the names of their ops, as "kernels/scan.c".
    SYNAPSE_TARGET names another platform than this one, by the compiler's name for it.
    """
    recipe = runpy.run_path(str(Path(__file__).with_name("recipe.py")))
    target = os.environ.get("SYNAPSE_TARGET") or recipe["host_target"]()
    tags: dict[str, str] = recipe["PLATFORM_TAGS"]
    if target not in tags:
        sys.exit(f"SYNAPSE_TARGET={target}: there are {', '.join(tags)}")
    sources = {name: package / file for name, file in sorted(kernels.items())}
    folders = {source.parent / recipe["CARRIED"] for source in sources.values()}
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for name, source in sources.items():
        for tier in recipe["tiers_of"](target):
            library = recipe["kernel_library"](recipe["kernel_symbol"](name), source, target, tier)
            output = source.parent / recipe["CARRIED"] / library.file
            recipe["build"](library.sources, library.options, output)
    return tags[target]
