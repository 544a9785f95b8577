"""A file from anyone may be refused, never obeyed: every reader, through the command line.

Each file of `hostile_corpus.py` meets the first command that reads it, in its own process: exit
code 3, one line with the file and fault, at most a second and 256 MB, nothing run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.loaders.test_folder_fuzz import CONFIG, written

if sys.platform != "linux":
    pytest.skip("limits and peaks of memory are Linux's here", allow_module_level=True)

from tests.hostile_corpus import READERS, Case, controls, heavy, light

ROOT = Path(__file__).parents[1]
MOST_CPU_S = 1.0
MOST_PEAK_BYTES = 256 << 20
# Written by hand here so that a reader that loses its cases is seen.
LEAST = {
    "gguf": 100,
    "safetensors": 40,
    "index": 20,
    "config": 60,
    "tokenizer.json": 50,
    "tokenizer.model": 18,
    "tokenizer_config": 12,
    "generation_config": 25,
    "template": 140,
    "pickle": 120,
    "pt index": 20,
    "gguf keys": 40,
    "prompt cache": 40,
    "picture": 36,
    "pixels": 20,
    "preprocessor": 50,
}

Found = dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sound model in it."""
    folder = tmp_path_factory.mktemp("hostile")
    written(folder / "sound")
    config = CONFIG | {"max_position_embeddings": 512}
    (folder / "sound" / "config.json").write_text(json.dumps(config))
    return folder


def sound(place: Path) -> dict[str, bytes]:
    """Return where the sound model's files are, by name."""
    return {path.name: os.fsencode(path) for path in (place / "sound").iterdir()}


def ended(cases: Iterable[Case], place: Path) -> list[tuple[Case, Found]]:
    """Run the command of each case; return how it ended."""
    folder, kept, commands = place / "cases", list(cases), []
    files = sound(place)
    for number, case in enumerate(kept):
        commands.append(case.write(folder / str(number), files))
    (place / "commands.json").write_text(json.dumps(commands))
    command = [sys.executable, "-m", "tests.forked", place / "commands.json", place / "report"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    shutil.rmtree(folder)
    return list(zip(kept, json.loads((place / "report").read_text()), strict=True))


def lines_of(found: Found) -> list[str]:
    """Return what was said, without the line that names the chosen backend."""
    said: list[str] = found["stderr"].splitlines()
    return [line for line in said if not line.startswith("backend: ")]


def problem(case: Case, found: Found) -> str | None:
    """Return what a refusal lacks of what is promised."""
    lines = lines_of(found)
    if found["code"] != 3:
        return f"ended with {found['code']}"
    if len(lines) != 1 or not lines[0].startswith("synapse: ") or not lines[0].isprintable():
        return "did not say one line"
    if len(lines[0]) > 2000 or case.file not in lines[0] or case.field not in lines[0]:
        return f"did not name {case.file} and {case.field}"
    if found["cpu_s"] > MOST_CPU_S:
        return f"took {found['cpu_s']} s"
    if found["peak_bytes"] > MOST_PEAK_BYTES:
        return f"took {found['peak_bytes'] >> 20} MB"
    return None


def problems(answers: list[tuple[Case, Found]]) -> list[str]:
    """Return a line for each file that was not refused as it must be."""
    told = ((case, found, problem(case, found)) for case, found in answers)
    return [f"{case.id}: {text}: {found['stderr'][:300]}" for case, found, text in told if text]


def test_the_corpus_is_large_and_every_reader_has_bad_and_sound_files(place: Path) -> None:
    counted = Counter(case.reader for case in light("canary"))
    assert counted.keys() == READERS.keys() == LEAST.keys()
    assert {reader: n for reader, n in counted.items() if n < LEAST[reader]} == {}
    assert counted.total() >= 600
    assert {case.reader for case in controls(sound(place))} == set(READERS)
    assert len({case.id for case in light("canary")}) == counted.total()


@pytest.mark.parametrize("reader", READERS)
def test_a_bad_file_is_refused_in_one_line_and_nothing_is_run(reader: str, place: Path) -> None:
    canary = place / "canary"
    answers = ended((case for case in light(str(canary)) if case.reader == reader), place)
    assert problems(answers) == []
    assert not canary.exists()


@pytest.mark.parametrize("reader", READERS)
def test_a_heavy_file_is_refused_in_a_second_and_256_mb(reader: str, place: Path) -> None:
    answers = ended(heavy(reader), place)
    assert answers
    assert problems(answers) == []


def test_sound_files_of_the_same_hands_are_taken(place: Path) -> None:
    answers = ended(controls(sound(place)), place)
    assert [(case.id, found) for case, found in answers if found["code"] != 0] == []


@pytest.mark.parametrize("reader", READERS)
def test_in_a_fresh_process_too_there_is_no_traceback(reader: str, place: Path) -> None:
    cases = [case for case in light(str(place / "canary")) if case.reader == reader]
    case = cases[len(cases) // 2]
    command = case.write(place / "fresh" / reader, sound(place))
    main = "import sys; from synapse_core.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", main, *command],
        input="hi\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = {"code": done.returncode, "stderr": done.stderr, "cpu_s": 0, "peak_bytes": 0}
    assert problem(case, found) is None, done.stderr
    assert not (place / "canary").exists()
