"""Real vocabularies give the reference ids: GGUF, SentencePiece, CLIP."""

from __future__ import annotations

import heapq
import json
import random
import struct
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Engine

from synapse_core.generate import (
    ChatTemplate,
    JsonTokenizer,
    Stream,
    assets_of_clip,
    assets_of_gguf,
    assets_of_sentencepiece,
    clean_caption,
    load_tokenizer,
    read_clip_merges,
)

Metadata = Mapping[str, Any]
VECTORS = ("llama-bpe", "llama-spm", "phi-3", "qwen2", "gpt-2")
MISTRAL = {
    "mistral_v1": "tokenizer.model.v1",
    "mistral_v3": "mistral_instruct_tokenizer_240323.model.v3",
}
ALL = (*VECTORS, "gpt-neox", *MISTRAL, "clip")


def read_metadata(path: Path) -> dict[str, Any]:
    """Read a GGUF file's keys; plain, for files that are known to be good."""
    data, at = path.read_bytes(), 8

    def number(form: str) -> Any:
        nonlocal at
        value = struct.unpack_from(f"<{form}", data, at)[0]
        at += struct.calcsize(form)
        return value

    def text() -> str:
        nonlocal at
        size = number("Q")
        at += size
        return data[at - size : at].decode()

    def value(kind: int) -> Any:
        nonlocal at
        if kind == 8:
            return text()
        if kind != 9:
            return number("BbHhIif?..QqD"[kind].replace("D", "d"))
        kind, count = number("I"), number("Q")
        if kind == 8:
            return [text() for _ in range(count)]
        form = f"<{count}" + "BbHhIif?..Qqd"[kind]
        values = list(struct.unpack_from(form, data, at))
        at += struct.calcsize(form)
        return values

    _tensors, count = number("Q"), number("Q")
    return {text(): value(number("I")) for _ in range(count)}


@pytest.fixture(scope="session")
def folder(shared_data: Path) -> Path:
    return shared_data / "tokenizers"


@pytest.fixture(scope="session")
def metadata(folder: Path) -> Callable[[str], Metadata]:
    kept: dict[str, Metadata] = {}

    def read(name: str) -> Metadata:
        if name not in kept:
            kept[name] = read_metadata(folder / f"ggml-vocab-{name}.gguf")
        return kept[name]

    return read


@pytest.fixture(scope="session")
def tokenizer(folder: Path, metadata: Callable[[str], Metadata]) -> Callable[[str], JsonTokenizer]:
    kept: dict[str, JsonTokenizer] = {}

    def load(name: str) -> JsonTokenizer:
        if name in kept:
            return kept[name]
        if name in MISTRAL:
            data = (folder / "mistral" / MISTRAL[name]).read_bytes()
            files = assets_of_sentencepiece(data, name)
        elif name == "clip":
            path = folder / "clip" / "bpe_simple_vocab_16e6.txt.gz"
            files = assets_of_clip(read_clip_merges(path), path)
        else:
            files = assets_of_gguf(metadata(name), name)
        return kept.setdefault(name, load_tokenizer(files, name))

    return load


