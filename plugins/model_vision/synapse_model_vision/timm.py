"""ViT as timm publishes it: `blocks.N.attn.qkv`, a config.json with `architecture` and no sizes.

Reference: `VisionTransformer` of timm, models/vision_transformer.py.
"""

from __future__ import annotations

import math
import re
from typing import Any

from synapse_core.families import (
    MOST_HEADS,
    MOST_LAYERS,
    MOST_PIXELS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    Claim,
    ComponentConfig,
    Family,
    Fields,
    ImageShape,
    ImageTower,
    encoder_layer,
    stacked,
)
from synapse_model_vision.config import VisionConfig, check_labels
from synapse_model_vision.vit import KEEPS, both, build_vit

# Heads are in no file; `model_args` may say them.
HEADS_OF_SIZE = {
    "tiny": 3,
    "small": 6,
    "base": 12,
    "large": 16,
    "huge": 16,
    "giant": 16,
}
EPS = 1e-6
RESAMPLE_OF = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
_BLOCK = re.compile(r"blocks\.(0|[1-9][0-9]{0,5})\.norm1\.weight")
ATTENTION = "layers.{n}.attention"


def is_vit(metadata: Any) -> bool:
    """Whether a config.json is timm's, of a ViT."""
    return str(metadata.get("architecture", "")).startswith("vit_")


def read_timm(read: Fields) -> VisionConfig:
    """Read config.json; sizes are the tensors', heads the architecture's.

    Raises: FileError naming the key or the tensor.
    """
    if read.text("global_pool", "token") != "token":
        raise read.error("global_pool", "only 'token', the class row, is read")
    image, width = _image(read)
    heads = _heads(read)
    if width % heads:
        raise read.error("architecture", f"{heads} heads, expected a divisor of {width} columns")
    given = read.object("pretrained_cfg") if read.has("pretrained_cfg") else Fields(read.file, {})
    classes = 0
    if read.has_tensor("head.weight"):
        classes = read.tensor_rows("head.weight", most=MOST_VOCABULARY)
    names = read.values.get("label_names")
    labels = check_labels(read, "label_names", names) if isinstance(names, list) else ()
    if labels and len(labels) != classes:
        raise read.error("label_names", f"names {len(labels)} classes, the head has {classes}")
    return VisionConfig(
        family="vit_timm",
        tower=ImageTower(
            image=image,
            width=width,
            layers=_layers(read, width, heads),
            norm=ComponentConfig("norm", "layernorm", {"eps": EPS}),
            antialias=True,
        ),
        classes=classes,
        labels=labels,
        preprocessing=_preprocessing(given, image),
    )


def _layers(read: Fields, width: int, heads: int) -> tuple[Any, ...]:
    found = {int(match[1]) for name in read.tensors if (match := _BLOCK.fullmatch(name))}
    if not 1 <= len(found) <= MOST_LAYERS or found != set(range(len(found))):
        raise read.error("architecture", f"{len(found)} blocks of tensors, expected 0, 1, 2 …")
    layer = encoder_layer(
        width=width,
        heads=heads,
        hidden=read.tensor_rows("blocks.0.mlp.fc1.weight", most=MOST_WIDTH),
        eps=EPS,
        biases="qkvo" if read.has_tensor("blocks.0.attn.qkv.bias") else "o",
    )
    return (layer,) * len(found)


def _image(read: Fields) -> tuple[ImageShape, int]:
    """Return what an image is and the width, by the tensors of patches and positions."""
    name, table = "patch_embed.proj.weight", "pos_embed"
    for wanted in (name, table):
        if not read.has_tensor(wanted):
            raise read.error(f"tensor {wanted!r}", "is missing")
    shape, places = read.tensors[name].shape, read.tensors[table].shape
    if len(shape) != 4 or shape[2] != shape[3] or not all(1 <= n <= MOST_PIXELS for n in shape):
        raise read.error(f"tensor {name!r}", f"is {shape}, expected columns of square patches")
    width, channels, patch, _ = shape
    side = math.isqrt(max(places[-2] - 1, 0)) if len(places) == 3 else 0
    if side < 1 or places != (1, side * side + 1, width) or side * patch > MOST_PIXELS:
        raise read.error(
            f"tensor {table!r}", f"is {places}, expected a class row and a square of {width}"
        )
    height = side * patch
    return ImageShape(channels=channels, height=height, width=height, patch=patch), width


def _heads(read: Fields) -> int:
    name = read.text("architecture")
    arguments = read.object("model_args") if read.has("model_args") else Fields(read.file, {})
    if arguments.has("num_heads"):
        heads: int = arguments.whole("num_heads", most=MOST_HEADS)
        return heads
    size = name.removeprefix("vit_").partition("_")[0]
    if size not in HEADS_OF_SIZE:
        known = ", ".join(HEADS_OF_SIZE)
        raise read.error("architecture", f"found {name!r:.60}; heads are known of {known}")
    return HEADS_OF_SIZE[size]


def _preprocessing(given: Fields, image: ImageShape) -> dict[str, Any]:
    """Return timm's way as keys of a preprocessor_config.json: resize the short side, crop."""
    crop = given.number("crop_pct", least=0.1, most=1.0, default=0.875)
    means = [given.values.get(key, [0.5] * image.channels) for key in ("mean", "std")]
    return {
        "do_resize": True,
        "size": {"shortest_edge": int(image.height / crop)},
        "resample": RESAMPLE_OF[given.choice("interpolation", RESAMPLE_OF, "bicubic")],
        "do_center_crop": True,
        "crop_size": {"height": image.height, "width": image.width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": means[0],
        "image_std": means[1],
    }


FAMILY = Family(
    name="vit_timm",
    claims=(Claim(hf="", when=is_vit),),
    config={"hf": read_timm},
    weights={
        "hf": {
            "class": "cls_token",
            "positions": "pos_embed",
            **both("patch", "patch_embed.proj"),
            **both("layers.{n}.attention_norm", "blocks.{n}.norm1"),
            **stacked("blocks.{n}.attn.qkv.weight", *(f"{ATTENTION}.{c}.weight" for c in "qkv")),
            **stacked("blocks.{n}.attn.qkv.bias", *(f"{ATTENTION}.{c}.bias" for c in "qkv")),
            **both(f"{ATTENTION}.o", "blocks.{n}.attn.proj"),
            **both("layers.{n}.ffn_norm", "blocks.{n}.norm2"),
            **both("layers.{n}.ffn.up", "blocks.{n}.mlp.fc1"),
            **both("layers.{n}.ffn.down", "blocks.{n}.mlp.fc2"),
            **both("norm", "norm"),
            **both("head", "head"),
        }
    },
    keeps=KEEPS,
    build=build_vit,
)
