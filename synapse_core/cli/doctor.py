"""`synapse doctor`: is this installation sound?"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import attrs
import click

from synapse_core import __version__
from synapse_core.cli.output import json_option, print_json, print_table
from synapse_core.errors import CheckFailed
from synapse_core.plugins import default_host

OURS = "1!"
DEPENDENCIES = ("attrs", "click", "jinja2", "numpy", "pluggy", "rich", "safetensors", "tokenizers")


@attrs.frozen
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check Python, dependencies, plugins, compiler and cache."""
    findings = list(_look())
    if as_json:
        print_json({"findings": [attrs.asdict(finding) for finding in findings]})
    else:
        rows = [("ok" if f.ok else "FAULT", f.name, f.found) for f in findings]
        print_table(("", "what", "found"), rows)
    faults = [finding.name for finding in findings if not finding.ok]
    if faults:
        raise CheckFailed(f"{len(faults)} faults: {', '.join(faults)}")


def _look() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("python", sys.version_info >= (3, 11), f"{version} on {platform.platform()}")
    yield _distribution()
    for name in DEPENDENCIES:
        yield Finding(name, True, metadata.version(name))
    for report in default_host().reports:
        text = f"{report.distribution} {report.version}: {report.state} {report.reason}".strip()
        yield Finding(f"plugin {report.name}", not report.is_fault, text)
    compiler = importlib.util.find_spec("ziglang") is not None
    hint = "not installed; plugins with kernels of their own need: pip install 'synapse[kernels]'"
    yield Finding("kernel compiler", True, "ziglang" if compiler else hint)
    yield _cache()


def _distribution() -> Finding:
    """The public index has another project named synapse; ours carries the epoch 1!."""
    try:
        installed = metadata.version("synapse")
    except metadata.PackageNotFoundError:
        return Finding("synapse", True, f"{__version__}, run from its folder")
    if installed.startswith(OURS):
        return Finding("synapse", True, installed)
    return Finding("synapse", False, f"{installed} is another project; uninstall it, install ours")


def _cache() -> Finding:
    from platformdirs import user_cache_path

    folder = user_cache_path("synapse")
    place: Path = folder
    while not place.exists():
        place = place.parent
    return Finding("cache", os.access(place, os.W_OK), str(folder))
