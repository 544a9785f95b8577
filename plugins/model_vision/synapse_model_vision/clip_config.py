"""CLIP's config: two towers, one or both, and what joins them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from synapse_core.families import (
    MOST_CONTEXT,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    ComponentConfig,
    Fields,
    ImageTower,
    LayerConfig,
    encoder_layer,
)
from synapse_model_vision.config import SCHEMA, read_activation, read_image

# By architecture: has it images, texts, a projection.
ARCHITECTURES: Mapping[str, tuple[bool, bool, bool]] = MappingProxyType(
    {
        "CLIPModel": (True, True, True),
        "CLIPVisionModel": (True, False, False),
        "CLIPVisionModelWithProjection": (True, False, True),
        "CLIPTextModel": (False, True, False),
        "CLIPTextModelWithProjection": (False, True, True),
    }
)
# A config.json of CLIP leaves out what is as in OpenAI's first model, ViT-B/32.
# Source: `CLIPTextConfig`, `CLIPVisionConfig` of transformers, models/clip/configuration_clip.py.
_BOTH = {"num_hidden_layers": 12, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
TEXT: Mapping[str, Any] = MappingProxyType(
    {
        **_BOTH,
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_attention_heads": 8,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "eos_token_id": 49407,
        "projection_dim": 512,
    }
)
IMAGE: Mapping[str, Any] = MappingProxyType(
    {
        **_BOTH,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "num_channels": 3,
        "image_size": 224,
        "patch_size": 32,
        "projection_dim": 512,
    }
)
JOINT = 512
# What transformers wrote until 4.31, of every model: the end is the highest id then.
LEGACY_END = 2
# What transformers' CLIPImageProcessor does unless a file says otherwise.
PREPROCESSING = {
    "do_resize": True,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


@attrs.frozen(kw_only=True)
class TextTower:
    """A causal transformer over tokens; its norm is on every row.

    A text's row is that of its first `end`, or where that is None of its highest id.
    """

    width: int
    vocabulary: int
    context: int
    layers: tuple[LayerConfig, ...]
    norm: ComponentConfig
    end: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "width": self.width,
            "vocabulary": self.vocabulary,
            "context": self.context,
            "layers": [layer.to_json() for layer in self.layers],
            "norm": self.norm.to_json(),
            "end": self.end,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> TextTower:
        """Read it back.

        Raises: FileError naming the key.
        """
        fields.only([field.name for field in attrs.fields(cls)])
        vocabulary = fields.whole("vocabulary", most=MOST_VOCABULARY)
        layers = fields.objects("layers", most=MOST_LAYERS)
        return cls(
            width=fields.whole("width", most=MOST_WIDTH),
            vocabulary=vocabulary,
            context=fields.whole("context", most=MOST_CONTEXT),
            layers=tuple(LayerConfig.from_json(layer) for layer in layers),
            norm=ComponentConfig.from_json(fields.object("norm"), "norm"),
            end=fields.whole("end", least=0, most=vocabulary - 1, default=None),
        )


@attrs.frozen(kw_only=True)
class ClipConfig:
    """The towers that there are; `joint` columns of what both project to, 0 without a projection.

    `image_scope` and `text_scope` stand before the names of a tower's tensors.
    """

    family: str
    image: ImageTower | None
    text: TextTower | None
    joint: int = 0
    image_scope: str = "vision_model"
    text_scope: str = "text_model"
    preprocessing: dict[str, Any] = attrs.field(factory=lambda: dict(PREPROCESSING))

    @property
    def context(self) -> int:
        """How many tokens a text has at most; without texts, how many rows an image has."""
        if self.text is not None:
            return self.text.context
        return self.image.first_patch + self.image.image.patches if self.image else 0

    @property
    def compares(self) -> bool:
        """Whether it says how alike an image and a text are."""
        return self.image is not None and self.text is not None and self.joint > 0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "image": self.image.to_json() if self.image else None,
            "text": self.text.to_json() if self.text else None,
            "joint": self.joint,
            "image_scope": self.image_scope,
            "text_scope": self.text_scope,
            "preprocessing": self.preprocessing,
        }

    @classmethod
    def from_json(cls, found: object) -> ClipConfig:
        """Read it back.

        Raises: FileError naming the key.
        """
        keys = [field.name for field in attrs.fields(cls)]
        fields = Fields.of_config(found, keys, SCHEMA)
        if not fields.has("image") and not fields.has("text"):
            raise fields.error("image", "there is none, and no text")
        image = fields.object("image") if fields.has("image") else None
        text = fields.object("text") if fields.has("text") else None
        return cls(
            family=fields.text("family"),
            image=ImageTower.from_json(image) if image else None,
            text=TextTower.from_json(text) if text else None,
            joint=fields.whole("joint", least=0, most=MOST_WIDTH),
            image_scope=fields.choice("image_scope", ("vision_model", "")),
            text_scope=fields.choice("text_scope", ("text_model", "")),
            preprocessing=dict(fields.object("preprocessing").values),
        )


def from_hf(read: Fields) -> ClipConfig:
    """Read config.json: of both towers with a section each, or of one alone.

    Raises: FileError naming the key.
    """
    named = read.values.get("architectures")
    architecture = named[0] if isinstance(named, list) and len(named) == 1 else named
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise read.error("architectures", f"found {named!r:.60}, expected one of {known}")
    images, texts, projects = ARCHITECTURES[architecture]
    sections = images and texts
    image = _section(read, "vision_config", IMAGE, sections) if images else None
    text = _section(read, "text_config", TEXT, sections) if texts else None
    joint = 0
    if projects:
        alone = image or text
        given = read if sections or alone is None else alone
        joint = given.whole("projection_dim", most=MOST_WIDTH, default=JOINT)
    return ClipConfig(
        family="clip",
        image=_read_image_tower(image) if image else None,
        text=_read_text_tower(text) if text else None,
        joint=joint,
        image_scope=_scope(read, "vision_model", "pre_layrnorm.weight"),
        text_scope=_scope(read, "text_model", "final_layer_norm.weight"),
    )


def _section(read: Fields, key: str, defaults: Mapping[str, Any], nested: bool) -> Fields:
    """Return the keys of a tower. Where `<key>_dict` is there it goes before `<key>`."""
    if not nested:
        return Fields(read.file, {**defaults, **read.values}, read.path, read.tensors)
    used = f"{key}_dict" if read.has(f"{key}_dict") else key
    section = read.object(used)
    return Fields(section.file, {**defaults, **section.values}, section.path, read.tensors)


def _scope(read: Fields, scope: str, tensor: str) -> str:
    """Return what a tower's tensors begin with: nothing as transformers 5 writes one alone."""
    return "" if read.has_tensor(tensor) else scope


