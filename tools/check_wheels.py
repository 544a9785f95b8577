"""Build every wheel and judge what a user gets: a fresh environment, no checkout, no compiler.

python tools/check_wheels.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGINS = ("decoder", "mamba", "rwkv", "vision", "lewm")
PROJECTS = (".", *(f"plugins/model_{name}" for name in PLUGINS), "plugins/backend_cpu")


def main() -> None:
    """Build, install and try; leaves with 1 at the first thing that is not as it should be."""
    with tempfile.TemporaryDirectory() as scratch:
        wheels = Path(scratch) / "wheels"
        for project in PROJECTS:
            pip(sys.executable, "wheel", "-q", "--no-deps", "-w", str(wheels), str(ROOT / project))
        print(
            "built:", *sorted(f"{w.name} {w.stat().st_size}" for w in wheels.iterdir()), sep="\n  "
        )
        home = Path(scratch) / "fresh"
        venv.create(home, with_pip=True)
        python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
        extras = ",".join(("cpu", *PLUGINS))
        pip(python, "install", "-q", f"synapse[{extras}]", PIP_FIND_LINKS=str(wheels))
        judge(python, Path(scratch))
        for name in (*(f"synapse-model-{name}" for name in PLUGINS), "synapse-backend-cpu"):
            pip(python, "uninstall", "-q", "-y", name)
            call(python, "plugins", cwd=Path(scratch))
    print("1 passed, 0 failed")


def judge(python: Path, folder: Path) -> None:
    """Check that plugins are ok, ops run, the shipped model speaks, and all without a compiler."""
    listed = json.loads(call(python, "plugins", "--json", cwd=folder))["plugins"]
    states = {plugin["distribution"]: plugin["state"] for plugin in listed}
    wanted = {"synapse", "synapse-backend-cpu", *(f"synapse-model-{name}" for name in PLUGINS)}
    assert states == dict.fromkeys(wanted, "ok"), states
    assert "ziglang" not in pip(python, "list"), "ziglang is installed: nothing is proven"
    checked = call(python, "check", "synapse-model-rwkv", cwd=folder)
    assert "rwkv.wkv7: c kernel equals the reference" in checked, checked
    assert all(line.startswith("ok ") for line in checked.splitlines()), checked
    text = call(python, "run", "--backend", "cpu", "-p", "Once upon a time", "--echo", cwd=folder)
    assert text.startswith("Once upon a time there was"), text
    assert len(text.split()) > 20, text
    assert call(python, "run", "--seed", "1", cwd=folder).strip(), "nothing without a prompt"
    print("the shipped model says:", text.strip())


def pip(python: object, *arguments: str, **environment: str) -> str:
    """Run pip of an interpreter."""
    command = [str(python), "-m", "pip", *arguments]
    return _run(command, Path.cwd(), {**os.environ, **environment})


def call(python: Path, *arguments: str, cwd: Path) -> str:
    """Run `synapse` without PATH, so that no compiler can be found."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PATH", "PYTHONPATH")}
    code = "from synapse_core.cli import main; main()"
    return _run([str(python), "-c", code, *arguments], cwd, environment)


def _run(command: list[str], cwd: Path, environment: dict[str, str]) -> str:
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n{process.stdout}{process.stderr}")
    return process.stdout


if __name__ == "__main__":
    main()
