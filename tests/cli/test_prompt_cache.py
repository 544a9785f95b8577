"""`--prompt-cache` of `run` and `chat`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from .conftest import Run


@pytest.fixture
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


def test_run_says_the_same_with_the_file_and_makes_it(
    run_here: Run, folder: Path, tmp_path: Path
) -> None:
    command = ("run", folder, "-p", "Once upon a time", "-n", 8, "--greedy", "--backend", "numpy")
    plain = run_here(*command).out
    for _ in range(2):
        assert run_here(*command, "--prompt-cache", tmp_path / "p").out == plain
        assert (tmp_path / "p").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_damaged_file_is_one_line_and_stays(run_here: Run, folder: Path, tmp_path: Path) -> None:
    command = ("run", folder, "-p", "Once", "-n", 1, "--backend", "numpy", "--prompt-cache")
    run_here(*command, tmp_path / "p")
    data = bytearray((tmp_path / "p").read_bytes())
    data[-1] ^= 1
    (tmp_path / "p").write_bytes(data)
    done = run_here(*command, tmp_path / "p", code=3)
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert "block 0 of the states is damaged" in done.err
    assert (tmp_path / "p").read_bytes() == data


def test_a_file_in_no_folder_is_refused_before_anything_runs(
    run_here: Run, folder: Path, tmp_path: Path
) -> None:
    command = ("run", folder, "-p", "Once", "--json", "--backend", "numpy", "--prompt-cache")
    done = run_here(*command, tmp_path / "none" / "p", code=3)
    assert done.out == ""
    assert "folder is not there" in done.err


def test_chat_keeps_the_last_conversation(
    run_here: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatty = tmp_path / "m"
    chatty.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (chatty / name).write_bytes((folder / name).read_bytes())
    template = "{% for m in messages %}{{ m.content }}. {% endfor %}"
    (chatty / "chat_template.jinja").write_text(template)
    command = ("chat", chatty, "-n", 4, "--greedy", "-v", "--backend", "numpy")
    found = []
    for cache in ((), ("--prompt-cache", tmp_path / "p"), ("--prompt-cache", tmp_path / "p")):
        monkeypatch.setattr("sys.stdin", io.StringIO("Once upon a time there was\n"))
        found.append(run_here(*command, *cache))
    assert found[0].out == found[1].out == found[2].out
    assert "1 prompt tokens" in found[2].err
    assert "1 prompt tokens" not in found[1].err
