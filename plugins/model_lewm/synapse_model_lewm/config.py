"""The config of a world model: the sizes of its five parts."""

from __future__ import annotations

from typing import Any, Self

import attrs

from synapse_core.families import MOST_HEADS, MOST_LAYERS, MOST_WIDTH, Fields

SCHEMA = 1
MOST_PIXELS, MOST_FRAMES = 4096, 1024
# Models up to so many columns multiply in float32, whatever their weights are held in: in few
# columns rounding does not even out. No trained weights of the published 192 were at hand.
NARROW_COLUMNS = 128
# What the published models were trained on: bilinear, ImageNet's mean and deviation.
PREPROCESSING: dict[str, Any] = {
    "do_resize": True,
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
NORMS = ("batch", "layer", "none")
ACTIVATIONS = ("gelu", "gelu_tanh", "silu", "relu")


def _size(most: int) -> Any:
    return attrs.field(metadata={"most": most})


@attrs.frozen(kw_only=True)
class Part:
    """Sizes of a part of the model, read from plain JSON by their names."""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Read it back.

        Raises: FileError naming the key.
        """
        own = attrs.fields(cls)
        fields.only([field.name for field in own])
        values: dict[str, Any] = {}
        for field in own:
            if "choices" in field.metadata:
                values[field.name] = fields.choice(field.name, field.metadata["choices"])
            elif "least" in field.metadata:
                bounds = {"least": field.metadata["least"], "most": field.metadata["most"]}
                values[field.name] = fields.number(field.name, **bounds)
            else:
                values[field.name] = fields.whole(field.name, most=field.metadata["most"])
        return cls(**values)


@attrs.frozen(kw_only=True)
class Encoder(Part):
    """A vision transformer; `image` and `patch` are the side of a square in pixels."""

    width: int = _size(MOST_WIDTH)
    layers: int = _size(MOST_LAYERS)
    heads: int = _size(MOST_HEADS)
    ffn: int = _size(MOST_WIDTH)
    patch: int = _size(MOST_PIXELS)
    image: int = _size(MOST_PIXELS)
    eps: float = attrs.field(metadata={"least": 0.0, "most": 1.0})
    activation: str = attrs.field(metadata={"choices": ACTIVATIONS})


@attrs.frozen(kw_only=True)
class Head(Part):
    """Two linears with a norm and an activation between: the projectors."""

    input: int = _size(MOST_WIDTH)
    hidden: int = _size(MOST_WIDTH)
    output: int = _size(MOST_WIDTH)
    norm: str = attrs.field(metadata={"choices": NORMS})
    eps: float = attrs.field(metadata={"least": 0.0, "most": 1.0})
    activation: str = attrs.field(metadata={"choices": ACTIVATIONS})


@attrs.frozen(kw_only=True)
class Actions(Part):
    """The encoder of actions: `input` numbers an action, `smoothed` behind the first linear."""

    input: int = _size(MOST_WIDTH)
    smoothed: int = _size(MOST_WIDTH)
    hidden: int = _size(MOST_WIDTH)
    output: int = _size(MOST_WIDTH)


@attrs.frozen(kw_only=True)
class Predictor(Part):
    """Layers that are told by actions; `frames` is the most latents that it looks back at."""

    frames: int = _size(MOST_FRAMES)
    input: int = _size(MOST_WIDTH)
    hidden: int = _size(MOST_WIDTH)
    output: int = _size(MOST_WIDTH)
    layers: int = _size(MOST_LAYERS)
    heads: int = _size(MOST_HEADS)
    head_dim: int = _size(MOST_WIDTH)
    ffn: int = _size(MOST_WIDTH)


@attrs.frozen(kw_only=True)
class LewmConfig:
    """A world model; a head that is None passes its input on."""

    encoder: Encoder
    projector: Head | None
    actions: Actions
    predictor: Predictor
    pred_proj: Head | None
    family: str = "lewm"

    @property
    def context(self) -> int:
        """The most rows of a slot: the predictor's window."""
        return self.predictor.frames

    @property
    def narrow(self) -> bool:
        """Whether 8 bits of what is multiplied would be felt: see `NARROW_COLUMNS`."""
        return max(self.encoder.width, self.predictor.hidden) <= NARROW_COLUMNS

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What becomes of an image, in the keys of a preprocessor_config.json."""
        return {
            **PREPROCESSING,
            "size": {"height": self.encoder.image, "width": self.encoder.image},
        }

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"schema": SCHEMA, **attrs.asdict(self), "preprocessing": self.preprocessing}

    @classmethod
    def from_json(cls, found: object) -> Self:
        """Read it back.

        Raises: FileError naming the key.
        """
        keys = ["preprocessing", *(field.name for field in attrs.fields(cls))]
        fields = Fields.of_config(found, keys, SCHEMA)
        fields.choice("family", ("lewm",))

        def head(key: str) -> Head | None:
            return Head.read(fields.object(key)) if fields.has(key) else None

        return cls(
            encoder=Encoder.read(fields.object("encoder")),
            projector=head("projector"),
            actions=Actions.read(fields.object("actions")),
            predictor=Predictor.read(fields.object("predictor")),
            pred_proj=head("pred_proj"),
        )
