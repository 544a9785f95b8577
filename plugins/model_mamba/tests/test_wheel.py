"""What a wheel carries compiled is what the ops ask for."""

from __future__ import annotations

import ast
from pathlib import Path

from synapse_core.plugins import default_host

HOOK = Path(__file__).parents[1] / "hatch_build.py"


def test_the_build_hook_compiles_every_op_of_the_plugin() -> None:
    tree = ast.parse(HOOK.read_text())
    (kernels,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "KERNELS"
    )
    host = default_host()
    names = [name for name in host.names("op") if name.startswith("mamba.")]
    assert kernels == {
        name: host.get("op", name).kernels["c"].removeprefix("synapse_model_mamba:")
        for name in names
    }