def _read_image_tower(read: Fields) -> ImageTower:
    width, layers, eps = _read_layers(read, "full")
    image = read_image(read)
    if image.height != image.width:
        raise read.error("image_size", f"{image.height} × {image.width}, expected a square")
    norm = ComponentConfig("norm", "layernorm", {"eps": eps})
    return ImageTower(
        image=image, width=width, layers=layers, norm=norm, first_norm=norm, patch_bias=False
    )


def _read_text_tower(read: Fields) -> TextTower:
    width, layers, eps = _read_layers(read, "causal")
    vocabulary = read.whole("vocab_size", most=MOST_VOCABULARY)
    end = read.whole("eos_token_id", least=0, most=MOST_VOCABULARY)
    if end != LEGACY_END and end >= vocabulary:
        raise read.error("eos_token_id", f"found {end}, expected an id below {vocabulary}")
    return TextTower(
        width=width,
        vocabulary=vocabulary,
        context=read.whole("max_position_embeddings", most=MOST_CONTEXT),
        layers=layers,
        norm=ComponentConfig("norm", "layernorm", {"eps": eps}),
        end=None if end == LEGACY_END else end,
    )


def _read_layers(read: Fields, mask: str) -> tuple[int, tuple[LayerConfig, ...], float]:
    width = read.whole("hidden_size", most=MOST_WIDTH)
    heads = read.whole("num_attention_heads", most=MOST_HEADS)
    if width % heads:
        raise read.error("num_attention_heads", f"found {heads}, expected a divisor of {width}")
    eps: float = read.number("layer_norm_eps", least=0, most=1)
    layer = encoder_layer(
        width=width,
        heads=heads,
        hidden=read.whole("intermediate_size", most=MOST_WIDTH),
        eps=eps,
        activation=read_activation(read, "hidden_act"),
        mask=mask,
    )
    return width, (layer,) * read.whole("num_hidden_layers", most=MOST_LAYERS), eps
