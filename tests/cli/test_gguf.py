"""The verbs on a GGUF file, run as a user does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

COMMAND = [sys.executable, "-c", "from synapse_core.cli import main; main()"]


def synapse(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def model(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "gguf" / "model-Q8_0.gguf"


def test_inspect_shows_family_types_and_sizes(model: Path) -> None:
    report = json.loads(synapse("inspect", model, "--json").stdout)
    assert (report["family"], report["parameters"], report["tensors"]) == ("llama", 260_032, 47)
    assert {name: f["weights"] for name, f in report["formats"].items()} == {
        "f16": 5,
        "f32": 12,
        "q8_0": 31,
    }
    assert report["config"]["tied"] is True


def test_logits_are_the_same_from_the_file_and_from_what_it_compiles_to(
    model: Path, tmp_path: Path
) -> None:
    program = tmp_path / "m.syn"
    synapse("compile", model, "-o", program, "--kv", "f32")
    for source, output in ((model, "a.npy"), (program, "b.npy")):
        options = ("--tokens", "1,2,3,4", "-o", tmp_path / output, "--backend", "numpy")
        synapse("logits", source, *options)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))


@pytest.mark.parametrize("verb", ["inspect", "run"])
def test_a_bad_file_is_one_line_and_exit_code_3(model: Path, tmp_path: Path, verb: str) -> None:
    (tmp_path / "cut.gguf").write_bytes(model.read_bytes()[:-100])
    done = synapse(verb, tmp_path / "cut.gguf", code=3)
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("backend:")]
    assert "cut.gguf: tensor 'blk.4.ffn_up.weight' at byte " in line
