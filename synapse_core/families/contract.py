"""What a family is: whom it claims, how to read a config, which tensor is which weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, Self

import attrs

from synapse_core.families.fields import Fields
from synapse_core.families.gguf_form import GgufForm
from synapse_core.graph import GraphBuilder
from synapse_core.hookspecs import Registry

if TYPE_CHECKING:
    import numpy as np


class Config(Protocol):
    """A model's configuration: what its graph is built of, plain JSON on demand.

    `ModelConfig` is that of the token stack; a family with a `build` of its own may bring another.
    `context`: how many positions a slot may have, for images the rows of one.
    """

    @property
    def family(self) -> str:
        """The family's name."""
        ...

    @property
    def context(self) -> int:
        """The most positions of a slot."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        ...

    @classmethod
    def from_json(cls, found: object) -> Self:
        """Read it back.

        Raises: FileError naming the key.
        """
        ...


Metadata = Mapping[str, Any]
ReadConfig = Callable[[Fields], Config]
# What these take is the config that the family's own readers make.
ToGguf = Callable[[Any], GgufForm]
BuildGraph = Callable[[GraphBuilder, Any, Registry], None]
HEAD_OF_TIED: Mapping[str, str] = MappingProxyType({"head.weight": "embedding.weight"})


@attrs.frozen(kw_only=True)
class Claim:
    """An architecture that a family reads: its name in config.json (`hf`) or in GGUF (`gguf`).

    `when` looks at the metadata where the name alone does not decide; `hf` "" is a config.json that
    names no architecture, which `when` must know by other keys. `replaces_code`: checkpoints
    of this architecture were published with code of their own (`auto_map`), and the family stands
    in for it; the code is never run, and any other checkpoint that brings some is refused.
    """

    hf: str | None = None
    gguf: str | None = None
    when: Callable[[Metadata], bool] | None = None
    replaces_code: bool = False

    def matches(self, source: str, architecture: str, metadata: Metadata) -> bool:
        """Whether a checkpoint of this source and architecture is meant."""
        named = {"hf": self.hf, "gguf": self.gguf}.get(source)
        return named == architecture and (self.when is None or self.when(metadata))


@attrs.frozen
class Ignore:
    """Tensors that a checkpoint may hold and the model does not need, with the reason."""

    pattern: str
    reason: str


@attrs.frozen
class Part:
    """A weight that is one of several in a tensor: their rows lie one after the other.

    `parts` are the canonical names of all of them, in the order in which they lie.
    """

    tensor: str
    parts: tuple[str, ...]

    def numbered(self, number: str) -> Part:
        """Return it with a layer's number in the place of `{n}`."""
        parts = tuple(part.replace("{n}", number) for part in self.parts)
        return Part(self.tensor.replace("{n}", number), parts)


def stacked(tensor: str, *parts: str) -> dict[str, Part]:
    """Return the entries of a weight map for weights that one tensor holds, in this order."""
    return {part: Part(tensor, parts) for part in parts}


def same_shape(rows: int, cols: int) -> tuple[int, ...]:
    """Return the shape of a tensor that lies as its weight does."""
    return (rows, cols)


@attrs.frozen(kw_only=True)
class Made:
    """A weight whose numbers are made at load of a tensor's: turned, or a function of each.

    `make` takes the numbers as float32 in the tensor's shape, axes of one number left out, and
    returns the weight's (rows, cols). `shape` says that shape by the weight's rows and cols.
    `moves`: the numbers only change their places, and stay in the tensor's format; else they are
    float32. It is for float tensors that are small beside the model, since the result is held in
    memory. What `synapse quantize` writes has the tensor as it was.
    """

    tensor: str
    make: Callable[[np.ndarray], np.ndarray]
    shape: Callable[[int, int], tuple[int, ...]] = same_shape
    moves: bool = False

    def numbered(self, number: str) -> Made:
        """Return it with a layer's number in the place of `{n}`."""
        return attrs.evolve(self, tensor=self.tensor.replace("{n}", number))


def transposed(tensor: str) -> Made:
    """Return the entry of a weight (N, C) that a file holds as (C, N)."""
    return Made(tensor=tensor, make=_turn, shape=_turned_shape, moves=True)


def _turn(numbers: np.ndarray) -> np.ndarray:
    return numbers.T


def _turned_shape(rows: int, cols: int) -> tuple[int, ...]:
    return (cols, rows)


# What a family's map says of a weight: the tensor's name, or how it is got of one.
Entry = str | Part | Made


@attrs.frozen(kw_only=True)
class Family:
    """A kind of model.

    `config[source]` reads the metadata of a source ("hf", "gguf"). `weights[source]` maps a
    canonical weight name to the tensor's, `{n}` standing for a layer's number in both:
    {"layers.{n}.ffn.up.weight": "model.layers.{n}.mlp.up_proj.weight"}; weights that share a tensor
    have the entries that `stacked` makes, weights that are no bytes of a file a `Made`.
    `fused[source]` has such entries for files which hold in one tensor what most have in several; a
    file has the one or the others, never both. `respelled` maps parts of the map's tensor names to
    how other files spell them, replaced in this order; a file has a tensor under one of its names.
    `ignores` are patterns, shell style, over tensor names. `keeps` are such over canonical names,
    of matrices that stay as they are stored when a format is asked for all (`--format`), `keeps_of`
    says more of them by the config. `buffers`
    are patterns over tensor names of what training keeps and does not learn: no parameters.
    `build` None: the token stack, of a `ModelConfig`; a family that brings its own may bring a
    config of its own too. `aliases`: a weight that the graph does without because it uses another's
    numbers; where the file has it all the same, both must be equal. `refuses` maps
    architectures that look like the family's and are not read to what they are, for the error.
    `default_checkpoint` gives the folder of a model that ships with the plugin; `synapse run NAME`
    runs that of a family, and without a name that of the highest `default_rank`. `to_gguf` says a
    config in GGUF's keys, None where the family is not written as such; what it says is read back
    by `config["gguf"]` and must be the same model.
    """

    name: str
    claims: tuple[Claim, ...]
    config: Mapping[str, ReadConfig]
    weights: Mapping[str, Mapping[str, Entry]]
    fused: Mapping[str, Mapping[str, Part]] = attrs.field(factory=dict)
    respelled: Mapping[str, str] = attrs.field(factory=dict)
    ignores: tuple[Ignore, ...] = ()
    keeps: tuple[str, ...] = ()
    keeps_of: Callable[[Any], tuple[str, ...]] | None = None
    buffers: tuple[str, ...] = ()
    build: BuildGraph | None = None
    aliases: Mapping[str, str] = HEAD_OF_TIED
    refuses: Mapping[str, str] = attrs.field(factory=dict)
    default_checkpoint: Callable[[], Path] | None = None
    default_rank: int = 0
    to_gguf: ToGguf | None = None

    def other_name(self, tensor: str) -> str:
        """Return how other files spell a tensor's name; the same where they do not differ."""
        for part, theirs in self.respelled.items():
            tensor = tensor.replace(part, theirs)
        return tensor

    def kept(self, config: Config) -> tuple[str, ...]:
        """Return the patterns of matrices that stay as they are stored, for a config of its own."""
        return self.keeps + (() if self.keeps_of is None else self.keeps_of(config))

    def claim_of(self, source: str, architecture: str, metadata: Metadata) -> Claim | None:
        """Return the first of its claims that matches, None where none does."""
        matching = (c for c in self.claims if c.matches(source, architecture, metadata))
        return next(matching, None)
