"""A vocabulary's long lists are refused before the engine sees them, by index."""

from __future__ import annotations

import json
from typing import Any

import pytest

from synapse_core.errors import FileError
from synapse_core.generate import load_tokenizer
from synapse_core.generate.merges_check import check_merges, check_vocabulary, without_lists

VOCAB = {"a": 0, "b": 1, "ab": 2, "##b": 3}


def load(**model: Any) -> Any:
    spec = {"version": "1.0", "model": {"type": "BPE", "vocab": VOCAB, "merges": ["a b"]} | model}
    return load_tokenizer({"tokenizer.json": json.dumps(spec)}, "m")


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ({"merges": ["a b", "a c"]}, r"model\.merges\[1\]"),
        ({"merges": [["a", "b"], ["b", "a"]]}, r"model\.merges\[1\]"),
        ({"merges": [["a", "##b"]]}, r"model\.merges\[0\]"),
        ({"vocab": {"a": -1}}, r"model\.vocab: token 'a' has id -1"),
        ({"vocab": {"a": 1 << 32}}, r"model\.vocab"),
        ({"vocab": {"a": True}}, r"model\.vocab"),
        ({"vocab": {"a": "0"}}, r"model\.vocab"),
    ],
)
def test_what_the_engine_would_refuse_is_refused_by_index(
    model: dict[str, Any], field: str
) -> None:
    with pytest.raises(FileError, match=rf"m/tokenizer\.json: {field}"):
        load(**model)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"merges": []},
        {"merges": [["a", "b"]]},
        {"merges": [["a", "##b"]], "continuing_subword_prefix": "##"},
        {"merges": ["#version: 0.2", "a b"]},
    ],
)
def test_what_the_engine_takes_is_taken(model: dict[str, Any]) -> None:
    assert load(**model).encode("ab", special=False) in ([2], [0, 1], [0, 3])


@pytest.mark.parametrize("model", [None, 5, [], {}, {"vocab": []}, {"vocab": 5}])
def test_a_model_of_another_form_is_left_to_the_engine(model: Any) -> None:
    check_vocabulary(model, "m")
    if isinstance(model, dict):
        check_merges(model, [["a", "c"]], "m")


def test_a_unigram_is_not_emptied() -> None:
    assert without_lists({"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}) is None
    emptied = without_lists({"decoder": 1, "model": {"vocab": VOCAB, "x": 1}})
    assert emptied == {"decoder": 1, "model": {"vocab": {}, "merges": [], "x": 1}}


def test_a_large_sound_file_is_taken_whole() -> None:
    vocab = {f"{n}": n for n in range(100_000)}
    merges = [["1", f"{n}"] for n in range(1, 9999)]
    extra = {"unk_token": "0", "merges": merges}
    tokenizer = load(vocab=vocab, **extra)
    assert tokenizer.size == 100_000
    assert tokenizer.encode("12", special=False) == [12]
