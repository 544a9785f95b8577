"""Small random checkpoints, written without PyTorch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from synapse_core.families import Fields, Part, build_graph, map_entry
from synapse_core.plugins import default_host
from synapse_core.testing import CheckpointSample


def write(folder: Path, name: str, **changes: Any) -> Path:
    """Write a checkpoint of a family, its sample's config with some changes."""
    host = default_host()
    family = host.get("model", name)
    from synapse_model_vision import samples

    sample = getattr(samples, name.upper())["hf"]
    if not isinstance(sample, CheckpointSample):
        sample = CheckpointSample(sample)
    config = {**sample.metadata, **changes}
    fields = Fields("config.json", config, tensors=sample.opened())
    graph = build_graph(family, family.config["hf"](fields), host)
    rng = np.random.default_rng(5)
    tensors: dict[str, np.ndarray] = {}
    for weight in graph.weights.values():
        if weight.source is not None:
            continue
        entry = map_entry(weight.name, family.weights["hf"])
        shape: tuple[int, ...] = (weight.rows, weight.cols)
        if isinstance(entry, Part):
            held = [graph.weights[part] for part in entry.parts]
            entry = entry.tensor
            wide = sum(part.cols for part in held) if weight.rows == 1 else weight.cols
            shape = (1, wide) if weight.rows == 1 else (sum(part.rows for part in held), wide)
        if weight.name == "patch.weight":
            patch = math.isqrt(weight.cols // 3)
            shape = (weight.rows, 3, patch, patch)
        shape = {"class": (1, 1, shape[1]), "positions": (1, *shape)}.get(weight.name, shape)
        shape = shape[1:] if len(shape) == 2 and shape[0] == 1 else shape
        spread = weight.cols**-0.5 if weight.rows > 1 else 0.3
        around = 1.0 if weight.name.endswith("norm.weight") else 0.0
        assert isinstance(entry, str)
        tensors[entry] = (around + spread * rng.standard_normal(shape)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder
