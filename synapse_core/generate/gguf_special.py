"""Special ids, the chat template and how a model is sampled, as keys of a GGUF file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from synapse_core.generate.gguf_vocabulary import (
    DRAWN,
    END_IDS,
    KEY,
    PENALTY,
    SAMPLING,
    TEMPLATE,
)
from synapse_core.generate.model_files import Files, text_of
from synapse_core.generate.settings import settings_of
from synapse_core.generate.special_tokens import token_text
from synapse_core.generate.tokenizer_json import JsonTokenizer


def special_keys(
    assets: Files, config: Mapping[str, Any], tokenizer: JsonTokenizer
) -> dict[str, Any]:
    """Return the keys; `config` is the tokenizer_config.json.

    Of several ends the one that it names is `eos`, the others take the places for ends of turns.

    Raises: FileError for settings out of range.
    """
    special = tokenizer.special
    keys: dict[str, Any] = {}
    if special.bos is not None:
        keys[f"{KEY}bos_token_id"] = special.bos
    named = _id(config.get("eos_token"), tokenizer)
    ends = sorted(special.ends - {named})
    ends = [named, *ends] if named in special.ends else ends
    for name, id in zip(END_IDS, ends, strict=False):
        keys[f"{KEY}{name}"] = id
    settings_of(assets)
    keys |= _sampling_keys(json.loads(text_of(assets, "generation_config.json", "{}")))
    model = json.loads(text_of(assets, "config.json", "{}"))
    for token, name in (("unk_token", "unknown_token_id"), ("pad_token", "padding_token_id")):
        found = _id(config.get(token), tokenizer)
        if found is None:
            found = model.get(f"{token}_id")
        if type(found) is int and 0 <= found < tokenizer.size:
            keys[f"{KEY}{name}"] = found
    around, plain = (tokenizer.encode("a", special=special) for special in (True, False))
    begins = special.add_bos
    if begins is None:
        begins = around[:1] == [special.bos]
    keys[f"{KEY}add_bos_token"] = begins and special.bos is not None
    keys[f"{KEY}add_eos_token"] = bool(ends) and around[-1:] == ends[:1] != plain[-1:]
    template = config.get("chat_template")
    if "chat_template.jinja" in assets:
        template = text_of(assets, "chat_template.jinja")
    if isinstance(template, str):
        keys[TEMPLATE] = template
    return keys


def _sampling_keys(generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the model is sampled, where it is: a number that is not drawn by says nothing."""
    names = dict((PENALTY,)) | (DRAWN if generation.get("do_sample") is True else {})
    keys: dict[str, Any] = {}
    for name, key in names.items():
        value = generation.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            keys[f"{SAMPLING}{key}"] = int(value) if name == "top_k" else float(value)
    return keys


def _id(token: Any, tokenizer: JsonTokenizer) -> int | None:
    text = token_text(token)
    return None if text is None else tokenizer.token_id(text)
