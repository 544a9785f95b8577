from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from synapse_core.errors import FileError
from synapse_core.generate import (
    JsonTokenizer,
    assets_of_gguf,
    assets_of_sentencepiece,
    load_tokenizer,
    read_assets,
    read_folder,
)
from synapse_core.generate.byte_alphabet import BYTE_OF_CHARACTER
from synapse_core.generate.pre_tokenizers import PRE_TOKENIZERS
from synapse_core.loaders import Checkpoint

CHARACTERS = list(BYTE_OF_CHARACTER)


def bytes_vocabulary(more: dict[str, int] | None = None, **keys: Any) -> dict[str, Any]:
    """All bytes, "ab", and further tokens with their types, from id 257 on."""
    tokens = [*CHARACTERS, "ab", *(more or {})]
    kinds = [1] * 257 + list((more or {}).values())
    said = {"model": "gpt2", "pre": "gpt-2", "tokens": tokens, "token_type": kinds}
    said |= {"merges": ["a b"]} | keys
    return {f"tokenizer.ggml.{key}": value for key, value in said.items() if value is not None}


def loaded(metadata: dict[str, Any]) -> JsonTokenizer:
    return load_tokenizer(assets_of_gguf(metadata, "m.gguf"), "m.gguf")


def test_file_without_a_tokenizer_has_no_files() -> None:
    assert assets_of_gguf({"general.architecture": "vit"}, "m.gguf") == {}
    assert assets_of_gguf({"tokenizer.ggml.model": "none"}, "m.gguf") == {}


@pytest.mark.parametrize("pre", sorted(PRE_TOKENIZERS))
def test_every_named_pre_tokenizer_loads_and_loses_nothing(pre: str) -> None:
    tokenizer = loaded(bytes_vocabulary(pre=pre))
    text = "Don't 1234567 über 你好, ab🚀\r\n\n  x\t_<|x|>  "
    assert tokenizer.decode(tokenizer.encode(text, special=False)) == text


def test_digits_are_cut_as_the_name_says() -> None:
    tokens = {"12": 1, "123": 1, "1234": 1}
    merges = ["1 2", "12 3", "123 4"]
    for pre, wanted in {
        "gpt-2": ["1234"],
        "llama-bpe": ["123", "4"],
        "qwen2": ["1", "2", "3", "4"],
        "starcoder": ["1", "2", "3", "4"],
        "falcon": ["123", "4"],
        "deepseek-v3": ["123", "4"],
        "deepseek-coder": ["1", "2", "3", "4"],
    }.items():
        keys = bytes_vocabulary(tokens, pre=pre, merges=["a b", *merges])
        tokenizer = loaded(keys)
        ids = tokenizer.encode("1234", special=False)
        assert [keys["tokenizer.ggml.tokens"][id] for id in ids] == wanted, pre


def test_whole_words_are_taken_before_merges_where_the_name_says_so() -> None:
    words = {"abc": 1}
    assert loaded(bytes_vocabulary(words, pre="llama-bpe")).encode("abc", special=False) == [257]
    assert len(loaded(bytes_vocabulary(words, pre="gpt-2")).encode("abc", special=False)) == 2


def test_unknown_pre_tokenizer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(FileError, match=r"m\.gguf: tokenizer\.ggml\.pre: .*'acme'.*llama-bpe"):
        assets_of_gguf(bytes_vocabulary(pre="acme"), "m.gguf")


def test_missing_pre_tokenizer_is_known_only_where_the_architecture_fixes_it() -> None:
    metadata = bytes_vocabulary(pre=None)
    with pytest.raises(FileError, match=r"tokenizer\.ggml\.pre: missing"):
        assets_of_gguf(metadata | {"general.architecture": "llama"}, "m.gguf")
    assert assets_of_gguf(metadata | {"general.architecture": "gptneox"}, "m.gguf")


