"""A vocabulary as GGUF and SentencePiece files hold it: tokens by id, and what each of them is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from synapse_core.errors import FileError

# What a token is; the numbers are those of sentencepiece_model.proto and of
# `tokenizer.ggml.token_type`.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
KINDS = range(NORMAL, BYTE + 1)

# The largest real vocabularies (Gemma 3, GPT-4o) have 262,144 and 200,000 tokens of up to some
# hundred characters, two million characters together.
MOST_TOKENS = 1 << 20
MOST_CHARACTERS = 8 << 20
MOST_TOKEN_CHARACTERS = 4096


@attrs.frozen(eq=False)
class Vocabulary:
    """Tokens by id with their kinds, all texts different; `field` names the list in messages."""

    texts: Sequence[str]
    kinds: Sequence[int]
    file: str
    field: str

    @classmethod
    def of(cls, texts: Sequence[Any], kinds: Sequence[Any], file: str, field: str) -> Vocabulary:
        """Check tokens from outside and take them.

        An empty token, which converters write for an unused id, gets a name that no text makes.

        Raises: FileError naming the token that is none, too long, or there already.
        """
        if not 0 < len(texts) <= MOST_TOKENS:
            raise FileError(file, f"{len(texts)} tokens, expected 1 to {MOST_TOKENS}", field=field)
        if len(kinds) != len(texts):
            problem = f"{len(texts)} tokens, but {len(kinds)} token types"
            raise FileError(file, problem, field=field)
        taken: dict[str, int] = {}
        characters = 0
        for id, text in enumerate(texts):
            if type(text) is not str:
                problem = f"found {type(text).__name__}, expected a text"
                raise FileError(file, problem, field=f"{field}[{id}]")
            text = text or f"[EMPTY_{id}]"
            characters += len(text)
            if len(text) > MOST_TOKEN_CHARACTERS or characters > MOST_CHARACTERS:
                problem = f"a token has at most {MOST_TOKEN_CHARACTERS} characters"
                raise FileError(
                    file,
                    f"{len(text)} characters; {problem}, all together {MOST_CHARACTERS}",
                    field=f"{field}[{id}]",
                )
            if taken.setdefault(text, id) != id:
                problem = f"{text[:40]!r} is token {taken[text]} already"
                raise FileError(file, problem, field=f"{field}[{id}]")
        try:
            "".join(taken).encode()
        except UnicodeEncodeError as error:
            problem = f"holds a text that is not Unicode: {error.reason}"
            raise FileError(file, problem, field=field) from None
        for id, kind in enumerate(kinds):
            if kind not in KINDS:
                problem = f"token type {kind!r:.20}, expected {NORMAL} to {BYTE}"
                raise FileError(file, problem, field=f"{field}[{id}]")
        return cls(list(taken), [int(kind) for kind in kinds], file, field)

    def ids(self) -> dict[str, int]:
        """Return the id of every token's text."""
        return {text: id for id, text in enumerate(self.texts)}

    def id_in(self, value: Any, field: str) -> int | None:
        """Return an id that a file gives under `field`, None where it gives none.

        Raises: FileError for one that is no token's.
        """
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < self.size:
            problem = f"found {value!r:.40}, expected an id below {self.size}"
            raise FileError(self.file, problem, field=field)
        return int(value)

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.texts)

    def marked(self) -> Iterator[tuple[int, str, bool]]:
        """Yield (id, text, is special) of the tokens that are found in a text before all others.

        A converter's filler for an unused id (`[PAD7]` at id 7) is none: nobody writes it.
        """
        for id, (text, kind) in enumerate(zip(self.texts, self.kinds, strict=True)):
            if kind in (UNKNOWN, CONTROL, USER_DEFINED) and text != f"[PAD{id}]":
                yield id, text, kind != USER_DEFINED
