"""Tokenizers that plugins bring: which one reads a model's files, and what is said otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from synapse_core.api import tokenizer_of
from synapse_core.api.carry import carried_files
from synapse_core.api.hub_files import choose_files
from synapse_core.errors import (
    FileError,
    PluginConflict,
    PluginError,
    SynapseError,
    Unavailable,
    UsageError,
)
from synapse_core.generate import (
    SpecialTokens,
    Tokenizer,
    Vocabulary,
    has_tokenizer,
    open_tokenizer,
    read_assets,
    read_folder,
    reader_files,
)
from synapse_core.loaders import Checkpoint
from tests.things import Nothing, With


@attrs.frozen
class Letters:
    """Ids are places in a text of letters."""

    letters: str
    special: SpecialTokens = attrs.field(factory=SpecialTokens)
    leading_space: bool = False

    @property
    def size(self) -> int:
        return len(self.letters)

    def encode(self, text: str, special: bool) -> list[int]:
        return [self.letters.index(letter) for letter in text]

    def decode(self, ids: Any) -> str:
        return "".join(self.letters[id] for id in ids)

    def piece(self, id: int) -> bytes:
        return self.letters[id].encode()


@attrs.frozen
class LettersReader:
    name: str = "letters"
    files: Any = ("letters.txt",)

    def read(self, files: Mapping[str, str], where: str) -> Tokenizer:
        if not files[self.files[0]]:
            raise FileError(f"{where}/{self.files[0]}", "is empty")
        return Letters(files[self.files[0]])


def registry(*readers: Any) -> With:
    return With({("tokenizer", reader.name): reader for reader in readers}, Nothing())


LETTERS = registry(LettersReader())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "letters.txt").write_text("xyzab")
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def test_a_reader_whose_files_are_all_there_is_used(folder: Path) -> None:
    assets = read_folder(folder, LETTERS)
    assert has_tokenizer(assets)
    assert open_tokenizer(assets, "m", LETTERS).encode("ab", special=False) == [3, 4]


def test_a_reader_of_which_one_file_is_missing_claims_nothing(folder: Path) -> None:
    two = registry(LettersReader(files=("letters.txt", "merges.txt")))
    assets = read_folder(folder, two)
    assert assets == {"config.json": "{}"}
    assert not has_tokenizer(assets)
    with pytest.raises(FileError, match=r"m/tokenizer\.json: missing"):
        open_tokenizer(assets, "m", two)


@pytest.mark.parametrize("core", ["tokenizer.json", "tokenizer.model"])
def test_the_core_s_file_and_a_reader_s_are_never_guessed_between(folder: Path, core: str) -> None:
    (folder / core).write_text("{}")
    assets = read_folder(folder, LETTERS)
    told = rf"'core' \({core}\) and 'letters' \(letters.txt\); say --tokenizer core or --tok"
    with pytest.raises(FileError, match=told):
        open_tokenizer(assets, "m", LETTERS)
    chosen = read_folder(folder, LETTERS, "letters")
    assert open_tokenizer(chosen, "m", LETTERS).size == 5
    refusal = {"tokenizer.json": r"tokenizer\.json", "tokenizer.model": "protocol buffer"}
    with pytest.raises(FileError, match=refusal[core]):  # {} is no tokenizer of the core's either
        open_tokenizer(read_folder(folder, LETTERS, "core"), "m", LETTERS)


def test_two_readers_are_never_guessed_between(folder: Path) -> None:
    two = registry(LettersReader(), LettersReader("others"))
    with pytest.raises(FileError, match=r"say --tokenizer letters or --tokenizer others"):
        open_tokenizer(read_folder(folder, two), "m", two)
    assert open_tokenizer(read_folder(folder, two, "others"), "m", two).size == 5


def test_a_reader_that_is_asked_and_has_no_file_is_refused(folder: Path) -> None:
    (folder / "letters.txt").unlink()
    with pytest.raises(UsageError, match=r"tokenizer 'letters' reads 'letters\.txt', which"):
        read_folder(folder, LETTERS, "letters")


def test_an_asked_reader_is_never_left_out_in_silence(folder: Path) -> None:
    with pytest.raises(UsageError, match="tokenizer 'letters' is asked, and no registry"):
        read_folder(folder, None, "letters")


def test_a_gguf_file_has_its_own(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "m.gguf", "gguf", {}, {}, tmp_path)
    with pytest.raises(UsageError, match=r"'letters' cannot be chosen: .*m\.gguf has its own"):
        read_assets(checkpoint, LETTERS, "letters")


@attrs.frozen
class InsideReader(LettersReader):
    gguf_model: str = "runes"

    def files_of_gguf(self, vocabulary: Vocabulary) -> Mapping[str, str]:
        kept = [t for t, kind in zip(vocabulary.texts, vocabulary.kinds, strict=True) if kind == 1]
        return {self.files[0]: "".join(kept)}


def gguf(tmp_path: Path, model: object, tokens: list[Any]) -> Checkpoint:
    keys = {"model": model, "tokens": tokens, "token_type": [1] * (len(tokens) - 1) + [3]}
    metadata = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    return Checkpoint(tmp_path / "m.gguf", "gguf", metadata, {}, tmp_path)


def test_a_gguf_file_s_tokenizer_is_read_by_the_reader_that_names_its_kind(tmp_path: Path) -> None:
    found = registry(LettersReader("others"), InsideReader())
    assets = read_assets(gguf(tmp_path, "runes", ["q", "r", "s", "<end>"]), found)
    assert has_tokenizer(assets)
    assert open_tokenizer(assets, "m", found).encode("sq", special=False) == [2, 0]


def test_a_gguf_file_s_kind_that_no_reader_names_is_refused_by_name(tmp_path: Path) -> None:
    for installed in (LETTERS, None):
        assets = read_assets(gguf(tmp_path, "runes", ["q", "r"]), installed)
        with pytest.raises(FileError, match=r"tokenizer\.ggml\.model: tokenizer 'runes'; built"):
            open_tokenizer(assets, "m", LETTERS)


def test_what_a_reader_gets_of_a_gguf_file_was_checked(tmp_path: Path) -> None:
    found = registry(InsideReader())
    assets = read_assets(gguf(tmp_path, "runes", ["q", "q"]), found)
    with pytest.raises(FileError, match=r"tokens\[1\]: 'q' is token 0 already"):
        open_tokenizer(assets, "m", found)


def test_a_kind_that_the_core_reads_is_the_core_s(tmp_path: Path) -> None:
    found = registry(InsideReader(gguf_model="gpt2"))
    with pytest.raises(FileError, match=r"ggml\.pre: missing"):
        open_tokenizer(read_assets(gguf(tmp_path, "gpt2", ["q", "r"]), found), "m", found)


def test_two_readers_of_a_kind_are_never_guessed_between(tmp_path: Path) -> None:
    found = registry(InsideReader(), InsideReader("others"))
    with pytest.raises(PluginConflict, match="'runes' of a GGUF file is read by 'letters' and 'o"):
        has_tokenizer(read_assets(gguf(tmp_path, "runes", ["q", "r"]), found))


def test_a_folder_of_a_gguf_file_s_keys_is_read_as_any_other(folder: Path) -> None:
    checkpoint = Checkpoint(folder, "gguf", {}, {}, folder, has_files=True)
    assert read_assets(checkpoint, LETTERS) == read_folder(folder, LETTERS, "letters")


def test_a_broken_reader_is_no_obstacle_to_a_model_that_has_nothing_for_it(folder: Path) -> None:
    broken = With(
        {
            ("tokenizer", "letters"): LettersReader(),
            ("tokenizer", "bad"): PluginError("tokenizer 'bad' failed to import"),
        },
        Nothing(),
    )
    assert open_tokenizer(read_folder(folder, broken), "m", broken).size == 5
    (folder / "letters.txt").unlink()
    with pytest.raises(FileError, match=r"no tokenizer\.json, and tokenizer 'bad' failed"):
        open_tokenizer(read_folder(folder, broken), "m", broken)


@pytest.mark.parametrize("files", [(), None, "letters.txt", ("../letters.txt",), ("a/b",), (1,)])
def test_a_reader_that_names_no_files_in_a_folder_is_broken(folder: Path, files: Any) -> None:
    bad = registry(LettersReader(files=files))
    with pytest.raises(PluginError, match="must say the names of its files"):
        read_folder(folder, bad, "letters")


def test_what_was_compiled_says_which_reader_it_needs(folder: Path) -> None:
    assets = read_folder(folder, LETTERS)
    with pytest.raises(Unavailable, match=r"m\.syn: its tokenizer is read by a plugin: no token"):
        open_tokenizer(assets, "m.syn", Nothing())
    del assets["letters.txt"]
    with pytest.raises(FileError, match=r"letters\.txt: missing; tokenizer 'letters' reads it"):
        open_tokenizer(assets, "m.syn", LETTERS)


@pytest.mark.parametrize("content", [b"\xff", None], ids=["not UTF-8", "a pipe"])
def test_a_bad_file_is_refused_by_name(folder: Path, content: bytes | None) -> None:
    (folder / "letters.txt").unlink()
    if content is None:
        os.mkfifo(folder / "letters.txt")
    else:
        (folder / "letters.txt").write_bytes(content)
    with pytest.raises(FileError, match=r"letters\.txt"):
        read_folder(folder, LETTERS)


def test_what_the_reader_refuses_is_said(folder: Path) -> None:
    (folder / "letters.txt").write_text("")
    with pytest.raises(SynapseError, match=r"m/letters\.txt: is empty"):
        open_tokenizer(read_folder(folder, LETTERS), "m", LETTERS)


def test_its_files_go_along_with_copies_and_are_pulled(folder: Path) -> None:
    assert reader_files(LETTERS) == ("letters.txt",)
    assert carried_files(folder, LETTERS) == {"config.json": b"{}", "letters.txt": b"xyzab"}
    names = ["model.safetensors", "letters.txt", "config.json", "other.txt"]
    companions, _ = choose_files("m", names, None, reader_files(LETTERS))
    assert companions == ("config.json", "letters.txt")


def test_without_a_registry_the_core_s_are_read(folder: Path) -> None:
    assert read_folder(folder) == {"config.json": "{}"}


def test_a_program_has_its_tokenizer_fixed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tokenizer is fixed in it"):
        tokenizer_of(tmp_path / "m.syn", LETTERS, "letters")
