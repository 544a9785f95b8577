"""Random checkpoints of DINOv2 and CLIP, made on the spot, and what transformers says of them.

They are made so that agreement means something: outputs with a standard deviation of 1 to 10, norms
that are not one, biases that are not zero, factors of layer scale that differ, images of another
size than the trained one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

# Of the standard deviation of an output (DESIGN.md, "Agreement between places").
TOLERANCE = 2e-4
F32, F16, BF16 = "float32", "float16", "bfloat16"
BATCH = 3
LABELS = {"id2label": {n: f"class {n}" for n in range(7)}}


@attrs.frozen
class Case:
    """A checkpoint to make: its class in transformers, and what differs from the base config.

    `size` is height and width of its images, `text` what differs in CLIP's text tower.
    """

    architecture: str
    dtype: str
    size: tuple[int, int]
    config: dict[str, Any] = attrs.field(factory=dict)
    text: dict[str, Any] = attrs.field(factory=dict)


DINOV2 = {
    "hidden_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "mlp_ratio": 2,
    "image_size": 56,
    "patch_size": 14,
    "num_channels": 3,
    "layer_norm_eps": 1e-4,
    "hidden_act": "gelu",
    "qkv_bias": True,
}
CLIP_IMAGE = {
    "hidden_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 50,
    "image_size": 48,
    "patch_size": 16,
    "layer_norm_eps": 2e-3,  # its rows are normed before the first layer, and are large
    "projection_dim": 20,
}
CLIP_TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 44,
    "vocab_size": 61,
    "max_position_embeddings": 17,
    "layer_norm_eps": 1e-4,
    "bos_token_id": 59,
    "eos_token_id": 60,
    "pad_token_id": 1,
    "projection_dim": 20,
}
REGISTERS = "Dinov2WithRegisters"
CASES = {
    "dinov2": Case("Dinov2Model", F32, (42, 70)),
    "dinov2 trained size f16": Case("Dinov2Model", F16, (56, 56)),
    "dinov2 same count": Case("Dinov2Model", F32, (28, 112)),
    "dinov2 gated bf16": Case("Dinov2Model", BF16, (56, 28), {"use_swiglu_ffn": True}),
    "dinov2 classes": Case(
        "Dinov2ForImageClassification",
        F32,
        (80, 64),
        {"patch_size": 16, "image_size": 48, **LABELS},
    ),
    "dinov2 no biases f16": Case(
        "Dinov2ForImageClassification", F16, (56, 56), {"qkv_bias": False, "hidden_act": "relu"}
    ),
    "registers": Case(f"{REGISTERS}Model", F32, (28, 42), {"image_size": 70}),
    "registers trained size": Case(f"{REGISTERS}Model", F32, (56, 56), {"num_register_tokens": 1}),
    "registers classes bf16": Case(
        f"{REGISTERS}ForImageClassification", BF16, (84, 56), {"use_swiglu_ffn": True, **LABELS}
    ),
    "clip": Case("CLIPModel", F32, (48, 48)),
    "clip other size": Case("CLIPModel", F16, (32, 80)),
    "clip legacy gelu": Case(
        "CLIPModel",
        F32,
        (42, 42),
        {"hidden_act": "gelu", "patch_size": 14, "image_size": 42},
        {"eos_token_id": 2, "hidden_act": "gelu"},
    ),
    "clip image": Case("CLIPVisionModel", F32, (64, 32)),
    "clip image projected bf16": Case("CLIPVisionModelWithProjection", BF16, (48, 48)),
    "clip text": Case("CLIPTextModel", F16, (48, 48)),
    "clip text projected": Case("CLIPTextModelWithProjection", F32, (48, 48)),
}
# Rows that divide into blocks of 32.
WIDE = {"hidden_size": 64, "num_attention_heads": 2, "patch_size": 16, "image_size": 48}
WIDE_TEXT = {"hidden_size": 64, "intermediate_size": 128}
WIDE_CASES = {
    "wide dinov2": Case("Dinov2ForImageClassification", F32, (80, 64), {**WIDE, **LABELS}),
    "wide registers": Case(f"{REGISTERS}Model", F16, (48, 32), {**WIDE, "use_swiglu_ffn": True}),
    "wide clip": Case("CLIPModel", F32, (48, 48), {**WIDE, "intermediate_size": 128}, WIDE_TEXT),
}
IMAGE_CASES = [name for name in CASES if "text" not in name]
TEXT_CASES = [name for name in CASES if "clip" in name and "image" not in name]


@attrs.frozen(eq=False)
class MadeTower:
    """A checkpoint on disk, pixels (B, 3, H, W), texts of ids, and what transformers says.

    `images` and `texts` are outputs by the names that ours have. A text has no padding, and its
    rows of the last hidden state none of it.
    """

    folder: Path
    case: Case
    pixels: np.ndarray
    ids: tuple[np.ndarray, ...]
    images: dict[str, np.ndarray]
    texts: dict[str, np.ndarray]


def make_tower(case: Case, folder: Path) -> MadeTower:
    """Make a checkpoint and let transformers compute its outputs, in float32."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    torch.set_num_threads(1)
    kind = getattr(transformers, case.architecture)
    model = kind(_config(case, transformers))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill(name, parameter)
    model.to(getattr(torch, case.dtype)).save_pretrained(folder)
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    rng = np.random.default_rng(4)
    pixels = rng.standard_normal((BATCH, 3, *case.size)).astype(np.float32)
    ids = _texts(rng, case)
    images = {} if "Text" in case.architecture else _images(model, case, pixels)
    texts = _said_of_texts(model, ids, {**CLIP_TEXT, **case.text}) if _reads(case) else {}
    for name, found in (*images.items(), *texts.items()):
        if name not in ("direction", "query"):
            assert 1 <= found.std() <= 10, (name, found.std())
    return MadeTower(folder, case, pixels, ids, images, texts)