def test_special_tokens_are_hidden_and_others_written_as_they_are() -> None:
    tokenizer = loaded(bytes_vocabulary({"<e>": 3, "éé": 4}, eos_token_id=257))
    ids = tokenizer.encode("a<e>ééa", special=False)
    assert ids[1:3] == [257, 258]
    assert tokenizer.decode(ids) == "aééa"


def test_fillers_for_unused_ids_are_tokens_but_never_found_in_a_text() -> None:
    tokenizer = loaded(bytes_vocabulary({"[PAD257]": 4, "[PAD9]": 4}))
    assert tokenizer.size == 259
    assert 257 not in tokenizer.encode("[PAD257]", special=False)
    assert tokenizer.encode("[PAD9]", special=False) == [258]


def test_start_and_end_are_added_as_the_file_asks() -> None:
    marks = {"<s>": 3, "</s>": 3}
    ids = {"bos_token_id": 257, "eos_token_id": 258}
    a = CHARACTERS.index("a")
    plain = loaded(bytes_vocabulary(marks, **ids))
    assert plain.encode("a", special=True) == [a]
    both = loaded(bytes_vocabulary(marks, **ids, add_bos_token=True, add_eos_token=True))
    assert both.encode("a", special=True) == [257, a, 258]
    assert both.encode("a", special=False) == [a]
    by_name = bytes_vocabulary(marks, **ids, pre="llama-bpe")
    assert loaded(by_name).encode("a", special=True) == [257, a]
    by_name["tokenizer.ggml.add_bos_token"] = False
    assert loaded(by_name).encode("a", special=True) == [a]


def test_all_known_ends_of_turns_end_a_generation() -> None:
    marks = {"<|im_end|>": 3, "<|endoftext|>": 3, "<x>": 3, "<|end|>": 1}
    assert loaded(bytes_vocabulary(marks, eos_token_id=259)).special.ends == {257, 258, 259}
    channels = {"<|end|>": 3, "<|return|>": 3, "<|call|>": 3}
    assert loaded(bytes_vocabulary(channels, eos_token_id=258)).special.ends == {258, 259}


