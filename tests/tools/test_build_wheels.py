"""The tool that builds wheels for other systems refuses what does not fit its tag."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import build_wheels as tool
import pytest

TARGET = "aarch64-macos.11.0"


def wheel(folder: Path, tag: str) -> Path:
    path = folder / f"synapse_backend_cpu-1!0.1.0-py3-none-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("synapse_backend_cpu/_lib/stale.dylib", b"")
    return path


def test_a_wheel_with_another_tag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tool.Unfit, match=r"the tag of aarch64-macos\.11\.0 is py3-none-macosx_"):
        tool.judge(wheel(tmp_path, "any"), TARGET)


def test_a_wheel_with_other_libraries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tool.Unfit, match=r"libraries \['stale.dylib'\], not \['synapse-runtime-"):
        tool.judge(wheel(tmp_path, tool.TAGS[TARGET]), TARGET)


def test_no_target_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["build_wheels.py", str(tmp_path)])
    with pytest.raises(SystemExit):
        tool.main()
    assert "name a --target, or --all" in capsys.readouterr().err


def test_every_target_of_the_recipe_has_a_tag() -> None:
    assert set(tool.RECIPE["TARGETS"].values()) == set(tool.TAGS)
