"""ViT: a transformer over patches with a class row before them.

Paper: Dosovitskiy et al. 2020, arXiv 2010.11929.
Reference: `ViTForImageClassification`, `ViTModel` of transformers, models/vit/modeling_vit.py.
"""

from __future__ import annotations

from synapse_core.families import (
    ENCODE_IMAGE,
    MOST_WIDTH,
    Claim,
    Entry,
    Family,
    Fields,
    Ignore,
    build_image_tower,
    make_component,
)
from synapse_core.graph import GraphBuilder, WeightScope
from synapse_core.hookspecs import Registry
from synapse_model_vision.config import (
    VisionConfig,
    read_activation,
    read_labels,
    read_tower,
)

POOLER = "pooler.dense.weight"
# What transformers' ViTImageProcessor does unless a file says otherwise.
PREPROCESSING = {
    "do_resize": True,
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def read_classifier(read: Fields) -> VisionConfig:
    """Read the config.json of a model with classes.

    Raises: FileError naming the key.
    """
    classes, labels = read_labels(read)
    return VisionConfig(
        family="vit",
        tower=read_tower(read),
        classes=classes,
        labels=labels,
        preprocessing=PREPROCESSING,
    )


def read_features(read: Fields) -> VisionConfig:
    """Read the config.json of a model without classes; its pooler is there when its tensors are.

    Raises: FileError naming the key.
    """
    pooled, activation = 0, "tanh"
    if read.has_tensor(POOLER):
        pooled = read.whole("pooler_output_size", most=MOST_WIDTH, default=None)
        pooled = pooled or read.whole("hidden_size", most=MOST_WIDTH)
        if read.has("pooler_act"):
            activation = read_activation(read, "pooler_act")
    return VisionConfig(
        family="vit_features",
        tower=read_tower(read),
        pooled=pooled,
        pool_activation=activation,
        preprocessing=PREPROCESSING,
    )


def build_vit(builder: GraphBuilder, config: VisionConfig, registry: Registry) -> None:
    """Add the function `encode_image`.

    Shapes: pixels (B, channels·H·W) → logits (B, classes), pooled (B, P), last_hidden_state
    (B · (1 + patches), C), the first two where the model has them.
    """
    g = builder.function(ENCODE_IMAGE)
    w = WeightScope(builder)
    tower = config.tower
    x = build_image_tower(g, w, tower, registry)
    x = make_component(registry, tower.norm).build(g, x, w / "norm")
    if config.classes or config.pooled:
        first = g.op("select_rows", x, None, row=0)  # (B, C)
    if config.classes:
        head = w.matrix("head.weight", config.classes, tower.width)
        g.output("logits", g.linear(first, head, w.vector("head.bias", config.classes)))
    if config.pooled:
        pool = w.matrix("pooler.weight", config.pooled, tower.width)
        pooled = g.linear(first, pool, w.vector("pooler.bias", config.pooled))
        g.output("pooled", g.op("activation", pooled, kind=config.pool_activation))
    g.output("last_hidden_state", x)


def both(weight: str, tensor: str) -> dict[str, Entry]:
    """Return the entries of a matrix or norm and its bias."""
    return {f"{weight}.{part}": f"{tensor}.{part}" for part in ("weight", "bias")}


def _tensors(before: str) -> dict[str, Entry]:
    layer = f"{before}encoder.layer.{{n}}"
    return {
        "class": f"{before}embeddings.cls_token",
        "positions": f"{before}embeddings.position_embeddings",
        **both("patch", f"{before}embeddings.patch_embeddings.projection"),
        **both("layers.{n}.attention_norm", f"{layer}.layernorm_before"),
        **both("layers.{n}.attention.q", f"{layer}.attention.attention.query"),
        **both("layers.{n}.attention.k", f"{layer}.attention.attention.key"),
        **both("layers.{n}.attention.v", f"{layer}.attention.attention.value"),
        **both("layers.{n}.attention.o", f"{layer}.attention.output.dense"),
        **both("layers.{n}.ffn_norm", f"{layer}.layernorm_after"),
        **both("layers.{n}.ffn.up", f"{layer}.intermediate.dense"),
        **both("layers.{n}.ffn.down", f"{layer}.output.dense"),
        **both("norm", f"{before}layernorm"),
        **both("head", "classifier"),
        **both("pooler", f"{before}pooler.dense"),
    }


KEEPS = ("positions",)
MASKED = "stands for hidden patches in training"
CLASSIFIER = Family(
    name="vit",
    claims=(Claim(hf="ViTForImageClassification"),),
    config={"hf": read_classifier},
    weights={"hf": _tensors("vit.")},
    ignores=(
        Ignore("vit.pooler.*", "the classes are read off the class row itself"),
        Ignore("vit.embeddings.mask_token", MASKED),
    ),
    keeps=KEEPS,
    build=build_vit,
)
FEATURES = Family(
    name="vit_features",
    claims=(Claim(hf="ViTModel"),),
    config={"hf": read_features},
    weights={"hf": _tensors("")},
    ignores=(Ignore("embeddings.mask_token", MASKED),),
    keeps=KEEPS,
    build=build_vit,
    refuses={"ViTForMaskedImageModeling": "a ViT that paints hidden patches"},
)
