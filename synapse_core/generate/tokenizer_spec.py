"""The text of a `tokenizer.json` for a vocabulary that came in another form."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from synapse_core.errors import FileError
from synapse_core.generate.pre_tokenizers import PreTokenizer
from synapse_core.generate.vocabulary import BYTE, NORMAL, USER_DEFINED, Vocabulary

MOST_MERGES = 4 << 20
# Finding all ways to make a token costs the square of its length: 262,144 tokens, as many as
# Gemma 3 has, of eight characters make 17 million.
MOST_SQUARES = 32 << 20
SPACE_MARK = "▁"


def byte_level_spec(
    vocabulary: Vocabulary, merges: Sequence[Any], field: str, cut: PreTokenizer
) -> dict[str, Any]:
    """Return the spec of a BPE over bytes; `merges` are "left right" in the order of their rank.

    Raises: FileError naming the merge whose parts or result are no tokens.
    """
    ids = vocabulary.ids()
    if len(merges) > MOST_MERGES:
        raise FileError(vocabulary.file, f"{len(merges)}; at most {MOST_MERGES}", field=field)
    pairs: list[tuple[str, str]] = []
    for number, merge in enumerate(merges):
        # A part may begin with a space, so the dividing one is never the first character.
        space = merge.find(" ", 1) if type(merge) is str else -1
        left, right = (merge[:space], merge[space + 1 :]) if space > 0 else ("", "")
        if left not in ids or right not in ids or left + right not in ids:
            problem = f"found {merge!r:.60}, expected two tokens that make a third"
            raise FileError(vocabulary.file, problem, field=f"{field}[{number}]")
        pairs.append((left, right))
    splits = [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
        for regex in cut.patterns
    ]
    to_bytes = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    return {
        "added_tokens": _added(vocabulary),
        "normalizer": {"type": "NFC"} if cut.composes else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, to_bytes]},
        "decoder": to_bytes,
        "model": {
            "type": "BPE",
            "ignore_merges": cut.whole_words,
            "vocab": ids,
            "merges": pairs,
        },
    }


def scored_spec(
    vocabulary: Vocabulary,
    scores: Sequence[Any],
    field: str,
    *,
    space_before: bool,
    unknown: int | None,
    strips_after: Collection[int] = (),
) -> dict[str, Any]:
    """Return the spec of a SentencePiece BPE.

    Of all neighbours those merge first that make the token with the highest score.
    `space_before`: a text, and one behind a special token, gets a space before it, which
    decoding takes away again. Behind the ids `strips_after` the blanks of a text are dropped.

    Raises: FileError when a score is no number.
    """
    ids = vocabulary.ids()
    file, size = vocabulary.file, vocabulary.size
    if len(scores) != size:
        problem = f"{size} tokens, but {len(scores)} scores"
        raise FileError(file, problem, field=field)
    for id, score in enumerate(scores):
        if not isinstance(score, int | float) or not abs(score) < float("inf"):
            problem = f"found {score!r:.40}, expected a finite number"
            raise FileError(file, problem, field=f"{field}[{id}]")
    spaced = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}]
    if space_before:
        spaced.insert(0, {"type": "Prepend", "prepend": SPACE_MARK})
    unspaced: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if space_before:
        unspaced.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "added_tokens": _added(vocabulary, strips_after),
        "normalizer": {"type": "Sequence", "normalizers": spaced},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": unspaced},
        "model": {
            "type": "BPE",
            "unk_token": None if unknown is None else vocabulary.texts[unknown],
            "fuse_unk": True,
            "byte_fallback": BYTE in vocabulary.kinds,
            "vocab": ids,
            "merges": _merges_by_score(vocabulary, scores),
        },
    }


def spec_text(spec: dict[str, Any], ends: Iterable[tuple[int, str]] = ()) -> str:
    """Return the spec as the text of a file; `ends` are (id, text) put behind every text."""
    named = [{"id": text, "ids": [id], "tokens": [text]} for id, text in ends]
    if named:
        after = [{"SpecialToken": {"id": token["id"], "type_id": 0}} for token in named]
        spec = spec | {
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A", "type_id": 0}}, *after],
                "pair": [{"Sequence": {"id": part, "type_id": 0}} for part in "AB"],
                "special_tokens": {token["id"]: token for token in named},
            }
        }
    return json.dumps({"version": "1.0", **spec}, ensure_ascii=False, separators=(",", ":"))


def _added(vocabulary: Vocabulary, strips_after: Collection[int] = ()) -> list[dict[str, Any]]:
    return [
        {
            "id": id,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": id in strips_after,
            "normalized": False,
            "special": special,
        }
        for id, text, special in vocabulary.marked()
    ]


def _merges_by_score(vocabulary: Vocabulary, scores: Sequence[float]) -> list[tuple[str, str]]:
    """Return every way to make a token of two others, the best token's first.

    Control tokens and bytes are made of no text, as in SentencePiece.
    """
    ids = vocabulary.ids()
    kinds = vocabulary.kinds
    plain = [id for id, kind in enumerate(kinds) if kind in (NORMAL, USER_DEFINED)]
    parts = {vocabulary.texts[id] for id in plain}
    squares = sum(len(vocabulary.texts[id]) ** 2 for id in plain)
    if squares > MOST_SQUARES:
        problem = f"its tokens are too long: the squares of their lengths make {squares}"
        raise FileError(
            vocabulary.file, f"{problem}, at most {MOST_SQUARES}", field=vocabulary.field
        )
    plain.sort(key=scores.__getitem__, reverse=True)
    merges: list[tuple[str, str]] = []
    for id in plain:
        text = vocabulary.texts[id]
        ways = [
            (text[:place], text[place:])
            for place in range(1, len(text))
            if text[:place] in parts and text[place:] in parts
        ]
        if len(ways) > 1:
            ways.sort(key=lambda way: (ids[way[0]], ids[way[1]]))
        merges += ways
    return merges
