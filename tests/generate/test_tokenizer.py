from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_core.errors import FileError, UsageError
from synapse_core.generate import JsonTokenizer, Stream, load_tokenizer, prompt_ids, read_folder
from synapse_core.generate.byte_alphabet import BYTE_OF_CHARACTER

CHARACTER_OF_BYTE = {byte: character for character, byte in BYTE_OF_CHARACTER.items()}


def spec(vocab: dict[str, int], merges: list[str], **parts: object) -> str:
    model = {"type": "BPE", "vocab": vocab, "merges": merges, **parts.pop("model", {})}
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model} | parts)


def special(id: int, text: str) -> dict[str, object]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": text, "special": True, **flags}


def byte_level(config: dict[str, object] | None = None, **more: object) -> JsonTokenizer:
    """All bytes, a few merges inside and across characters, and two special tokens."""
    vocab = {CHARACTER_OF_BYTE[byte]: byte for byte in range(256)}
    pairs = [b"he", b"ll", "é".encode(), "🚀".encode()[:2], "🚀".encode()[2:], b" w"]
    for n, pair in enumerate(pairs):
        vocab["".join(CHARACTER_OF_BYTE[b] for b in pair)] = 256 + n
    merges = [" ".join(CHARACTER_OF_BYTE[b] for b in pair) for pair in pairs]
    text = spec(
        vocab,
        merges,
        added_tokens=[special(262, "<bos>"), special(263, "<eos>")],
        pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        **more,
    )
    named = {"bos_token": "<bos>", "eos_token": "<eos>"} | (config or {})
    return load_tokenizer({"tokenizer.json": text, "tokenizer_config.json": json.dumps(named)})


