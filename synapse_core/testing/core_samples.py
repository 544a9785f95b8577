"""Samples of what the core itself provides; `synapse check synapse` uses them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from synapse_core.testing.gguf_bytes import GgufBytes, TensorBytes, text_value


def safetensors_folder(folder: Path) -> Path:
    """Write a config.json and two tensors as safetensors; return the checkpoint's path."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(71)
    tensors: dict[str, np.ndarray] = {
        "table.weight": rng.standard_normal((5, 8)).astype(np.float32),
        "norm.weight": rng.standard_normal(8).astype(np.float16),
    }
    path = folder / "checkpoint"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"architectures": ["Sample"]}))
    save_file(tensors, path / "model.safetensors")
    return path


def gguf_file(folder: Path) -> Path:
    """Write a GGUF file of two tensors in a folder of its own; return its path."""
    rng = np.random.default_rng(72)
    tensors = [
        TensorBytes.of("table.weight", rng.standard_normal((5, 8)).astype(np.float32)),
        TensorBytes.of("norm.weight", rng.standard_normal(8).astype(np.float16)),
    ]
    keys: list[tuple[str | bytes, bytes]] = [("general.architecture", text_value("sample"))]
    path = folder / "checkpoint" / "model.gguf"
    path.parent.mkdir()
    path.write_bytes(GgufBytes(keys, tensors).encode())
    return path
