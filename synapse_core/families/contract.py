"""What a family is: whom it claims, how to read a config, which tensor is which weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from synapse_core.families.config import ModelConfig
from synapse_core.families.fields import Fields
from synapse_core.graph import GraphBuilder
from synapse_core.hookspecs import Registry

Metadata = Mapping[str, Any]
ReadConfig = Callable[[Fields], ModelConfig]
BuildGraph = Callable[[GraphBuilder, ModelConfig, Registry], None]
HEAD_OF_TIED: Mapping[str, str] = MappingProxyType({"head.weight": "embedding.weight"})


@attrs.frozen(kw_only=True)
class Claim:
    """An architecture that a family reads: its name in config.json (`hf`) or in GGUF (`gguf`).

    `when` looks at the metadata where the name alone does not decide.
    """

    hf: str | None = None
    gguf: str | None = None
    when: Callable[[Metadata], bool] | None = None

    def matches(self, source: str, architecture: str, metadata: Metadata) -> bool:
        """Whether a checkpoint of this source and architecture is meant."""
        named = {"hf": self.hf, "gguf": self.gguf}.get(source)
        return named == architecture and (self.when is None or self.when(metadata))


@attrs.frozen
class Ignore:
    """Tensors that a checkpoint may hold and the model does not need, with the reason."""

    pattern: str
    reason: str


@attrs.frozen(kw_only=True)
class Family:
    """A kind of model.

    `config[source]` reads the metadata of a source ("hf", "gguf"). `weights[source]` maps a
    canonical weight name to the tensor's, `{n}` standing for a layer's number in both:
    {"layers.{n}.ffn.up.weight": "model.layers.{n}.mlp.up_proj.weight"}. `ignores` are patterns,
    shell style, over tensor names. `build` None: the token stack. `aliases`: a weight that the
    graph does without because it uses another's numbers; where the file has it all the same, both
    must be equal. `default_checkpoint` gives the folder of a model that ships with the plugin.
    """

    name: str
    claims: tuple[Claim, ...]
    config: Mapping[str, ReadConfig]
    weights: Mapping[str, Mapping[str, str]]
    ignores: tuple[Ignore, ...] = ()
    build: BuildGraph | None = None
    aliases: Mapping[str, str] = HEAD_OF_TIED
    default_checkpoint: Callable[[], Path] | None = None

    def claims_checkpoint(self, source: str, architecture: str, metadata: Metadata) -> bool:
        """Whether one of its claims matches."""
        return any(claim.matches(source, architecture, metadata) for claim in self.claims)
