"""Holding a model against references: what agrees, and what is planted to disagree."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from synapse_core.api import (
    LlamaCpp,
    Model,
    Transformers,
    build,
    compare,
    load,
    probe_tokens,
    reencodes,
    verify,
)
from synapse_core.errors import FileError, ShapeError, Unavailable, UsageError
from synapse_core.plugins import default_host
from synapse_core.program import write_program

PLANTED = (
    ("model.embed_tokens.weight", 300),
    ("model.layers.0.self_attn.q_proj.weight", 11),
    ("model.layers.2.self_attn.o_proj.weight", 0),
    ("model.layers.4.mlp.down_proj.weight", 63),
    ("model.layers.3.mlp.gate_proj.weight", 100),
)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """`copy(weight, row)`: the checkpoint with one row 2 % off; `copy()`: as it is."""

    def make(weight: str = "", row: int = 0) -> Path:
        place = tmp_path / "copy"
        place.mkdir()
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(folder / name, place / name)
        tensors = load_file(folder / "model.safetensors")
        if weight:
            tensors[weight][row] *= 1.02
        save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
        return place

    return make


@pytest.fixture(scope="module")
def original(folder: Path) -> Iterator[Model]:
    with load(folder, backend="numpy", kv="f32") as loaded:
        yield loaded


def test_a_faithful_copy_agrees(copy: Callable[..., Path], original: Model) -> None:
    with load(copy(), backend="numpy", kv="f32") as tested:
        found = verify(tested, original)
    assert found.holds
    assert (found.max_error, found.top1, found.tokens) == (0.0, 1.0, 48)


@pytest.mark.parametrize(("weight", "row"), PLANTED)
def test_one_wrong_row_is_caught(
    copy: Callable[..., Path], original: Model, weight: str, row: int
) -> None:
    with load(copy(weight, row), backend="numpy", kv="f32") as tested:
        found = verify(tested, original)
    assert not found.holds
    assert found.max_error > 5 * found.tolerance


def test_given_tokens_are_the_ones_compared(original: Model) -> None:
    class Listening:
        heard: tuple[int, ...] = ()

        def logits(self, tokens):
            Listening.heard = tuple(tokens)
            return original.logits(tokens)

    assert verify(original, Listening(), tokens=[1, 403, 407]).tokens == 3
    assert Listening.heard == (1, 403, 407)
    verify(original, Listening(), seed=4)
    assert Listening.heard == tuple(probe_tokens(original, 4)) != tuple(probe_tokens(original, 5))


def test_a_reference_of_another_vocabulary_is_no_reference() -> None:
    with pytest.raises(ShapeError, match=r"\(2, 8\).*\(2, 9\)"):
        compare(np.zeros((2, 8)), np.zeros((2, 9)), tolerance=1)


def test_what_is_held_in_another_format_than_stored_is_known(folder: Path, tmp_path: Path) -> None:
    host = default_host()
    for format, expected in ((None, False), ("f32", False), ("bf16", True), ("int8", True)):
        with load(folder, backend="numpy", format=format) as model:
            assert reencodes(model, folder, host) is expected
    program = tmp_path / "int8.syn"
    write_program(build(folder, host, format="int8", complete=True).program, program)
    with load(program, backend="numpy") as model:
        assert reencodes(model, folder, host)
        assert not reencodes(model, program, host)
    with load(folder, backend="numpy") as model:
        assert not reencodes(model, program, host)


@pytest.mark.parametrize(("module", "name"), [("torch", "torch"), ("transformers", "transformers")])
def test_absent_transformers_is_unavailable_and_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys.modules[__name__])
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match="pip install torch 'transformers") as caught:
        Transformers(folder)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_absent_llama_cpp_is_unavailable_and_says_what_to_install(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(Unavailable, match="pip install llama-cpp-python") as caught:
        LlamaCpp(shared_data / "stories260K" / "gguf" / "model-F16.gguf")
    assert caught.value.exit_code == 4


@pytest.mark.reference
def test_transformers_agrees_with_the_numpy_backend(folder: Path, original: Model) -> None:
    pytest.importorskip("transformers")
    found = verify(original, Transformers(folder))
    assert found.holds
    assert (found.measure, found.tolerance, found.top1) == ("max", 2e-4, 1.0)


@pytest.mark.reference
@pytest.mark.parametrize(("weight", "row"), PLANTED[:2])
def test_transformers_catches_one_wrong_row(
    copy: Callable[..., Path], folder: Path, weight: str, row: int
) -> None:
    pytest.importorskip("transformers")
    with load(copy(weight, row), backend="numpy", kv="f32") as tested:
        assert not verify(tested, Transformers(folder)).holds


@pytest.mark.reference
def test_a_weight_that_transformers_would_make_up_is_an_error(
    copy: Callable[..., Path], folder: Path
) -> None:
    pytest.importorskip("transformers")
    place = copy()
    tensors = load_file(place / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FileError, match="up_proj"):
        Transformers(place)


@pytest.mark.reference
def test_transformers_refuses_what_is_no_folder_or_broken(
    copy: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(UsageError, match=r"folder with config\.json"):
        Transformers(tmp_path / "model.syn")
    place = copy()
    (place / "config.json").write_text('{"architectures": ["Unheard"], "model_type": "unheard"}')
    with pytest.raises(FileError, match="transformers: "):
        Transformers(place)


@pytest.mark.reference
@pytest.mark.parametrize("format", ["F16", "Q8_0"])
def test_llama_cpp_gives_the_logits_that_it_gave(shared_data: Path, format: str) -> None:
    pytest.importorskip("llama_cpp")
    place = shared_data / "stories260K" / "gguf"
    reference = np.load(place / "reference_gguf.npz")
    found = LlamaCpp(place / f"model-{format}.gguf").logits(reference["input_ids"].tolist())
    for truth in (f"llama_cpp_{format}", f"dequant_{format}"):
        assert compare(found, reference[truth], tolerance=0.05, measure="rms").holds


@pytest.mark.reference
def test_llama_cpp_refuses_what_is_no_gguf(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    with pytest.raises(UsageError, match=r"\.gguf files only"):
        LlamaCpp(folder)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but not really")
    with pytest.raises(FileError, match=r"llama\.cpp: "):
        LlamaCpp(broken).logits([1, 2])
