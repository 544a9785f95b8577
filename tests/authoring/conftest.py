"""Distributions put on sys.path as pip would leave them: quick, and with nothing else installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]


@attrs.frozen
class Place:
    """A folder of installed distributions."""

    folder: Path

    def add(self, project: Path, edits: Mapping[str, tuple[str, str]] | None = None) -> str:
        """Install the distribution of a folder; return its name.

        `edits` maps a file of its package to (old, new), which must be there once.
        """
        said = tomllib.loads((project / "pyproject.toml").read_text())
        name, version = said["project"]["name"], said["project"]["version"]
        (package,) = said["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        shutil.copytree(project / package, self.folder / package)
        for file, (old, new) in (edits or {}).items():
            path = self.folder / package / file
            text = path.read_text()
            assert text.count(old) == 1, f"{file} has {text.count(old)} of {old!r}"
            path.write_text(text.replace(old, new))
        info = self.folder / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        points = said["project"]["entry-points"]["synapse.v1"]
        lines = [f"{point} = {value}" for point, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[synapse.v1]", *lines]) + "\n")
        return str(name)

    def python(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with these distributions and the core."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SYNAPSE_")}
        return subprocess.run(
            [sys.executable, *arguments],
            env={**kept, "PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}", **environment},
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def synapse(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        code = f"from synapse_core.cli import main; main({list(arguments)!r})"
        return self.python("-c", code, stdin=stdin, **environment)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty folder of distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    return Place(folder)
