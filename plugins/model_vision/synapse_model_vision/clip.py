"""CLIP: an image tower and a text tower that agree on one space.

Paper: Radford et al. 2021, arXiv 2103.00020.
Reference: `CLIPModel` and its parts of transformers, models/clip/modeling_clip.py.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from synapse_core.families import (
    ENCODE_IMAGE,
    Claim,
    Entry,
    Family,
    Ignore,
    build_image_tower,
    build_layers,
    make_component,
)
from synapse_core.graph import FunctionBuilder, GraphBuilder, Tensor, WeightScope
from synapse_core.hookspecs import Registry
from synapse_core.ops import I32, TensorType
from synapse_model_vision.clip_config import ARCHITECTURES, ClipConfig, TextTower, from_hf
from synapse_model_vision.vit import both

ENCODE_TEXT = "encode_text"
# Of a row of zeros the direction is zeros; next to the square of any other this is nothing.
NO_LENGTH = 1e-24
SCALE = "logit_scale"


def build_clip(builder: GraphBuilder, config: ClipConfig, registry: Registry) -> None:
    """Add `encode_image` and `encode_text`, those that the model has.

    Shapes: pixels (B, channels·H·W) → embedding (B, P), pooled (B, C), last_hidden_state
    (B · (1 + patches), C), direction (B, P); ids (T, 1), ends (B, 1) → embedding (B, P), pooled
    (B, C), last_hidden_state (T, C), query (B, P). `direction` is the embedding with length one,
    `query` with that of the logit scale: their products are the logits.
    """
    if config.image is not None:
        _build_images(builder, config, registry)
    if config.text is not None:
        _build_texts(builder, config, config.text, registry)


def _build_images(builder: GraphBuilder, config: ClipConfig, registry: Registry) -> None:
    assert config.image is not None
    g = builder.function(ENCODE_IMAGE)
    w = WeightScope(builder, config.image_scope)
    x = build_image_tower(g, w, config.image, registry)
    pooled = g.op("select_rows", x, None, row=0)  # (B, C)
    pooled = make_component(registry, config.image.norm).build(g, pooled, w / "norm")
    embedding = _project(g, pooled, config, "image_projection.weight")
    if embedding is not None:
        g.output("embedding", embedding)
    g.output("pooled", pooled)
    g.output("last_hidden_state", x)
    if embedding is not None and config.compares:
        unit = builder.constant("unit", np.full(config.joint, _unit(config)))
        g.output("direction", g.op("rmsnorm", embedding, unit, eps=NO_LENGTH))


def _build_texts(
    builder: GraphBuilder, config: ClipConfig, text: TextTower, registry: Registry
) -> None:
    g = builder.function(ENCODE_TEXT)
    w = WeightScope(builder, config.text_scope)
    tokens, texts = g.space("tokens"), g.space("texts", rows=False)
    ids = g.input("ids", TensorType(tokens, 1, I32, limit=text.vocabulary))
    ends = g.input("ends", TensorType(texts, 1, I32, limit_space=tokens.name))
    x = g.op("embedding", ids, w.matrix("token_embedding.weight", text.vocabulary, text.width))
    x = g.op("add_positions", x, w.matrix("positions", text.context, text.width))  # (T, C)
    x = build_layers(g, x, w, text.layers, registry)
    x = make_component(registry, text.norm).build(g, x, w / "text_norm")
    pooled = g.op("select_rows", x, ends)  # (B, C)
    embedding = _project(g, pooled, config, "text_projection.weight")
    if embedding is not None:
        g.output("embedding", embedding)
    g.output("pooled", pooled)
    g.output("last_hidden_state", x)
    if embedding is not None and config.compares:
        stretch = partial(_scaled_unit, size=config.joint)
        scale = WeightScope(builder).made(SCALE, 1, config.joint, stored=(1, 1), make=stretch)
        g.output("query", g.op("rmsnorm", embedding, scale, eps=NO_LENGTH))


def _project(g: FunctionBuilder, pooled: Tensor, config: ClipConfig, name: str) -> Tensor | None:
    if not config.joint:
        return None
    w = WeightScope(g.graph)
    return g.linear(pooled, w.matrix(name, config.joint, pooled.type.cols))  # (B, P)


def _unit(config: ClipConfig) -> float:
    """Return what a row divided by its root mean square is multiplied with to have length one."""
    return float(config.joint) ** -0.5


def _scaled_unit(logit_scale: np.ndarray, *, size: int) -> np.ndarray:
    length = np.exp(logit_scale.astype(np.float64)) / np.sqrt(size)
    return np.full((1, size), length.item(), dtype=np.float32)


def _tensors(scope: str) -> dict[str, Entry]:
    """Return the entries of one tower; both kinds call their layers and positions the same."""
    before = f"{scope}." if scope else ""
    ours, theirs = f"{before}layers.{{n}}", f"{before}encoder.layers.{{n}}"
    return {
        f"{before}class": f"{before}embeddings.class_embedding",
        f"{before}patch.weight": f"{before}embeddings.patch_embedding.weight",
        f"{before}token_embedding.weight": f"{before}embeddings.token_embedding.weight",
        f"{before}positions": f"{before}embeddings.position_embedding.weight",
        **both(f"{before}first_norm", f"{before}pre_layrnorm"),
        **both(f"{ours}.attention_norm", f"{theirs}.layer_norm1"),
        **both(f"{ours}.attention.q", f"{theirs}.self_attn.q_proj"),
        **both(f"{ours}.attention.k", f"{theirs}.self_attn.k_proj"),
        **both(f"{ours}.attention.v", f"{theirs}.self_attn.v_proj"),
        **both(f"{ours}.attention.o", f"{theirs}.self_attn.out_proj"),
        **both(f"{ours}.ffn_norm", f"{theirs}.layer_norm2"),
        **both(f"{ours}.ffn.up", f"{theirs}.mlp.fc1"),
        **both(f"{ours}.ffn.down", f"{theirs}.mlp.fc2"),
        **both(f"{before}norm", f"{before}post_layernorm"),
        **both(f"{before}text_norm", f"{before}final_layer_norm"),
    }


FAMILY = Family(
    name="clip",
    claims=tuple(Claim(hf=architecture) for architecture in ARCHITECTURES),
    config={"hf": from_hf},
    weights={
        "hf": {
            **_tensors(""),
            **_tensors("vision_model"),
            **_tensors("text_model"),
            "image_projection.weight": "visual_projection.weight",
            "text_projection.weight": "text_projection.weight",
            SCALE: SCALE,
        }
    },
    ignores=(Ignore("*embeddings.position_ids", "they are 0, 1, 2 …"),),
    keeps=("*positions",),
    build=build_clip,
    refuses={"CLIPForImageClassification": "CLIP with classes on the mean of its patches"},
)
