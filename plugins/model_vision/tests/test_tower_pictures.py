"""From a picture's file to DINOv2's and CLIP's rows, as transformers does both steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synapse_core.api import load

from .conftest import MakeTower

pytestmark = pytest.mark.reference

# Pixels agree to 1e-3, of which little is left behind a tower.
TOLERANCE = 1e-3
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
# DINOv2 is trained on larger images than its processor makes, here 56 and 28.
BIT = {
    "image_processor_type": "BitImageProcessor",
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 28, "width": 28},
    "resample": 3,
    **IMAGENET,
}
CLIP = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 48},
    "crop_size": {"height": 48, "width": 48},
    "resample": 3,
}
CASES = {
    "dinov2": (BIT, 1 + 2 * 2),
    "registers": (BIT, 1 + 4 + 2 * 2),
    "clip image projected bf16": (CLIP, 1 + 3 * 3),
}


@pytest.mark.parametrize("name", CASES)
def test_a_picture_gives_what_transformers_gives_of_it(
    make_tower_of: MakeTower, pictures: list[Path], tmp_path: Path, name: str
) -> None:
    transformers = pytest.importorskip("transformers")
    made, (keys, rows) = make_tower_of(name), CASES[name]
    folder = tmp_path / "model"
    shutil.copytree(made.folder, folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(keys))
    expected = _of_transformers(transformers, folder, keys, made.case.architecture, pictures)
    with load(folder, backend="cpu") as model:
        found = model.encode(pictures, output="last_hidden_state")
        pooled = model.encode(pictures, output="pooled")
    assert found.shape[:2] == (len(pictures), rows)
    for ours, theirs in zip((found, pooled), expected, strict=True):
        assert np.abs(ours - theirs).max() <= TOLERANCE * theirs.std()


def _of_transformers(
    transformers: Any, folder: Path, keys: dict[str, Any], architecture: str, pictures: list[Path]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the last hidden state and the pooled row of each picture."""
    import torch

    processor = getattr(transformers, keys["image_processor_type"]).from_pretrained(folder)
    kind = getattr(transformers, architecture)
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    opened = [Image.open(path).convert("RGB") for path in pictures]
    pixels = processor(images=opened, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        made = getattr(model, "vision_model", model)(pixels)
    return made.last_hidden_state.numpy(), made.pooler_output.numpy()