def test_named_chat_templates_are_kept_by_name() -> None:
    metadata = bytes_vocabulary() | {
        "tokenizer.chat_template": "plain",
        "tokenizer.chat_template.tool_use": "tools",
    }
    config = json.loads(assets_of_gguf(metadata, "m.gguf")["tokenizer_config.json"])
    assert config["chat_template"] == [
        {"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "tools"},
    ]


def scored(**keys: Any) -> dict[str, Any]:
    tokens = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [2, 3] + [6] * 256
    words = {"▁": -9.0, "a": -8.0, "b": -7.0, "▁a": -1.0, "ab": -2.0, "aab": -3.0}
    said = {"model": "llama", "tokens": [*tokens, *words], "token_type": kinds + [1] * len(words)}
    said |= {"scores": [0.0] * 258 + list(words.values()), "bos_token_id": 1}
    said |= {"unknown_token_id": 0} | keys
    return {f"tokenizer.ggml.{key}": value for key, value in said.items()}


def test_best_score_merges_first_and_bytes_stand_for_the_unknown() -> None:
    tokenizer = loaded(scored())
    assert tokenizer.encode("ab", special=True) == [1, 261, 260]
    assert tokenizer.encode("bab", special=False) == [258, 260, 262]
    assert tokenizer.encode("é", special=False) == [258, 2 + 0xC3, 2 + 0xA9]
    assert tokenizer.decode([258, 2 + 0xC3, 2 + 0xA9]) == "é"


def test_space_before_a_text_is_the_files_choice() -> None:
    without = loaded(scored(add_space_prefix=False))
    assert without.encode("a", special=False) == [259]
    assert without.decode([261]) == " a"
    assert loaded(scored()).decode([261]) == "a"


def test_control_tokens_and_bytes_are_made_of_no_text() -> None:
    keys = scored()
    tokens, kinds = keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.token_type"]
    for text in ("<", "s", ">", "<s", "0", "x", "4", "1", "<0", "x4", "<0x4", "1>"):
        tokens.append(text)
        kinds.append(1)
        keys["tokenizer.ggml.scores"].append(-5.0)
    ids = loaded(keys).encode("<s><0x41>", special=False, literal=True)
    assert 1 not in ids
    assert 2 + 0x41 not in ids


def test_arrays_of_numpy_are_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    keys = scored()
    for key in ("scores", "token_type"):
        keys[f"tokenizer.ggml.{key}"] = numpy.array(keys[f"tokenizer.ggml.{key}"])
    assert loaded(keys).encode("a", special=False) == [261]


def checkpoint(metadata: dict[str, Any], path: Path) -> Checkpoint:
    return Checkpoint(path, "gguf", metadata, {}, path.parent)


def test_gguf_file_has_its_own_tokenizer_and_not_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("another model's")
    files = read_assets(checkpoint(scored(), tmp_path / "m.gguf"))
    assert load_tokenizer(files).encode("a", special=False) == [261]


def test_refusal_waits_until_a_text_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    files = read_assets(checkpoint(bytes_vocabulary(pre="acme"), path))
    with pytest.raises(FileError, match=r"m\.gguf: tokenizer\.ggml\.pre: .*acme") as caught:
        load_tokenizer(files, str(path))
    assert caught.value.exit_code == 3


def test_vocabulary_is_looked_at_once_and_not_before_a_file_is_asked_for(tmp_path: Path) -> None:
    class Counted(dict[str, Any]):
        asked = 0

        def get(self, key: str, default: Any = None) -> Any:
            self.asked += key == "tokenizer.ggml.tokens"
            return super().get(key, default)

    metadata = Counted(scored())
    files = read_assets(checkpoint(metadata, tmp_path / "m.gguf"))
    assert metadata.asked == 0
    assert "tokenizer.json" in files
    assert {*files} == {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}
    assert load_tokenizer(files).encode("a", special=False) == [261]
    assert metadata.asked == 1


def model_file() -> bytes:
    """A tokenizer.model of six pieces, BPE."""

    def message(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    pieces = b""
    for text, kind, score in (
        ("<unk>", 2, 0.0),
        ("<s>", 3, 0.0),
        ("</s>", 3, 0.0),
        ("▁", 1, -3.0),
        ("a", 1, -2.0),
        ("▁a", 1, -1.0),
    ):
        inner = message(1, text.encode()) + b"\x15" + struct.pack("<f", score)
        pieces += message(1, inner + bytes([0x18, kind]))
    return pieces + message(2, b"\x18\x02") + message(3, b"\x20\x00")


def test_sentencepiece_model_is_read_where_there_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(model_file())
    tokenizer = load_tokenizer(read_folder(tmp_path))
    assert tokenizer.encode("a", special=True) == [1, 5]
    assert tokenizer.special.ends == {2}
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    tokenizer = load_tokenizer(read_folder(tmp_path))
    assert tokenizer.encode("a", special=True) == [5]
    assert tokenizer.special.ends == {2}
    (tmp_path / "tokenizer.json").write_text("{}")
    assert read_folder(tmp_path)["tokenizer.json"] == b"{}"


def test_bad_sentencepiece_model_waits_until_a_text_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(model_file()[:-1])
    files = read_folder(tmp_path)
    with pytest.raises(FileError, match=r"at byte \d+: a field of 2 bytes, 1 are left"):
        load_tokenizer(files, str(tmp_path))


def test_sentencepiece_model_of_a_real_folder_is_its_json(shared_data: Path) -> None:
    folder = shared_data / "stories260K" / "hf"
    by_json = load_tokenizer(read_folder(folder))
    data = (folder / "tokenizer.model").read_bytes()
    by_model = load_tokenizer(assets_of_sentencepiece(data, "tokenizer.model"))
    for case in json.loads((folder / "tokenizer_reference.json").read_text()):
        for special in (True, False):
            wanted = by_json.encode(case["text"], special=special)
            assert by_model.encode(case["text"], special=special) == wanted
