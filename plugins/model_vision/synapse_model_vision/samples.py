"""Small configs of every family, for `synapse check`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synapse_core.testing import CheckpointSample

WIDTH, HIDDEN, PATCH, SIDE = 24, 40, 7, 21
HF: Mapping[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": HIDDEN,
    "image_size": SIDE,
    "patch_size": PATCH,
    "num_channels": 3,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "qkv_bias": True,
}
VIT = {
    "hf": {
        **HF,
        "architectures": ["ViTForImageClassification"],
        "id2label": {"0": "a cat", "1": "a dog", "2": "none"},
    }
}
VIT_FEATURES = {
    "hf": CheckpointSample(
        {**HF, "architectures": ["ViTModel"], "pooler_output_size": 10, "pooler_act": "tanh"},
        {"pooler.dense.weight": (10, WIDTH)},
    )
}
TIMM_TENSORS = {
    "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
    "pos_embed": (1, 10, WIDTH),
    "head.weight": (5, WIDTH),
    "blocks.0.mlp.fc1.weight": (HIDDEN, WIDTH),
    "blocks.0.attn.qkv.bias": (3 * WIDTH,),
    "blocks.0.norm1.weight": (WIDTH,),
    "blocks.1.norm1.weight": (WIDTH,),
}
VIT_TIMM = {
    "hf": CheckpointSample(
        {
            "architecture": "vit_tiny_patch7_21",
            "num_classes": 5,
            "num_features": WIDTH,
            "global_pool": "token",
            "pretrained_cfg": {
                "input_size": [3, SIDE, SIDE],
                "interpolation": "bicubic",
                "crop_pct": 0.9,
                "mean": [0.5, 0.5, 0.5],
                "std": [0.5, 0.5, 0.5],
            },
        },
        TIMM_TENSORS,
    )
}
DINOV2 = {
    "hf": CheckpointSample(
        {
            "architectures": ["Dinov2WithRegistersForImageClassification"],
            "hidden_size": WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "mlp_ratio": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
            "layer_norm_eps": 1e-6,
            "hidden_act": "gelu",
            "qkv_bias": True,
            "use_swiglu_ffn": True,
            "num_register_tokens": 3,
            "id2label": {"0": "a cat", "1": "a dog", "2": "none"},
        }
    )
}
CLIP = {
    "hf": {
        "architectures": ["CLIPModel"],
        "projection_dim": 20,
        "vision_config": {key: HF[key] for key in HF if key != "qkv_bias"},
        "text_config": {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 24,
            "max_position_embeddings": 12,
            "vocab_size": 50,
            "eos_token_id": 49,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
        },
    }
}
