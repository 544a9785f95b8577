"""RWKV World's tokenizer: its own answers, texts that come back, and lines that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synapse_model_rwkv.samples import WORLD
from synapse_model_rwkv.vocabulary import FILE, WorldReader, WorldTokenizer

from synapse_core.errors import FileError
from synapse_core.generate import Stream, Vocabulary

SMALL = WorldReader().read(WORLD, "sample")


@pytest.fixture(scope="module")
def world(shared_data: Path) -> WorldTokenizer:
    text = (shared_data / "tokenizers" / "rwkv" / FILE).read_text(encoding="utf-8")
    return WorldReader().read({FILE: text}, "rwkv")


def test_the_answers_are_those_of_the_package(shared_data: Path, world: WorldTokenizer) -> None:
    vectors = json.loads((shared_data / "tokenizers" / "vectors.json").read_text())["rwkv_world"]
    assert len(vectors) > 10
    for vector in vectors:
        assert world.encode(vector["text"], special=True) == vector["ids"]
        assert world.decode(vector["ids"]) == vector["decoded"]


def test_the_vocabulary_is_whole(world: WorldTokenizer) -> None:
    assert world.size == 65530
    assert len(world.tokens) == 65529
    assert world.special.ends == {0}
    assert all(world.ids[token] == id for id, token in world.tokens.items())


@given(st.text())
def test_a_text_comes_back(text: str) -> None:
    assert SMALL.decode(SMALL.encode(text, special=True)) == text


@given(st.binary())
def test_bytes_are_streamed_as_they_are_decoded(data: bytes) -> None:
    ids = [byte + 1 for byte in data]
    stream = Stream(SMALL)
    assert "".join(map(stream.add, ids)) + stream.end() == SMALL.decode(ids)


def test_a_character_appears_when_all_its_bytes_are_there() -> None:
    stream = Stream(SMALL)
    first, second, third = (byte + 1 for byte in "語".encode())
    assert [stream.add(first), stream.add(second), stream.add(third)] == ["", "", "語"]
    assert SMALL.decode([first]) == "�"


def test_the_longest_token_is_taken_even_where_a_shorter_one_would_save_a_token() -> None:
    ids = SMALL.encode(" times two", special=False)
    assert [SMALL.piece(id) for id in ids] == [b" time", b"s", b" two"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "expected an id"),
        ("257 'a' 1 ", "expected an id"),
        ("0 'ab' 2", "expected an id"),
        ("-1 'ab' 2", "expected an id"),
        ("9999999 'ab' 2", "at most 1048575"),
        ("257 'ab' 3", "a token of 2 bytes, the line says 3"),
        ("257 '' 0", "expected an id"),
        ("257 'a'b' 3", "expected an id"),
        ("257 f'ab' 2", "expected an id"),
        ("257 'ab'+'c' 3", "expected an id"),
        ("257 __import__('os') 2", "expected an id"),
        (r"257 'a\q' 2", "no escape"),
        (r"257 '\ud800' 3", "surrogates not allowed"),
        (r"257 '\U00110000' 3", "not in range"),
        ("257 b'語' 3", "latin-1"),
        ("257 'a' 1", "the token of id 98 a second time"),
        ("12 'ab' 2", "id 12 a second time"),
        ("257 '" + "a" * 20000 + "' 20000", "expected an id"),
    ],
)
def test_a_line_that_is_no_token_is_refused_by_its_number(line: str, said: str) -> None:
    lines = WORLD[FILE].splitlines()[:256]
    with pytest.raises(FileError, match="line 257") as caught:
        WorldReader().read({FILE: "\n".join([*lines, line, "258 'xyz' 3"])}, "there")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_vocabulary_without_a_byte_is_refused() -> None:
    lines = WORLD[FILE].splitlines()
    with pytest.raises(FileError, match="no token of the byte 41"):
        WorldReader().read({FILE: "\n".join(lines[:65] + lines[66:])}, "there")


def inside(world: WorldTokenizer) -> Vocabulary:
    """Return a vocabulary as llama.cpp's converter writes it into a GGUF file."""
    texts = ["<s>", *(repr(world.piece(id))[2:-1] for id in range(1, world.size))]
    padded = [f"[PAD{id}]" for id in range(world.size, world.size + 6)]
    kinds = [3, *[1] * (world.size - 1), *[5] * 6]
    return Vocabulary.of([*texts, *padded], kinds, "x.gguf", "tokenizer.ggml.tokens")


def test_the_tokens_of_a_gguf_file_are_those_of_the_folder(world: WorldTokenizer) -> None:
    reader = WorldReader()
    again = reader.read(reader.files_of_gguf(inside(world)), "x.gguf")
    assert again.tokens == world.tokens


def test_a_token_of_a_gguf_file_that_is_no_bytes_is_refused_by_its_number() -> None:
    vocabulary = Vocabulary.of(["<s>", "a", "語"], [3, 1, 1], "x.gguf", "tokenizer.ggml.tokens")
    with pytest.raises(FileError, match=r"x\.gguf: tokenizer\.ggml\.tokens\[2\]: found '語'"):
        WorldReader().files_of_gguf(vocabulary)
