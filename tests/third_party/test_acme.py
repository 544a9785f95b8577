"""A stranger's distribution, installed in a fresh environment, is listed and runs everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.portable

ROOT = Path(__file__).parents[2]
ACME = Path(__file__).parent / "acme"
MACHINES = ROOT / "plugins" / "backend_cpu" / "tests"
TOOLS = ("pyelftools", "pytest", "unicorn", "wasmtime", "ziglang")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`python(*arguments)`: the interpreter of a fresh environment that has ours and acme."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=True)
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    clean = {key: value for key, value in os.environ.items() if key not in hidden}
    clean["SYNAPSE_CPU"] = "plain"  # whose bits every machine has

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(home / "bin" / "python"), *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=home,
            env={**clean, "XDG_CACHE_HOME": str(home / "cache"), **environment},
            capture_output=True,
            text=True,
        )

    done = run("-m", "pip", "install", "-q", ROOT, ROOT / "plugins" / "backend_cpu", ACME, *TOOLS)
    assert done.returncode == 0, done.stderr
    return run


def synapse(python: Run, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from synapse_core.cli import main; main()"
    return python("-c", code, *arguments, **environment)


def test_it_is_listed_with_what_it_brings(python: Run) -> None:
    listed = json.loads(synapse(python, "plugins", "--json").stdout)["plugins"]
    acme = next(plugin for plugin in listed if plugin["distribution"] == "synapse-acme")
    assert acme["state"] == "ok"
    brought = {(thing["kind"], thing["name"]) for thing in acme["provides"]}
    assert brought == {("op", "acme.scan"), ("attention", "acme_decay")}
    names = json.loads(synapse(python, "components", "attention", "--json").stdout)["components"]
    assert "acme_decay" in [component["name"] for component in names]


def test_it_runs_on_numpy_native_wasm_and_rv32_from_one_c_file(python: Run) -> None:
    done = python(Path(__file__).with_name("try_acme.py"), MACHINES)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(found) == ["cpu", "numpy", "rv32", "wasm32"]
    assert found["cpu"]["sha256"] == found["wasm32"]["sha256"] == found["rv32"]["sha256"]
    assert 0 < found["cpu"]["error"] < 1e-5


def test_without_a_compiler_its_op_is_refused_by_name_before_anything_runs(python: Run) -> None:
    code = (
        "import sys; sys.modules['ziglang'] = None; sys.path.insert(0, sys.argv[1])\n"
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "from try_acme import model\n"
        "import synapse_core as synapse\n"
        "try: synapse.registry().get('backend', 'cpu')().open(model().executable())\n"
        "except synapse.SynapseError as error: print(error.exit_code, error)\n"
    )
    done = python("-c", code, Path(__file__).parent, XDG_CACHE_HOME=os.devnull + "-none")
    assert "synapse[kernels]" in done.stdout + done.stderr
