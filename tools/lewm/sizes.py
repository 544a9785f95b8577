"""How large the model is, and the config.json that says so in the published keys."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Sizes:
    """Sizes of a LeWM; `latent` differs from `width`, so the predictor projects what it reads."""

    image: int = 64
    patch: int = 16
    width: int = 96
    layers: int = 4
    heads: int = 3
    ffn: int = 384
    projector: int = 256
    latent: int = 32
    actions: int = 2
    frames: int = 3
    depth: int = 3
    predictor_heads: int = 4
    head: int = 32
    mlp: int = 256

    def config(self) -> dict[str, Any]:
        """Return config.json as published checkpoints have it, with the encoder's sizes said."""
        mlp = {
            "_target_": "stable_worldmodel.wm.lewm.module.MLP",
            "input_dim": self.width,
            "output_dim": self.latent,
            "hidden_dim": self.projector,
            "norm_fn": {"_target_": "torch.nn.BatchNorm1d", "_partial_": True},
        }
        return {
            "_target_": "stable_worldmodel.wm.lewm.LeWM",
            "encoder": {
                "_target_": "stable_pretraining.backbone.utils.vit_hf",
                "size": "tiny",
                "patch_size": self.patch,
                "image_size": self.image,
                "pretrained": False,
                "use_mask_token": False,
                "hidden_size": self.width,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "intermediate_size": self.ffn,
            },
            "predictor": {
                "_target_": "stable_worldmodel.wm.lewm.module.Predictor",
                "num_frames": self.frames,
                "input_dim": self.latent,
                "hidden_dim": self.width,
                "output_dim": self.width,
                "depth": self.depth,
                "heads": self.predictor_heads,
                "mlp_dim": self.mlp,
                "dim_head": self.head,
                "dropout": 0.0,
                "emb_dropout": 0.0,
            },
            "action_encoder": {
                "_target_": "stable_worldmodel.wm.lewm.module.Embedder",
                "input_dim": self.actions,
                "smoothed_dim": self.actions,
                "emb_dim": self.latent,
            },
            "projector": mlp,
            "pred_proj": mlp,
        }
