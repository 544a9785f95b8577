"""Build hook: compile the runtime into the wheel, so that users need no compiler.

The compiler is `ziglang`, a build requirement from the package index; nothing of the system is
used. The library has no Python in it: one wheel serves every Python 3 of its platform.
SYNAPSE_TARGET names another platform than this one, by the compiler's name for it.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent


class RuntimeBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Adds the compiled runtime and the platform's tag to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together; an editable install is one too."""
        if self.target_name != "wheel":
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{build_library(ROOT / 'synapse_backend_cpu')}"


def build_library(package: Path) -> str:
    """Compile into `_lib` by the package's own rules, and return the platform's tag.

    A library's name says what it is made of: one that is there is not made again, and builds of one
    checkout may run side by side.
    """
    recipe = runpy.run_path(str(package / "native" / "recipe.py"))
    target = os.environ.get("SYNAPSE_TARGET") or recipe["host_target"]()
    tags: dict[str, str] = recipe["PLATFORM_TAGS"]
    if target not in tags:
        sys.exit(f"SYNAPSE_TARGET={target}: there are {', '.join(tags)}")
    libraries = [recipe["runtime_library"](target, tier) for tier in recipe["tiers_of"](target)]
    recipe["build_into"](package / "_lib", libraries)
    return tags[target]


if __name__ == "__main__":
    sys.exit(f"built for {build_library(ROOT / 'synapse_backend_cpu')}")
