"""Tools that the tests on other machines need: found, or missed by name."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest


def no_module(*names: str) -> str | None:
    """Say which Python module is not installed, or None."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed"
    return None


def no_program(name: str) -> str | None:
    """Say that a program is not on the path, or None."""
    return None if shutil.which(name) else f"{name} is not installed"


def demand(reason: str | None) -> None:
    """Skip a test by the name of its missing tool; fail it where CI is true."""
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
