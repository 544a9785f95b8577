"""Which ids begin and end a text, as the files beside a tokenizer say it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from synapse_core.errors import FileError
from synapse_core.generate.model_files import Files, text_of
from synapse_core.generate.tokenizer import SpecialTokens

MOST_ENDS = 64


def special_tokens(
    files: Files, token_id: Callable[[str], int | None], where: str = ""
) -> SpecialTokens:
    """Read the ids that begin and end a text.

    The beginning: `tokenizer_config.json` by its text, else `generation_config.json`, else
    `config.json` by id. The ends: all that any of the three names, for a model that was trained
    to end its turns has more than one.

    Raises: FileError naming file and key.
    """
    where = f"{where}/" if where else ""
    said = {name: _object(files, name, where) for name in _FILES}
    texts, *by_id = said.values()
    bos = _named(texts, "bos_token", token_id, where)
    ends = {_named(texts, "eos_token", token_id, where)}
    for name, values in zip(_FILES[1:], by_id, strict=True):
        ids = _ids(values, "bos_token_id", f"{where}{name}")
        if bos is None and ids:
            bos = ids[0]
        ends |= set(_ids(values, "eos_token_id", f"{where}{name}"))
    add_bos = texts.get("add_bos_token")
    return SpecialTokens(
        bos=bos,
        ends=frozenset(id for id in ends if id is not None),
        add_bos=add_bos if isinstance(add_bos, bool) else None,
    )


def token_text(value: Any) -> str | None:
    """Return a special token's text: a string, or an object with `content`."""
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else None


_FILES = ("tokenizer_config.json", "generation_config.json", "config.json")


def _object(files: Files, name: str, where: str) -> dict[str, Any]:
    if name not in files:
        return {}
    try:
        value = json.loads(text_of(files, name))
    except (ValueError, RecursionError) as error:
        raise FileError(f"{where}{name}", f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise FileError(f"{where}{name}", f"found {type(value).__name__}, expected an object")
    return value


def _named(
    values: Mapping[str, Any], key: str, token_id: Callable[[str], int | None], where: str
) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    text = token_text(value)
    if text is None:
        problem = f"found {value!r:.80}, expected a token's text"
        raise FileError(f"{where}tokenizer_config.json", problem, field=key)
    return token_id(text)


def _ids(values: Mapping[str, Any], key: str, file: str) -> list[int]:
    value = values.get(key)
    if value is None:
        return []
    ids = value if isinstance(value, list) else [value]
    if len(ids) > MOST_ENDS:
        raise FileError(file, f"{len(ids)} ids; at most {MOST_ENDS}", field=key)
    for id in ids:
        if type(id) is not int or not 0 <= id < 1 << 31:
            raise FileError(file, f"found {id!r:.80}, expected an id", field=key)
    return ids
