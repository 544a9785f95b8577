"""The texts of a model's files by name, as they are handed from reader to reader.

`tokenizer.json` is held as the bytes of the file: a single rare character makes Python take four
bytes for each of a text's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

Files = Mapping[str, str | bytes]
TOKENIZER_JSON = "tokenizer.json"


def text_of(files: Files, name: str, missing: str = "") -> str:
    """Return a file as text; `missing` where there is none."""
    found = files.get(name, missing)
    return found.decode() if isinstance(found, bytes) else found


def bytes_of(files: Files, name: str) -> bytes:
    """Return the UTF-8 of a file that is there."""
    found = files[name]
    return found if isinstance(found, bytes) else found.encode()


@attrs.define(eq=False)
class MadeWhenAsked(Mapping[str, str | bytes]):
    """Files that `make` makes when one of them, or whether there is one, is first asked for."""

    _make: Callable[[], Files]
    _made: Files | None = attrs.field(default=None, init=False)

    def _files(self) -> Files:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, name: str) -> str | bytes:
        return self._files()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files())

    def __len__(self) -> int:
        return len(self._files())
