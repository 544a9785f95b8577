"""A SentencePiece-like tokenizer.json as keys of a GGUF file: there, back, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from synapse_core.generate import assets_of_gguf
from synapse_core.generate.gguf_tokenizer import SPACED_OFTEN, gguf_tokenizer
from synapse_core.generate.sentencepiece_model import assets_of_sentencepiece, read_pieces
from synapse_core.generate.tokenizer_json import JsonTokenizer, load_tokenizer
from synapse_core.generate.vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from synapse_core.loaders import GGUF

KEY = "tokenizer.ggml."
MISTRAL = ("tokenizer.model.v1", "mistral_instruct_tokenizer_240323.model.v3")


def texts_of(shared_data: Path, name: str) -> list[str]:
    """The texts that llama.cpp tests a vocabulary on."""
    whole = (shared_data / "tokenizers" / f"ggml-vocab-{name}.gguf.inp").read_text("utf-8")
    return whole.split("\n__ggml_vocab_test__\n")


def agree(a: JsonTokenizer, b: JsonTokenizer, texts: list[str]) -> None:
    for text in texts:
        for special in (False, True):
            assert a.encode(text, special=special) == b.encode(text, special=special), text


@pytest.mark.parametrize(("name", "title"), [("llama-spm", "x"), ("phi-3", "Phi-3 x")])
def test_a_real_vocabulary_comes_back_as_it_is_used(
    shared_data: Path, name: str, title: str
) -> None:
    path = shared_data / "tokenizers" / f"ggml-vocab-{name}.gguf"
    metadata = GGUF.open(path).metadata
    assets = assets_of_gguf(metadata, path)
    tokens, scores = (list(metadata[f"{KEY}{kind}"]) for kind in ("tokens", "scores"))
    names = ("x", "Phi-3 x")
    keys, reason = gguf_tokenizer(assets, len(tokens), "llama", str(path), names=names)
    assert reason is None
    # Phi-3's drops blanks behind its special tokens: what says so is the name.
    assert keys["general.name"] == title
    assert keys[f"{KEY}tokens"] == tokens
    # Without a tokenizer.model there are no scores, but an order: that of the merges.
    kinds = list(metadata[f"{KEY}token_type"])
    made = [id for id in range(len(tokens)) if kinds[id] == NORMAL and len(tokens[id]) > 1]
    made = [id for id in made if scores[id] > -1e8]
    assert len(made) > 29_000
    ours = keys[f"{KEY}scores"]
    assert sorted(made, key=ours.__getitem__) == sorted(made, key=scores.__getitem__)
    for id in ("bos_token_id", "eos_token_id", "unknown_token_id", "add_bos_token"):
        assert keys[f"{KEY}{id}"] == metadata[f"{KEY}{id}"]
    again = assets_of_gguf({**keys, "general.architecture": "llama"}, path)
    agree(load_tokenizer(again), load_tokenizer(assets), texts_of(shared_data, name))


@pytest.mark.parametrize("name", MISTRAL)
def test_the_scores_are_those_of_the_tokenizer_model(shared_data: Path, name: str) -> None:
    data = (shared_data / "tokenizers" / "mistral" / name).read_bytes()
    assets, pieces = assets_of_sentencepiece(data, name), read_pieces(data, name)
    size = pieces.vocabulary.size
    keys, reason = gguf_tokenizer(assets, size + 3, "llama", name, pieces=pieces)
    assert reason is None
    assert keys[f"{KEY}scores"] == [*pieces.scores, -10000.0, -10000.0, -10000.0]
    assert keys[f"{KEY}token_type"] == [*pieces.vocabulary.kinds, *[UNUSED] * 3]
    assert keys[f"{KEY}tokens"][size] == f"[PAD{size}]"
    again = load_tokenizer(assets_of_gguf({**keys, "general.architecture": "llama"}, name))
    agree(again, load_tokenizer(assets), texts_of(shared_data, "llama-spm"))


def test_a_name_that_would_change_the_tokenizer_is_not_taken(shared_data: Path) -> None:
    path = shared_data / "tokenizers" / "ggml-vocab-llama-spm.gguf"
    assets = assets_of_gguf(GGUF.open(path).metadata, path)
    names = ("phi3-mine", "Phi-3 phi3-mine", "model")
    keys, reason = gguf_tokenizer(assets, 32000, "phi3", "f", names=names)
    assert (reason, keys["general.name"]) == (None, "model")


MARK = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
PREPEND = {"type": "Prepend", "prepend": "▁"}
BACK = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
FIRST = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}


def added(id: int, content: str, *, special: bool = True, **flags: bool) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": content, "special": special, **plain, **flags}


def small(**changes: Any) -> dict[str, Any]:
    """Return a spec of bytes, some words and two added tokens."""
    letters = ["▁", *"abcdehlor"]
    words = ["he", "ll", "hell", "hello", "▁hello", "or", "▁or", "▁▁"]
    texts = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), *letters, *words]
    steps = [("h", "e"), ("l", "l"), ("he", "ll"), ("hell", "o"), ("▁", "hello"), ("o", "r")]
    steps += [("▁", "or"), ("▁", "▁")]
    spec: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [
            *(added(n, text) for n, text in enumerate(texts[:3])),
            added(len(texts), "<turn>"),
            added(len(texts) + 1, "::", special=False),
        ],
        "normalizer": {"type": "Sequence", "normalizers": [PREPEND, MARK]},
        "pre_tokenizer": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [BACK, {"type": "ByteFallback"}, {"type": "Fuse"}, STRIP],
        },
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {text: n for n, text in enumerate(texts)},
            "merges": [list(step) for step in steps],
        },
    }
    return spec | changes


def keys_of(
    spec: Mapping[str, Any], rows: int = 300, **config: Any
) -> tuple[dict[str, Any], str | None, JsonTokenizer | None]:
    """Return keys, reason, and the tokenizer that is read back."""
    said = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **config}
    assets = {"tokenizer.json": json.dumps(spec), "tokenizer_config.json": json.dumps(said)}
    keys, reason = gguf_tokenizer(assets, rows, "llama", "f")
    if not keys:
        return keys, reason, None
    again = load_tokenizer(assets_of_gguf({**keys, "general.architecture": "llama"}, "f"))
    original = load_tokenizer(assets)
    if reason is None:
        agree(again, original, ["", "hello", "  hello  or\n<turn> hello::or</s>x", "héllo ▁ 🦙"])
    return keys, reason, again


def test_tokens_get_the_types_and_scores_of_the_converter() -> None:
    keys, reason, _ = keys_of(small(), add_bos_token=True)
    assert reason is None
    tokens, kinds, scores = (keys[f"{KEY}{n}"] for n in ("tokens", "token_type", "scores"))
    found = dict(zip(tokens, zip(kinds, scores, strict=True), strict=True))
    assert found["<unk>"] == (UNKNOWN, 0.0)
    assert found["<s>"] == found["<turn>"] == (CONTROL, -1000.0)
    assert found["::"] == (USER_DEFINED, -1000.0)
    assert found["<0x0A>"] == (BYTE, 0.0)
    assert found["he"] == (NORMAL, -1.0)
    assert found["▁▁"] == (NORMAL, -8.0)
    assert found["a"] == (NORMAL, -9.0)
    assert found["[PAD299]"] == (UNUSED, -10000.0)
    assert (keys[f"{KEY}model"], keys[f"{KEY}pre"]) == ("llama", "default")
    assert keys[f"{KEY}add_space_prefix"] is True
    assert keys[f"{KEY}add_bos_token"] is True
    assert keys[f"{KEY}add_eos_token"] is False


def test_a_tokenizer_without_a_space_before_says_so() -> None:
    """Gemma's: spaces are marks, then it cuts at spaces, of which there are none left."""
    decoder = {"type": "Sequence", "decoders": [BACK, {"type": "ByteFallback"}, {"type": "Fuse"}]}
    cut = {
        "type": "Split",
        "pattern": {"String": " "},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    spec = small(normalizer=MARK, pre_tokenizer=cut, decoder=decoder)
    keys, reason, again = keys_of(spec)
    assert reason is None
    assert keys[f"{KEY}add_space_prefix"] is False
    assert again is not None
    assert again.decode(again.encode("hello", special=False)) == "hello"


def test_a_space_before_the_first_word_alone_is_written_and_told() -> None:
    keys, reason, again = keys_of(small(normalizer=None, pre_tokenizer=FIRST))
    assert reason == SPACED_OFTEN
    assert keys[f"{KEY}add_space_prefix"] is True
    assert again is not None
    tokens = keys[f"{KEY}tokens"]
    words = [tokens.index("▁hello"), tokens.index("▁or")]
    assert again.encode("hello or", special=False) == words
    turn = tokens.index("<turn>")
    assert again.encode("<turn>hello", special=False) == [turn, words[0]]
    never, reason, _ = keys_of(
        small(
            normalizer=None,
            pre_tokenizer={**FIRST, "prepend_scheme": "never"},
            decoder={"type": "Sequence", "decoders": small()["decoder"]["decoders"][:3]},
        )
    )
    assert reason is None
    assert never[f"{KEY}add_space_prefix"] is False


def test_the_end_that_the_config_names_goes_before_others() -> None:
    generation = json.dumps({"eos_token_id": [2, 277]})
    spec = small()
    turn = spec["added_tokens"][3]["id"]
    assets = {
        "tokenizer.json": json.dumps(spec),
        "tokenizer_config.json": json.dumps({"eos_token": "<turn>", "pad_token": "<unk>"}),
        "generation_config.json": generation.replace("277", str(turn)),
    }
    keys, reason = gguf_tokenizer(assets, 300, "llama", "f")
    assert reason is None
    assert (keys[f"{KEY}eos_token_id"], keys[f"{KEY}eot_token_id"]) == (turn, 2)
    assert keys[f"{KEY}padding_token_id"] == 0


def model(**changes: Any) -> dict[str, Any]:
    return small()["model"] | changes


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unigram": ({"model": {"type": "Unigram", "vocab": [["<unk>", 0.0]]}}, "no byte-level BPE"),
    "a rule": ({"normalizer": {"type": "NFKC"}}, "it changes a text's characters"),
    "another mark": (
        {"normalizer": None, "pre_tokenizer": {**FIRST, "replacement": "_"}},
        "it marks spaces by another character",
    ),
    "no mark": ({"normalizer": None}, "does not mark spaces as SentencePiece does"),
    "a cut": ({"pre_tokenizer": {"type": "Whitespace"}}, "cuts a text in a way"),
    "blanks": (
        {"added_tokens": [added(0, "<unk>"), added(290, "<x>", lstrip=True)]},
        "token '<x>' takes blanks with it",
    ),
    "blanks behind": (
        {"added_tokens": [added(0, "<unk>"), added(290, "<x>", rstrip=True)]},
        "read back from GGUF it gives other ids",
    ),
    "a row too few": ({"added_tokens": [added(300, "<x>")]}, "token 300 has no row in a table"),
    "one text twice": ({"added_tokens": [added(290, "hello")]}, "'hello' is token"),
    "merges missing": (
        {"model": model(merges=[["h", "e"], ["he", "ll"]])},
        "read back from GGUF it gives other ids",
    ),
    "no merges": ({"model": {"type": "BPE", "vocab": {}}}, "is not as expected"),
    "an id that is text": ({"added_tokens": [added(290, "<x>") | {"id": "1"}]}, "is not as exp"),
    "a merge of numbers": ({"model": model(merges=[[1, 2]])}, "is not as expected"),
    "a list": ({"model": []}, "is not as expected"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_scores_cannot_say_is_left_out_with_the_reason(name: str) -> None:
    changes, words = REFUSED[name]
    keys, reason, _ = keys_of(small(**changes))
    assert keys == {}
    assert reason is not None
    assert words in reason


@pytest.mark.parametrize(
    "listed",
    [{"x": {}}, {"290": {}}, {"290": []}, [1], {"-1": {"content": "x"}}, {"5": {"content": 5}}],
)
def test_config_that_lies_about_added_tokens_is_left_out(listed: Any) -> None:
    keys, reason, _ = keys_of(small(), added_tokens_decoder=listed)
    assert keys == {}
    assert re.search("is not as expected|its token -1 is none", reason or "")


def test_a_tokenizer_model_of_another_tokenizer_is_no_source_of_scores(shared_data: Path) -> None:
    data = (shared_data / "tokenizers" / "mistral" / MISTRAL[0]).read_bytes()
    assets = {"tokenizer.json": json.dumps(small())}
    pieces = read_pieces(data, "m")
    keys, reason = gguf_tokenizer(assets, 33000, "llama", "f", pieces=pieces)
    assert keys == {}
    assert reason == "its token 259 is not that of the tokenizer.model"


def test_nested_without_end_is_left_out() -> None:
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000
    keys, reason = gguf_tokenizer({"tokenizer.json": deep}, 300, "llama", "f")
    assert keys == {}
    assert "tokenizer.json: not JSON" in (reason or "")
