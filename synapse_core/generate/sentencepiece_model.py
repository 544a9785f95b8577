"""A SentencePiece `tokenizer.model`, as the files that a Hugging Face folder has.

Source: sentencepiece_model.proto; a protocol buffer is fields of (number, kind, value).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from synapse_core.errors import FileError
from synapse_core.generate.tokenizer_spec import scored_spec, spec_text
from synapse_core.generate.vocabulary import NORMAL, UNKNOWN, Vocabulary

# Gemma's, the largest, has 4 MB and 262,144 pieces.
MOST_MODEL_BYTES = 16 << 20
MOST_PIECES = 300_000
# A piece has three fields; a trainer's list every marked token; a model four messages.
MOST_PIECE_FIELDS, MOST_FIELDS = 16, 1 << 16
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
KINDS = {1: "unigram", 2: "BPE", 3: "word", 4: "char"}
BPE = 2
# Field numbers of ModelProto, SentencePiece, TrainerSpec and NormalizerSpec.
PIECE, TRAINER, NORMALIZER = 1, 2, 3
TEXT, SCORE, TYPE = 1, 2, 3
_SCORE = struct.Struct("<f")
MODEL_TYPE, UNK_ID, BOS_ID, EOS_ID = 3, 40, 41, 42
RULE_NAME, CHARACTER_MAP, SPACE_BEFORE, SQUEEZES, ESCAPES = 1, 2, 3, 4, 5


@attrs.frozen(kw_only=True, eq=False)
class Pieces:
    """A BPE model's pieces with their scores.

    `space_before`: a text gets a space before it. `ids` are those of its `unk`, `bos` and `eos`.
    """

    vocabulary: Vocabulary
    scores: Sequence[float]
    space_before: bool
    ids: Mapping[str, int]


def read_pieces(data: bytes, file: object) -> Pieces:
    """Read a BPE model.

    Raises: FileError naming file, field and byte offset.
    """
    name = str(file)
    if len(data) > MOST_MODEL_BYTES:
        raise FileError(name, f"{len(data)} bytes; at most {MOST_MODEL_BYTES}")
    # Pieces are counted before one is read: a file of too many is refused at once.
    pieces: list[slice] = []
    specs: dict[int, dict[int, Any]] = {TRAINER: {}, NORMALIZER: {}}
    for number, value, at in _fields(data, 0, len(data), name, MOST_PIECES + MOST_FIELDS):
        if number not in (PIECE, TRAINER, NORMALIZER):
            continue
        if not isinstance(value, slice):
            raise FileError(name, "found a number, expected a message", offset=at)
        if number != PIECE:
            specs[number] = _message(data, value, MOST_FIELDS, name)
        elif len(pieces) < MOST_PIECES:
            pieces.append(value)
        else:
            raise FileError(name, f"more than {MOST_PIECES} pieces", offset=at)
    texts: list[str] = []
    kinds: list[Any] = []
    scores: list[float] = []
    for id, place in enumerate(pieces):
        text, score, kind = _usual_piece(data, place) or _piece(data, place, id, name)
        texts.append(text)
        scores.append(score)
        kinds.append(kind)
    trainer, normalizer = specs[TRAINER], specs[NORMALIZER]
    _refuse_others(data, trainer, normalizer, name)
    vocabulary = Vocabulary.of(texts, kinds, name, "pieces")
    ids: dict[str, int] = {}
    for key, field, usual in (("unk", UNK_ID, 0), ("bos", BOS_ID, 1), ("eos", EOS_ID, 2)):
        id = trainer.get(field, usual)
        # A negative number says that the model has no such token.
        if (
            isinstance(id, int)
            and id < 1 << 31
            and vocabulary.id_in(id, f"{key}_token") is not None
        ):
            ids[key] = id
    return Pieces(
        vocabulary=vocabulary,
        scores=scores,
        space_before=normalizer.get(SPACE_BEFORE, 1) != 0,
        ids=ids,
    )


def assets_of_sentencepiece(data: bytes, file: object) -> dict[str, str]:
    """Return the texts of tokenizer.json and tokenizer_config.json for a BPE model.

    Raises: FileError naming file, field and byte offset.
    """
    found = read_pieces(data, file)
    vocabulary = found.vocabulary
    unknown = vocabulary.kinds.index(UNKNOWN) if UNKNOWN in vocabulary.kinds else None
    spec = scored_spec(
        vocabulary, found.scores, "scores", space_before=found.space_before, unknown=unknown
    )
    config: dict[str, Any] = {"add_bos_token": True}
    for key, id in found.ids.items():
        config[f"{key}_token"] = vocabulary.texts[id]
    return {
        "tokenizer.json": spec_text(spec),
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False),
    }


def _refuse_others(
    data: bytes, trainer: dict[int, Any], normalizer: dict[int, Any], file: str
) -> None:
    """Refuse models whose texts are prepared or cut in ways that are not built."""
    kind = trainer.get(MODEL_TYPE, 1)
    if kind != BPE:
        found = KINDS.get(kind, kind) if isinstance(kind, int) else "no number"
        raise FileError(
            file, f"a {found} model; only BPE is built", field="trainer_spec.model_type"
        )
    for field, key, number, wanted in (
        ("remove_extra_whitespaces", SQUEEZES, normalizer.get(SQUEEZES, 1), 0),
        ("escape_whitespaces", ESCAPES, normalizer.get(ESCAPES, 1), 1),
    ):
        if number != wanted:
            problem = f"found {number!r:.20}, built is {wanted}"
            raise FileError(file, problem, field=f"normalizer_spec.{field} (field {key})")
    rules = normalizer.get(CHARACTER_MAP)
    if isinstance(rules, slice) and rules.stop > rules.start:
        named = normalizer.get(RULE_NAME)
        rule = data[named][:40] if isinstance(named, slice) else b""
        problem = f"rewrites texts by the rule {rule.decode('utf-8', 'replace')!r}; none is built"
        raise FileError(file, problem, field="normalizer_spec.precompiled_charsmap")


def _usual_piece(data: bytes, place: slice) -> tuple[str, float, Any] | None:
    """Read a short text, its score and perhaps its kind, as most pieces are; None for others."""
    start, stop = place.start, place.stop
    if stop - start < 7 or data[start] != TEXT << 3 | DELIMITED or data[start + 1] > 127:
        return None
    end = start + 2 + data[start + 1]
    kind = NORMAL
    if end + 7 == stop and data[end + 5] == TYPE << 3 | VARINT and data[end + 6] < 128:
        kind = data[end + 6]
    elif end + 5 != stop:
        return None
    if data[end] != SCORE << 3 | FIXED32:
        return None
    try:
        text = data[start + 2 : end].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text, _SCORE.unpack_from(data, end + 1)[0], kind


def _piece(data: bytes, place: slice, id: int, file: str) -> tuple[str, float, Any]:
    """Read a piece field by field.

    Raises: FileError naming the piece, or the byte where it is no message.
    """
    inner = _message(data, place, MOST_PIECE_FIELDS, file)
    text, score = _text(data, inner.get(TEXT), id, file), _float(inner.get(SCORE, 0.0), id, file)
    return text, score, inner.get(TYPE, NORMAL)


def _message(data: bytes, place: slice, most: int, file: str) -> dict[int, Any]:
    """Return a message's fields by number, of several with one number the last."""
    fields = _fields(data, place.start, place.stop, file, most)
    return {number: value for number, value, _ in fields}


