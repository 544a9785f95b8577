"""Build hook: compile the ops' kernels into the wheel, so that users need no compiler.

It is done by the backend `cpu`'s own rules, where its sources lie beside this project. Elsewhere,
and in an editable install, a kernel is compiled when it is first used.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
CARRY = ROOT.parent / "backend_cpu" / "synapse_backend_cpu" / "native" / "carry.py"
KERNELS = {"rwkv.token_shift": "kernels/token_shift.c", "rwkv.wkv7": "kernels/wkv7.c"}


class KernelBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Adds the compiled kernels and the platform's tag to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together."""
        if self.target_name != "wheel" or version == "editable" or not CARRY.is_file():
            return
        carry = runpy.run_path(str(CARRY))["carry_kernels"]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{carry(ROOT / 'synapse_model_rwkv', KERNELS)}"
