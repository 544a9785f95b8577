"""Files that `synapse quantize` writes, run by llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synapse_model_decoder.shipped import default_model_path

from synapse_core.api import LlamaCpp, compare, load, requantize
from synapse_core.plugins import default_host
from tests.outside.llama_cpp import converter_script

from .reference_cases import LINEAR, LLAMA3, Case, make_case

pytestmark = pytest.mark.reference

F16 = "float16"
# Of the standard deviation of the logits: where nothing is rounded the largest error, else the rms.
TOLERANCES = {"f32": ("max", 1e-3), "q8_0": ("rms", 0.1), "q4_k": ("rms", 0.1)}
SIZES = {"hidden_size": 256, "intermediate_size": 288, "num_attention_heads": 4, "head_dim": 20}
CASES = {
    "llama": Case("llama", F16, {**SIZES, "tie_word_embeddings": False}),
    "llama tied with biases": Case("llama", F16, {**SIZES, "attention_bias": True}),
    "llama llama3": Case("llama", F16, {**SIZES, "rope_parameters": LLAMA3}),
    "llama linear": Case("llama", F16, {**SIZES, "rope_parameters": LINEAR}),
    "qwen3": Case("qwen3", F16, {**SIZES, "tie_word_embeddings": False}),
    "qwen3 tied": Case("qwen3", F16, {**SIZES, "tie_word_embeddings": True}),
}
VOCABULARY = 300


@pytest.fixture(autouse=True)
def llama_cpp() -> None:
    """Skip where llama.cpp is not there."""
    converter_script()


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer that knows bytes, a pair of them and an end."""
    ends: dict[str, Any] = {"id": 257, "content": "<|end|>", "special": True}
    ends |= dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    letters = {byte: chr(byte) for byte in shown}
    letters |= {byte: chr(256 + n) for n, byte in enumerate(hidden)}
    vocabulary = {letters[byte]: byte for byte in range(256)} | {"he": 256}
    spec = {
        "version": "1.0",
        "added_tokens": [ends],
        "pre_tokenizer": {**level, "use_regex": True},
        "decoder": {**level, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [["h", "e"]]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>"}))


def check(path: Path, ids: list[int], format: str, truth: np.ndarray | None = None) -> None:
    """Hold llama.cpp's logits of a file against the truth, or against ours."""
    measure, tolerance = TOLERANCES[format]
    if truth is None:
        with load(path, backend="numpy", kv="f32", arith="f32") as model:
            truth = model.logits(ids)
    found = compare(LlamaCpp(path).logits(ids), truth, tolerance=tolerance, measure=measure)
    assert found.holds, found


@pytest.mark.parametrize("format", TOLERANCES)
@pytest.mark.parametrize("name", CASES)
def test_llama_cpp_computes_what_we_do_of_a_file_of_ours(
    tmp_path: Path, name: str, format: str
) -> None:
    config = {**CASES[name].config, "vocab_size": VOCABULARY}
    made = make_case(Case(CASES[name].family, F16, config), tmp_path / "checkpoint")
    write_tokenizer(made.folder)
    path = tmp_path / "ours.gguf"
    requantize(made.folder, path, default_host(), format=format)
    truth = made.logits[0] if format == "f32" else None
    check(path, made.ids[0].tolist(), format, truth)


@pytest.mark.parametrize("format", ["f32", "q8_0"])
def test_llama_cpp_speaks_with_the_shipped_model(tmp_path: Path, format: str) -> None:
    import llama_cpp

    path = tmp_path / "ours.gguf"
    requantize(default_model_path(), path, default_host(), format=format)
    text = "Once upon a time"
    with load(path, backend="numpy", kv="f32", arith="f32") as model:
        ids = model.tokenizer.encode(text, special=False)
    theirs = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    try:
        assert theirs.tokenize(text.encode(), add_bos=False, special=False) == ids
    finally:
        theirs.close()
    check(path, ids, format)
