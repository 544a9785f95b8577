"""Text to ids and back, and the stream that never prints half a character."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from typing import Protocol

import attrs


@attrs.frozen
class SpecialTokens:
    """The ids with a meaning of their own; `ends` are all the ids that stop a generation.

    `add_bos` is what the tokenizer's files ask for: True, False, or None where they are silent.
    """

    bos: int | None = None
    ends: frozenset[int] = frozenset()
    add_bos: bool | None = None


class Tokenizer(Protocol):
    """What the generation loop needs of a tokenizer; a plugin's `tokenizer` provides it."""

    @property
    def special(self) -> SpecialTokens:
        """The ids that begin and end a text."""
        ...

    @property
    def size(self) -> int:
        """How many ids there are."""
        ...

    def encode(self, text: str, special: bool) -> list[int]:
        """Return the ids of a text; `special` adds what its files add around a text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids without special tokens; unknown ids are nothing."""
        ...

    def piece(self, id: int) -> bytes | None:
        """Return the bytes that an id adds to a text, or None where that depends on others."""
        ...

    @property
    def leading_space(self) -> bool:
        """Whether a text's pieces begin with a space that is not part of it."""
        ...


@attrs.define
class Stream:
    """Turns ids into text piece by piece; a character appears when all its bytes are there.

    The pieces together are exactly `decode` of all ids. `continues`: the ids carry on a text that
    stands before them, so that a leading space is theirs.
    """

    tokenizer: Tokenizer
    continues: bool = False
    _ids: list[int] = attrs.field(factory=list, init=False)
    _utf8: codecs.IncrementalDecoder = attrs.field(init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _whole: str | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = self.continues or not self.tokenizer.leading_space

    def add(self, id: int) -> str:
        """Return the text that is certain now, often one id's, sometimes nothing."""
        piece = self.tokenizer.piece(id) if self._whole is None else None
        self._ids.append(id)
        if piece is None:
            return self._add_by_decoding()
        return self._strip(self._utf8.decode(piece))

    def end(self) -> str:
        """Return what was held back: an incomplete character as U+FFFD."""
        if self._whole is not None:
            text = self.tokenizer.decode(self._ids)
            return text[len(self._whole) :]
        return self._strip(self._utf8.decode(b"", final=True))

    def _strip(self, text: str) -> str:
        if self._begun or not text:
            return text
        self._begun = True
        return text.removeprefix(" ")

    def _add_by_decoding(self) -> str:
        """Where pieces depend on their neighbours: decode everything, print what has settled."""
        if self._whole is None:
            self._whole = self.tokenizer.decode(self._ids[:-1])
        text = self.tokenizer.decode(self._ids)
        settled = text.rstrip("�")
        if not settled.startswith(self._whole) or len(settled) == len(self._whole):
            return ""
        fresh = settled[len(self._whole) :]
        self._whole = settled
        return fresh


def decode_pieces(pieces: Iterable[bytes], *, leading_space: bool) -> str:
    """Return the text of an id's pieces; bytes that are no UTF-8 become U+FFFD."""
    text = b"".join(pieces).decode("utf-8", "replace")
    return text.removeprefix(" ") if leading_space else text


def prompt_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids that a completion of `text` starts from.

    An end token that the tokenizer's files put behind a text is left out; an empty text starts
    from the beginning-of-text token, and without one the list is empty.
    """
    special = tokenizer.special
    ids = tokenizer.encode(text, special=True)
    own = tokenizer.encode(text, special=False)
    if ids and ids[-1] in special.ends and ids[-1:] != own[-1:]:
        ids = ids[:-1]
    if not ids and special.bos is not None:
        return [special.bos]
    return ids
