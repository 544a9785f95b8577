"""Fuzzing `tokenizer.model`: whatever the bytes, a tokenizer that works or a refusal in one line.

The messages of sound models are taken apart into fields, changed and put together again, or their
bytes are. SYNAPSE_FUZZ_SECONDS (60) says how long, SYNAPSE_FUZZ_SEED (0) where it begins.
"""

from __future__ import annotations

import io
import json
import os
import random
import struct
import time
from collections import Counter
from pathlib import Path

import pytest

from synapse_core.errors import FileError
from synapse_core.generate import load_tokenizer
from synapse_core.generate.assets import read_folder

hostile = pytest.importorskip("tests.generate.hostile_tokenizers", exc_type=ImportError)
SECONDS = float(os.environ.get("SYNAPSE_FUZZ_SECONDS", "60"))
SEED = int(os.environ.get("SYNAPSE_FUZZ_SEED", "0"))
MOST_CPU_S = 1.0
WORDS = (0, 1, 2, 3, 6, 7, 127, 128, 255, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)
TEXTS = (
    b"",
    b"a",
    b"\xff",
    b"\xed\xa0\x80",
    "▁".encode(),
    b"<0x0A>",
    b"<0x-1>",
    b"a" * 5000,
    b"\0",
)
TEXT = "hello he the 你好 🚀\n\n  1234 <s>"

# A message is a list of (number, kind, value); a value is a number, bytes, or a message again.
Field = tuple[int, int, "int | bytes | list[Field]"]


def piece(text: str, kind: int = 1, score: float = 0.0) -> Field:
    inner: list[Field] = [(1, 2, text.encode()), (2, 5, struct.pack("<f", score)), (3, 0, kind)]
    return (1, 2, inner)


def sound() -> list[Field]:
    """Return a model with every kind of piece: marks, bytes, letters, and what they make."""
    marks = [piece("<unk>", 2), piece("<s>", 3), piece("</s>", 3), piece("<mask>", 4)]
    bytes_ = [piece(f"<0x{n:02X}>", 6) for n in range(256)]
    letters = [piece(c, 1, -50.0 - n) for n, c in enumerate("▁helotr你")]
    made = [piece(t, 1, -1.0 - n) for n, t in enumerate(("he", "▁he", "ll", "llo", "▁hello"))]
    trainer: Field = (2, 2, [(3, 0, 2), (40, 0, 0), (41, 0, 1), (42, 0, 2)])
    normalizer: Field = (3, 2, [(1, 2, b"identity"), (3, 0, 1), (4, 0, 0), (5, 0, 1)])
    return [*marks, *bytes_, *letters, *made, trainer, normalizer]


def trained() -> bytes | None:
    """Return a model that the sentencepiece package trained, None where it is not installed."""
    try:
        import sentencepiece
    except ImportError:
        return None
    words = io.StringIO("\n".join(f"hello the other {n} he told her" for n in range(300)))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=words,
        model_writer=model,
        model_type="bpe",
        vocab_size=330,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return model.getvalue()


def encoded(fields: list[Field]) -> bytes:
    """Write a message."""
    parts: list[bytes] = []
    for number, kind, value in fields:
        parts.append(hostile.varint(number << 3 | kind))
        if isinstance(value, int):
            parts.append(hostile.varint(value))
            continue
        data = encoded(value) if isinstance(value, list) else value
        parts.append(hostile.varint(len(data)) + data if kind == 2 else data)
    return b"".join(parts)


def changed_fields(rng: random.Random) -> bytes:
    """Change one to four fields of the model or of a message in it."""
    fields = sound()
    for _ in range(rng.choice((1, 1, 2, 4))):
        inner = rng.choice(fields if rng.random() < 0.7 else fields[-2:])[2]
        of = inner if isinstance(inner, list) and inner and rng.random() < 0.8 else fields
        at = rng.randrange(len(of))
        number, kind, value = of[at]
        match rng.randrange(8):
            case 0:
                del of[at]
            case 1:
                of.insert(rng.randrange(len(of) + 1), of[at])
            case 2:
                of[at] = (rng.choice((0, 1, 2, 3, 4, 5, 41, 1 << 28)), kind, value)
            case 3:
                of[at] = (number, rng.randrange(8), value)
            case 4:
                of[at] = (number, 0, rng.choice(WORDS))
            case 5:
                of[at] = (number, 2, rng.choice(TEXTS))
            case 6:
                word = rng.choice((float("nan"), float("inf"), -1e38, 1e-45, 0.0))
                of[at] = (number, 5, struct.pack("<f", word))
            case _:
                of[at] = (number, 2, [of[at]] * rng.choice((1, 2, 50)))
        fields = fields or sound()
    return encoded(fields)


def changed_bytes(rng: random.Random, content: bytes) -> bytes:
    """Change, insert, remove or repeat bytes, or cut the file."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(data) or 1)
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))])
            case 1:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 2:
                del data[at : at + rng.randrange(1, 40)]
            case 3:
                data[at:at] = data[at : at + rng.randrange(1, 99)] * rng.choice((1, 2, 99))
            case 4:
                data[at:at] = hostile.varint(rng.choice(WORDS))
            case _:
                data = data[: rng.randrange(len(data) + 1)]
    return bytes(data)


def use(folder: Path) -> str:
    """Read a folder as a model's is read; return how that ended: taken, or the field refused."""
    try:
        tokenizer = load_tokenizer(read_folder(folder), str(folder))
        ids = tokenizer.encode(TEXT, special=True)
        assert all(0 <= id < tokenizer.size for id in ids)
        tokenizer.decode(ids)
        for id in ids:
            tokenizer.piece(id)
    except FileError as error:
        refusal = str(error)
    else:
        return "taken"
    assert refusal.isprintable()
    assert len(refusal) < 1000
    return refusal.partition("tokenizer.model: ")[2].partition(":")[0].partition("[")[0][:40]


def test_the_sound_models_are_taken(tmp_path: Path) -> None:
    for data in filter(None, (encoded(sound()), trained())):
        (tmp_path / "tokenizer.model").write_bytes(data)
        assert use(tmp_path) == "taken"
        tokenizer = load_tokenizer(read_folder(tmp_path))
        assert tokenizer.decode(tokenizer.encode("hello he", special=False)) == "hello he"


def test_changes_reach_every_part() -> None:
    made = {changed_fields(random.Random(n)) for n in range(200)}
    assert len(made) > 150
    assert encoded(sound()) not in made or len(made) > 190


@pytest.mark.fuzz
def test_any_model_is_taken_or_refused(tmp_path: Path) -> None:
    seeds = [data for data in (encoded(sound()), trained()) if data]
    ways: Counter[str] = Counter()
    end, number = time.monotonic() + SECONDS, SEED
    while time.monotonic() < end:
        rng = random.Random(number)
        way = rng.random()
        if way < 0.6:
            data = changed_fields(rng)
        elif way < 0.95:
            data = changed_bytes(rng, rng.choice(seeds))
        else:
            data = rng.randbytes(rng.randrange(200))
        (tmp_path / "tokenizer.model").write_bytes(data)
        began = time.process_time()
        ways[use(tmp_path)] += 1  # pytest keeps the folder of a test that fails
        assert time.process_time() - began < MOST_CPU_S, number
        number += 1
    print(json.dumps({"models": number - SEED, **dict(ways.most_common(12))}))
    assert ways["taken"] > 20
    assert len(ways) > 5
