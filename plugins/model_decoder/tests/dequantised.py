"""A GGUF file's numbers, decoded by the `gguf` package, in transformers' model of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf as package
import numpy as np

from .gguf_twins import unpermuted


def fill_from_gguf(model: Any, path: Path) -> None:
    """Put a file's numbers into a model of transformers, undoing what the converter did to them."""
    import torch

    reader = package.GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()
    config = model.config
    names = package.get_tensor_name_map(
        getattr(package.MODEL_ARCH, arch.upper()), config.num_hidden_layers
    )
    numbers = {tensor.name: _decoded(tensor) for tensor in reader.tensors}
    state = {}
    for name in model.state_dict():
        theirs = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if name == "lm_head.weight" and config.tie_word_embeddings:
            theirs = "token_embd.weight"
        values = numbers[theirs]
        kind = name.rsplit(".", 2)[-2]
        if arch == "llama" and kind == "q_proj":
            values = unpermuted(values, config.num_attention_heads)
        elif arch == "llama" and kind == "k_proj":
            values = unpermuted(values, config.num_key_value_heads)
        elif arch.startswith("gemma") and kind.endswith("norm"):
            values = values - 1
        state[name] = torch.from_numpy(values)
    model.load_state_dict(state)


def _decoded(tensor: Any) -> np.ndarray:
    values = package.dequantize(tensor.data, tensor.tensor_type)
    shape = tuple(int(size) for size in reversed(tensor.shape))
    found: np.ndarray = np.array(values, np.float32).reshape(shape)
    return found
