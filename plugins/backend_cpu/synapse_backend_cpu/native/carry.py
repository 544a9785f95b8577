"""Compiling the kernels of a plugin into its wheel; the build hook of one runs this file by path.

Uses the standard library only, as recipe.py does: nothing is installed yet. A kernel that is
carried is used where the runtime's headers are those it was compiled with; elsewhere it is compiled
on first use, as that of a plugin without this.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
    carried: dict[Path, list[Any]] = {}
    for name, file in sorted(kernels.items()):
        source = package / file
        symbol = recipe["kernel_symbol"](name)
        carried.setdefault(source.parent / recipe["CARRIED"], []).extend(
            recipe["kernel_library"](symbol, source, target, tier)
            for tier in recipe["tiers_of"](target)
        )
    for folder, libraries in carried.items():
        recipe["build_into"](folder, libraries)
    return tags[target]