def cases(folder: Path, name: str) -> tuple[list[str], list[list[int]]]:
    stem = folder / f"ggml-vocab-{name}.gguf"
    texts = Path(f"{stem}.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = Path(f"{stem}.out").read_text().split("\n")
    return texts, [[int(id) for id in line.split()] for line in lines]


@pytest.fixture(scope="session")
def vectors(folder: Path) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads((folder / "vectors.json").read_text())
    return found


@pytest.fixture(scope="session")
def many_texts(folder: Path, vectors: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """All texts of all vectors, and two thousand made of what tokenizers stumble over."""
    texts = [text for name in VECTORS for text in cases(folder, name)[0]]
    texts += [case["text"] for group in vectors.values() for case in group]
    parts = [
        "a",
        "e\u0301",
        "  ",
        "\n",
        "\t",
        " ",
        "é",
        "中",
        "🚀",
        "the",
        " and",
        "\u00a0",
        "\u2000",
    ]
    parts += ["xxxxx", "12", "<|endoftext|>", "\u1100\u1161", "'s", "\r\n", "ſ", "\u0f3a", "_"]
    chosen = random.Random(1)
    texts += ["".join(chosen.choices(parts, k=chosen.randrange(1, 14))) for _ in range(2000)]
    return texts


def test_this_readers_metadata_is_the_gguf_packages(shared_data: Path) -> None:
    reader = pytest.importorskip("gguf").GGUFReader
    path = shared_data / "stories260K" / "gguf" / "model-Q8_0.gguf"
    fields = reader(path).fields.items()
    theirs = {key: field.contents() for key, field in fields if not key.startswith("GGUF.")}
    assert read_metadata(path) == theirs


@pytest.mark.parametrize("name", VECTORS)
def test_gguf_vocabulary_gives_the_reference_ids(
    name: str, folder: Path, tokenizer: Callable[[str], JsonTokenizer]
) -> None:
    texts, wanted = cases(folder, name)
    assert len(texts) == len(wanted) == 47
    assert [tokenizer(name).encode(text, special=False) for text in texts] == wanted


def test_neox_of_gguf_is_the_tokenizer_of_mamba(
    folder: Path, tokenizer: Callable[[str], JsonTokenizer], many_texts: list[str]
) -> None:
    mamba = Engine.from_file(str(folder / "mamba" / "tokenizer.json"))
    neox = tokenizer("gpt-neox")
    for text in many_texts:
        assert neox.encode(text, special=False) == mamba.encode(text).ids, text


@pytest.mark.parametrize("name", MISTRAL)
def test_sentencepiece_model_gives_the_reference_ids(
    name: str,
    tokenizer: Callable[[str], JsonTokenizer],
    vectors: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    assert len(vectors[name]) == 12
    for case in vectors[name]:
        ids = tokenizer(name).encode(case["text"], special=False)
        assert ids == case["ids"], case["text"]
        assert tokenizer(name).decode(ids) == case["decoded"]


def test_clip_gives_the_reference_ids(
    tokenizer: Callable[[str], JsonTokenizer],
    vectors: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    clip = tokenizer("clip")
    assert clip.size == 49408
    assert len(vectors["clip_open_clip"]) == 12
    for case in vectors["clip_open_clip"]:
        assert clip.encode(clean_caption(case["text"]), special=True) == case["ids"], case["text"]
    assert clip.decode(clip.encode("a photo of a cat", special=True)) == "a photo of a cat "


def merged_by_score(text: str, ids: Mapping[str, int], scores: Sequence[float]) -> list[int]:
    """SentencePiece's BPE as its paper says it: always the best pair, of equals the first."""
    symbols: list[str] = list(text)
    following = [*range(1, len(symbols)), -1]
    before = list(range(-1, len(symbols) - 1))
    pairs: list[tuple[float, int, int, int]] = []

    def offer(left: int, right: int) -> None:
        if left >= 0 and right >= 0 and (id := ids.get(symbols[left] + symbols[right])) is not None:
            size = len(symbols[left]) + len(symbols[right])
            heapq.heappush(pairs, (-scores[id], left, right, size))

    for place in range(len(symbols) - 1):
        offer(place, place + 1)
    while pairs:
        _, left, right, size = heapq.heappop(pairs)
        stale = not symbols[left] or not symbols[right]
        if stale or len(symbols[left]) + len(symbols[right]) != size:
            continue
        symbols[left] += symbols[right]
        symbols[right] = ""
        following[left] = following[right]
        if following[right] >= 0:
            before[following[right]] = left
        offer(before[left], left)
        offer(left, following[left])
    found: list[int] = []
    for symbol in filter(None, symbols):
        spelled = [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]
        found += [ids[symbol]] if symbol in ids else spelled
    return found


@pytest.mark.parametrize("name", ["llama-spm", "phi-3"])
def test_scored_merges_are_those_of_the_plain_algorithm(
    name: str, metadata: Callable[[str], Metadata], tokenizer: Callable[[str], JsonTokenizer]
) -> None:
    tokens: list[str] = metadata(name)["tokenizer.ggml.tokens"]
    scores = metadata(name)["tokenizer.ggml.scores"]
    ids = {token: id for id, token in enumerate(tokens)}
    words = [token for token in tokens[259:32000] if "▁" not in token[1:]]
    chosen = random.Random(7)
    for round in range(3000):
        if round % 3 == 0:
            text = "".join(chosen.choices(words, k=chosen.randrange(1, 8)))
        elif round % 3 == 1:
            text = "".join(chosen.choices(chosen.choice(words), k=chosen.randrange(1, 16)))
        else:
            text = "".join(chosen.choices("ab ▁e\ns0xé🚀", k=chosen.randrange(1, 24)))
        plain = text.replace("▁", " ")
        wanted = merged_by_score("▁" + plain.replace(" ", "▁"), ids, scores)
        assert tokenizer(name).encode(plain, special=False) == wanted, plain


def test_special_tokens_are_read_or_are_text_as_asked(
    tokenizer: Callable[[str], JsonTokenizer],
) -> None:
    llama = tokenizer("llama-spm")
    assert llama.encode("</s>a", special=False) == [2, 263]
    assert llama.encode("</s>", special=False, literal=True) == [1533, 29879, 29958]
    assert llama.encode("</s>a", special=False) == [2, 263]
    chat = tokenizer("llama-bpe")
    read = chat.encode("<|eot_id|>", special=False)
    text = chat.encode("<|eot_id|>", special=False, literal=True)
    assert read == [128009]
    assert max(text) < 128000
    assert chat.decode(text) == "<|eot_id|>"


def test_beginnings_and_ends_are_those_of_the_files(
    tokenizer: Callable[[str], JsonTokenizer],
) -> None:
    assert tokenizer("llama-bpe").special.ends == {128001, 128009}
    assert tokenizer("llama-bpe").encode("a", special=True)[0] == 128000
    assert tokenizer("llama-spm").encode("a", special=True)[0] == 1
    assert tokenizer("phi-3").special.ends == {32000, 32007}
    assert tokenizer("qwen2").special.ends == {151643, 151645}
    assert tokenizer("qwen2").encode("a", special=True) == [64]
    assert tokenizer("mistral_v3").special.bos == 1
    assert tokenizer("mistral_v3").special.ends == {2}


def test_phi3_drops_blanks_behind_its_turns(tokenizer: Callable[[str], JsonTokenizer]) -> None:
    phi = tokenizer("phi-3")
    assert phi.encode("<|user|>\n a", special=False) == phi.encode("<|user|>a", special=False)
    assert phi.encode("<s> a", special=False) != phi.encode("<s>a", special=False)


def test_chat_template_of_a_gguf_file_is_used(metadata: Callable[[str], Metadata]) -> None:
    files = assets_of_gguf(metadata("qwen2"), "qwen2.gguf")
    written = ChatTemplate.of(files).render([{"role": "user", "content": "Hi"}])
    assert written.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("name", ALL)
def test_pieces_of_random_ids_are_their_text_and_never_half_a_character(
    name: str, tokenizer: Callable[[str], JsonTokenizer]
) -> None:
    vocabulary = tokenizer(name)

    @settings(max_examples=100, deadline=None, database=None)
    @given(ids=st.lists(st.integers(0, vocabulary.size - 1) | st.integers(0, 400), max_size=24))
    def check(ids: list[int]) -> None:
        stream = Stream(vocabulary)
        pieces = [*(stream.add(id) for id in ids), stream.end()]
        whole = vocabulary.decode(ids)
        assert "".join(pieces) == whole
        # Only what no later byte can complete is replaced, so nothing is printed twice or undone.
        assert sum(piece.count("�") for piece in pieces) == whole.count("�")

    check()


@pytest.mark.parametrize("name", ALL)
def test_a_text_streams_in_whole_characters(
    name: str, tokenizer: Callable[[str], JsonTokenizer]
) -> None:
    vocabulary = tokenizer(name)
    alphabet = st.characters(codec="utf-8", exclude_characters="�")

    @settings(max_examples=100, deadline=None, database=None)
    @given(text=st.text(alphabet, max_size=20) | st.text("é中🚀👍🏽 a\n", max_size=20))
    def check(text: str) -> None:
        ids = vocabulary.encode(text, special=False)
        stream = Stream(vocabulary)
        pieces = [*(stream.add(id) for id in ids), stream.end()]
        assert "".join(pieces) == vocabulary.decode(ids)
        assert not any("�" in piece for piece in pieces)

    check()


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("clip", "phi-3")])
def test_texts_come_back_from_their_ids(
    name: str, tokenizer: Callable[[str], JsonTokenizer], many_texts: list[str]
) -> None:
    vocabulary = tokenizer(name)
    composes = name in ("qwen2", "gpt-neox")
    for text in many_texts:
        wanted = unicodedata.normalize("NFC", text) if composes else text
        ids = vocabulary.encode(text, special=False, literal=True)
        assert vocabulary.decode(ids) == wanted
