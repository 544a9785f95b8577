"""A small config.json, for `synapse check`."""

from __future__ import annotations

from typing import Any


def _head(width: int, output: int) -> dict[str, Any]:
    return {
        "_target_": "stable_worldmodel.wm.lewm.module.MLP",
        "input_dim": width,
        "output_dim": output,
        "hidden_dim": 40,
        "norm_fn": {"_target_": "torch.nn.BatchNorm1d", "_partial_": True},
    }


CONFIG: dict[str, Any] = {
    "_target_": "stable_worldmodel.wm.lewm.LeWM",
    "encoder": {
        "_target_": "stable_pretraining.backbone.utils.vit_hf",
        "size": "tiny",
        "patch_size": 5,
        "image_size": 15,
        "pretrained": False,
        "use_mask_token": False,
        "hidden_size": 36,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 52,
    },
    "predictor": {
        "_target_": "stable_worldmodel.wm.lewm.module.Predictor",
        "num_frames": 3,
        "input_dim": 28,
        "hidden_dim": 28,
        "output_dim": 28,
        "depth": 2,
        "heads": 3,
        "mlp_dim": 44,
        "dim_head": 8,
        "dropout": 0.1,
        "emb_dropout": 0.0,
    },
    "action_encoder": {
        "_target_": "stable_worldmodel.wm.lewm.module.Embedder",
        "input_dim": 6,
        "emb_dim": 28,
    },
    "projector": _head(36, 28),
    "pred_proj": _head(28, 28),
}
LEWM = {"hf": CONFIG}