def byte_fallback() -> JsonTokenizer:
    """Words with a mark for the space before them, and a token for every byte."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{b:02X}>": b + 3 for b in range(256)}
    for n, token in enumerate(["▁", "a", "b", "▁a", "▁▁", "é"]):
        vocab[token] = 259 + n
    steps: list[dict[str, object]] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    text = spec(
        vocab,
        ["▁ a", "▁ ▁"],
        model={"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True},
        added_tokens=[special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        normalizer={
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        decoder={"type": "Sequence", "decoders": steps},
    )
    return load_tokenizer({"tokenizer.json": text, "config.json": '{"bos_token_id": 1}'})


BYTE_LEVEL, BYTE_FALLBACK = byte_level(), byte_fallback()
KINDS = pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, BYTE_FALLBACK], ids=["bytes", "fallback"])


def streamed(tokenizer: JsonTokenizer, ids: list[int]) -> list[str]:
    stream = Stream(tokenizer)
    return [*(stream.add(id) for id in ids), stream.end()]


@KINDS
@settings(max_examples=150, deadline=None)
@given(ids=st.lists(st.integers(0, 320), max_size=30))
def test_pieces_together_are_the_text_of_all_ids(tokenizer: JsonTokenizer, ids: list[int]) -> None:
    assert "".join(streamed(tokenizer, ids)) == tokenizer.decode(ids)


@KINDS
@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=20))
def test_a_text_comes_back_and_no_piece_holds_half_a_character(
    tokenizer: JsonTokenizer, text: str
) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    pieces = streamed(tokenizer, tokenizer.encode(text, special=False))
    assert "".join(pieces) == text
    assert "�" in text or not any("�" in piece for piece in pieces)


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(0, 310), max_size=20))
def test_byte_level_decoding_is_the_packages(ids: list[int]) -> None:
    assert BYTE_LEVEL.decode(ids) == BYTE_LEVEL.engine.decode(ids)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet=st.characters(codec="utf-8"), max_size=20))
def test_fallback_decoding_of_a_text_is_the_packages(text: str) -> None:
    ids = BYTE_FALLBACK.encode(text, special=False)
    assert BYTE_FALLBACK.decode(ids) == BYTE_FALLBACK.engine.decode(ids)


def test_a_character_appears_when_its_last_byte_does() -> None:
    ids = BYTE_FALLBACK.encode("a🚀", special=False)
    assert streamed(BYTE_FALLBACK, ids) == ["a", "", "", "", "🚀", ""]


def test_an_unfinished_character_ends_as_a_replacement() -> None:
    assert streamed(BYTE_LEVEL, [0xF0, 0x9F]) == ["", "", "�"]


def test_a_continued_text_keeps_its_leading_space() -> None:
    ids = BYTE_FALLBACK.encode("a", special=False)
    assert Stream(BYTE_FALLBACK).add(ids[0]) == "a"
    assert Stream(BYTE_FALLBACK, continues=True).add(ids[0]) == " a"


def test_special_tokens_are_not_text() -> None:
    assert BYTE_LEVEL.decode([262, *b"ok", 263]) == "ok"


def test_a_decoder_that_looks_at_neighbours_still_streams_whole() -> None:
    vocab = {"un": 0, "##known": 1, "word": 2}
    text = json.dumps(
        {
            "version": "1.0",
            "added_tokens": [],
            "model": {
                "type": "WordPiece",
                "vocab": vocab,
                "unk_token": "un",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 99,
            },
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        }
    )
    tokenizer = load_tokenizer({"tokenizer.json": text})
    assert "".join(streamed(tokenizer, [0, 1, 2])) == tokenizer.decode([0, 1, 2]) == "unknown word"


def test_the_start_token_is_added_once_or_taken_away_as_the_config_says() -> None:
    post = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<bos>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "<eos>", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {
            "<bos>": {"id": "<bos>", "ids": [262], "tokens": ["<bos>"]},
            "<eos>": {"id": "<eos>", "ids": [263], "tokens": ["<eos>"]},
        },
    }
    word = list(b"a")
    assert byte_level({"add_bos_token": True}).encode("a", special=True) == [262, *word]
    assert byte_level().encode("a", special=True) == word
    both = byte_level(post_processor=post)
    assert both.encode("a", special=True) == [262, *word, 263]
    assert both.encode("a", special=False) == word
    assert prompt_ids(both, "a") == [262, *word]
    assert prompt_ids(both, "") == [262]
    without = byte_level({"add_bos_token": False}, post_processor=post)
    assert prompt_ids(without, "a") == word
    assert prompt_ids(byte_level({"add_bos_token": True}, post_processor=post), "a") == [262, *word]


def test_ends_are_all_that_the_files_name() -> None:
    files = {
        "tokenizer.json": json.dumps(json.loads(BYTE_LEVEL.engine.to_str())),
        "tokenizer_config.json": '{"eos_token": {"content": "<eos>"}}',
        "generation_config.json": '{"eos_token_id": [7, 8]}',
        "config.json": '{"eos_token_id": 9, "bos_token_id": 5}',
    }
    tokenizer = load_tokenizer(files)
    assert tokenizer.special.ends == {263, 7, 8, 9}
    assert tokenizer.special.bos == 5


@pytest.mark.parametrize("value", ["x", -1, 1.5, True, 2**40, [1, "2"], list(range(100))])
def test_an_end_that_is_no_id_is_refused_by_key(value: object) -> None:
    files = {
        "tokenizer.json": BYTE_LEVEL.engine.to_str(),
        "config.json": json.dumps({"eos_token_id": value}),
    }
    with pytest.raises(FileError, match=r"config\.json: eos_token_id"):
        load_tokenizer(files)


def bomb() -> str:
    replaces = [
        {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10} for _ in range(9)
    ]
    return spec({"a": 0}, [], normalizer={"type": "Sequence", "normalizers": replaces})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"model": ' + "[" * 100_000,
        spec({"a": 0, "b": 1}, ["a b"]),
        spec({"a": 2**33}, []),
        spec({"a": -1}, []),
        spec(
            {"a": 0},
            [],
            pre_tokenizer={
                "type": "Split",
                "pattern": {"Regex": "(a+)+$"},
                "behavior": "Isolated",
                "invert": False,
            },
        ),
        bomb(),
    ],
    ids=["empty", "list", "object", "null", "deep", "merge", "big-id", "negative", "regex", "bomb"],
)
def test_a_hostile_file_is_refused_or_harmless(text: str) -> None:
    refused = ""
    try:
        load_tokenizer({"tokenizer.json": text}, "folder")
    except FileError as error:
        refused = str(error)
    assert refused.startswith("folder/tokenizer.json: ") or refused == ""
    assert "\n" not in refused


def test_a_lone_surrogate_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="Unicode"):
        BYTE_LEVEL.encode("\ud800", special=False)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileError, match=r"tokenizer\.json: missing"):
        load_tokenizer({})


def test_the_real_llama_tokenizer_gives_the_reference_ids(shared_data: Path) -> None:
    folder = shared_data / "stories260K" / "hf"
    tokenizer = load_tokenizer(read_folder(folder), str(folder))
    assert tokenizer.special.bos == 1
    assert tokenizer.special.ends == {2}
    for case in json.loads((folder / "tokenizer_reference.json").read_text()):
        assert tokenizer.encode(case["text"], special=True) == case["ids"]
        assert tokenizer.encode(case["text"], special=False) == case["ids_no_special"]
        assert tokenizer.decode(case["ids"]) == case["decoded_skip"]
        assert "".join(streamed(tokenizer, case["ids"])) == case["decoded_skip"]
