"""`--overflow slide` of `run` and `chat`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from .conftest import Run

GREEDY = ("--greedy", "--backend", "numpy")
NOTE = "the context of 24 tokens is full: the model goes on with the first 4 and the last 8"


@pytest.fixture
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


def test_run_goes_on_and_says_so(run_here: Run, folder: Path) -> None:
    command = ("run", folder, "-p", "Once upon", "-n", 60, "--ctx", 24, *GREEDY)
    stopped = run_here(*command)
    done = run_here(*command, "--overflow", "slide", "-v")
    assert done.out.startswith(stopped.out.rstrip("\n"))
    assert len(done.out) > len(stopped.out)
    assert done.err.count(NOTE) == 1
    assert "60 tokens" in done.err
    assert "the context slid" in done.err
    assert NOTE not in stopped.err


def test_the_report_counts_slides(run_here: Run, folder: Path) -> None:
    command = ("run", folder, "-p", "Once upon", "-n", 60, "--ctx", 24, *GREEDY, "--json")
    report = json.loads(run_here(*command, "--overflow", "slide", "--sinks", 0).out)
    assert report["slides"] > 1
    assert report["reason"] == "length"
    assert len(report["tokens"]) == 60
    assert json.loads(run_here(*command).out)["slides"] == 0


def test_sinks_that_leave_no_room_are_a_usage_error(run_here: Run, folder: Path) -> None:
    command = ("run", folder, "-p", "Once", "--ctx", 24, *GREEDY, "--overflow", "slide")
    assert "12 sinks" in run_here(*command, "--sinks", 12, code=2).err


def test_chat_slides_in_every_turn(
    run_here: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    template = "{% for m in messages %}{{ m.content }}. {% endfor %}"
    (tmp_path / "chat_template.jinja").write_text(template)
    monkeypatch.setattr("sys.stdin", io.StringIO("Once\nThe\nA\n"))
    command = ("chat", tmp_path, "-n", 90, "--ctx", 64, *GREEDY, "-v", "--overflow", "slide")
    done = run_here(*command)
    assert done.err.count("ended: ") == 3
    assert done.err.count("the context slid") == done.err.count("the model goes on with") >= 2
