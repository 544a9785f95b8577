"""Small distributions on disk: what `pip install` leaves behind, made by hand."""

import subprocess
import sys
import textwrap

import pytest

GOOD = """
    from synapse_core.hookspecs import Provides, hookimpl

    @hookimpl
    def synapse_attention():
        return (Provides("attention", "{name}", "{module}_parts:Thing", "A thing."),)
"""


@pytest.fixture
def site(tmp_path):
    """A folder to put on sys.path, and a function that installs a distribution into it."""
    return Site(tmp_path)


class Site:
    def __init__(self, folder):
        self.folder = folder

    def install(self, distribution, source, *, plugin=None, group="synapse.v1", version="1.0"):
        """Install a distribution whose one module has this source, and return its name."""
        module = distribution.replace("-", "_")
        plugin = plugin or module
        (self.folder / f"{module}.py").write_text(
            textwrap.dedent(source).replace("{module}", module).replace("{name}", plugin)
        )
        (self.folder / f"{module}_parts.py").write_text("class Thing:\n    pass\n")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[{group}]\n{plugin} = {module}\n")
        return plugin

    def python(self, code, *options, **environment):
        """Run Python with this folder on its path; return the finished process."""
        return subprocess.run(
            [sys.executable, *options, "-c", textwrap.dedent(code)],
            env={**_environment(), "PYTHONPATH": f"{self.folder}:{_root()}", **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def synapse(self, *arguments, **environment):
        """Run the command line."""
        code = f"from synapse_core.cli import main; main({list(arguments)!r})"
        return self.python(code, **environment)


def _root():
    from pathlib import Path

    return Path(__file__).parents[2]


def _environment():
    import os

    return {k: v for k, v in os.environ.items() if not k.startswith("SYNAPSE_")}
