"""How a model wants to be sampled, where its `generation_config.json` says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import attrs

from synapse_core.errors import FileError
from synapse_core.generate.model_files import Files, text_of

FILE = "generation_config.json"
# Strings that end a text, and their length, in a file from outside.
MOST_STOPS, LONGEST_STOP = 64, 1024
_LEAST = sys.float_info.min
_DRAWN = {
    "temperature": (0.0, 100.0),
    "top_k": (0, 1 << 31),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
}
_ALWAYS = {"repetition_penalty": (_LEAST, 100.0)}


@attrs.frozen
class Settings:
    """Options of a generation; these defaults hold for a model whose files say nothing."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()


def settings_of(files: Files, where: str = "") -> Settings:
    """Read the options out of a model's files.

    Those of drawing are not taken from a model that is not sampled; penalty and stop strings are.

    Raises: FileError naming the key of a value that is no number in its range, or no string.
    """
    name = f"{where}/{FILE}" if where else FILE
    try:
        values = json.loads(text_of(files, FILE, "{}"))
    except (ValueError, RecursionError) as error:
        raise FileError(name, f"not JSON: {error}") from None
    if not isinstance(values, dict):
        return Settings()
    always = _numbers(values, _ALWAYS, name)
    settings = Settings(
        repetition_penalty=float(always.get("repetition_penalty", 1.0)),
        stop=_strings(values.get("stop_strings"), name),
    )
    if values.get("do_sample") is not True:
        return settings
    drawn = _numbers(values, _DRAWN, name)
    return attrs.evolve(
        settings,
        temperature=float(drawn.get("temperature", 1.0)),
        top_k=int(drawn.get("top_k", 0)),
        top_p=float(drawn.get("top_p", 1.0)) or 1.0,
        min_p=float(drawn.get("min_p", 0.0)),
    )


def _numbers(
    values: Mapping[str, Any], bounds: Mapping[str, tuple[float, float]], name: str
) -> dict[str, float]:
    taken: dict[str, float] = {}
    for key, (least, most) in bounds.items():
        value = values.get(key)
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value <= most:
            problem = f"found {value!r:.60}, expected {least:.3g} to {most:.3g}"
            raise FileError(name, problem, field=key)
        taken[key] = value
    return taken


def _strings(value: Any, name: str) -> tuple[str, ...]:
    strings = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(strings, list) or len(strings) > MOST_STOPS:
        problem = f"expected a string, or a list of at most {MOST_STOPS}"
        raise FileError(name, problem, field="stop_strings")
    for string in strings:
        if not isinstance(string, str) or not 0 < len(string) <= LONGEST_STOP:
            problem = f"found {string!r:.60}, expected a string of 1 to {LONGEST_STOP} characters"
            raise FileError(name, problem, field="stop_strings")
    return tuple(strings)
