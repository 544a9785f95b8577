"""One of every kind, and the page's plugin, installed by pip in a fresh environment."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from synapse_core.authoring import create_plugin
from synapse_core.hookspecs import KINDS
from synapse_core.plugins import default_host

from .page import WALK
from .uses import MAKE_CHECKPOINT, USES, shows

pytestmark = pytest.mark.fresh

ROOT = Path(__file__).parents[2]
OURS = (ROOT, ROOT / "plugins" / "backend_cpu")
TOOLS = ("hatchling>=1.25", "pytest>=8", "ziglang>=0.13")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fresh environment that has the core, the native backend and the tools."""
    return tmp_path_factory.mktemp("fresh")


@pytest.fixture(scope="module")
def run(home: Path) -> Run:
    """`run(*command)`: a command of the environment; nothing of the checkout is seen."""
    venv.create(home / "env", with_pip=True)
    scripts = home / "env" / ("Scripts" if os.name == "nt" else "bin")
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {k: v for k, v in os.environ.items() if k not in hidden and k[:8] != "SYNAPSE_"}
    path = f"{scripts}{os.pathsep}{kept.get('PATH', '')}"
    environment = {**kept, "PATH": path, "XDG_CACHE_HOME": str(home / "cache")}

    def run(*command: object) -> subprocess.CompletedProcess[str]:
        name, *arguments = map(str, command)
        return subprocess.run(
            [str(scripts / name), *arguments],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
        )

    done = run("pip", "install", "-q", *OURS, *TOOLS)
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture(scope="module")
def generated(home: Path, run: Run) -> dict[str, Path]:
    """A new plugin of every kind, written by the installed command line and installed by pip."""
    folders = {kind: home / f"new-{kind}" for kind in KINDS}
    for kind, folder in folders.items():
        done = run("synapse", "new-plugin", kind, "mine", "-o", folder)
        assert done.returncode == 0, done.stderr
    plain = ("--no-build-isolation", "--no-deps")
    done = run("pip", "install", "-q", *plain, *folders.values())
    assert done.returncode == 0, done.stderr
    return folders


def test_the_installed_templates_are_those_of_the_checkout(tmp_path, generated) -> None:
    for kind, folder in generated.items():
        made = create_plugin(kind, "mine", tmp_path / kind, default_host())
        for file in made.files:
            assert (folder / file).read_text() == (made.folder / file).read_text()


def test_one_of_every_kind_is_listed(run: Run, generated) -> None:
    listed = json.loads(run("synapse", "plugins", "--json").stdout)["plugins"]
    states = {plugin["name"]: plugin["state"] for plugin in listed}
    assert {f"{kind}_mine": states.get(f"{kind}_mine") for kind in generated} == {
        f"{kind}_mine": "ok" for kind in KINDS
    }


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_every_kind_keeps_its_contracts_with_none_skipped(run: Run, generated, kind) -> None:
    done = run("synapse", "check", f"synapse-{kind}-mine".replace("_", "-"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}


@pytest.fixture(scope="module")
def checkpoint(run: Run, generated: dict[str, Path]) -> None:
    """The checkpoint of a family put together from them, in the folder where commands run."""
    plain = ("--no-build-isolation", "--no-deps")
    done = run("pip", "install", "-q", *plain, Path(__file__).parent / "all_parts")
    assert done.returncode == 0, done.stderr
    done = run(*MAKE_CHECKPOINT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_every_kind_is_used_by_its_verb(run: Run, checkpoint, kind) -> None:
    for command, said in USES[kind]:
        done = run(*command)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert shows(done.stdout, said), f"{command}\n{done.stdout}"


def test_the_tests_that_come_with_them_pass(run: Run, generated) -> None:
    folders = [folder / "tests" for folder in generated.values()]
    done = run("pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *folders)
    assert done.returncode == 0, done.stdout


def test_every_command_of_the_page_ends_well(home: Path, run: Run) -> None:
    WALK.write(home)
    for line in WALK.commands:
        done = run(*line.split())
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    done = run("pytest", "-q", "-p", "no:cacheprovider", "test_walk.py")
    assert done.returncode == 0, done.stdout
