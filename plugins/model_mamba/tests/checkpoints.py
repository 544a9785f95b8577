"""Small random checkpoints of both families, written without PyTorch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from synapse_model_mamba import mamba, mamba2
from synapse_model_mamba.samples import MAMBA, MAMBA2

from synapse_core.families import Fields, Made, Part, build_graph, map_entry
from synapse_core.plugins import default_host

FAMILIES = {"mamba": (mamba.FAMILY, MAMBA), "mamba2": (mamba2.FAMILY, MAMBA2)}


def write(folder: Path, name: str, **changes: Any) -> Path:
    """Write a checkpoint of a family, its sample's config with some changes."""
    family, sample = FAMILIES[name]
    config = {**sample["hf"], **changes}
    graph = build_graph(family, family.config["hf"](Fields("config.json", config)), default_host())
    rng = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {}
    for weight in graph.weights.values():
        entry = map_entry(weight.name, family.weights["hf"])
        shape: tuple[int, ...] = (weight.rows, weight.cols)
        if isinstance(entry, Part):
            of = [graph.weights[part] for part in entry.parts]
            flat = weight.rows == 1
            shape = (sum(w.cols for w in of),) if flat else (sum(w.rows for w in of), weight.cols)
        elif isinstance(entry, Made):
            shape = entry.shape(*shape)
        shapes[entry if isinstance(entry, str) else entry.tensor] = shape
    tensors = {}
    for tensor, shape in sorted(shapes.items()):
        around = 1.0 if tensor.endswith(("norm.weight", "norm_f.weight", ".D")) else 0.0
        spread = shape[-1] ** -0.5 if len(shape) > 1 and not tensor.endswith("A_log") else 0.3
        numbers = around + (1.5 * spread) * rng.standard_normal(shape)
        trimmed = shape[1:] if shape[0] == 1 and math.prod(shape) > 1 else shape
        tensors[tensor] = numbers.astype(np.float32).reshape(trimmed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder
