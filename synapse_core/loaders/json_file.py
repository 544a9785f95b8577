"""JSON from outside: small, plain, without duplicate keys or words for numbers that are none."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from synapse_core.errors import FileError
from synapse_core.loaders.json_bounds import PLAIN, check_bounds, uncollected
from synapse_core.loaders.regular_file import open_regular


def read_json(path: Path, *, infinite: bool = False) -> dict[str, Any]:
    """Read a file that holds one JSON object; `infinite` as of `parse_object`.

    Raises: FileError naming the file and what is wrong in it.
    """
    with open_regular(path) as (file, size):
        if size > PLAIN.file:
            raise FileError(path, f"has {size} bytes; at most {PLAIN.file} are read as JSON")
        return parse_object(path, file.read(size), infinite=infinite)


def parse_object(path: Path, text: bytes, *, infinite: bool = False) -> dict[str, Any]:
    """Parse bytes that must be one JSON object.

    `infinite` lets the word `Infinity` through, which is no JSON: Python writes it for a bound that
    there is not. Whoever uses such a number must look.

    Raises: FileError naming the file: bad UTF-8 or JSON, a duplicate key, NaN or infinity, more
    than may be parsed.
    """
    check_bounds(path, text)

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        known = dict(found)
        if len(known) != len(found):
            seen: set[str] = set()
            twice = next(key for key, _ in found if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise FileError(path, "is given twice", field=f"key {twice!r}")
        return known

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise FileError(path, f"number {digits[:20]!r} is not finite")
        return value

    def constant(word: str) -> float:
        return math.inf if infinite and word == "Infinity" else number(word)

    try:
        with uncollected():
            parsed = json.loads(
                text.decode("utf-8"),
                object_pairs_hook=pairs,
                parse_float=number,
                parse_constant=constant,
            )
    except UnicodeDecodeError as error:
        raise FileError(path, "is not UTF-8", offset=error.start) from None
    except RecursionError:
        raise FileError(path, "is nested too deeply for JSON from outside") from None
    except ValueError as error:
        raise FileError(path, f"is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise FileError(path, f"holds a {type(parsed).__name__}, expected an object")
    return parsed
