"""The token stack: embedding, residual sublayers, final norm, head. Most families are one."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from synapse_core.errors import UsageError
from synapse_core.families.config import ComponentConfig, LayerConfig, ModelConfig, SublayerConfig
from synapse_core.graph import FunctionBuilder, GraphBuilder, Tensor, WeightScope
from synapse_core.hookspecs import Registry
from synapse_core.ops import I32, TensorType


def build_token_stack(builder: GraphBuilder, config: ModelConfig, registry: Registry) -> None:
    """Add the function `forward`: token ids in, logits of the selected rows out.

    Shapes: ids (T, 1), select (S, 1) → logits (S, V). Rows are selected before the final norm, so
    that only rows that were asked for pay for the head.
    """
    g = builder.function("forward")
    w = WeightScope(builder)
    tokens, outputs = g.space("tokens"), g.space("outputs", rows=False)
    ids = g.input("ids", TensorType(tokens, 1, I32, limit=config.vocabulary))
    select = g.input("select", TensorType(outputs, 1, I32, limit_space=tokens.name))
    table = w.matrix("embedding.weight", config.vocabulary, config.width)
    x = g.op("embedding", ids, table, scale=config.embedding_scale)  # (T, C)
    if config.position is not None:
        x = make_component(registry, config.position).build(g, x, w / "position")
    x = build_layers(g, x, w, config.layers, registry)
    x = g.op("select_rows", x, select)  # (S, C)
    x = make_component(registry, config.norm).build(g, x, w / "norm")
    g.output("logits", _head(g, x, w, config))


def build_layers(
    g: FunctionBuilder,
    x: Tensor,
    w: WeightScope,
    layers: Sequence[LayerConfig],
    registry: Registry,
) -> Tensor:
    """Add residual sublayers, layer by layer; weights lie in `layers.<number>`.

    Shapes: x (T, C) → (T, C).
    """
    for number, layer in enumerate(layers):
        scope = w / f"layers.{number}"
        for sublayer in layer.sublayers:
            x = g.op("add", x, _sublayer(g, x, scope, sublayer, registry))
    return x


def make_component(registry: Registry, config: ComponentConfig) -> Any:
    """Return the component that a config names, the components among its options made first.

    Raises: UsageError naming kind, name and the option that is missing, unknown or wrong.
    """
    options = {
        key: make_component(registry, value) if isinstance(value, ComponentConfig) else value
        for key, value in config.options.items()
    }
    factory = registry.get(config.kind, config.name)
    try:
        inspect.signature(factory).bind(**options)
    except TypeError as error:
        raise UsageError(f"{config.kind} {config.name!r}: {error}") from None
    return factory(**options)


def _sublayer(
    g: FunctionBuilder, x: Tensor, w: WeightScope, sublayer: SublayerConfig, registry: Registry
) -> Tensor:
    """Add what a sublayer adds to its rows: (T, C) → (T, C)."""
    norm = make_component(registry, sublayer.norm)
    mixer = make_component(registry, sublayer.mixer)
    h = norm.build(g, x, w / f"{sublayer.name}_norm")
    y: Tensor = mixer.build(g, h, w / sublayer.name)
    if sublayer.post_norm is not None:
        post_norm = make_component(registry, sublayer.post_norm)
        y = post_norm.build(g, y, w / f"{sublayer.name}_post_norm")
    return y


def _head(g: FunctionBuilder, x: Tensor, w: WeightScope, config: ModelConfig) -> Tensor:
    name = "embedding.weight" if config.tied else "head.weight"
    bias = w.vector("head.bias", config.vocabulary) if config.head_bias else None
    x = g.linear(x, w.matrix(name, config.vocabulary, config.width), bias)  # (S, V)
    if config.head_scale != 1.0:
        x = g.op("scale", x, factor=config.head_scale)
    if config.head_softcap > 0:
        x = g.op("softcap", x, cap=config.head_softcap)
    return x
