"""GGUF files that become safetensors, for formats that GGUF has no type for; and such folders."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

import synapse_core as synapse
from synapse_core.errors import FileError
from synapse_core.families import model_config
from synapse_core.generate.settings import settings_of
from synapse_core.loaders import GGUF, SAFETENSORS
from synapse_core.loaders.gguf_config import config_of_keys
from synapse_core.plugins import default_host

from .conftest import Run

TOKENS = [1, 403, 407, 261, 378]
FILES = {
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture
def run(run_here: Run) -> Run:
    return partial(run_here, "quantize")


@pytest.fixture
def model(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "gguf" / "model-Q8_0.gguf"


@pytest.fixture
def folder(run: Run, model: Path, tmp_path: Path) -> Path:
    """The file in int8."""
    run(model, tmp_path / "m", "--format", "int8")
    return tmp_path / "m"


def logits(path: Path, format: str | None = None) -> np.ndarray:
    with synapse.load(path, backend="numpy", format=format) as found:
        return found.logits(TOKENS)


def test_the_folder_runs_as_the_file_does_in_that_format(model: Path, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    np.testing.assert_array_equal(logits(folder), logits(model, "int8"))
    with (
        synapse.load(folder, backend="numpy") as found,
        synapse.load(model, backend="numpy", format="int8") as original,
    ):
        assert found.config == original.config
        assert found.tokenizer.special == original.tokenizer.special
        text = "Once upon a time"
        said = "".join(found.generate(text, max_tokens=20))
        assert said == "".join(original.generate(text, max_tokens=20)) != ""


def test_one_file_has_config_and_tokenizer_beside_it(run: Run, model: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    run(model, place / "m.safetensors", "--format", "int8")
    assert {p.name for p in place.iterdir()} == FILES - {"model.safetensors"} | {"m.safetensors"}
    np.testing.assert_array_equal(logits(place / "m.safetensors"), logits(model, "int8"))


@pytest.mark.parametrize("format", ["f32", "bf16", "q4_0"])
def test_any_format_may_be_asked(run: Run, model: Path, tmp_path: Path, format: str) -> None:
    run(model, tmp_path / "m", "--format", format)
    np.testing.assert_array_equal(logits(tmp_path / "m"), logits(model, format))


def test_the_folder_is_quantized_again_but_not_back_into_gguf(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run(folder, tmp_path / "again", "--format", "q8_0")
    assert (tmp_path / "again" / "config.json").read_bytes() == (
        folder / "config.json"
    ).read_bytes()
    np.testing.assert_array_equal(logits(tmp_path / "again"), logits(folder, "q8_0"))
    line = run(folder, tmp_path / "back.gguf", "--format", "q8_0", code=2).err
    assert "was made of a GGUF file and lacks its tokenizer's keys; name that file" in line
    assert not (tmp_path / "back.gguf").exists()


def test_it_compiles_to_the_same_program(
    run_here: Run, model: Path, folder: Path, tmp_path: Path
) -> None:
    run_here("compile", folder, "-o", tmp_path / "m.syn", "--kv", "f32")
    np.testing.assert_array_equal(logits(tmp_path / "m.syn"), logits(model, "int8"))
    report = json.loads(run_here("inspect", folder, "--json").out)
    assert (report["family"], report["tokenizer"]) == ("llama", True)


def small(path: Path, **keys: tuple[Any, gguf.GGUFValueType]) -> Path:
    """Write a LLaMA of one layer whose matrices are q2_k, with keys whose dots are written __."""
    width = 256
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(width)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, (value, kind) in keys.items():
        writer.add_key_value(name.replace("__", "."), value, kind)
    rng = np.random.default_rng(3)
    names = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    for name in ("token_embd", *(f"blk.0.{name}" for name in names)):
        blocks = rng.integers(0, 256, (32 if name == "token_embd" else width, 84), dtype=np.uint8)
        blocks[:, 80:] = np.full(2, 2**-6, np.float16).view(np.uint8)
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q2_K)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_what_safetensors_has_no_place_for_is_refused_and_a_missing_tokenizer_told(
    run: Run, tmp_path: Path
) -> None:
    infinite = (float("inf"), gguf.GGUFValueType.FLOAT32)
    source = small(tmp_path / "m.gguf", some__key=infinite)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"*.ffn.*": "int8"}))
    line = run(source, tmp_path / "o", "--plan", plan, code=2).err
    assert "'embedding.weight' would be held in q2_k, which safetensors has no place for" in line
    assert not (tmp_path / "o").exists()
    done = run(source, tmp_path / "o", "--format", "int8")
    assert "written without a tokenizer: the file has none" in done.err
    assert "key 'some.key' is not finite and left out" in done.err
    with synapse.load(tmp_path / "o", backend="numpy") as found:
        assert np.isfinite(found.logits([1, 2, 3])).all()


def test_keys_that_a_config_json_would_be_refused_for_are_refused_beforehand(
    run: Run, tmp_path: Path
) -> None:
    long = ("x" * (5 << 20), gguf.GGUFValueType.STRING)
    source = small(tmp_path / "m.gguf", some__key=long)
    line = run(source, tmp_path / "o", "--format", "int8", code=3).err
    assert "m.gguf as config.json: holds a text of 5242881 bytes; at most 4194304 are read" in line
    assert not (tmp_path / "o").exists()


SAMPLED = {"do_sample": True, "temperature": 0.5, "top_k": 7, "top_p": 0.75, "min_p": 0.25}


def test_how_a_model_is_sampled_goes_into_gguf_and_out_of_it(
    run: Run, shared_data: Path, tmp_path: Path
) -> None:
    source = tmp_path / "s"
    shutil.copytree(shared_data / "stories260K" / "hf", source)
    said = {**SAMPLED, "repetition_penalty": 1.5}
    (source / "generation_config.json").write_text(json.dumps(said))
    run(source, tmp_path / "m.gguf", "--format", "q8_0")
    metadata = GGUF.open(tmp_path / "m.gguf").metadata
    found = {key: metadata[key] for key in metadata if key.startswith("general.sampling.")}
    assert {key.rpartition(".")[2]: value for key, value in found.items()} == {
        "temp": 0.5, "top_k": 7, "top_p": 0.75, "min_p": 0.25, "penalty_repeat": 1.5,
    }  # fmt: skip
    run(tmp_path / "m.gguf", tmp_path / "o", "--format", "int8")
    wanted = settings_of({"generation_config.json": json.dumps(said)})
    for path in (tmp_path / "m.gguf", tmp_path / "o"):
        with synapse.load(path, backend="numpy") as model:
            assert settings_of(model.built.assets) == wanted
    said = {**SAMPLED, "do_sample": False}
    (source / "generation_config.json").write_text(json.dumps(said))
    run(source, tmp_path / "n.gguf", "--format", "q8_0")
    assert not [k for k in GGUF.open(tmp_path / "n.gguf").metadata if "sampling" in k]


def test_settings_out_of_range_are_told_and_leave_the_tokenizer_out(
    run: Run, shared_data: Path, tmp_path: Path
) -> None:
    source = tmp_path / "s"
    shutil.copytree(shared_data / "stories260K" / "hf", source)
    (source / "generation_config.json").write_text(json.dumps({**SAMPLED, "temperature": 1e300}))
    done = run(source, tmp_path / "m.gguf", "--format", "q8_0")
    line = "written without a tokenizer: generation_config.json: temperature: found 1e+300"
    assert line in done.err


def edited(folder: Path, **changes: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))
    return folder


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a later version": ({"synapse.gguf": 2}, "config.json: synapse.gguf: found 2, expected 1"),
    "no version": ({"synapse.gguf": True}, "found True, expected 1"),
    "no keys": ({"keys": [1]}, "config.json: keys: must be an object of at most 16384 keys"),
    "too many keys": ({"keys": {f"k{n}": n for n in range(16385)}}, "must be an object of at most"),
    "an object": ({"keys": {"a": {}}}, r"keys\.a: expected true, false, a number, a text, or a"),
    "nothing": ({"keys": {"a": None}}, r"keys\.a: expected true"),
    "a list of both": ({"keys": {"a": [1, "1"]}}, r"keys\.a: expected true"),
    "a list of lists": ({"keys": {"a": [[1]]}}, r"keys\.a: expected true"),
    "no architecture": ({"keys": {}}, "config.json: general.architecture: found None"),
    "a text for a number": (
        {"keys": {"general.architecture": "llama", "llama.context_length": "9"}},
        "llama.context_length: found '9'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_config_of_keys_that_lies_is_refused_in_one_line(
    run_here: Run, folder: Path, name: str
) -> None:
    changes, words = WRONG[name]
    line = run_here("inspect", edited(folder, **changes), code=3).err
    assert line.count("\n") == 1
    assert re.search(words, line), line


def test_a_key_that_says_another_model_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    checkpoint = SAFETENSORS.open(edited(folder, keys={**config["keys"], "llama.vocab_size": 511}))
    family = default_host().get("model", "llama")
    with pytest.raises(FileError, match="vocab_size: found 511, tensor 'token_embd"):
        model_config(family, checkpoint)


def test_a_sampling_key_that_is_no_number_is_told_where_text_is_asked_for(tmp_path: Path) -> None:
    from synapse_core.generate import assets_of_gguf

    keys = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "a"],
        "tokenizer.ggml.scores": [0.0, -1.0],
    }
    for value in ("1", True, float("nan"), [1.0]):
        with pytest.raises(FileError, match=r"f: general\.sampling\.temp: found "):
            assets_of_gguf({**keys, "general.sampling.temp": value}, "f")


def test_keys_keep_their_values_and_the_tokenizer_is_left_to_its_files(model: Path) -> None:
    metadata = GGUF.open(model).metadata
    config, left_out = config_of_keys(metadata)
    assert left_out == []
    again = json.loads(json.dumps(config))["keys"]
    assert again == {key: metadata[key] for key in again}
    dropped = set(metadata) - set(again)
    assert dropped
    assert all(key.startswith("tokenizer.") for key in dropped)
    assert again["tokenizer.ggml.eos_token_id"] == 2
