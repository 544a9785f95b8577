"""Kernels that a plugin's wheel carries compiled."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest
from synapse_backend_cpu.native import recipe
from synapse_backend_cpu.native.kernels import compile_kernel
from synapse_backend_cpu.native.library import tier
from synapse_backend_cpu.native.recipe import CompileError, host_target, tiers_of

from synapse_core.errors import Unavailable

from .fuzz_harness import SCAN

NAME, FILE = "acme.scan", "kernels/scan.c"
HOOK = recipe.PACKAGE / "native" / "carry.py"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "kernels").mkdir()
    shutil.copy(SCAN, tmp_path / FILE)
    return tmp_path


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    def refuse(*_: object) -> Path:
        raise CompileError("nothing is compiled here")

    monkeypatch.setattr(recipe, "build", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def carried(package: Path) -> Path:
    tag = runpy.run_path(str(HOOK))["carry_kernels"](package, {NAME: FILE})
    assert tag == recipe.PLATFORM_TAGS[host_target()]
    return package


def test_there_is_one_for_every_table_and_no_compiler_is_asked(
    carried: Path, no_compiler: None
) -> None:
    tables = tiers_of(host_target())
    found = {compile_kernel(NAME, carried / FILE, table) for table in tables}
    assert len(found) == len(tables)
    assert {path.parent for path in found} == {carried / "kernels" / recipe.CARRIED}


def test_what_was_compiled_of_another_source_is_not_taken(carried: Path, no_compiler: None) -> None:
    source = carried / FILE
    source.write_text(source.read_text() + "\n")
    with pytest.raises(Unavailable, match="nothing is compiled here"):
        compile_kernel(NAME, source, tier())


def test_nothing_is_left_of_an_earlier_build(carried: Path) -> None:
    stale = carried / "kernels" / recipe.CARRIED / "stale.so"
    stale.touch()
    runpy.run_path(str(HOOK))["carry_kernels"](carried, {NAME: FILE})
    assert not stale.exists()
