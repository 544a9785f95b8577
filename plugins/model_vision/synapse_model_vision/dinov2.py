"""DINOv2: a ViT with layer scale, in its large form a SwiGLU network, and maybe with registers.

Papers: Oquab et al. 2023, arXiv 2304.07193; Darcet et al. 2023, arXiv 2309.16588 (registers).
Reference: `Dinov2Model`, `Dinov2WithRegistersModel` and their `ForImageClassification` of
transformers, models/dinov2 and models/dinov2_with_registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np

from synapse_core.families import (
    ENCODE_IMAGE,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_REGISTERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    Claim,
    ComponentConfig,
    Entry,
    Family,
    Fields,
    Ignore,
    ImageTower,
    LayerConfig,
    SublayerConfig,
    build_image_tower,
    encoder_layer,
    make_component,
    stacked,
)
from synapse_core.graph import FunctionBuilder, GraphBuilder, Tensor, WeightScope
from synapse_core.hookspecs import Registry
from synapse_model_vision.config import (
    SCHEMA,
    listed_labels,
    read_activation,
    read_image,
    read_labels,
)
from synapse_model_vision.vit import MASKED, both

# What stands before the tensors' names, by the architecture.
SCOPES: Mapping[str, str] = MappingProxyType(
    {
        "Dinov2Model": "",
        "Dinov2ForImageClassification": "dinov2",
        "Dinov2WithRegistersModel": "",
        "Dinov2WithRegistersForImageClassification": "dinov2_with_registers",
    }
)
CLASSIFIER = "classifier.weight"
# The sublayer of a SwiGLU network, whose tensors have names of their own.
GATED = "swiglu"
MOST_RATIO = 64
# What transformers' BitImageProcessor does with DINOv2's published files.
PREPROCESSING = {
    "do_resize": True,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


@attrs.frozen(kw_only=True)
class Dinov2Config:
    """The tower, and how many classes stand on it, 0 for none; `scope` is before its tensors."""

    family: str
    tower: ImageTower
    scope: str = ""
    classes: int = 0
    labels: tuple[str, ...] = ()
    preprocessing: dict[str, Any] = attrs.field(factory=lambda: dict(PREPROCESSING))

    @property
    def context(self) -> int:
        """How many rows an image has."""
        return self.tower.first_patch + self.tower.image.patches

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "tower": self.tower.to_json(),
            "scope": self.scope,
            "classes": self.classes,
            "labels": list(self.labels),
            "preprocessing": self.preprocessing,
        }

    @classmethod
    def from_json(cls, found: object) -> Dinov2Config:
        """Read it back.

        Raises: FileError naming the key.
        """
        keys = [field.name for field in attrs.fields(cls)]
        fields = Fields.of_config(found, keys, SCHEMA)
        classes = fields.whole("classes", least=0, most=MOST_VOCABULARY)
        return cls(
            family=fields.text("family"),
            tower=ImageTower.from_json(fields.object("tower")),
            scope=fields.choice("scope", set(SCOPES.values())),
            classes=classes,
            labels=listed_labels(fields, classes),
            preprocessing=dict(fields.object("preprocessing").values),
        )


def from_hf(read: Fields) -> Dinov2Config:
    """Read config.json.

    Raises: FileError naming the key.
    """
    named = read.values.get("architectures")
    architecture = named[0] if isinstance(named, list) and len(named) == 1 else named
    if not isinstance(architecture, str) or architecture not in SCOPES:
        known = ", ".join(SCOPES)
        raise read.error("architectures", f"found {named!r:.60}, expected one of {known}")
    classes, labels = 0, ()
    if SCOPES[architecture]:
        classes, labels = read_labels(read, CLASSIFIER)
    return Dinov2Config(
        family="dinov2",
        tower=_read_tower(read, registers="WithRegisters" in architecture),
        scope=SCOPES[architecture],
        classes=classes,
        labels=labels,
    )


def _read_tower(read: Fields, *, registers: bool) -> ImageTower:
    width = read.whole("hidden_size", most=MOST_WIDTH)
    heads = read.whole("num_attention_heads", most=MOST_HEADS)
    if width % heads:
        raise read.error("num_attention_heads", f"found {heads}, expected a divisor of {width}")
    eps = read.number("layer_norm_eps", least=0, most=1)
    image = read_image(read)
    if image.height != image.width:
        raise read.error("image_size", f"{image.height} × {image.width}, expected a square")
    count = read.whole("num_register_tokens", most=MOST_REGISTERS) if registers else 0
    return ImageTower(
        image=image,
        width=width,
        layers=(_read_layer(read, width, heads, eps),)
        * read.whole("num_hidden_layers", most=MOST_LAYERS),
        norm=ComponentConfig("norm", "layernorm", {"eps": eps}),
        registers=count,
        antialias=registers,
    )


def _read_layer(read: Fields, width: int, heads: int, eps: float) -> LayerConfig:
    hidden = int(width * read.number("mlp_ratio", least=1, most=MOST_RATIO))
    layer = encoder_layer(
        width=width,
        heads=heads,
        hidden=hidden,
        eps=eps,
        activation=read_activation(read, "hidden_act"),
        biases="qkvo" if read.flag("qkv_bias", True) else "o",
    )
    attention, ffn = layer.sublayers
    if read.flag("use_swiglu_ffn", False):
        # Two thirds of the plain network's, up to the next eight.
        gated = {"hidden": (int(hidden * 2 / 3) + 7) // 8 * 8, "bias": True}
        ffn = SublayerConfig(GATED, ffn.norm, ComponentConfig("ffn", "swiglu", gated))
    scale = ComponentConfig("norm", "layer_scale")
    return LayerConfig(tuple(attrs.evolve(part, post_norm=scale) for part in (attention, ffn)))


def build_dinov2(builder: GraphBuilder, config: Dinov2Config, registry: Registry) -> None:
    """Add the function `encode_image`.

    Shapes: pixels (B, channels·H·W) → logits (B, classes) where it has classes, pooled (B, C), the
    class row, and last_hidden_state (B · (1 + R + patches), C).
    """
    g = builder.function(ENCODE_IMAGE)
    w = WeightScope(builder, config.scope)
    x = build_image_tower(g, w, config.tower, registry)
    x = make_component(registry, config.tower.norm).build(g, x, w / "norm")
    pooled = g.op("select_rows", x, None, row=0)  # (B, C)
    if config.classes:
        g.output("logits", _classify(g, x, pooled, config))
    g.output("pooled", pooled)
    g.output("last_hidden_state", x)


def _classify(g: FunctionBuilder, x: Tensor, pooled: Tensor, config: Dinov2Config) -> Tensor:
    """Add the head on the class row beside the mean of the patches: a half of its columns each."""
    w, width = WeightScope(g.graph, "head"), config.tower.width
    stored = (config.classes, 2 * width)
    mean = g.op("pool_rows", x, first=config.tower.first_patch)
    row = w.made("class.weight", config.classes, width, stored=stored, make=_first_half)
    patches = w.made("patches.weight", config.classes, width, stored=stored, make=_second_half)
    logits = g.linear(pooled, row, w.vector("bias", config.classes))
    return g.op("add", logits, g.linear(mean, patches))


def _first_half(matrix: np.ndarray) -> np.ndarray:
    return matrix[:, : matrix.shape[1] // 2]


def _second_half(matrix: np.ndarray) -> np.ndarray:
    return matrix[:, matrix.shape[1] // 2 :]


def _tensors(scope: str) -> dict[str, Entry]:
    before = f"{scope}." if scope else ""
    ours, theirs = f"{before}layers.{{n}}", f"{before}encoder.layer.{{n}}"
    attention = f"{theirs}.attention.attention"
    return {
        f"{before}class": f"{before}embeddings.cls_token",
        f"{before}positions": f"{before}embeddings.position_embeddings",
        f"{before}registers.{{n}}.weight": f"{before}embeddings.register_tokens",
        **both(f"{before}patch", f"{before}embeddings.patch_embeddings.projection"),
        **both(f"{ours}.attention_norm", f"{theirs}.norm1"),
        **both(f"{ours}.attention.q", f"{attention}.query"),
        **both(f"{ours}.attention.k", f"{attention}.key"),
        **both(f"{ours}.attention.v", f"{attention}.value"),
        **both(f"{ours}.attention.o", f"{theirs}.attention.output.dense"),
        f"{ours}.attention_post_norm.weight": f"{theirs}.layer_scale1.lambda1",
        **both(f"{ours}.ffn_norm", f"{theirs}.norm2"),
        **both(f"{ours}.ffn.up", f"{theirs}.mlp.fc1"),
        **both(f"{ours}.ffn.down", f"{theirs}.mlp.fc2"),
        f"{ours}.ffn_post_norm.weight": f"{theirs}.layer_scale2.lambda1",
        **both(f"{ours}.{GATED}_norm", f"{theirs}.norm2"),
        **_stacked(f"{ours}.{GATED}", f"{theirs}.mlp.weights_in"),
        **both(f"{ours}.{GATED}.down", f"{theirs}.mlp.weights_out"),
        f"{ours}.{GATED}_post_norm.weight": f"{theirs}.layer_scale2.lambda1",
        **both(f"{before}norm", f"{before}layernorm"),
    }


def _stacked(ours: str, theirs: str) -> dict[str, Entry]:
    """Return the entries of gate and up, which lie in one tensor in this order."""
    found: dict[str, Entry] = {}
    for part in ("weight", "bias"):
        found |= stacked(f"{theirs}.{part}", f"{ours}.gate.{part}", f"{ours}.up.{part}")
    return found


PREFIXES = tuple(dict.fromkeys(SCOPES.values()))
FAMILY = Family(
    name="dinov2",
    claims=tuple(Claim(hf=architecture) for architecture in SCOPES),
    config={"hf": from_hf},
    weights={
        "hf": {name: entry for scope in PREFIXES for name, entry in _tensors(scope).items()}
        | {
            "head.class.weight": CLASSIFIER,
            "head.patches.weight": CLASSIFIER,
            "head.bias": "classifier.bias",
        }
    },
    ignores=(Ignore("*embeddings.mask_token", MASKED),),
    keeps=("*positions",),
    build=build_dinov2,
    refuses={
        "Dinov2Backbone": "a DINOv2 that gives the rows of several layers",
        "Dinov2WithRegistersBackbone": "a DINOv2 that gives the rows of several layers",
    },
)
