"""Random checkpoints of DINOv2 and CLIP by their configs alone, without transformers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from synapse_core.families import (
    Family,
    Fields,
    Part,
    build_graph,
    map_entry,
)
from synapse_core.plugins import default_host

from . import tower_cases as cases

DINOV2: dict[str, Any] = {
    **cases.DINOV2,
    "architectures": ["Dinov2ForImageClassification"],
    "id2label": {str(n): label for n, label in cases.LABELS["id2label"].items()},
}
REGISTERS: dict[str, Any] = {
    **cases.DINOV2,
    "architectures": ["Dinov2WithRegistersModel"],
    "num_register_tokens": 2,
    "use_swiglu_ffn": True,
}
CLIP: dict[str, Any] = {
    "architectures": ["CLIPModel"],
    "projection_dim": 20,
    "vision_config": cases.CLIP_IMAGE,
    "text_config": cases.CLIP_TEXT,
}


def random_tensors(family: Family, config: Mapping[str, Any], seed: int = 8) -> dict[str, Any]:
    """Return tensors of every weight that a config asks for, float32, in the file's shapes."""
    rng = np.random.default_rng(seed)
    read = family.config["hf"](Fields("config.json", config))
    graph = build_graph(family, read, default_host())
    tensors: dict[str, Any] = {}
    for name, weight in graph.weights.items():
        if weight.source is not None:
            continue
        entry = map_entry(name, family.weights["hf"])
        shape = weight.stored or (weight.rows, weight.cols)
        if isinstance(entry, Part):
            parts = [graph.weights[part] for part in entry.parts]
            flat = weight.rows == 1
            count = sum(part.cols if flat else part.rows for part in parts)
            shape, entry = ((1, count) if flat else (count, weight.cols)), entry.tensor
        assert isinstance(entry, str)
        tensors[entry] = _numbers(rng, entry, shape)
    return tensors


def write_checkpoint(folder: Path, config: Mapping[str, Any], tensors: dict[str, Any]) -> Path:
    """Write a folder with config.json and the tensors; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder


def _numbers(rng: np.random.Generator, name: str, shape: tuple[int, int]) -> np.ndarray:
    numbers = rng.standard_normal(shape).astype(np.float32)
    if shape[0] == 1 and ("norm" in name or "lambda" in name):
        numbers = 1 + np.float32(0.3) * numbers
    elif shape[0] > 1:
        numbers /= np.float32(math.sqrt(shape[1]))
    if "patch_embedding" in name and name.endswith("weight"):
        side = math.isqrt(shape[1] // 3)
        return numbers.reshape(shape[0], 3, side, side)
    if "position_embeddings" in name or "register_tokens" in name:
        return numbers[None]
    if name == "logit_scale":
        return numbers.reshape(())
    return numbers[0] if shape[0] == 1 else numbers
