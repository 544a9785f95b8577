"""What all RWKV-7 families share: the config's layers, the graph, and which matrices stay float."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.families import (
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    ComponentConfig,
    Fields,
    LayerConfig,
    ModelConfig,
    SublayerConfig,
    make_component,
)
from synapse_core.graph import GraphBuilder, WeightScope
from synapse_core.hookspecs import Registry
from synapse_core.ops import I32, TensorType
from synapse_model_rwkv.time_mix import TimeMix

# A state has no end; this is what llama.cpp's converter writes for one.
CONTEXT = 1 << 20
# BlinkDL's code says so whatever the head's size: 1e-5 · 8², RWKV-LM's `head_size_divisor` squared.
HEAD_EPS = 64e-5
# The low-rank pairs and r_k: small beside the rest, and what fades is felt ever after.
KEEPS = tuple(
    f"layers.*.attention.{name}" for name in ("decay.*", "rate.*", "gate.*", "value.*", "bonus")
)


@attrs.frozen(kw_only=True)
class Ranks:
    """A layer's low-rank pairs: `value` 0 in the first."""

    decay: int
    rate: int
    gate: int
    value: int


@attrs.frozen(kw_only=True)
class Sizes:
    """The sizes of a model."""

    width: int
    hidden: int
    head_dim: int
    vocabulary: int
    ranks: Sequence[Ranks]


def rwkv7_config(
    family: str,
    sizes: Sizes,
    *,
    norm: ComponentConfig,
    head_eps: float,
    embedding_norm: bool = True,
    output_bias: bool = False,
    **more: Any,
) -> ModelConfig:
    """Return the config; `norm` is the layer norm that stands everywhere, `more` goes along."""
    layers = []
    for number, ranks in enumerate(sizes.ranks):
        options: dict[str, Any] = {
            "head_dim": sizes.head_dim,
            "decay_rank": ranks.decay,
            "rate_rank": ranks.rate,
            "gate_rank": ranks.gate,
            "value_rank": ranks.value,
            "eps": head_eps,
            "bias": output_bias,
        }
        if number == 0 and embedding_norm:
            options["embedding_norm"] = norm
        time_mix = ComponentConfig("attention", "rwkv7_time_mix", options)
        channel_mix = ComponentConfig("attention", "rwkv7_channel_mix", {"hidden": sizes.hidden})
        layers.append(
            LayerConfig(
                (
                    SublayerConfig("attention", norm, time_mix),
                    SublayerConfig("ffn", norm, channel_mix),
                )
            )
        )
    return ModelConfig(
        family=family,
        width=sizes.width,
        vocabulary=sizes.vocabulary,
        context=CONTEXT,
        layers=tuple(layers),
        norm=norm,
        **more,
    )


def same_numbers(numbers: np.ndarray) -> np.ndarray:
    """Return the numbers as they are: a `Made` weight of them is float32 whatever the file has."""
    return numbers


def read_rank(read: Fields, tensor: str, key: str | None = None) -> int:
    """Return the rank of a low-rank pair: the rows of one of its matrices.

    Raises: FileError when there is no such tensor, or the config's `key` says another rank.
    """
    rank = read.tensor_rows(tensor, most=MOST_WIDTH)
    said = read.whole(key, most=MOST_WIDTH, default=None) if key else None
    if said is not None and said != rank:
        raise read.error(str(key), f"found {said}, tensor {tensor!r} has {rank} rows")
    return rank


def read_shape(read: Fields) -> tuple[int, int, int, int]:
    """Return width, layers, a head's width and vocabulary of a config.json.

    Raises: FileError naming the key.
    """
    width = read.whole("hidden_size", most=MOST_WIDTH)
    heads = read.whole("num_heads", most=MOST_WIDTH, default=None)
    if heads is not None and width % heads:
        raise read.error("num_heads", f"found {heads}, expected a divisor of {width}")
    size = read.whole("head_dim", most=MOST_WIDTH, default=None)
    if size is None:
        if heads is None:
            raise read.error("head_dim", "is missing, and num_heads too")
        size = width // heads
    if width % size:
        raise read.error("head_dim", f"found {size}, expected a divisor of {width}")
    if heads is not None and heads != width // size:
        raise read.error("num_heads", f"found {heads}, expected {width} / {size}")
    layers = read.whole("num_hidden_layers", most=MOST_LAYERS)
    return width, layers, size, read.whole("vocab_size", most=MOST_VOCABULARY)


def build(builder: GraphBuilder, config: ModelConfig, registry: Registry) -> None:
    """Add the function `forward`: token ids in, logits of the selected rows out.

    The token stack with two things of its own: a norm behind the embedding, and the first layer's
    values, which every later layer mixes into its own.

    Shapes: ids (T, 1), select (S, 1) → logits (S, V).
    """
    g = builder.function("forward")
    w = WeightScope(builder)
    tokens, outputs = g.space("tokens"), g.space("outputs", rows=False)
    ids = g.input("ids", TensorType(tokens, 1, I32, limit=config.vocabulary))
    select = g.input("select", TensorType(outputs, 1, I32, limit_space=tokens.name))
    x = g.op("embedding", ids, w.matrix("embedding.weight", config.vocabulary, config.width))
    first = None
    for number, layer in enumerate(config.layers):
        scope = w / f"layers.{number}"
        for sublayer in layer.sublayers:
            mixer = make_component(registry, sublayer.mixer)
            inner = scope / sublayer.name
            if isinstance(mixer, TimeMix) and mixer.embedding_norm is not None:
                x = mixer.embedding_norm.build(g, x, w / "embedding_norm")
            norm = make_component(registry, sublayer.norm)
            h = norm.build(g, x, scope / f"{sublayer.name}_norm")
            if isinstance(mixer, TimeMix):
                y, values = mixer.build_with(g, h, inner, first)
                first = values if first is None else first
            else:
                y = mixer.build(g, h, inner)
            x = g.op("add", x, y)  # (T, C)
    x = g.op("select_rows", x, select)  # (S, C)
    x = make_component(registry, config.norm).build(g, x, w / "norm")
    head = "embedding.weight" if config.tied else "head.weight"
    bias = w.vector("head.bias", config.vocabulary) if config.head_bias else None
    g.output("logits", g.linear(x, w.matrix(head, config.vocabulary, config.width), bias))