def _reads(case: Case) -> bool:
    return case.architecture == "CLIPModel" or "Text" in case.architecture


def _config(case: Case, transformers: Any) -> Any:
    image = {**CLIP_IMAGE, **case.config}
    text = {**CLIP_TEXT, **case.text}
    match case.architecture:
        case "CLIPModel":
            return transformers.CLIPConfig(text_config=text, vision_config=image, projection_dim=20)
        case name if "CLIPVision" in name:
            return transformers.CLIPVisionConfig(**image)
        case name if "CLIPText" in name:
            return transformers.CLIPTextConfig(**text)
        case name if REGISTERS in name:
            return transformers.Dinov2WithRegistersConfig(**{**DINOV2, **case.config})
    return transformers.Dinov2Config(**{**DINOV2, **case.config})


def _texts(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, ...]:
    """Return four texts: one is full, one goes on behind its end, one is nothing but its ends."""
    text = {**CLIP_TEXT, **case.text}
    begin, most = text["bos_token_id"], text["max_position_embeddings"]
    end = text["vocab_size"] - 1
    inner = [rng.integers(3, begin, count) for count in (most - 2, 4, 0)]
    found = [np.array([begin, *words, end]) for words in inner]
    return (*found, np.array([begin, 7, end, 9, 3, end]))


def _images(model: Any, case: Case, pixels: np.ndarray) -> dict[str, np.ndarray]:
    import torch

    clip = case.architecture.startswith("CLIP")
    options = {"interpolate_pos_encoding": True} if clip else {}
    given = torch.from_numpy(pixels)
    with torch.no_grad():
        if case.architecture == "CLIPModel":
            made = model.vision_model(given, **options)
            embedding = model.visual_projection(made.pooler_output)
            unit = embedding / embedding.norm(dim=-1, keepdim=True)
            extra = {"embedding": embedding, "direction": unit}
            return _numbers({**extra, "pooled": made.pooler_output, "rows": made.last_hidden_state})
        if case.architecture.endswith("WithProjection"):
            made = model(given, **options)
            pooled = model.vision_model(given, **options).pooler_output
            return _numbers(
                {"embedding": made.image_embeds, "pooled": pooled, "rows": made.last_hidden_state}
            )
        if case.architecture.endswith("ForImageClassification"):
            within = getattr(model, model.base_model_prefix, None)
            if within is None or within is model:
                within = model.dinov2_with_registers
            made = within(given)
            named = {"logits": model(given).logits}
        else:
            made, named = model(given, **options), {}
        return _numbers({**named, "pooled": made.pooler_output, "rows": made.last_hidden_state})


def _said_of_texts(
    model: Any, ids: tuple[np.ndarray, ...], text: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return outputs of the texts as transformers gives them in one padded batch."""
    import torch

    longest = max(len(each) for each in ids)
    padded = np.full((len(ids), longest), text["pad_token_id"])
    mask = np.zeros_like(padded)
    for number, each in enumerate(ids):
        padded[number, : len(each)] = each
        mask[number, : len(each)] = 1
    given = {"input_ids": torch.from_numpy(padded), "attention_mask": torch.from_numpy(mask)}
    tower = getattr(model, "text_model", model)
    with torch.no_grad():
        made = tower(**given)
        named = {"pooled": made.pooler_output}
        if hasattr(model, "text_projection"):
            embedding = named["embedding"] = model.text_projection(made.pooler_output)
            if hasattr(model, "logit_scale"):
                unit = embedding / embedding.norm(dim=-1, keepdim=True)
                named["query"] = unit * model.logit_scale.exp()
        rows = [row[: len(each)] for row, each in zip(made.last_hidden_state, ids, strict=True)]
        return _numbers({**named, "rows": torch.cat(rows)})


def _numbers(found: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return them as numpy arrays; `rows` are the last hidden state, one row after another."""
    arrays = {name: tensor.numpy() for name, tensor in found.items()}
    rows = arrays.pop("rows")
    return {**arrays, "last_hidden_state": rows.reshape(-1, rows.shape[-1])}


def _fill(name: str, parameter: Any) -> None:
    last, kind = name.rpartition(".")[2], name.split(".")[-2:]
    if name == "logit_scale":
        parameter.fill_(1.3)
    elif last == "lambda1":
        parameter.uniform_(-1.0, 1.5)
    elif "norm" in kind[0] and last == "weight":
        parameter.normal_(2.0, 0.5)
    elif last == "bias":
        parameter.normal_(0.0, 0.3)
    elif parameter.ndim >= 2 and last == "weight" and "embedding" not in kind[0]:
        parameter.normal_(0.0, 1.2 / float(parameter[0].numel()) ** 0.5)
    elif "patch_embedding" in name:
        parameter.normal_(0.0, 1.0 / float(parameter[0].numel()) ** 0.5)
    else:  # tables, class and register rows
        parameter.normal_(0.0, 1.0)
