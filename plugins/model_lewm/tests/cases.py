"""The configs that are held against the public implementation."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from synapse_model_lewm.samples import CONFIG

# The config.json of the model that was published for PushT.
FULL = Path(__file__).with_name("lewm-pusht.json")


def changed(**parts: dict[str, Any]) -> dict[str, Any]:
    """Return the sample's config with some keys of its parts changed."""
    config = copy.deepcopy(CONFIG)
    for part, keys in parts.items():
        config[part] |= keys
    return config


LAYER_NORM = {"norm_fn": {"_target_": "torch.nn.LayerNorm", "_partial_": True}}
TINY = {
    "odd": changed(),
    # Narrower inside than its latents: what published slim variants are.
    "bottleneck": changed(
        predictor={"hidden_dim": 20, "heads": 2, "dim_head": 11, "num_frames": 4}
    ),
    "wider inside": changed(predictor={"hidden_dim": 44}, action_encoder={"smoothed_dim": 7}),
    "one head": changed(predictor={"heads": 1, "dim_head": 28}, action_encoder={"mlp_scale": 2}),
    "layer norm": changed(projector=LAYER_NORM, pred_proj={"norm_fn": None}),
    "one frame": changed(predictor={"num_frames": 1}),
}


def full() -> dict[str, Any]:
    """Return the published config."""
    config: dict[str, Any] = json.loads(FULL.read_text())
    return config