def _fields(
    data: bytes, start: int, stop: int, file: str, most: int
) -> Iterator[tuple[int, int | float | slice, int]]:
    """Yield (number, value, offset) of a message's fields; a slice is where its bytes lie.

    Raises: FileError for more than `most` fields, and for what is no message.
    """
    at, left = start, most
    while at < stop:
        begun = at
        left -= 1
        if left < 0:
            raise FileError(file, f"more than {most} fields in a message", offset=begun)
        # Most numbers are one byte, and a vocabulary has a million of them.
        if data[at] < 128:
            tag, at = data[at], at + 1
        else:
            tag, at = _varint(data, at, stop, file)
        kind, value = tag & 7, 0
        if kind == VARINT:
            value, at = _varint(data, at, stop, file)
            yield tag >> 3, value, begun
            continue
        if kind == DELIMITED:
            if at < stop and data[at] < 128:
                length, at = data[at], at + 1
            else:
                length, at = _varint(data, at, stop, file)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise FileError(file, f"field kind {kind} is none of a protocol buffer", offset=begun)
        if length > stop - at:
            problem = f"a field of {length} bytes, {stop - at} are left"
            raise FileError(file, problem, offset=begun)
        if kind == FIXED32:
            yield tag >> 3, struct.unpack_from("<f", data, at)[0], begun
        elif kind == DELIMITED:
            yield tag >> 3, slice(at, at + length), begun
        at += length


def _varint(data: bytes, at: int, stop: int, file: str) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where the next field begins."""
    value = 0
    for place in range(10):
        if at + place >= stop:
            raise FileError(file, "ends within a number", offset=at)
        byte = data[at + place]
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    raise FileError(file, "a number of more than ten bytes", offset=at)


def _text(data: bytes, value: Any, id: int, file: str) -> str:
    if value is None:
        return ""
    field = f"pieces[{id}]"
    if not isinstance(value, slice):
        raise FileError(file, "found a number, expected a text", field=field)
    try:
        return data[value].decode("utf-8")
    except UnicodeDecodeError as error:
        offset = value.start + error.start
        raise FileError(file, "is not UTF-8", field=field, offset=offset) from None


def _float(value: Any, id: int, file: str) -> float:
    if isinstance(value, float):
        return value
    raise FileError(file, "its score is no 32-bit number", field=f"pieces[{id}]")
