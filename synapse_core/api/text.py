"""A text file as tokens, read piece by piece."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import attrs

from synapse_core.errors import FileError
from synapse_core.generate import Tokenizer, prompt_ids
from synapse_core.loaders.regular_file import open_regular

READ_BYTES = 1 << 20
# A text up to here is tokenised as a whole; tokenizers keep some 100 bytes a token meanwhile.
PIECE_CHARACTERS = 1 << 22


@attrs.define
class TextTokens:
    """The ids of a UTF-8 text file, as a completion of it would begin: start token first.

    A file of more than `piece` characters is tokenised in pieces that end at line ends, where a
    token that reaches across is cut. `bytes` counts what was read.
    """

    path: Path
    tokenizer: Tokenizer
    piece: int = PIECE_CHARACTERS
    bytes: int = attrs.field(default=0, init=False)

    def __iter__(self) -> Iterator[int]:
        """Yield the ids.

        Raises: FileError for a file that cannot be read or is not UTF-8.
        """
        pieces = self._pieces()
        yield from prompt_ids(self.tokenizer, next(pieces, ""))
        for text in pieces:
            yield from self.tokenizer.encode(text, special=False)

    def _pieces(self) -> Iterator[str]:
        held: list[str] = []
        characters = 0
        for text in self._texts():
            held.append(text)
            characters += len(text)
            if characters > self.piece:
                *pieces, rest = _cut("".join(held), self.piece)
                yield from pieces
                held, characters = [rest], len(rest)
        if characters:
            yield "".join(held)

    def _texts(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        self.bytes = 0
        with open_regular(self.path) as (file, _):
            while True:
                content = file.read(READ_BYTES)
                waiting = len(decoder.getstate()[0])
                try:
                    text = decoder.decode(content, final=not content)
                except UnicodeDecodeError as error:
                    place = self.bytes - waiting + error.start
                    problem = f"not UTF-8: {error.reason}"
                    raise FileError(self.path, problem, offset=place) from None
                self.bytes += len(content)
                if text:
                    yield text
                if not content:
                    return


def _cut(text: str, most: int) -> list[str]:
    """Cut a text into pieces of at most so many characters, behind line ends where it has any."""
    pieces = []
    while len(text) > most:
        end = text.rfind("\n", 0, most) + 1 or most
        pieces.append(text[:end])
        text = text[end:]
    return [*pieces, text]
