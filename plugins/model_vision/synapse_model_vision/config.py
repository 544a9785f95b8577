"""What families of one image tower share: their config, and its part that config.json says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from synapse_core.families import (
    MOST_CHANNELS,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_PIXELS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    ComponentConfig,
    Fields,
    ImageShape,
    ImageTower,
    encoder_layer,
)

SCHEMA = 1
ACTIVATION_OF = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "tanh": "tanh",
}
MOST_LABEL = 1000


@attrs.frozen(kw_only=True)
class VisionConfig:
    """An image tower and what stands on it.

    `classes` of a head on the class row, 0 for none; `labels` are their names, none where the file
    has none. `pooled` columns of a layer on the class row behind `pool_activation`, 0 for none.
    `preprocessing` is what becomes of an image where no preprocessor_config.json says it, in that
    file's own keys.
    """

    family: str
    tower: ImageTower
    classes: int = 0
    labels: tuple[str, ...] = ()
    pooled: int = 0
    pool_activation: str = "tanh"
    preprocessing: dict[str, Any] = attrs.field(factory=dict)

    @property
    def context(self) -> int:
        """How many rows an image has."""
        return 1 + self.tower.image.patches

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "tower": self.tower.to_json(),
            "classes": self.classes,
            "labels": list(self.labels),
            "pooled": self.pooled,
            "pool_activation": self.pool_activation,
            "preprocessing": self.preprocessing,
        }

    @classmethod
    def from_json(cls, found: object) -> VisionConfig:
        """Read it back.

        Raises: FileError naming the key.
        """
        keys = [field.name for field in attrs.fields(cls)]
        fields = Fields.of_config(found, keys, SCHEMA)
        classes = fields.whole("classes", least=0, most=MOST_VOCABULARY)
        return cls(
            family=fields.text("family"),
            tower=ImageTower.from_json(fields.object("tower")),
            classes=classes,
            labels=listed_labels(fields, classes),
            pooled=fields.whole("pooled", least=0, most=MOST_WIDTH),
            pool_activation=fields.choice("pool_activation", set(ACTIVATION_OF.values())),
            preprocessing=dict(fields.object("preprocessing").values),
        )


def read_tower(read: Fields) -> ImageTower:
    """Read the tower of a config.json in ViT's keys.

    Raises: FileError naming the key.
    """
    width = read.whole("hidden_size", most=MOST_WIDTH)
    heads = read.whole("num_attention_heads", most=MOST_HEADS)
    if width % heads:
        raise read.error("num_attention_heads", f"found {heads}, expected a divisor of {width}")
    eps = read.number("layer_norm_eps", least=0, most=1)
    layer = encoder_layer(
        width=width,
        heads=heads,
        hidden=read.whole("intermediate_size", most=MOST_WIDTH),
        eps=eps,
        activation=read_activation(read, "hidden_act"),
        biases="qkvo" if read.flag("qkv_bias", True) else "o",
    )
    return ImageTower(
        image=read_image(read),
        width=width,
        layers=(layer,) * read.whole("num_hidden_layers", most=MOST_LAYERS),
        norm=ComponentConfig("norm", "layernorm", {"eps": eps}),
    )


def read_image(read: Fields) -> ImageShape:
    """Read what an image is; `image_size` and `patch_size` may be a pair of height and width.

    Raises: FileError naming the key.
    """
    height, width = _pair(read, "image_size")
    patch, beside = _pair(read, "patch_size")
    if patch != beside:
        raise read.error("patch_size", f"found {patch} × {beside}; patches must be square")
    if height % patch or width % patch:
        problem = f"found {height} × {width}, expected multiples of the patch, {patch}"
        raise read.error("image_size", problem)
    channels = read.whole("num_channels", most=MOST_CHANNELS, default=3)
    return ImageShape(channels=channels, height=height, width=width, patch=patch)


def read_activation(read: Fields, key: str) -> str:
    """Read the name of an activation and return the core's.

    Raises: FileError naming the key.
    """
    return ACTIVATION_OF[read.choice(key, ACTIVATION_OF)]


def read_labels(read: Fields, head: str = "") -> tuple[int, tuple[str, ...]]:
    """Read how many classes there are and their names: `id2label`, or `num_labels` without names.

    Where both are silent the rows of the tensor `head` are counted, if it is there.

    Raises: FileError naming the key.
    """
    if not read.has("id2label"):
        if not read.has("num_labels") and read.has_tensor(head):
            return read.tensor_rows(head, most=MOST_VOCABULARY), ()
        return read.whole("num_labels", most=MOST_VOCABULARY), ()
    names = read.object("id2label").values
    count = len(names)
    if not 1 <= count <= MOST_VOCABULARY or set(names) != {str(n) for n in range(count)}:
        raise read.error("id2label", f"must name the classes 0 to {max(count - 1, 0)}")
    return count, check_labels(read, "id2label", (names[str(n)] for n in range(count)))


def check_labels(read: Fields, key: str, labels: Iterable[object]) -> tuple[str, ...]:
    """Return the labels.

    Raises: FileError for one that is no text, or is too long.
    """
    checked = []
    for label in labels:
        if not isinstance(label, str) or len(label) > MOST_LABEL:
            raise read.error(key, f"found {label!r:.60}, expected texts of {MOST_LABEL} characters")
        checked.append(label)
    return tuple(checked)


def listed_labels(fields: Fields, classes: int) -> tuple[str, ...]:
    """Return the labels of a config in our own form: one for each class, or none.

    Raises: FileError naming the key.
    """
    found = fields.values.get("labels")
    if not isinstance(found, list) or len(found) not in (0, classes):
        raise fields.error("labels", f"expected a list of {classes} names, or of none")
    return check_labels(fields, "labels", found)


def _pair(read: Fields, key: str) -> tuple[int, int]:
    found = read.values.get(key)
    if isinstance(found, list):
        if len(found) != 2:
            raise read.error(key, f"found {len(found)} numbers, expected height and width")
        named = {f"{key}[{number}]": side for number, side in enumerate(found)}
        sides = Fields(read.file, named, read.path)
        height, width = (sides.whole(name, most=MOST_PIXELS) for name in named)
        return height, width
    side: int = read.whole(key, most=MOST_PIXELS)
    return side, side
