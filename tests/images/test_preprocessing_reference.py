"""Preprocessing against transformers' processors, those that resize by Pillow."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from synapse_core.images import PREPROCESSOR_JSON, preprocessing_of, size_of_file
from synapse_core.plugins import default_host

from .pictures import samples

pytestmark = pytest.mark.reference
TOLERANCE = 1e-3
SQUARE = {"height": 30, "width": 42}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViT", {"size": SQUARE}),
    "vit by default": ("ViT", {}),
    "vit bicubic": ("ViT", {"size": SQUARE, "resample": 3, **IMAGENET}),
    "vit nearest": ("ViT", {"size": SQUARE, "resample": 0}),
    "vit lanczos": ("ViT", {"size": SQUARE, "resample": 1}),
    "vit raw": ("ViT", {"size": SQUARE, "do_rescale": False, "do_normalize": False}),
    "clip": ("CLIP", {"size": {"shortest_edge": 32}, "crop_size": {"height": 28, "width": 28}}),
    "clip by default": ("CLIP", {}),
    "clip smaller than its crop": (
        "CLIP",
        {"size": {"shortest_edge": 20}, "crop_size": {"height": 27, "width": 31}},
    ),
    "clip in old keys": ("CLIP", {"size": 32, "crop_size": 28}),
    "dinov2": (
        "Bit",
        {
            "size": {"shortest_edge": 32},
            "crop_size": {"height": 28, "width": 28},
            "resample": 3,
            **IMAGENET,
        },
    ),
}
PICTURES = ((40, 60), (61, 33), (28, 28), (500, 20))


@pytest.mark.parametrize("case", CASES)
def test_pixels_match_transformers(case: str) -> None:
    transformers = pytest.importorskip("transformers")
    kind, said = CASES[case]
    module = __import__(
        f"transformers.models.{kind.lower()}.image_processing_pil_{kind.lower()}",
        fromlist=[f"{kind}ImageProcessorPil"],
    )
    processor = getattr(module, f"{kind}ImageProcessorPil")(**said)
    assert transformers
    text = json.dumps({"image_processor_type": f"{kind}ImageProcessor", **said})
    files = {PREPROCESSOR_JSON: text}
    size = size_of_file(files, "m")
    assert size is not None
    ours = preprocessing_of(files, {}, "m", (3, *size), default_host())
    for height, width in PICTURES:
        picture = samples(height, width)
        expected = processor(images=[picture], return_tensors="np")["pixel_values"][0]
        found = ours.rows(picture).reshape(expected.shape)
        worst = np.abs(found - expected).max()
        assert worst <= TOLERANCE * max(1.0, np.abs(expected).max()), (height, width, worst)
