"""The tool that builds llama.cpp leaves a whole folder, what was there before, or nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import build_llama_cpp as tool
import pytest

Ask = Callable[..., None]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """`ask(…)`: run the tool with these arguments; it finds no program on the path."""
    monkeypatch.setenv("PATH", "")

    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["build_llama_cpp.py", *map(str, arguments)])
        tool.main()

    return run


def write(scratch: Path, made: Path, flags: Sequence[str]) -> None:
    """Stand for a build: a file with the flags."""
    made.mkdir()
    (made / "flags").write_text(" ".join(flags))


def test_what_is_built_is_left_as_it_is(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "build", write)
    out = tmp_path / "a" / "out"
    ask(out, "--flags", "GGML_NATIVE=ON", "GGML_OPENMP=OFF")
    assert (out / "flags").read_text().endswith(" GGML_NATIVE=ON GGML_OPENMP=OFF")
    recipe = json.loads((out / "recipe.json").read_text())
    assert recipe["sha256"] == tool.SHA256
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["tool", str(out), "--flags", *recipe["flags"][-2:]])
    monkeypatch.setattr(tool, "build", lambda *_: pytest.fail("was built again"))
    tool.main()
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_another_recipe_is_refused(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "build", write)
    ask(tmp_path / "out")
    with pytest.raises(SystemExit, match=r"out: was built with flags \[.*, asked is .*=ON'\];"):
        ask(tmp_path / "out", "--flags", "GGML_NATIVE=ON")
    assert "GGML_NATIVE=ON" not in (tmp_path / "out" / "flags").read_text()


def test_a_folder_of_something_else_is_refused_and_kept(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(SystemExit, match=r"has no recipe\.json"):
        ask(tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_without_cmake_nothing_is_fetched_and_nothing_left(ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cmake is not on the path: install CMake, or pip install"):
        ask(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_fails_halfway_leaves_nothing(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(scratch: Path, made: Path, flags: Sequence[str]) -> None:
        write(scratch, made, flags)
        tool.run([sys.executable, "-c", "import sys; print('no space'); sys.exit(3)"])

    monkeypatch.setattr(tool, "build", fail)
    with pytest.raises(SystemExit, match=r"no space\n(?s:.*): failed with 3"):
        ask(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
