"""A place in a GGUF file's header: every read is checked against the bytes that are left."""

from __future__ import annotations

import struct
from pathlib import Path

import attrs

from synapse_core.errors import FileError
from synapse_core.loaders.gguf_texts import LENGTH_BYTES, find_texts

U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
# The longest text of real files is a chat template or a whole tokenizer.json, some MB.
MOST_TEXT_BYTES = 1 << 24
# All keys, values and tensor descriptions; a vocabulary of 262,144 with its merges has 15 MB.
MOST_HEADER_BYTES = 64 << 20


@attrs.define(eq=False)
class Cursor:
    """Reads forward through `view`, the header's bytes at most; `size` is the whole file's."""

    path: Path
    view: memoryview
    size: int
    position: int = 0

    def error(self, field: str, problem: str, offset: int | None = None) -> FileError:
        """Return the error of a field, at `offset` or where the cursor stands."""
        place = self.position if offset is None else offset
        return FileError(self.path, problem, field=field, offset=place)

    @property
    def left(self) -> int:
        """How many bytes there are yet."""
        return len(self.view) - self.position

    def need(self, count: int, field: str) -> None:
        """Check that `count` bytes are left.

        Raises: FileError.
        """
        if count <= self.left:
            return
        if len(self.view) < self.size:
            problem = f"needs {count} bytes; a header has at most {MOST_HEADER_BYTES}"
        else:
            problem = f"needs {count} bytes, {self.left} are left: a number is wrong or the end cut"
        raise self.error(field, problem)

    def number(self, kind: struct.Struct, field: str) -> int | float:
        """Read one number.

        Raises: FileError where the file ends before it does.
        """
        self.need(kind.size, field)
        (value,) = kind.unpack_from(self.view, self.position)
        self.position += kind.size
        found: int | float = value
        return found

    def whole(self, kind: struct.Struct, field: str, *, least: int = 0, most: int) -> int:
        """Read an integer from `least` to `most`.

        Raises: FileError.
        """
        start = self.position
        value = int(self.number(kind, field))
        if not least <= value <= most:
            raise self.error(field, f"found {value}, expected {least} to {most}", start)
        return value

    def count(self, field: str, item_bytes: int, most: int) -> int:
        """Read a count of items of at least `item_bytes` each; all must fit in what is left.

        Raises: FileError.
        """
        start = self.position
        value = self.whole(U64, field, most=most)
        if value * item_bytes > self.left:
            needed = f"of at least {item_bytes} bytes, {self.left} bytes are left"
            raise self.error(field, f"found {value} {needed}", start)
        return value

    def text(self, field: str, *, most: int = MOST_TEXT_BYTES) -> str:
        """Read a text of at most `most` bytes.

        Raises: FileError for one that is longer or no UTF-8.
        """
        length = self.whole(U64, f"{field}: length", most=most)
        self.need(length, field)
        start = self.position
        self.position += length
        try:
            return str(self.view[start : self.position], "utf-8")
        except UnicodeDecodeError as error:
            raise self.error(field, "is not UTF-8", start + error.start) from None

    def texts(self, field: str, count: int, into: list[str] | None) -> None:
        """Read `count` texts, into a list or, to check them, into nothing.

        A vocabulary is long, so that this does by hand what `text` does, behind what is found
        all at once.

        Raises: FileError as `text` does, naming the index.
        """
        view, end, unpack = self.view, len(self.view), U64.unpack_from
        starts, position = find_texts(view, self.position, count)
        if into is not None and len(starts):
            ends = [*(starts[1:] - LENGTH_BYTES).tolist(), position]
            into += [str(view[a:b], "utf-8") for a, b in zip(starts.tolist(), ends, strict=True)]
        for index in range(len(starts), count):
            start = position + 8
            length = unpack(view, position)[0] if start <= end else MOST_TEXT_BYTES + 1
            position = start + length
            if position > end or length > MOST_TEXT_BYTES:
                self.position = start - 8
                self.text(f"{field}[{index}]")
            try:
                value = str(view[start:position], "utf-8")
            except UnicodeDecodeError as error:
                at = start + error.start
                raise self.error(f"{field}[{index}]", "is not UTF-8", at) from None
            if into is not None:
                into.append(value)
        self.position = position
