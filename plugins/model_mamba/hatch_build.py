"""Build hook: compile the ops' kernels into the wheel, so that users need no compiler.

The rules are those of the backend `cpu`, taken from the checkout. Away from it the wheel is pure
Python, and kernels are compiled on first use.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
RULES = ROOT.parent / "backend_cpu" / "synapse_backend_cpu" / "native" / "carry.py"
KERNELS = {
    "mamba.conv1d_causal": "kernels/conv1d_causal.c",
    "mamba.gated_rmsnorm": "kernels/gated_rmsnorm.c",
    "mamba.selective_scan": "kernels/scan.c",
    "mamba.ssd_scan": "kernels/scan.c",
}


class KernelBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Adds the compiled kernels and the platform's tag to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together; who edits the sources compiles on first use."""
        if self.target_name != "wheel" or version == "editable" or not RULES.is_file():
            return
        carry = runpy.run_path(str(RULES))["carry_kernels"]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{carry(ROOT / 'synapse_model_mamba', KERNELS)}"
