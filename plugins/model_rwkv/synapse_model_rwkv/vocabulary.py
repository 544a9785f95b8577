"""The tokenizer of RWKV World: the longest tokens of a vocabulary of bytes, from the left.

Its file has a line for each token: the id from 1 on, the token as Python writes a text or bytes,
and how many bytes it has. Id 0 ends a text and is in no line.

Source: `TRIE_TOKENIZER` of the package `rwkv`, rwkv/rwkv_tokenizer.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import attrs

from synapse_core.errors import FileError
from synapse_core.generate import SpecialTokens, Vocabulary

FILE = "rwkv_vocab_v20230424.txt"
MOST_TOKENS = 1 << 20
MOST_TOKEN_BYTES = 1 << 12
END = 0
NORMAL = 1  # of `tokenizer.ggml.token_type`
# What ends a text also begins one that is empty; no file asks for it elsewhere.
SPECIAL = SpecialTokens(bos=END, ends=frozenset({END}), add_bos=False)
LINE = re.compile(
    r"([1-9][0-9]{0,6}) (b?)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\") ([1-9][0-9]{0,4})"
)
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
PLAIN = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


@attrs.frozen(eq=False)
class WorldTokenizer:
    """The bytes of each id, and the ids of bytes.

    `lengths` are, by a token's first two bytes, the lengths of all tokens that begin so, the
    longest first: what is looked for in a text at each place.
    """

    tokens: Mapping[int, bytes]
    ids: Mapping[bytes, int]
    lengths: Mapping[bytes, tuple[int, ...]]
    size: int
    special: SpecialTokens = SPECIAL
    leading_space: bool = False

    @classmethod
    def of(cls, tokens: Mapping[int, bytes]) -> WorldTokenizer:
        """Return the tokenizer of these tokens; every single byte must be one."""
        lengths: dict[bytes, set[int]] = {}
        for token in tokens.values():
            if len(token) > 1:
                lengths.setdefault(token[:2], set()).add(len(token))
        return cls(
            tokens,
            {token: id for id, token in tokens.items()},
            {start: tuple(sorted(found, reverse=True)) for start, found in lengths.items()},
            max(tokens) + 1,
        )

    def encode(self, text: str, special: bool) -> list[int]:
        """Return the longest tokens from the left; `special` adds nothing.

        A lone surrogate, which no UTF-8 has, becomes a question mark.
        """
        data = text.encode("utf-8", "replace")
        known, lengths = self.ids, self.lengths
        ids, at = [], 0
        while at < len(data):
            for length in lengths.get(data[at : at + 2], ()):
                id = known.get(data[at : at + length])
                if id is not None and at + length <= len(data):
                    break
            else:
                length, id = 1, known[data[at : at + 1]]
            ids.append(id)
            at += length
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids; an id that there is not is nothing, no UTF-8 is U+FFFD."""
        return b"".join(self.piece(id) for id in ids).decode("utf-8", "replace")

    def piece(self, id: int) -> bytes:
        """Return the bytes that an id adds to a text."""
        return self.tokens.get(id, b"")


@attrs.frozen
class WorldReader:
    """Reads the tokenizer of a model whose folder has the vocabulary's file."""

    name: str = "rwkv_world"
    files: tuple[str, ...] = (FILE,)
    gguf_model: str = "rwkv"

    def files_of_gguf(self, vocabulary: Vocabulary) -> dict[str, str]:
        """Return the vocabulary's file of the tokens of a GGUF file, which are escaped bytes.

        Raises: FileError naming the token.
        """
        lines = []
        for id, (text, kind) in enumerate(zip(vocabulary.texts, vocabulary.kinds, strict=True)):
            if kind != NORMAL:  # the end of a text, and ids that have no token
                continue
            try:
                token = unescaped(text).encode("latin-1")
            except ValueError as error:
                field = f"{vocabulary.field}[{id}]"
                raise FileError(
                    vocabulary.file, f"found {text[:40]!r}: {error}", field=field
                ) from None
            lines.append(f"{id} {token!r} {len(token)}\n")
        return {FILE: "".join(lines)}

    def read(self, files: Mapping[str, str], where: str) -> WorldTokenizer:
        """Return the tokenizer of a model's texts by file name; `where` is the model.

        Raises: FileError naming the line.
        """
        file = f"{where}/{FILE}"
        lines = files[FILE].removesuffix("\n").split("\n")
        if len(lines) > MOST_TOKENS:
            raise FileError(file, f"has {len(lines)} lines, at most {MOST_TOKENS}")
        tokens: dict[int, bytes] = {}
        seen: dict[bytes, int] = {}
        for number, line in enumerate(lines):
            id, token = _token(line.removesuffix("\r"), number, file)
            if id in tokens or token in seen:
                what = f"id {id}" if id in tokens else f"the token of id {seen[token]}"
                raise FileError(file, f"has {what} a second time", field=f"line {number + 1}")
            tokens[id] = token
            seen[token] = id
        missing = [byte for byte in range(256) if bytes([byte]) not in seen]
        if missing:
            raise FileError(file, f"has no token of the byte {missing[0]:02x}")
        return WorldTokenizer.of(tokens)


def unescaped(text: str) -> str:
    r"""Return a text with its escapes read: \n, \t, \r, \xNN, \uNNNN, \UNNNNNNNN and quotes.

    Raises: ValueError for any other.
    """
    return ESCAPE.sub(_read_escape, text) if "\\" in text else text


def _read_escape(match: re.Match[str]) -> str:
    escape = match[1]
    if len(escape) > 1:
        return chr(int(escape[1:], 16))
    if escape not in PLAIN:
        raise ValueError(f"\\{escape} is no escape that is read")
    return PLAIN[escape]


def _token(line: str, number: int, file: str) -> tuple[int, bytes]:
    match = LINE.fullmatch(line) if len(line) <= 4 * MOST_TOKEN_BYTES else None
    if match is None:
        expected = "expected an id, a quoted token and its bytes"
        raise FileError(file, f"found {line[:40]!r}, {expected}", field=f"line {number + 1}")
    id, kind, quoted, length = int(match[1]), match[2], match[3], int(match[4])
    try:
        text = unescaped(quoted[1:-1])
        token = text.encode("latin-1" if kind else "utf-8")
    except ValueError as error:  # surrogates and numbers past Unicode's end too
        problem = f"found {line[:40]!r}: {error}"
        raise FileError(file, problem, field=f"line {number + 1}") from None
    if id >= MOST_TOKENS:
        problem = f"id {id}, at most {MOST_TOKENS - 1}"
        raise FileError(file, problem, field=f"line {number + 1}")
    if len(token) != length:
        problem = f"a token of {len(token)} bytes, the line says {length}"
        raise FileError(file, problem, field=f"line {number + 1}")
    return id, token
