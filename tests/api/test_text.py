from __future__ import annotations

import tracemalloc
from pathlib import Path

import attrs
import pytest

from synapse_core.api import text as module
from synapse_core.api.text import TextTokens
from synapse_core.errors import FileError
from synapse_core.generate import SpecialTokens


@attrs.define
class Characters:
    """Every character is its own id; 0 begins a text. It remembers how it was asked."""

    special: SpecialTokens = attrs.field(factory=lambda: SpecialTokens(bos=0))
    asked: list[tuple[str, bool]] = attrs.field(factory=list)
    size: int = 1 << 21
    leading_space: bool = False

    def encode(self, text: str, special: bool) -> list[int]:
        self.asked.append((text, special))
        return [0] * special + [ord(letter) for letter in text]


def ids_of(text: str) -> list[int]:
    return [0, *map(ord, text)]


TEXT = "Ein Käse\nfür 3 €\n\n🚀 so far\r\nand a last line"


@pytest.mark.parametrize("piece", [1, 2, 7, 20, 1000])
@pytest.mark.parametrize("read", [1, 3, 1000])
def test_pieces_together_are_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, read: int
) -> None:
    monkeypatch.setattr(module, "READ_BYTES", read)
    path = tmp_path / "text"
    path.write_bytes(TEXT.encode())
    tokens = TextTokens(path, Characters(), piece)
    assert list(tokens) == ids_of(TEXT)
    assert tokens.bytes == len(TEXT.encode())


def test_pieces_end_at_line_ends_and_only_the_first_has_the_start_token(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("one\ntwo\nthree\nfour and five\n")
    tokenizer = Characters()
    list(TextTokens(path, tokenizer, 10))
    pieces = list(dict.fromkeys(text for text, _ in tokenizer.asked))
    assert pieces == ["one\ntwo\n", "three\n", "four and f", "ive\n"]
    assert {text for text, special in tokenizer.asked if special} == {"one\ntwo\n"}


def test_an_empty_file_is_the_start_token(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.touch()
    assert list(TextTokens(path, Characters())) == [0]


@pytest.mark.parametrize("read", [1, 2, 1000])
@pytest.mark.parametrize(
    ("content", "offset"), [(b"ab\xffc", 2), (b"abc\xc3", 3), (b"a\xe2\x82z", 1)]
)
def test_what_is_no_utf8_is_named_by_its_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, offset: int, read: int
) -> None:
    monkeypatch.setattr(module, "READ_BYTES", read)
    path = tmp_path / "text"
    path.write_bytes(content)
    with pytest.raises(FileError, match="not UTF-8") as caught:
        list(TextTokens(path, Characters()))
    assert caught.value.offset == offset


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        list(TextTokens(tmp_path / "nothing", Characters()))
    with pytest.raises(FileError, match="is not a regular file"):
        list(TextTokens(tmp_path, Characters()))


def test_a_long_file_takes_no_more_memory_than_a_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @attrs.define
    class Forgetful(Characters):
        def encode(self, text: str, special: bool) -> list[int]:
            return [0] * special + [ord(letter) for letter in text]

    monkeypatch.setattr(module, "READ_BYTES", 1 << 12)
    path = tmp_path / "text"
    path.write_bytes(b"a line of this text\n" * 50_000)
    tracemalloc.start()
    count = sum(1 for _ in TextTokens(path, Forgetful(), 1 << 12))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 1_000_001
    assert peak < 300_000
