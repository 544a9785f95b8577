"""Reading a config from outside, JSON or GGUF keys: every error names file and key."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs

from synapse_core.errors import FileError
from synapse_core.formats import format_named
from synapse_core.loaders import FileTensor

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
    `tensors` are the checkpoint's: a GGUF file says by them what a config.json says by keys (a
    head of its own, biases, the factors of a scaled rope).
    """

    file: str
    values: Mapping[str, Any]
    path: str = ""
    tensors: Mapping[str, FileTensor] = attrs.field(factory=dict)

    def error(self, key: str, problem: str) -> FileError:
        """Return the error of a key."""
        return FileError(self.file, problem, field=self.path + key)

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(key) is not None

    @classmethod
    def of_config(
        cls, found: object, keys: Collection[str], schema: int, file: str = "config"
    ) -> Fields:
        """Return the fields of a family's own config: an object of this schema and these keys.

        Raises: FileError naming the key.
        """
        if not isinstance(found, dict):
            raise FileError(file, f"holds a {type(found).__name__}, expected an object")
        fields = cls(file, found)
        fields.whole("schema", least=schema, most=schema)
        fields.only(("schema", *keys))
        return fields

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

    def has_tensor(self, name: str) -> bool:
        """Whether the checkpoint has a tensor of that name."""
        return name in self.tensors

    def tensor_rows(self, name: str, *, most: int) -> int:
        """Return how many rows a matrix has, 1 to `most`.

        Raises: FileError when it is missing or no such matrix.
        """
        tensor = self._tensor(name)
        if len(tensor.shape) != 2 or not 1 <= tensor.rows <= most:
            problem = f"is {tensor.shape}, expected a matrix of 1 to {most} rows"
            raise self._tensor_error(tensor, problem)
        return tensor.rows

    def tensor_numbers(
        self, name: str, count: int, *, least: float, most: float
    ) -> tuple[float, ...]:
        """Return the numbers of a small vector that is part of the config, `least` to `most`.

        The family lists it in its `ignores`, since no op reads it.

        Raises: FileError when it is missing, has another count, or a number out of range.
        """
        tensor = self._tensor(name)
        if tensor.shape != (count,) or tensor.format not in ("f32", "f16", "bf16"):
            problem = f"is {tensor.shape} in {tensor.format}, expected ({count},) in f32"
            raise self._tensor_error(tensor, problem)
        numbers = format_named(tensor.format).decode(tensor.raw(), count)[0].tolist()
        for index, number in enumerate(numbers):
            if not least <= number <= most:
                problem = f"number {index} is {number:g}, expected {least:g} to {most:g}"
                raise self._tensor_error(tensor, problem)
        return tuple(numbers)

    def _tensor(self, name: str) -> FileTensor:
        tensor = self.tensors.get(name)
        if tensor is None:
            raise FileError(self.file, "is missing", field=f"tensor {name!r}")
        return tensor

    def _tensor_error(self, tensor: FileTensor, problem: str) -> FileError:
        field = f"tensor {tensor.name!r}"
        return FileError(tensor.file, problem, field=field, offset=tensor.offset)

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
