"""A SentencePiece-like tokenizer.json as the keys of a GGUF file: tokens, scores and types.

The file merges, of all neighbours, those first that make the token with the highest score. The
scores are those of a `tokenizer.model` beside the tokenizer.json, else follow the order of merges.

Source: `_create_vocab_sentencepiece` and `LlamaHfVocab` of llama.cpp's converter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import attrs

from synapse_core.generate.gguf_vocabulary import KEY, TOKENS
from synapse_core.generate.sentencepiece_model import Pieces
from synapse_core.generate.tokenizer_spec import SPACE_MARK
from synapse_core.generate.vocabulary import (
    BYTE,
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
)

# The converter's scores of tokens that are found in a text before any is made, and of fillers.
ADDED_SCORE, FILLER_SCORE = -1000.0, -10000.0
BYTE_TEXT = re.compile(r"<0x[0-9A-F]{2}>")
TO_MARK = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
BEFORE = {"type": "Prepend", "prepend": SPACE_MARK}


class NotExpressible(Exception):
    """Why GGUF has no words for a tokenizer."""


@attrs.define
class Token:
    """What a file says of an id."""

    text: str
    score: float
    kind: int


def scored_keys(
    spec: Mapping[str, Any], config: Mapping[str, Any], rows: int, pieces: Pieces | None
) -> tuple[dict[str, Any], bool]:
    """Return the keys, and whether by them a space is put before more texts than by the spec.

    `config` is the tokenizer_config.json, `pieces` are those of a tokenizer.model.

    Raises: NotExpressible.
    """
    before, often = _space_before(spec)
    tokens = _of_spec(spec) if pieces is None else _of_pieces(pieces, spec)
    for added in (*(spec.get("added_tokens") or ()), *_decoder_of(config)):
        _add(tokens, added)
    if min(tokens) < 0:
        raise NotExpressible(f"its token {min(tokens)} is none")
    if max(tokens) >= rows:
        raise NotExpressible(f"token {max(tokens)} has no row in a table of {rows}")
    listed = [tokens.get(id) or Token(f"[PAD{id}]", FILLER_SCORE, UNUSED) for id in range(rows)]
    keys = {
        f"{KEY}model": "llama",
        f"{KEY}pre": "default",
        TOKENS: [token.text for token in listed],
        f"{KEY}scores": [float(token.score) for token in listed],
        f"{KEY}token_type": [token.kind for token in listed],
        f"{KEY}add_space_prefix": before,
    }
    return keys, often


def _space_before(spec: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether a text gets a space before it, and whether that is not so for all texts.

    Metaspace puts none before a text that begins with one, and by the scheme "first" none behind a
    special token; SentencePiece itself, and GGUF's readers, put one everywhere.
    """
    normalizer, cut = spec.get("normalizer"), spec.get("pre_tokenizer")
    steps = [normalizer] if normalizer else []
    if normalizer and normalizer.get("type") == "Sequence":
        steps = normalizer["normalizers"]
    before = BEFORE in steps
    if [step for step in steps if step != BEFORE] not in ([], [TO_MARK]):
        raise NotExpressible("it changes a text's characters")
    if TO_MARK in steps:
        # Where every space is a mark already, this one finds none.
        if cut and (cut.get("type"), cut.get("pattern")) != ("Split", {"String": " "}):
            raise NotExpressible("it cuts a text in a way that GGUF has no name for")
        return before, False
    if before or not cut or cut.get("type") != "Metaspace":
        raise NotExpressible("it does not mark spaces as SentencePiece does")
    if cut.get("replacement") != SPACE_MARK:
        raise NotExpressible("it marks spaces by another character")
    scheme = cut.get("prepend_scheme", "always")
    if cut.get("add_prefix_space") is False:
        scheme = "never"
    return scheme != "never", scheme != "never"


def _of_spec(spec: Mapping[str, Any]) -> dict[int, Token]:
    """Return the tokens, scored by when their first merge comes; what none makes comes last."""
    model = spec["model"]
    rank: dict[str, int] = {}
    for merge in model["merges"]:
        parts = merge.split(" ", 1) if isinstance(merge, str) else merge
        rank.setdefault("".join(parts), len(rank) + 1)
    last = len(rank) + 1
    tokens: dict[int, Token] = {}
    for text, id in model["vocab"].items():
        kind = NORMAL
        if model.get("byte_fallback") and BYTE_TEXT.fullmatch(text):
            kind = BYTE
        elif text == model.get("unk_token"):
            kind = UNKNOWN
        tokens[id] = Token(text, 0.0 if kind != NORMAL else -float(rank.get(text, last)), kind)
    return tokens


def _of_pieces(pieces: Pieces, spec: Mapping[str, Any]) -> dict[int, Token]:
    """Return the tokens of a tokenizer.model, which must be those of the tokenizer.json too."""
    texts = {id: text for text, id in spec["model"]["vocab"].items()}
    found = zip(pieces.vocabulary.texts, pieces.scores, pieces.vocabulary.kinds, strict=True)
    tokens = {id: Token(*token) for id, token in enumerate(found)}
    added = {token["id"] for token in spec.get("added_tokens") or ()}
    for id, text in texts.items():
        if id not in added and (id not in tokens or tokens[id].text != text):
            raise NotExpressible(f"its token {id} is not that of the tokenizer.model")
    return tokens


def _decoder_of(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the added tokens that tokenizer_config.json lists."""
    listed = config.get("added_tokens_decoder") or {}
    return [{**token, "id": int(id)} for id, token in listed.items()]


def _add(tokens: dict[int, Token], added: Mapping[str, Any]) -> None:
    kind = CONTROL if added.get("special") else USER_DEFINED
    there = tokens.get(added["id"])
    text = added["content"]
    if not isinstance(text, str):
        raise TypeError(f"token {added['id']} is no text")
    if there is not None and there.text == text and there.kind in (UNKNOWN, kind):
        return
    if any(added.get(flag) for flag in ("lstrip", "single_word")):
        raise NotExpressible(f"token {text!r:.40} takes blanks with it")
    tokens[added["id"]] = Token(text, ADDED_SCORE, kind)


def is_scored(spec: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is of this sort: a BPE, and not one over bytes."""
    return spec["model"].get("type") == "BPE" and '"ByteLevel"' not in json.dumps(
        [spec.get("pre_tokenizer"), spec.get("decoder")]
    )
