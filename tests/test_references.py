"""Where CI is true, a reference that is not there fails its tests; elsewhere they are skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.reference
def test_against_what_is_not_there():
    pytest.importorskip("no_such_reference")

@pytest.mark.reference
@pytest.mark.xfail(reason="known", strict=True)
def test_that_is_known_to_fail():
    assert False

def test_of_another_kind():
    pytest.skip("not for this machine")
"""
SETTINGS = '[tool.pytest.ini_options]\nmarkers = ["reference: compares"]\n'


@pytest.mark.parametrize(
    ("ci", "code", "counts"),
    [("true", 1, "1 failed, 1 skipped, 1 xfailed"), ("", 0, "2 skipped, 1 xfailed")],
)
def test_an_absent_reference_is_a_failure_where_ci_is_true(
    tmp_path: Path, ci: str, code: int, counts: str
) -> None:
    shutil.copy(Path(__file__).parents[1] / "conftest.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    environment = {**os.environ, "CI": ci}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert counts in done.stdout
    assert "no_such_reference" in done.stdout
