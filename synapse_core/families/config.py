"""A model's configuration: plain JSON that names components and their options, layer by layer."""

from __future__ import annotations

from typing import Any

import attrs

from synapse_core.families.fields import (
    MOST_CONTEXT,
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    Fields,
)

SCHEMA = 1
MOST_SUBLAYERS = 16
MOST_FACTOR = 1e9
_COMPONENT_KEYS = ("kind", "name", "options")
_KINDS = ("attention", "ffn", "norm", "position")


@attrs.frozen
class ComponentConfig:
    """A component by kind and name; an option may be a component itself (a rope, a norm)."""

    kind: str
    name: str
    options: dict[str, Any] = attrs.field(factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        options = {
            key: value.to_json() if isinstance(value, ComponentConfig) else value
            for key, value in self.options.items()
        }
        return {"kind": self.kind, "name": self.name, "options": options}

    @classmethod
    def from_json(cls, fields: Fields, kind: str | None = None) -> ComponentConfig:
        """Read it back; `kind` is the one that must stand here.

        Raises: FileError naming the key.
        """
        fields.only(_COMPONENT_KEYS)
        found = fields.choice("kind", (kind,) if kind else _KINDS)
        given = fields.object("options")
        options = {
            key: cls.from_json(given.object(key)) if _is_component(value) else value
            for key, value in given.values.items()
        }
        return cls(found, fields.text("name"), options)


@attrs.frozen
class SublayerConfig:
    """x + post_norm(mixer(norm(x))); without a `post_norm`, x + mixer(norm(x)).

    `name` is the scope of the mixer's weights (`attention`, `ffn`); the norms' scopes are
    `<name>_norm` and `<name>_post_norm`.
    """

    name: str
    norm: ComponentConfig
    mixer: ComponentConfig
    post_norm: ComponentConfig | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        plain = {"name": self.name, "norm": self.norm.to_json(), "mixer": self.mixer.to_json()}
        if self.post_norm is not None:
            plain["post_norm"] = self.post_norm.to_json()
        return plain

    @classmethod
    def from_json(cls, fields: Fields) -> SublayerConfig:
        """Read it back.

        Raises: FileError naming the key.
        """
        fields.only(("name", "norm", "mixer", "post_norm"))
        mixer = ComponentConfig.from_json(fields.object("mixer"))
        if mixer.kind not in ("attention", "ffn"):
            raise fields.error("mixer.kind", f"found {mixer.kind!r}, expected attention or ffn")
        norm = ComponentConfig.from_json(fields.object("norm"), "norm")
        after = fields.object("post_norm") if fields.has("post_norm") else None
        post_norm = ComponentConfig.from_json(after, "norm") if after else None
        return cls(fields.text("name"), norm, mixer, post_norm)


@attrs.frozen
class LayerConfig:
    """One layer: its residual sublayers, in order."""

    sublayers: tuple[SublayerConfig, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"sublayers": [sublayer.to_json() for sublayer in self.sublayers]}

    @classmethod
    def from_json(cls, fields: Fields) -> LayerConfig:
        """Read it back.

        Raises: FileError naming the key.
        """
        fields.only(("sublayers",))
        found = fields.objects("sublayers", most=MOST_SUBLAYERS)
        return cls(tuple(SublayerConfig.from_json(item) for item in found))


@attrs.frozen(kw_only=True)
class ModelConfig:
    """A token model: embedding, layers, final norm, head.

    `position` is an additive one behind the embedding. `tied`: the head uses the embedding's
    table. The logits are softcap(head(x) · head_scale). `bos` and `eos` are special ids, mostly
    none or one.
    """

    family: str
    width: int
    vocabulary: int
    context: int
    layers: tuple[LayerConfig, ...]
    norm: ComponentConfig
    tied: bool
    embedding_scale: float = 1.0
    position: ComponentConfig | None = None
    head_bias: bool = False
    head_scale: float = 1.0
    head_softcap: float = 0.0
    bos: tuple[int, ...] = ()
    eos: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "width": self.width,
            "vocabulary": self.vocabulary,
            "context": self.context,
            "embedding_scale": self.embedding_scale,
            "position": self.position.to_json() if self.position else None,
            "layers": [layer.to_json() for layer in self.layers],
            "norm": self.norm.to_json(),
            "tied": self.tied,
            "head_bias": self.head_bias,
            "head_scale": self.head_scale,
            "head_softcap": self.head_softcap,
            "bos": list(self.bos),
            "eos": list(self.eos),
        }

    @classmethod
    def from_json(cls, found: object, file: str = "config") -> ModelConfig:
        """Read it back; `file` is named in errors.

        Raises: FileError naming the key.
        """
        keys = [field.name for field in attrs.fields(cls)]
        fields = Fields.of_config(found, keys, SCHEMA, file)
        vocabulary = fields.whole("vocabulary", most=MOST_VOCABULARY)
        layers = fields.objects("layers", most=MOST_LAYERS)
        position = fields.object("position") if fields.has("position") else None
        return cls(
            family=fields.text("family"),
            width=fields.whole("width", most=MOST_WIDTH),
            vocabulary=vocabulary,
            context=fields.whole("context", most=MOST_CONTEXT),
            layers=tuple(LayerConfig.from_json(layer) for layer in layers),
            norm=ComponentConfig.from_json(fields.object("norm"), "norm"),
            tied=fields.flag("tied"),
            embedding_scale=fields.number("embedding_scale", least=-MOST_FACTOR, most=MOST_FACTOR),
            position=ComponentConfig.from_json(position, "position") if position else None,
            head_bias=fields.flag("head_bias"),
            head_scale=fields.number("head_scale", least=-MOST_FACTOR, most=MOST_FACTOR),
            head_softcap=fields.number("head_softcap", least=0.0, most=MOST_FACTOR),
            bos=fields.token_ids("bos", vocabulary),
            eos=fields.token_ids("eos", vocabulary),
        )


def _is_component(value: object) -> bool:
    return isinstance(value, dict) and set(value) == set(_COMPONENT_KEYS)
