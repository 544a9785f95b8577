"""What a `tokenizer.json` from outside may ask of the engine, checked before it is loaded."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from synapse_core.errors import FileError
from synapse_core.generate.pattern_check import pattern_problem
from synapse_core.generate.pre_tokenizers import KNOWN_PATTERNS

PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
# A file's steps may make a text this many times longer; real ones at most triple it, and the
# rules of NFKC take one character to thirty-three bytes.
MOST_GROWTH = 64
# All added tokens go through the normaliser when a file is loaded.
MOST_ADDED = 1 << 16
MOST_ADDED_CHARACTERS = 16 << 20
MOST_STEPS = 256
# WordPiece tries all ends of a word for each of its beginnings; real files say 100.
MOST_WORD = 1000


def check_spec(spec: Mapping[str, Any], file: str) -> None:
    """Check the parts that are programs in small: replacements, patterns, limits.

    Raises: FileError naming file and part.
    """
    growth = 1
    for part in PARTS:
        for number, node in enumerate(_nodes(spec.get(part))):
            if number >= MOST_STEPS:
                raise FileError(file, f"more than {MOST_STEPS} steps", field=part)
            _check_pattern(node, part, file)
            _check_template(node, part, file)
            growth *= _growth(node, part, file)
            if growth > MOST_GROWTH:
                problem = f"its steps make a text over {MOST_GROWTH} times longer"
                raise FileError(file, problem, field=part)
    added = spec.get("added_tokens")
    tokens = [t for t in added if isinstance(t, dict)] if isinstance(added, list) else []
    contents = [token.get("content") for token in tokens]
    if len(tokens) > MOST_ADDED:
        raise FileError(file, f"{len(tokens)}; at most {MOST_ADDED}", field="added_tokens")
    characters = sum(len(text) for text in contents if isinstance(text, str))
    if characters * growth > MOST_ADDED_CHARACTERS:
        problem = f"{characters} characters, {growth} times longer by the file's own steps"
        problem += f"; at most {MOST_ADDED_CHARACTERS}"
        raise FileError(file, problem, field="added_tokens")
    model = spec.get("model")
    word = model.get("max_input_chars_per_word", 0) if isinstance(model, dict) else 0
    if isinstance(word, int | float) and word > MOST_WORD:
        problem = f"found {word!r:.40}; at most {MOST_WORD}"
        raise FileError(file, problem, field="model.max_input_chars_per_word")


def _nodes(part: Any) -> Iterator[dict[str, Any]]:
    """Yield the steps of a part, nested sequences opened."""
    pending = [part]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += reversed(node)
        elif isinstance(node, dict):
            yield node
            for key in ("normalizers", "pretokenizers", "processors", "decoders"):
                if key in node:
                    pending.append(node[key])


def _check_pattern(node: Mapping[str, Any], part: str, file: str) -> None:
    pattern = node.get("pattern")
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    if isinstance(regex, str) and regex not in KNOWN_PATTERNS:
        problem = pattern_problem(regex)
        if problem is not None:
            raise FileError(file, f"pattern {regex!r:.60}: {problem}", field=part)


def _check_template(node: Mapping[str, Any], part: str, file: str) -> None:
    """Refuse a template that puts a token round a text and does not say which id it has."""
    known = node.get("special_tokens")
    for way in ("single", "pair"):
        pieces = node.get(way)
        for piece in pieces if isinstance(pieces, list) else []:
            token = piece.get("SpecialToken") if isinstance(piece, dict) else None
            name = token.get("id") if isinstance(token, dict) else None
            if isinstance(name, str) and not (isinstance(known, dict) and name in known):
                raise FileError(file, f"token {name!r:.40} is not in special_tokens", field=part)


def _growth(node: Mapping[str, Any], part: str, file: str) -> int:
    """Return how many times longer a step makes a text at most."""
    kind = node.get("type")
    if kind == "Replace":
        return max(1, _length(node.get("content")))
    if kind == "Prepend":
        return 1 + _length(node.get("prepend"))
    if kind == "ByteLevel" and part in ("normalizer", "pre_tokenizer"):
        return 2
    if kind == "Precompiled":
        return _longest_rule(node.get("precompiled_charsmap"), part, file)
    return 1


def _longest_rule(value: Any, part: str, file: str) -> int:
    """Return the length in bytes of the longest text that a table of SentencePiece writes.

    The table is the size of a trie (u32), the trie, and texts that end with a zero byte.
    """
    if not isinstance(value, str):
        return 1
    try:
        table = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise FileError(file, "its table is not base64", field=part) from None
    size = int.from_bytes(table[:4], "little")
    texts = table[4 + size :]
    try:
        texts.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = "its table holds a text that is not UTF-8"
        raise FileError(file, problem, field=part, offset=4 + size + error.start) from None
    if size % 4 or len(table) < 4 + size:
        raise FileError(file, f"its table of {len(table)} bytes has a trie of {size}", field=part)
    return max(1, *(len(text) for text in texts.split(b"\0")))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0
