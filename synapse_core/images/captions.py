"""Captions as ids: where a text ends, whose row speaks for all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synapse_core.errors import UsageError


def until_end(ids: Sequence[int], config: Mapping[str, Any], which: str) -> list[int]:
    """Return the ids of a text up to its end, which is the last of them.

    A family's config says in `text` what the `end` is: an id, whose first place counts, or None,
    the first place of the highest id. Attention is causal, so nothing behind it matters. A family
    that says nothing takes all ids. `which` text it is, for the error.

    Raises: UsageError for a text without an end.
    """
    text = config.get("text")
    if not isinstance(text, Mapping) or "end" not in text or not ids:
        return list(ids)
    end = max(ids) if text["end"] is None else int(text["end"])
    if end not in ids:
        raise UsageError(f"{which} has no end, which is token {end}: is the tokenizer the model's?")
    return list(ids[: ids.index(end) + 1])
