"""Random checkpoints of ViT, made on the spot, and what transformers says of them.

Made so that agreement means something: features with a deviation of 1 to 10, norms that are not
one, biases that are not zero, positions as large as what they are added to.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

# Of the standard deviation of each output (DESIGN.md, "Agreement between places").
TOLERANCE = 2e-4
BATCH = 3
F32, F16, BF16 = "float32", "float16", "bfloat16"
CLASSIFIER, FEATURES = "ViTForImageClassification", "ViTModel"


@attrs.frozen
class Case:
    """A checkpoint to make: its class, dtype, config, and the size it is asked at."""

    kind: str
    dtype: str = F32
    config: Mapping[str, Any] = attrs.field(factory=dict)
    size: tuple[int, int] | None = None


BASE = {
    "hidden_size": 60,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 92,
    "image_size": 56,
    "patch_size": 14,
    "layer_norm_eps": 1e-5,
    "num_labels": 7,
}
CASES = {
    "classifier": Case(CLASSIFIER),
    "features": Case(FEATURES, config={"pooler_output_size": 44}),
    "features bf16": Case(FEATURES, BF16, {"qkv_bias": False, "pooler_act": "gelu"}),
    "patches of 16 f16": Case(CLASSIFIER, F16, {"patch_size": 16, "image_size": 48}),
    "smaller": Case(CLASSIFIER, size=(42, 28)),
    "larger": Case(FEATURES, size=(70, 98)),
    "patches of 16, larger": Case(
        CLASSIFIER, config={"patch_size": 16, "image_size": 32}, size=(80, 48)
    ),
    "one channel": Case(CLASSIFIER, config={"num_channels": 1, "hidden_act": "quick_gelu"}),
}
OUTPUTS = {"logits": "logits", "pooled": "pooler_output", "last_hidden_state": "last_hidden_state"}


@attrs.frozen(eq=False)
class Made:
    """A checkpoint on disk, pixels, and what transformers makes of them, by our names."""

    folder: Path
    pixels: np.ndarray
    size: tuple[int, int] | None
    outputs: Mapping[str, np.ndarray]


def make_case(case: Case, folder: Path) -> Made:
    """Make a checkpoint and let transformers compute its outputs, in float32."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(11)
    torch.set_num_threads(1)
    config = transformers.ViTConfig(**{**BASE, **case.config})
    kind = getattr(transformers, case.kind)
    model = kind(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill(name, parameter)
    model.to(getattr(torch, case.dtype)).save_pretrained(folder)
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    height, width = case.size or (config.image_size, config.image_size)
    shape = (BATCH, config.num_channels, height, width)
    pixels = np.random.default_rng(12).standard_normal(shape, dtype=np.float32)
    with torch.no_grad():
        found = model(
            torch.from_numpy(pixels), interpolate_pos_encoding=True, output_hidden_states=False
        )
    outputs = {
        ours: getattr(found, theirs).numpy()
        for ours, theirs in OUTPUTS.items()
        if getattr(found, theirs, None) is not None
    }
    for name, numbers in outputs.items():
        assert 0.5 <= numbers.std() <= 10, name
    return Made(folder, pixels, case.size, outputs)


def _fill(name: str, parameter: Any) -> None:
    if "layernorm" in name and name.endswith("weight"):
        parameter.normal_(1.0, 0.3)
    elif name.endswith("bias"):
        parameter.normal_(0.0, 0.3)
    elif name.endswith(("cls_token", "position_embeddings")):
        parameter.normal_(0.0, 1.0)
    elif name.endswith("projection.weight"):
        parameter.normal_(0.0, parameter[0].numel() ** -0.5)
    else:
        parameter.normal_(0.0, 1.5 * parameter.shape[-1] ** -0.5)
