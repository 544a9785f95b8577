"""The files beside the weights of a GGUF file that becomes safetensors."""

from __future__ import annotations

import json
from collections.abc import Sequence

from synapse_core.api.quantize import Requantized
from synapse_core.errors import UsageError
from synapse_core.formats import CARRIED
from synapse_core.generate import read_assets
from synapse_core.generate.assets import ASSETS, REFUSED, bounds_of
from synapse_core.generate.model_files import bytes_of, text_of
from synapse_core.loaders import Checkpoint
from synapse_core.loaders.gguf_config import config_of_keys
from synapse_core.loaders.json_bounds import check_bounds
from synapse_core.loaders.safetensors import CONFIG


def files_of_gguf(
    checkpoint: Checkpoint, tensors: Sequence[Requantized]
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return config.json, tokenizer and generation settings of a GGUF file, and what to know.

    Raises: UsageError for a tensor in a format that safetensors cannot hold; FileError for keys
    that are more than is read as JSON.
    """
    for tensor in tensors:
        if tensor.given in CARRIED:
            name = tensor.weights[0] if tensor.weights else tensor.source.name
            raise UsageError(
                f"{name!r} would be held in {tensor.given}, which safetensors has no place for; ask"
                " another format for it"
            )
    config, left_out = config_of_keys(checkpoint.metadata)
    notes = [f"key {name!r} is not finite and left out" for name in left_out]
    assets = read_assets(checkpoint)
    if "tokenizer.json" not in assets:
        reason = text_of(assets, REFUSED, "the file has none")
        notes.append(f"written without a tokenizer: {reason}; only token ids can be given to it")
    files = {name: bytes_of(assets, name) for name in assets if name in ASSETS}
    files[CONFIG] = json.dumps(config, ensure_ascii=False, indent=1).encode()
    for name, content in files.items():
        check_bounds(f"{checkpoint.path} as {name}", content, bounds_of(name))
    return files, tuple(notes)
