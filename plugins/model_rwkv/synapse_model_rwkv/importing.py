"""From a bare file of RWKV-7's tensors to a folder that every verb opens.

BlinkDL publishes .pth files and nothing beside them: `synapse import-pt` makes safetensors of one,
and what a config.json must say the tensors' shapes do.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synapse_core import registry
from synapse_core.errors import FileError
from synapse_core.families import bind_weights, build_graph, model_config
from synapse_core.files import write_folder, write_whole
from synapse_core.loaders import SAFETENSORS, FileTensor
from synapse_model_rwkv.blinkdl import ARCHITECTURE, FAMILY
from synapse_model_rwkv.vocabulary import END, FILE, WorldReader

CONFIG, WEIGHTS = "config.json", "model.safetensors"
# Only in the older models that these files could be of.
OLDER = ("blocks.0.att.time_decay", "blocks.0.att.time_mix_k", "blocks.0.att.time_maa_x")


def import_rwkv(source: Path, output: Path, vocabulary: Path | None = None) -> dict[str, Any]:
    """Write a folder with the tensors of `source`, a config.json and the vocabulary's file.

    It appears whole or not at all, and only if the tensors are a whole RWKV-7 model. Returns the
    config.

    Raises: FileError naming the file and what is wrong with it.
    """
    if source.suffix != ".safetensors":
        problem = f"is no .safetensors; `synapse import-pt {source} -o NAME.safetensors` makes one"
        raise FileError(source, problem)
    if not source.is_file():
        raise FileError(source, "is no file")
    with write_folder(output) as folder:
        if vocabulary is not None:
            _copy(vocabulary, folder / FILE)
            _check_vocabulary(folder / FILE, vocabulary)
        _copy(source, folder / WEIGHTS)
        with write_whole(folder / CONFIG) as file:
            file.write(b"{}")
        config = config_of(SAFETENSORS.open(folder).tensors, source)
        with write_whole(folder / CONFIG) as file:
            file.write(json.dumps(config, indent=1).encode() + b"\n")
        checkpoint = SAFETENSORS.open(folder)
        bind_weights(
            build_graph(FAMILY, model_config(FAMILY, checkpoint), registry()), FAMILY, checkpoint
        )
    return config


def config_of(tensors: Mapping[str, FileTensor], source: Path) -> dict[str, Any]:
    """Return the config.json of tensors in BlinkDL's names; `source` is their file, for messages.

    Raises: FileError naming a tensor that is missing or no matrix.
    """
    older = [name for name in OLDER if name in tensors]
    if older:
        raise FileError(source, f"has tensor {older[0]!r}: an older RWKV; RWKV-7 is read")

    def axes(name: str) -> tuple[int, int]:
        tensor = tensors.get(name)
        if tensor is None:
            problem = "is missing; RWKV-7 in BlinkDL's names has one"
            raise FileError(source, problem, field=f"tensor {name!r}")
        if len(tensor.shape) != 2:
            problem = f"is {tensor.shape}, expected a matrix"
            raise FileError(source, problem, field=f"tensor {name!r}")
        return tensor.shape[0], tensor.shape[1]

    rows, width = axes("emb.weight")
    heads, size = axes("blocks.0.att.r_k")
    layers = 0
    while f"blocks.{layers}.att.r_k" in tensors:
        layers += 1
    return {
        "architectures": [ARCHITECTURE],
        "model_type": "rwkv7",
        "vocab_size": rows,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "head_dim": size,
        "num_heads": heads,
        "intermediate_size": axes("blocks.0.ffn.key.weight")[0],
        "norm_eps": 1e-5,
        "has_ln0": "blocks.0.ln0.weight" in tensors,
        "attention_output_bias": "blocks.0.att.output.bias" in tensors,
        "head_bias": "head.bias" in tensors,
        "bos_token_id": END,
        "eos_token_id": END,
    }


def _copy(source: Path, to: Path) -> None:
    try:
        with source.open("rb") as found, write_whole(to) as file:
            shutil.copyfileobj(found, file, 1 << 24)
    except OSError as error:
        raise FileError(source, f"cannot be read: {error.strerror}") from error


def _check_vocabulary(copy: Path, source: Path) -> None:
    """Check that the vocabulary's file is one; messages name the file that was given."""
    if copy.stat().st_size > 1 << 25:
        raise FileError(source, f"{copy.stat().st_size} bytes; no vocabulary has so many")
    try:
        text = copy.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FileError(source, f"not UTF-8: {error.reason}", offset=error.start) from None
    WorldReader().read({FILE: text}, str(source.parent))
