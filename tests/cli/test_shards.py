"""Checkpoints in several files run as one: the same story, and the verbs that measure."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from .conftest import Run

STORY = ("--greedy", "-n", "30", "--backend", "numpy")


@pytest.fixture
def four_shards(shared_data: Path, tmp_path: Path) -> Path:
    """The stories model in four safetensors files and their index."""
    source, folder = shared_data / "stories260K" / "hf", tmp_path / "four"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(source / name, folder / name)
    tensors = sorted(load_file(source / "model.safetensors").items())
    shard_of = {}
    for number in range(4):
        shard = f"model-{number + 1:05d}-of-00004.safetensors"
        part = dict(tensors[number::4])
        save_file(part, folder / shard, metadata={"format": "pt"})
        shard_of |= dict.fromkeys(part, shard)
    index = {"metadata": {}, "weight_map": shard_of}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def two_shards(shared_data: Path, tmp_path: Path) -> Path:
    """The stories model in two GGUF files, as the gguf package splits them; the first."""
    source = gguf.GGUFReader(shared_data / "stories260K" / "gguf" / "model-F16.gguf")
    most = -(-len(source.tensors) // 2)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=most)
    for name, field in source.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            sub = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), field.types[0], sub)
    for tensor in source.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert (tmp_path / "m-00002-of-00002.gguf").exists()
    return tmp_path / "m-00001-of-00002.gguf"


def test_four_safetensors_shards_tell_the_story_of_one_file(
    run_here: Run, four_shards: Path, shared_data: Path
) -> None:
    whole = run_here("run", shared_data / "stories260K" / "hf", *STORY).out
    assert run_here("run", four_shards, *STORY).out == whole
    assert whole.startswith("Once upon a time")


def test_two_gguf_shards_tell_the_story_of_one_file(
    run_here: Run, two_shards: Path, shared_data: Path
) -> None:
    whole = shared_data / "stories260K" / "gguf" / "model-F16.gguf"
    assert run_here("run", two_shards, *STORY).out == run_here("run", whole, *STORY).out


@pytest.mark.parametrize("model", ["four_shards", "two_shards"])
def test_they_are_verified_and_measured_like_one_file(
    run_here: Run, request: pytest.FixtureRequest, model: str
) -> None:
    place = request.getfixturevalue(model)
    assert json.loads(run_here("verify", place, "--backend", "cpu", "--json").out)["holds"]
    sizes = ("--prompt-tokens", "8", "-n", "4", "--repeats", "2")
    report = json.loads(run_here("bench", place, *sizes, "--json").out)
    assert report["decode_tok_s"] > 0
