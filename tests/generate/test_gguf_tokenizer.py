"""A tokenizer.json as keys of a GGUF file: real vocabularies there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synapse_core.generate import assets_of_gguf
from synapse_core.generate.gguf_tokenizer import gguf_tokenizer
from synapse_core.loaders import GGUF


@pytest.mark.parametrize("name", ["gpt-2", "llama-bpe", "qwen2"])
def test_a_real_vocabulary_comes_back_with_tokens_merges_and_cut(
    shared_data: Path, name: str
) -> None:
    path = shared_data / "tokenizers" / f"ggml-vocab-{name}.gguf"
    metadata = GGUF.open(path).metadata
    assets = assets_of_gguf(metadata, path)
    tokens = metadata["tokenizer.ggml.tokens"]
    keys, reason = gguf_tokenizer(assets, len(tokens), "llama", str(path))
    assert reason is None
    assert keys["tokenizer.ggml.merges"] == metadata["tokenizer.ggml.merges"]
    assert keys["tokenizer.ggml.tokens"] == tokens
    assert assets_of_gguf(keys, path)["tokenizer.json"] == assets["tokenizer.json"]


def change(spec: dict[str, Any], name: str) -> None:
    cut = spec["pre_tokenizer"]["pretokenizers"]
    if name == "pattern":
        cut[0]["pattern"]["Regex"] = r"\d|\w+"
    elif name == "removes":
        cut[0]["behavior"] = "Removed"
    elif name == "prefix":
        cut[-1]["add_prefix_space"] = True
    elif name == "lower":
        spec["normalizer"] = {"type": "Lowercase"}
    elif name == "wordpiece":
        spec["model"]["type"] = "WordPiece"
    elif name == "blanks":
        spec["added_tokens"][0]["rstrip"] = True
    elif name == "merges":
        spec["model"]["merges"] = [[1]]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("pattern", "cuts a text in a way that GGUF has no name for"),
        ("removes", "cuts a text in a way that GGUF has no name for"),
        ("prefix", "does not cut a text into bytes"),
        ("lower", "changes a text's characters"),
        ("wordpiece", "is no byte-level BPE"),
        ("blanks", "takes blanks with it"),
        ("merges", "is not as expected"),
    ],
)
def test_what_gguf_has_no_words_for_is_said(shared_data: Path, name: str, problem: str) -> None:
    path = shared_data / "tokenizers" / "ggml-vocab-gpt-2.gguf"
    assets = assets_of_gguf(GGUF.open(path).metadata, path)
    spec = json.loads(assets["tokenizer.json"])
    change(spec, name)
    keys, reason = gguf_tokenizer(
        {**assets, "tokenizer.json": json.dumps(spec)}, 60000, "llama", "f"
    )
    assert keys == {}
    assert reason is not None
    assert problem in reason


def test_a_table_with_fewer_rows_than_tokens_is_said(shared_data: Path) -> None:
    path = shared_data / "tokenizers" / "ggml-vocab-gpt-2.gguf"
    assets = assets_of_gguf(GGUF.open(path).metadata, path)
    _, reason = gguf_tokenizer(assets, 100, "llama", "f")
    assert reason == "token 50256 has no row in a table of 100"
