"""Bad files are refused in one line that names file and field, in bounded time and memory.

The corpus is in `hostile_tokenizers.py`; one child process loads all of it under a limit of
256 MB, so that a file that exceeds it, or ends the process, is seen.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CORPUS = Path(__file__).with_name("hostile_tokenizers.py")
MOST_CPU_S = 1.0


def corpus() -> ModuleType | None:
    """The corpus as a module, None where the system has no limits on memory to hold it under."""
    found = importlib.util.spec_from_file_location("hostile_tokenizers", CORPUS)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    try:
        found.loader.exec_module(module)
    except ImportError:
        return None
    return module


MODULE = corpus() if sys.platform == "linux" else None
BAD = [name for name, _, _ in MODULE.cases()] if MODULE else []
GOOD = [name for name, _, _ in MODULE.controls()] if MODULE else []


@pytest.fixture(scope="module")
def ended() -> tuple[dict[str, dict[str, Any]], str, str]:
    """How each case ended, which one began last, and what the process wrote beside."""
    done = subprocess.run(
        [sys.executable, str(CORPUS)], capture_output=True, text=True, timeout=300, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    last = next((line["begun"] for line in reversed(lines) if "begun" in line), "nothing")
    return {line["name"]: line for line in lines if "name" in line}, last, done.stderr


def case(ended: tuple[dict[str, dict[str, Any]], str, str], name: str) -> dict[str, Any]:
    answers, last, written = ended
    assert name in answers, f"the process ended at {last}: {written[-500:]}"
    return answers[name]


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused_by_file_and_field(name: str, ended: Any) -> None:
    answer = case(ended, name)
    assert answer["cpu_s"] < MOST_CPU_S
    if "refused" in answer:
        assert answer["code"] == 3
        assert answer["refused"].startswith(answer["wanted"] or "m")
        assert answer["refused"].isprintable()
        assert len(answer["refused"]) < 2000
    else:
        assert answer["wanted"] == "", "it must be refused"


@pytest.mark.parametrize("name", GOOD)
def test_valid_file_of_the_same_hands_loads(name: str, ended: Any) -> None:
    assert "refused" not in case(ended, name)


@pytest.mark.skipif(MODULE is None, reason="limits on memory are Linux's")
def test_corpus_is_large_and_the_engine_never_panics_aloud(ended: Any) -> None:
    answers, _, written = ended
    assert len(answers) == len(BAD) + len(GOOD)
    assert len([a for a in answers.values() if "refused" in a]) >= 100
    assert written == ""
