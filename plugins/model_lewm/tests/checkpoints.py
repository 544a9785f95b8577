"""Small random checkpoints in the published names, written without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from synapse_model_lewm.family import FAMILY
from synapse_model_lewm.samples import CONFIG
from synapse_model_lewm.tensors import WEIGHTS

from synapse_core.families import Fields, Part, build_graph, map_entry
from synapse_core.plugins import default_host


def tensors_of(config: dict[str, Any] = CONFIG, seed: int = 7) -> dict[str, np.ndarray]:
    """Return tensors of a config by their published names: float32, of shapes as the file's."""
    graph = build_graph(FAMILY, FAMILY.config["hf"](Fields("config.json", config)), default_host())
    rng = np.random.default_rng(seed)
    patch = config["encoder"]["patch_size"]
    tensors: dict[str, np.ndarray] = {}
    for weight in graph.weights.values():
        entry = map_entry(weight.name, WEIGHTS)
        shape: tuple[int, ...] = (weight.rows, weight.cols) if weight.rows > 1 else (weight.cols,)
        if isinstance(entry, Part):
            rows = sum(graph.weights[part].rows for part in entry.parts)
            shape = (rows, weight.cols) if len(shape) > 1 else (len(entry.parts) * weight.cols,)
            entry = entry.tensor
        assert isinstance(entry, str)
        numbers = rng.standard_normal(shape)
        if entry.endswith("running_var"):
            numbers = 0.2 + np.square(numbers)
        elif len(shape) > 1:
            numbers *= 1.5 * shape[1] ** -0.5
        else:
            numbers = numbers * 0.3 + (1.0 if weight.name.endswith("norm.weight") else 0.0)
        tensors[entry] = numbers.astype(np.float32)
    conv = "encoder.embeddings.patch_embeddings.projection.weight"
    tensors[conv] = tensors[conv].reshape(-1, 3, patch, patch)
    tensors["action_encoder.patch_embed.weight"] = tensors["action_encoder.patch_embed.weight"][
        ..., None
    ]
    for name in ("encoder.embeddings.position_embeddings", "predictor.pos_embedding"):
        tensors[name] = np.ascontiguousarray(tensors[name][None])
    cls = "encoder.embeddings.cls_token"
    tensors[cls] = np.ascontiguousarray(tensors[cls].reshape(1, 1, -1))
    return tensors


def write(folder: Path, config: dict[str, Any] = CONFIG, **changes: np.ndarray | None) -> Path:
    """Write a checkpoint; a tensor that is changed to None is left out."""
    tensors = {**tensors_of(config), **changes}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors")
    return folder


def frames(count: int, side: int = 15, seed: int = 3) -> np.ndarray:
    """Return random frames, uint8 (count, 3, side, side)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3, side, side)).astype(np.uint8)


def actions(*shape: int, seed: int = 4) -> np.ndarray:
    """Return random actions."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
