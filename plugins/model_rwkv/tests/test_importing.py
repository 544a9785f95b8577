"""`synapse import-rwkv`: from a bare .pth to a folder that runs, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs
import numpy as np
import pytest
from safetensors.numpy import save_file
from synapse_model_rwkv.samples import WORLD
from synapse_model_rwkv.vocabulary import FILE

from synapse_core.api import load
from synapse_core.cli import frame

from . import checkpoints as made


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkpoint's tensors as published: with unused values in the first layer."""
    shape = attrs.evolve(made.ODD, unused_values=True)
    file = tmp_path / "RWKV-7.safetensors"
    save_file(made.random_tensors(shape, 41), file)
    return file


def test_a_folder_is_made_that_runs_with_text(tmp_path: Path, bare: Path) -> None:
    vocabulary = tmp_path / "vocabulary"
    vocabulary.write_text(WORLD[FILE])
    out = tmp_path / "out"
    assert (
        frame.run(["import-rwkv", str(bare), "-o", str(out), "--vocabulary", str(vocabulary)]) == 0
    )
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["config.json", "model.safetensors", FILE]
    )
    again = made.write_folder(
        tmp_path / "known", made.random_tensors(made.ODD, 41), made.config_of(made.ODD)
    )
    shutil.copy(bare, again / "model.safetensors")
    with load(out, backend="numpy") as model, load(again, backend="numpy") as known:
        assert model.tokenizer.encode(" two", special=True) == [257]
        assert model.logits([1, 2, 3]).tobytes() == known.logits([1, 2, 3]).tobytes()


def test_a_real_model_is_imported_by_its_tensors_alone(shared_data: Path, tmp_path: Path) -> None:
    data, out = shared_data / "rwkv7_reverse", tmp_path / "out"
    assert frame.run(["import-rwkv", str(data / "model_blinkdl.safetensors"), "-o", str(out)]) == 0
    known = np.load(data / "reference.npz")
    expected = known["logits_31"]
    with load(out, backend="numpy", context=128) as model:
        found = model.logits(known["ids_31"][: len(expected)].tolist())
    assert np.abs(found - expected).max() <= 2e-4 * expected.std()


@pytest.mark.parametrize(
    ("missing", "added", "said"),
    [
        ("blocks.1.att.g2", "", "'blocks.1.att.g2'"),
        ("emb.weight", "", "'emb.weight'"),
        ("blocks.2.ffn.key.weight", "", "'blocks.2.ffn.key.weight'"),
        ("", "blocks.0.att.time_decay", "an older RWKV"),
        ("", "blocks.0.att.deep", "'blocks.0.att.deep'"),
    ],
)
def test_what_is_no_whole_model_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str, added: str, said: str
) -> None:
    tensors = made.random_tensors(made.ODD, 41)
    tensors.pop(missing, None)
    if added:
        tensors[added] = np.ones(3, np.float32)
    save_file(tensors, tmp_path / "x.safetensors")
    out = tmp_path / "out"
    assert frame.run(["import-rwkv", str(tmp_path / "x.safetensors"), "-o", str(out)]) == 3
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_pickle_and_a_bad_vocabulary_are_refused(
    tmp_path: Path, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert frame.run(["import-rwkv", "x.pth", "-o", out]) == 3
    assert "synapse import-pt x.pth" in capsys.readouterr().err
    bad = tmp_path / "bad"
    bad.write_text("1 'a'\n")
    assert frame.run(["import-rwkv", str(bare), "-o", out, "--vocabulary", str(bad)]) == 3
    assert "line 1" in capsys.readouterr().err
    assert not Path(out).exists()
