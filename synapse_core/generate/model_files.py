"""The texts of a model's files by name, as they are handed from reader to reader.

`tokenizer.json` is held as the bytes of the file: a single rare character makes Python take four
bytes for each of a text's.
"""

from __future__ import annotations

from collections.abc import Mapping

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
