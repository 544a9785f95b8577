"""How a model wants to be sampled, where its `generation_config.json` says so."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import attrs

from synapse_core.errors import FileError

FILE = "generation_config.json"
_BOUNDS = {"temperature": (0.0, 100.0), "top_k": (0, 1 << 31), "top_p": (0.0, 1.0)}


@attrs.frozen
class Settings:
    """Sampling options; these defaults hold for a model whose files say nothing."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95


def settings_of(files: Mapping[str, str], where: str = "") -> Settings:
    """Read the options out of a model's files; those of one that is not sampled are not taken.

    Raises: FileError naming the key of a value that is no number in its range.
    """
    name = f"{where}/{FILE}" if where else FILE
    try:
        values = json.loads(files.get(FILE, "{}"))
    except (ValueError, RecursionError) as error:
        raise FileError(name, f"not JSON: {error}") from None
    if not isinstance(values, dict) or values.get("do_sample") is not True:
        return Settings()
    taken: dict[str, float] = {}
    for key, (least, most) in _BOUNDS.items():
        value = values.get(key)
        if value is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not least <= value <= most:
            raise FileError(name, f"found {value!r:.60}, expected {least} to {most}", field=key)
        taken[key] = value
    return Settings(
        temperature=float(taken.get("temperature", 1.0)),
        top_k=int(taken.get("top_k", 0)),
        top_p=float(taken.get("top_p", 1.0)) or 1.0,
    )
