"""`synapse quantize`, run as a user does: what it writes is what `--format` would have computed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import synapse_core as synapse
from synapse_core.cli import frame
from synapse_core.formats import format_named
from synapse_core.loaders import GGUF, SAFETENSORS
from synapse_core.loaders.raw_rows import ROW_FORMATS

TOKENS = [1, 403, 407, 261, 378, 432]
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
GGUF_WRITES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k")


class Done(NamedTuple):
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object, code: int = 0) -> Done:
        capsys.readouterr()
        found = frame.run(["quantize", *map(str, arguments)])
        done = Done(*capsys.readouterr())
        assert found == code, done.err
        return done

    return run


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


@pytest.mark.parametrize("format", ["f16", "bf16", *ROW_FORMATS])
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

    module = "gguf_writer" if name.endswith("gguf") else "safetensors_writer"
    monkeypatch.setattr(f"synapse_core.loaders.{module}.write_chunks", fail)
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


def test_a_gguf_file_does_not_become_a_folder(run: Run, gguf: Path, tmp_path: Path) -> None:
    assert "written as GGUF" in run(gguf, tmp_path / "out", "--format", "q8_0", code=2).err
