"""`synapse quantize`, run as a user does: what it writes is what `--format` would have computed."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import synapse_core as synapse
from synapse_core.formats import format_named
from synapse_core.loaders import GGUF, SAFETENSORS
from synapse_core.loaders.raw_rows import row_formats

from .conftest import Run

TOKENS = [1, 403, 407, 261, 378, 432]
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
GGUF_WRITES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k")


@pytest.fixture
def run(run_here: Run) -> Run:
    return partial(run_here, "quantize")


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


@pytest.fixture(scope="module")
def gguf(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "gguf" / "model-F16.gguf"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    place = tmp_path / "copy"
    place.mkdir()
    for name in FILES:
        shutil.copyfile(folder / name, place / name)
    return place


def logits(path: Path, format: str | None = None) -> np.ndarray:
    with synapse.load(path, backend="numpy", format=format) as model:
        return model.logits(TOKENS)


def plan_file(place: Path, content: object) -> Path:
    path = place / "plan.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def formats(path: Path) -> dict[str, str]:
    loader = GGUF if path.suffix == ".gguf" else SAFETENSORS
    return {name: tensor.format for name, tensor in loader.open(path).tensors.items()}


# What is written is what `--format` computes


@pytest.mark.parametrize("format", ["f16", "bf16", *row_formats()])
def test_a_folder_gives_the_logits_of_the_original_with_that_format(
    run: Run, folder: Path, tmp_path: Path, format: str
) -> None:
    run(folder, tmp_path / "out", "--format", format)
    np.testing.assert_array_equal(logits(tmp_path / "out"), logits(folder, format))


@pytest.mark.parametrize("format", GGUF_WRITES)
def test_a_gguf_file_gives_the_logits_of_the_original_with_that_format(
    run: Run, gguf: Path, tmp_path: Path, format: str
) -> None:
    run(gguf, tmp_path / "out.gguf", "--format", format)
    np.testing.assert_array_equal(logits(tmp_path / "out.gguf"), logits(gguf, format))


def test_a_gguf_file_keeps_keys_and_tokenizer_and_says_its_type(
    run: Run, gguf: Path, tmp_path: Path
) -> None:
    run(gguf, tmp_path / "out.gguf", "--format", "q8_0")
    before, after = GGUF.open(gguf).metadata, GGUF.open(tmp_path / "out.gguf").metadata
    changed = {"general.file_type", "general.quantization_version"}
    assert {k: v for k, v in after.items() if k not in changed} == {
        k: v for k, v in before.items() if k not in changed
    }
    assert after["general.file_type"] == 7
    kinds = [getattr(keys, "kinds", {}) for keys in (before, after)]
    assert {k: v for k, v in kinds[0].items() if k not in changed}.items() <= kinds[1].items()


def test_the_gguf_package_reads_our_rows_as_we_do(run: Run, gguf: Path, tmp_path: Path) -> None:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    run(gguf, tmp_path / "out.gguf", "--format", "q5_0")
    ours = GGUF.open(tmp_path / "out.gguf").tensors
    theirs = GGUFReader(tmp_path / "out.gguf").tensors
    assert {tensor.name for tensor in theirs} == set(ours)
    for tensor in theirs:
        mine = ours[tensor.name]
        decoded = format_named(mine.format).decode(mine.raw(), mine.cols)
        numbers = dequantize(tensor.data, tensor.tensor_type).reshape(decoded.shape)
        np.testing.assert_array_equal(decoded, numbers)


def test_other_readers_of_safetensors_see_the_rows_as_bytes(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run(folder, tmp_path / "out", "--format", "q8_0")
    name = "model.layers.0.self_attn.q_proj.weight"
    original = load_file(folder / "model.safetensors")[name].astype(np.float32)
    with safe_open(tmp_path / "out" / "model.safetensors", "numpy") as file:
        assert file.metadata()[f"synapse.rows:{name}"] == "q8_0 64"
        np.testing.assert_array_equal(file.get_tensor(name), format_named("q8_0").encode(original))


def test_a_quantised_folder_can_be_quantised_again(run: Run, folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path / "a", "--format", "q8_0")
    run(tmp_path / "a", tmp_path / "b", "--format", "q4_0")
    np.testing.assert_array_equal(logits(tmp_path / "b"), logits(tmp_path / "a", "q4_0"))


def test_a_single_file_gets_its_config_and_tokenizer_beside_it(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run(folder, tmp_path / "m.safetensors", "--format", "q8_0")
    assert (tmp_path / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    with synapse.load(tmp_path / "m.safetensors", backend="numpy") as model:
        assert (
            model.tokenizer.decode(model.tokenizer.encode("Once upon", special=False))
            == "Once upon"
        )


def test_rows_are_the_same_for_any_size_of_chunk(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(folder, tmp_path / "a", "--format", "q4_0")
    monkeypatch.setattr("synapse_core.api.quantize.CHUNK_NUMBERS", 3 * 64)
    run(folder, tmp_path / "b", "--format", "q4_0")
    a, b = (tmp_path / name / "model.safetensors" for name in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_a_tied_head_that_is_there_all_the_same_is_left_out(
    run: Run, copy: Path, tmp_path: Path
) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    save_file(tensors, copy / "model.safetensors")
    run(copy, tmp_path / "out", "--format", "q8_0")
    assert "lm_head.weight" not in formats(tmp_path / "out")
    np.testing.assert_array_equal(logits(tmp_path / "out"), logits(copy, "q8_0"))


# Plans and fallbacks


def test_the_first_pattern_that_matches_says_the_format_then_the_option(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    plan = plan_file(tmp_path, {"layers.0.ffn.*": "f16", "*.ffn.*": "int8", "embedding.*": "q4_0"})
    run(folder, tmp_path / "out", "--plan", plan, "--format", "q8_0")
    found = formats(tmp_path / "out")
    assert found["model.layers.0.mlp.up_proj.weight"] == "f16"
    assert found["model.layers.1.mlp.up_proj.weight"] == "int8"
    assert found["model.embed_tokens.weight"] == "q4_0"
    assert found["model.layers.0.self_attn.q_proj.weight"] == "q8_0"
    assert {format for name, format in found.items() if "norm" in name} == {"f32"}


def test_what_a_plan_alone_does_not_mean_stays_as_it_is_stored(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    plan = plan_file(tmp_path, {"embedding.weight": "q8_0"})
    run(folder, tmp_path / "out", "--plan", plan)
    changed = {n for n, f in formats(tmp_path / "out").items() if f != formats(folder)[n]}
    assert changed == {"model.embed_tokens.weight"}


def test_rows_that_do_not_divide_fall_back_and_the_table_says_to_what(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    report = json.loads(run(folder, tmp_path / "a", "--format", "q4_k", "--json").out)
    groups = {group["weights"]: group for group in report["groups"]}
    down, up = groups["layers.*.ffn.down.weight"], groups["layers.*.ffn.up.weight"]
    # rows of 172 and of 64
    assert (down["asked"], down["given"], down["tensors"]) == ("q4_k", "f16", 5)
    assert (up["asked"], up["given"], up["bits"]) == ("q4_k", "q5_0", 5.5)
    assert 0.03 < up["error"] < 0.06
    assert groups["norm.weight"]["given"] == "f32"
    assert report["bytes"] == (tmp_path / "a" / "model.safetensors").stat().st_size
    assert "q4_k → f16" in run(folder, tmp_path / "b", "--format", "q4_k").out


@pytest.mark.parametrize(
    ("content", "field", "problem"),
    [
        ({"*": "q9"}, "pattern '*'", "found 'q9', expected one of"),
        ({"*": "iq4_xs"}, "pattern '*'", "found 'iq4_xs', expected one of"),
        ({"*": ["q8_0"]}, "pattern '*'", "found ['q8_0'], expected one of"),
        ({"layers.*.atention.*": "q8_0"}, "pattern 'layers.*.atention.*'", "no matrix"),
        ({"norm.weight": "q8_0"}, "pattern 'norm.weight'", "no matrix"),
        ('{"a*": "q8_0", "a*": "f16"}', "key 'a*'", "is given twice"),
        ({}, "has 0 patterns", "expected 1 to"),
        ([], "holds a list", "expected an object"),
        ("{", "is not JSON", ""),
    ],
)
def test_a_bad_plan_is_refused_by_file_and_pattern(
    run: Run, folder: Path, tmp_path: Path, content: object, field: str, problem: str
) -> None:
    plan = plan_file(tmp_path, content)
    done = run(folder, tmp_path / "out", "--plan", plan, code=3)
    assert done.err.startswith(f"synapse: {plan}: {field}")
    assert problem in done.err
    assert not (tmp_path / "out").exists()


# Where it goes


def test_an_output_that_is_the_input_or_one_of_its_files_is_refused(run: Run, copy: Path) -> None:
    before = (copy / "model.safetensors").read_bytes()
    (copy / "link.safetensors").hardlink_to(copy / "model.safetensors")
    for name in (".", "model.safetensors", "link.safetensors"):
        assert "is the input itself" in run(copy, copy / name, "--format", "q8_0", code=2).err
    assert (copy / "model.safetensors").read_bytes() == before


def test_a_folder_that_is_there_is_not_touched(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run(folder, tmp_path / "out", "--format", "q8_0")
    done = run(folder, tmp_path / "out", "--format", "f16", code=3)
    assert "is there already" in done.err
    assert formats(tmp_path / "out")["model.embed_tokens.weight"] == "q8_0"


def test_a_config_of_another_model_is_not_written_over(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    done = run(folder, tmp_path / "m.safetensors", "--format", "q8_0", code=3)
    assert "config.json: is another model's" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("name", ["out", "out.safetensors", "out.gguf"])
def test_what_fails_on_the_way_leaves_nothing_behind(
    run: Run, folder: Path, gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    calls = []

    def fail(*arguments: Any) -> None:
        calls.append(arguments)
        raise OSError(28, "No space left on device")

    written = "gguf_writer.write_chunks"
    if not name.endswith("gguf"):
        written = "safetensors_writer.checked_chunks"
    monkeypatch.setattr(f"synapse_core.loaders.{written}", fail)
    source = gguf if name.endswith("gguf") else folder
    done = run(source, tmp_path / name, "--format", "q8_0", code=3)
    assert calls
    assert "No space left" in done.err
    assert list(tmp_path.iterdir()) == []


def test_formats_without_a_gguf_type_are_refused_by_weight(
    run: Run, gguf: Path, tmp_path: Path
) -> None:
    done = run(gguf, tmp_path / "o.gguf", "--format", "int8", code=2)
    assert "'embedding.weight' would be held in int8, which GGUF has no type for" in done.err


@pytest.mark.parametrize(
    ("output", "options", "problem"),
    [
        ("out", (), "nothing is asked"),
        ("out", ("--format", "q3_k"), "'q3_k' can be read, not written"),
        ("out", ("--format", "q9"), "no weight format 'q9'"),
        ("out.syn", ("--format", "q8_0"), "synapse compile"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    run: Run, folder: Path, tmp_path: Path, output: str, options: tuple[str, ...], problem: str
) -> None:
    assert problem in run(folder, tmp_path / output, *options, code=2).err


# From safetensors to GGUF


def test_a_folder_becomes_the_file_that_llama_cpps_converter_makes(
    run: Run, folder: Path, gguf: Path, tmp_path: Path
) -> None:
    done = run(folder, tmp_path / "out.gguf", "--format", "f16")
    ours, theirs = (GGUF.open(path) for path in (tmp_path / "out.gguf", gguf))
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, tensor in theirs.tensors.items():
        assert (ours.tensors[name].shape, ours.tensors[name].format) == (
            tensor.shape,
            tensor.format,
        )
        np.testing.assert_array_equal(ours.tensors[name].raw(), tensor.raw(), err_msg=name)
    keys = {name: value for name, value in theirs.metadata.items() if name.startswith("llama.")}
    found = {name: ours.metadata[name] for name in keys if name in ours.metadata}
    assert found == {name: keys[name] for name in found}
    assert set(keys) - set(found) <= {"llama.rope.scaling.type"}
    assert "without a tokenizer" not in done.err
    for name in ("model", "pre", "tokens", "scores", "token_type", "bos_token_id", "eos_token_id"):
        key = f"tokenizer.ggml.{name}"
        assert ours.metadata[key] == theirs.metadata[key], key


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    """A Qwen3 of random weights whose tokenizer knows bytes, 'he' and an end."""
    from synapse_core.generate.byte_alphabet import BYTE_OF_CHARACTER

    place = tmp_path / "qwen"
    place.mkdir()
    rng = np.random.default_rng(11)
    heads, kv_heads, head_dim, width, hidden, vocabulary = 4, 2, 16, 64, 96, 260
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "tie_word_embeddings": False,
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": hidden,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": 128,
        "bos_token_id": None,
        "eos_token_id": 257,
    }
    (place / "config.json").write_text(json.dumps(config))
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, width),
        "lm_head.weight": (vocabulary, width),
        "model.norm.weight": (width,),
    }
    for layer in range(2):
        prefix = f"model.layers.{layer}"
        for name, rows, cols in (
            ("self_attn.q_proj", heads * head_dim, width),
            ("self_attn.k_proj", kv_heads * head_dim, width),
            ("self_attn.v_proj", kv_heads * head_dim, width),
            ("self_attn.o_proj", width, heads * head_dim),
            ("mlp.gate_proj", hidden, width),
            ("mlp.up_proj", hidden, width),
            ("mlp.down_proj", width, hidden),
        ):
            shapes[f"{prefix}.{name}.weight"] = (rows, cols)
        for name, cols in (
            ("input_layernorm", width),
            ("post_attention_layernorm", width),
            ("self_attn.q_norm", head_dim),
            ("self_attn.k_norm", head_dim),
        ):
            shapes[f"{prefix}.{name}.weight"] = (cols,)
    tensors = {name: rng.normal(0, 0.2, s).astype(np.float16) for name, s in shapes.items()}
    save_file(tensors, place / "model.safetensors")
    bytes_of = {character: id for id, character in enumerate(BYTE_OF_CHARACTER)}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": 257,
                "content": "<|end|>",
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
        ],
        "pre_tokenizer": {**level, "use_regex": True},
        "decoder": {**level, "use_regex": True},
        "model": {"type": "BPE", "vocab": {**bytes_of, "he": 256}, "merges": [["h", "e"]]},
    }
    (place / "tokenizer.json").write_text(json.dumps(tokenizer))
    (place / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}))
    return place


@pytest.mark.parametrize("format", ["f16", "q8_0", "q4_k"])
def test_qwen3_as_gguf_gives_the_same_logits_and_ids(
    run: Run, qwen: Path, tmp_path: Path, format: str
) -> None:
    done = run(qwen, tmp_path / "q.gguf", "--format", format)
    assert "without" not in done.err
    np.testing.assert_array_equal(logits_of_ids(tmp_path / "q.gguf"), logits_of_ids(qwen, format))
    with (
        synapse.load(tmp_path / "q.gguf", backend="numpy") as again,
        synapse.load(qwen, backend="numpy") as original,
    ):
        text = "he said: hello<|end|>"
        ids = again.tokenizer.encode(text, special=True)
        assert ids == original.tokenizer.encode(text, special=True)
        assert ids[-1] == 257
        assert again.tokenizer.special.ends == original.tokenizer.special.ends == {257}


def logits_of_ids(path: Path, format: str | None = None) -> np.ndarray:
    with synapse.load(path, backend="numpy", format=format) as model:
        return model.logits([5, 256, 17, 130, 9])


def test_llama_as_gguf_gives_the_same_logits_up_to_the_order_of_sums(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run(folder, tmp_path / "l.gguf", "--format", "q8_0")
    found, expected = logits(tmp_path / "l.gguf"), logits(folder, "q8_0")
    assert np.abs(found - expected).max() <= 1e-5 * expected.std()


@pytest.mark.parametrize("alone", ["tokenizer.json", "tokenizer.model", ""])
def test_a_sentencepiece_tokenizer_goes_into_gguf(
    run: Run, folder: Path, copy: Path, tmp_path: Path, alone: str
) -> None:
    shutil.copyfile(folder / "tokenizer.model", copy / "tokenizer.model")
    for name in ("tokenizer.json", "tokenizer.model"):
        if alone not in ("", name):
            (copy / name).unlink()
    done = run(copy, tmp_path / "l.gguf", "--format", "q8_0")
    assert "without a tokenizer" not in done.err
    metadata = GGUF.open(tmp_path / "l.gguf").metadata
    assert metadata["tokenizer.ggml.model"] == "llama"
    with (
        synapse.load(tmp_path / "l.gguf", backend="numpy") as again,
        synapse.load(folder, backend="numpy", format="q8_0") as original,
    ):
        for text in ("Once upon a time", "  Lily's\n dog", "héllo 🦙</s>", ""):
            ids = original.tokenizer.encode(text, special=True)
            assert again.tokenizer.encode(text, special=True) == ids
        assert again.tokenizer.special == original.tokenizer.special
        said = "".join(again.generate("Once upon a time", max_tokens=20))
        assert said == "".join(original.generate("Once upon a time", max_tokens=20)) != ""


def test_a_folder_whose_name_is_no_unicode_names_a_file_all_the_same(
    run: Run, copy: Path, tmp_path: Path
) -> None:
    odd = copy.rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/m\xff")))
    run(odd, tmp_path / "o.gguf", "--format", "q8_0")
    assert GGUF.open(tmp_path / "o.gguf").metadata["general.name"] == "m?"


def test_llama3s_rope_goes_into_the_tensor_of_factors(run: Run, copy: Path, tmp_path: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    del config["rope_parameters"]
    config["rope_scaling"] = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    unscaled = logits(copy, "f32")
    (copy / "config.json").write_text(json.dumps(config))
    run(copy, tmp_path / "l.gguf", "--format", "f32")
    found, expected = logits(tmp_path / "l.gguf"), logits(copy, "f32")
    assert np.abs(found - expected).max() <= 1e-5 * expected.std()
    assert np.abs(unscaled - expected).max() > 1e-2 * expected.std()


def test_what_gguf_has_no_keys_for_is_refused_before_anything_is_written(
    run: Run, copy: Path, tmp_path: Path
) -> None:
    config = json.loads((copy / "config.json").read_text())
    scaling = {"rope_type": "dynamic", "factor": 2.0}
    del config["rope_parameters"]
    (copy / "config.json").write_text(json.dumps(config | {"rope_scaling": scaling}))
    assert (
        "no keys for a rope scaled by 'dynamic'"
        in run(copy, tmp_path / "o.gguf", "--format", "f16", code=4).err
    )
    assert not (tmp_path / "o.gguf").exists()


def test_a_tokenizer_that_gguf_cannot_say_is_left_out_with_the_reason(
    run: Run, qwen: Path, tmp_path: Path
) -> None:
    spec = json.loads((qwen / "tokenizer.json").read_text())
    spec["normalizer"] = {"type": "Lowercase"}
    (qwen / "tokenizer.json").write_text(json.dumps(spec))
    done = run(qwen, tmp_path / "q.gguf", "--format", "q8_0")
    assert "written without a tokenizer: it changes a text's characters" in done.err
    metadata = GGUF.open(tmp_path / "q.gguf").metadata
    assert [key for key in metadata if "tokenizer" in key] == ["tokenizer.ggml.model"]
    assert (metadata["tokenizer.ggml.model"], metadata["qwen3.vocab_size"]) == ("none", 260)
    with synapse.load(tmp_path / "q.gguf", backend="numpy") as model:
        assert model.logits([1, 2]).shape == (2, 260)


def test_without_a_terminal_stderr_has_the_size_alone(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    done = run(folder, tmp_path / "out", "--format", "q8_0")
    size = (tmp_path / "out" / "model.safetensors").stat().st_size
    assert done.err == f"{tmp_path / 'out'}: {size:,} bytes\n"


def test_parts_of_one_tensor_get_one_format(run: Run, qwen: Path, tmp_path: Path) -> None:
    """Phi-3 holds q, k and v in one tensor."""
    tensors = load_file(qwen / "model.safetensors")
    for layer in range(2):
        prefix = f"model.layers.{layer}"
        for whole, parts in (
            ("self_attn.qkv_proj", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("mlp.gate_up_proj", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            rows = [tensors.pop(f"{prefix}.{part}.weight") for part in parts]
            tensors[f"{prefix}.{whole}.weight"] = np.concatenate(rows)
        for name in ("q_norm", "k_norm"):
            del tensors[f"{prefix}.self_attn.{name}.weight"]
    save_file(tensors, qwen / "model.safetensors")
    config = json.loads((qwen / "config.json").read_text())
    config |= {"architectures": ["Phi3ForCausalLM"], "sliding_window": None}
    (qwen / "config.json").write_text(json.dumps(config))
    plan = plan_file(tmp_path, {"*.attention.q.weight": "q8_0", "*": "q4_0"})
    done = run(qwen, tmp_path / "a", "--plan", plan, code=2)
    assert "one format for both, not q8_0 and q4_0" in done.err
    run(qwen, tmp_path / "b", "--format", "q8_0")
    np.testing.assert_array_equal(logits_of_ids(tmp_path / "b"), logits_of_ids(qwen, "q8_0"))
    run(qwen, tmp_path / "c.gguf", "--format", "q8_0")
    np.testing.assert_array_equal(logits_of_ids(tmp_path / "c.gguf"), logits_of_ids(qwen, "q8_0"))


def test_windows_that_gguf_cannot_say_cut_the_context_and_stderr_says_so(
    run: Run, qwen: Path, tmp_path: Path
) -> None:
    config = json.loads((qwen / "config.json").read_text())
    windows = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    (qwen / "config.json").write_text(json.dumps(config | windows))
    context = config["max_position_embeddings"]
    done = run(qwen, tmp_path / "o.gguf", "--format", "f16")
    assert f"windows, here of 8 positions: context_length is 8, not {context}" in done.err
    assert GGUF.open(tmp_path / "o.gguf").metadata["qwen3.context_length"] == 8
    np.testing.assert_array_equal(logits_of_ids(tmp_path / "o.gguf"), logits_of_ids(qwen, "f16"))
