"""A GGUF file's numbers, decoded by the `gguf` package, in transformers' model of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf as package
import numpy as np

# By the end of transformers' name, that of llama.cpp's.
NAMES = {
    "norm.weight": "attn_norm.weight",
    "mixer.in_proj.weight": "ssm_in.weight",
    "mixer.conv1d.weight": "ssm_conv1d.weight",
    "mixer.conv1d.bias": "ssm_conv1d.bias",
    "mixer.x_proj.weight": "ssm_x.weight",
    "mixer.dt_proj.weight": "ssm_dt.weight",
    "mixer.dt_proj.bias": "ssm_dt.bias",
    "mixer.dt_bias": "ssm_dt.bias",
    "mixer.A_log": "ssm_a",
    "mixer.D": "ssm_d",
    "mixer.norm.weight": "ssm_norm.weight",
    "mixer.out_proj.weight": "ssm_out.weight",
}
AROUND = {
    "backbone.embeddings.weight": "token_embd.weight",
    "backbone.norm_f.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def fill_from_gguf(model: Any, path: Path) -> None:
    """Put a file's numbers into a model of transformers, undoing what the converter did to them."""
    import torch

    reader = package.GGUFReader(path)
    numbers = {
        tensor.name: package.dequantize(tensor.data, tensor.tensor_type)
        for tensor in reader.tensors
    }
    numbers.setdefault("output.weight", numbers["token_embd.weight"])
    state = {}
    for name, parameter in model.state_dict().items():
        theirs = AROUND.get(name)
        if theirs is None:
            _, _, layer, ours = name.split(".", 3)
            theirs = f"blk.{layer}.{NAMES[ours]}"
        values = np.array(numbers[theirs], np.float32)
        if name.endswith("A_log"):
            values = np.log(-values)
        state[name] = torch.from_numpy(values.reshape(tuple(parameter.shape)))
    model.load_state_dict(state)
