"""Reading the fields of a JSON object from outside: every error names file and key."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs

from synapse_core.errors import FileError

REQUIRED: Any = object()
# Larger than any real model's, small enough that no product of two overflows 64 bits.
MOST_LAYERS = 1024
MOST_HEADS = 4096
MOST_WIDTH = 1 << 20
MOST_VOCABULARY = 1 << 24
MOST_CONTEXT = 1 << 28


@attrs.frozen
class Fields:
    """An object of a file; `path` is where it lies in it, as "rope_scaling." for a nested one.

    A key with a `default` may be absent. It may be null only where the default is None.
    """

    file: str
    values: Mapping[str, Any]
    path: str = ""

    def error(self, key: str, problem: str) -> FileError:
        """Return the error of a key."""
        return FileError(self.file, problem, field=self.path + key)

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(key) is not None

    def only(self, known: Collection[str]) -> None:
        """Check that there is no other key.

        Raises: FileError naming the first unknown key.
        """
        unknown = sorted(set(self.values) - set(known))
        if unknown:
            raise self.error(unknown[0], f"is unknown here; expected {', '.join(known)}")

    def whole(self, key: str, *, least: int = 1, most: int, default: int | None = REQUIRED) -> Any:
        """Return a whole number from `least` to `most`.

        Raises: FileError for anything else: text, a fraction, a bool, null, out of range.
        """
        value = self._value(key, default)
        if value is default:
            return value
        if type(value) is not int or not least <= value <= most:
            found = _shown(value)
            raise self.error(key, f"found {found}, expected a whole number from {least} to {most}")
        return value

    def number(
        self,
        key: str,
        *,
        least: float,
        most: float,
        default: float | None = REQUIRED,
    ) -> Any:
        """Return a finite number from `least` to `most`, as a float.

        Raises: FileError for anything else.
        """
        value = self._value(key, default)
        if value is default:
            return value
        # An integer of any size compares; isfinite would have to make a float of it first.
        real = type(value) is int or (type(value) is float and math.isfinite(value))
        if not real or not least <= value <= most:
            found = _shown(value)
            raise self.error(key, f"found {found}, expected a number from {least:g} to {most:g}")
        return float(value)

    def flag(self, key: str, default: bool = REQUIRED) -> bool:
        """Return true or false.

        Raises: FileError for anything else.
        """
        value = self._value(key, default)
        if type(value) is not bool:
            raise self.error(key, f"found {_shown(value)}, expected true or false")
        return value

    def text(self, key: str, default: str = REQUIRED) -> str:
        """Return a text.

        Raises: FileError for anything else.
        """
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"found {_shown(value)}, expected text")
        return value

    def choice(self, key: str, choices: Collection[str], default: str = REQUIRED) -> str:
        """Return one of the choices.

        Raises: FileError listing them.
        """
        value = self.text(key, default)
        if value not in choices:
            raise self.error(key, f"found {_shown(value)}, expected one of {', '.join(choices)}")
        return value

    def object(self, key: str) -> Fields:
        """Return a nested object.

        Raises: FileError for anything else.
        """
        value = self._value(key, REQUIRED)
        if not isinstance(value, dict):
            raise self.error(key, f"found {_shown(value)}, expected an object")
        return Fields(self.file, value, f"{self.path}{key}.")

    def objects(self, key: str, *, most: int) -> Iterator[Fields]:
        """Yield the objects of a list.

        Raises: FileError for anything else.
        """
        value = self._value(key, REQUIRED)
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise self.error(key, f"found {_shown(value)}, expected a list of 1 to {most}")
        for index in range(len(value)):
            item = Fields(self.file, {f"{key}[{index}]": value[index]}, self.path)
            yield item.object(f"{key}[{index}]")

    def token_ids(self, key: str, vocabulary: int) -> tuple[int, ...]:
        """Return the ids of a special token: one number, a list of them, or none for null.

        Raises: FileError for an id outside the vocabulary.
        """
        value = self.values.get(key)
        ids = value if isinstance(value, list) else [] if value is None else [value]
        for found in ids:
            if type(found) is not int or not 0 <= found < vocabulary:
                raise self.error(
                    key, f"found {_shown(found)}, expected ids from 0 to {vocabulary - 1}"
                )
        return tuple(dict.fromkeys(ids))

    def _value(self, key: str, default: Any) -> Any:
        if key not in self.values:
            if default is REQUIRED:
                raise self.error(key, "is missing")
            return default
        value = self.values[key]
        if value is None and default is not None:
            raise self.error(key, "is null")
        return value


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python prints
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}…"
