"""A GGUF file's keys as a config.json, beside the same tensors in safetensors.

Some weight formats have no type in GGUF. A model of a GGUF file in such a format is safetensors
under GGUF's names, and its config.json is {"synapse.gguf": 1, "keys": {…}}: all of the keys but
those of the tokenizer, which become files of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synapse_core.errors import FileError
from synapse_core.loaders.gguf_metadata import MOST_KEY_BYTES, MOST_KEYS
from synapse_core.loaders.gguf_shards import SPLIT_KEYS

VERSION_KEY, VERSION, KEYS = "synapse.gguf", 1, "keys"
TOKENIZER, TOKEN_ID = "tokenizer.", "_token_id"
SCALARS = (bool, int, float, str)


def config_of_keys(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the config.json of a file's keys, and the names of those that JSON cannot hold."""
    keys: dict[str, Any] = {}
    left_out: list[str] = []
    for name in metadata:
        if name in SPLIT_KEYS or (name.startswith(TOKENIZER) and not name.endswith(TOKEN_ID)):
            continue
        value = metadata[name]
        if _is_finite(value):
            keys[name] = value
        else:
            left_out.append(name)
    return {VERSION_KEY: VERSION, KEYS: keys}, left_out


def keys_of_config(path: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the keys that a config.json holds, None where it is one of another sort.

    Raises: FileError naming the version or the key.
    """
    if VERSION_KEY not in config:
        return None
    if config[VERSION_KEY] != VERSION or config[VERSION_KEY] is True:
        problem = f"found {config[VERSION_KEY]!r:.40}, expected {VERSION}"
        raise FileError(path, problem, field=VERSION_KEY)
    keys = config.get(KEYS)
    if not isinstance(keys, dict) or len(keys) > MOST_KEYS:
        problem = f"must be an object of at most {MOST_KEYS} keys of a GGUF file"
        raise FileError(path, problem, field=KEYS)
    for name, value in keys.items():
        items = value if isinstance(value, list) else [value]
        kinds = {type(item) for item in items}
        if len(name) > MOST_KEY_BYTES or len(kinds) > 1 or not kinds <= set(SCALARS):
            problem = "expected true, false, a number, a text, or a list of one of these"
            raise FileError(path, problem, field=f"{KEYS}.{name[:80]}")
    return dict(keys)


def _is_finite(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(not isinstance(item, float) or math.isfinite(item) for item in items)
