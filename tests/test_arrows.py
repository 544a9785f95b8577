"""Imports run one way: cli → api → generate → backends → program → … → errors."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "synapse_core"
PLUGINS = ROOT / "plugins"
LAYERS = (
    {"errors"},
    {"files"},
    {"hookspecs"},
    {"formats"},
    {"ops", "loaders"},
    {"graph"},
    {"components"},
    {"families"},
    {"passes"},
    {"program"},
    {"backends", "targets"},
    {"generate"},
    {"images"},
    {"api"},
    {"cli"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# These may import all of the core; only cli, api and each other may import them.
FREE = {"testing", "plugins", "authoring"}
PUBLIC = {name for names in LAYERS for name in names} - {"cli", "api"} | {"testing"}
RUNTIME = "synapse_backend_cpu"


def imports(path):
    """Yield (line, module) for every import in a file, nested ones too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield node.lineno, node.module


def layer_of(path):
    part = path.relative_to(CORE).parts[0]
    return part.removesuffix(".py")


def turned_back(layer, target):
    """Whether layer may not import target."""
    if layer in FREE or target == "" or target == layer:
        return False
    if target in FREE:
        return layer not in ("cli", "api")
    return RANK[target] >= RANK[layer]


def core_faults(path):
    for line, module in imports(path):
        top, _, rest = module.partition(".")
        if top.startswith("synapse_") and top != "synapse_core":
            yield f"{path}:{line}: the core imports a plugin, {module}"
        layer, target = layer_of(path), rest.partition(".")[0]
        if top == "synapse_core" and layer != "__init__" and turned_back(layer, target):
            yield f"{path}:{line}: {layer} imports {module}"


def plugin_faults(path, own, depends):
    for line, module in imports(path):
        top, _, rest = module.partition(".")
        if top == "synapse_core" and rest and rest not in PUBLIC:
            yield f"{path}:{line}: {module} is not public"
        other = top.startswith("synapse_") and top not in ("synapse_core", own)
        if other and not (top == RUNTIME and "synapse-backend-cpu" in depends):
            yield f"{path}:{line}: a plugin imports another, {module}"


@pytest.mark.parametrize(
    "path", sorted(CORE.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_core_s_arrows_run_one_way(path):
    assert list(core_faults(path)) == []


@pytest.mark.parametrize(
    "project", sorted(PLUGINS.glob("*/pyproject.toml")), ids=lambda p: p.parent.name
)
def test_plugin_imports_public_names_only(project):
    depends = project.read_text().split("dependencies", 1)[1].split("]", 1)[0]
    faults = []
    for package in project.parent.glob("synapse_*"):
        for path in package.rglob("*.py"):
            faults += plugin_faults(path, package.name, depends)
    assert faults == []


def test_every_layer_of_the_core_has_a_rank():
    found = {layer_of(path) for path in CORE.rglob("*.py")} - {"__init__"} - FREE
    assert found <= set(RANK)


def test_arrow_that_turns_back_is_found(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "CORE", tmp_path)
    bad = tmp_path / "graph" / "x.py"
    bad.parent.mkdir()
    bad.write_text("from synapse_core.passes import optimise\nimport synapse_model_mamba\n")
    assert len(list(core_faults(bad))) == 2


def test_private_name_in_a_plugin_is_found(tmp_path):
    bad = tmp_path / "x.py"
    bad.write_text("from synapse_core.ops.linear import LINEAR\nimport synapse_model_mamba\n")
    assert len(list(plugin_faults(bad, "synapse_acme", ""))) == 2
